"""How is a stranger's graph run so that it can neither hang nor exhaust this process?

`GraphProcess` starts `covalign.networks.readers.onnx_worker` as a program and asks it for forward passes. Its
processor time and memory are limited by the operating system; where it is ended by them, the error says so, and which
environment variable raises them. The first pass is of one image alone, so that a graph without end is noticed at the
price of one.
"""

import inspect
import json
import os
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from covalign.errors import InputError
from covalign.limits import FORWARD_BYTES, FORWARD_SECONDS
from covalign.networks.readers.onnx_worker import Pipe


class GraphProcess:
    """A graph in a process of its own.

    Attributes:
        name: of the network, for messages.
        type: of the images, as onnxruntime calls it.
    """

    def __init__(self, graph: bytes, folder: Path, outputs: Sequence[str], name: str) -> None:
        self.name = name
        self.probed = False
        self._process = subprocess.Popen(
            [sys.executable, inspect.getfile(Pipe)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        )
        self._finalizer = weakref.finalize(self, _end, self._process)
        request = {
            "bytes": len(graph),
            "folder": str(folder.resolve()),
            "outputs": list(outputs),
            "threads": torch.get_num_threads(),
            "seconds": FORWARD_SECONDS.value * torch.get_num_threads(),
            "memory": FORWARD_BYTES.value,
        }
        answer = self._asked(json.dumps(request).encode() + b"\n" + graph)
        self._image, self.type = answer["name"], answer["type"]

    def run(self, outputs: Sequence[str], pixels: np.ndarray) -> list[np.ndarray]:
        """Return tensors of the graph for some images.

        Args:
            outputs: names of the tensors.
            pixels: as the graph takes them.

        Raises:
            InputError: the graph went beyond its limits.
            RuntimeError: onnxruntime cannot run it.
        """
        if not self.probed and len(pixels) > 1:
            self._pass(outputs, pixels[:1], tolerant=True)  # a graph may demand a number of images
        self.probed = True
        return self._pass(outputs, pixels)

    def _pass(self, outputs: Sequence[str], pixels: np.ndarray, tolerant: bool = False) -> list[np.ndarray]:
        seconds = FORWARD_SECONDS.value * len(pixels) * torch.get_num_threads()
        request = json.dumps({"outputs": list(outputs), "seconds": seconds}).encode()
        answer = self._asked(request + b"\n", pixels, tolerant)
        assert self._process.stdout is not None
        try:
            return [
                np.lib.format.read_array(Pipe(self._process.stdout), allow_pickle=False)
                for _ in range(answer.get("arrays", 0))
            ]
        except (OSError, ValueError) as error:
            raise self._ended() from error

    def _asked(
        self, request: bytes, pixels: np.ndarray | None = None, tolerant: bool = False
    ) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(request)
            if pixels is not None:
                np.lib.format.write_array(
                    Pipe(self._process.stdin), np.ascontiguousarray(pixels), allow_pickle=False
                )
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            raise self._ended() from error
        if "error" in answer and not tolerant:
            raise RuntimeError(self._explained(answer["error"]))
        return answer

    def _explained(self, said: str) -> str:
        exhausted = any(word in said for word in ("llocat", "MemoryError", "bad_alloc", "memory"))
        return (
            f"it asks for more than {FORWARD_BYTES.value} bytes; {FORWARD_BYTES.remedy}"
            if exhausted
            else said
        )

    def _ended(self) -> InputError:
        """Say why the process is gone."""
        self._process.kill()
        status = self._process.wait()
        return InputError(
            f"network {self.name!r}: its forward pass was stopped (status {status}) beyond {FORWARD_SECONDS.value} "
            f"{FORWARD_SECONDS.unit} or {FORWARD_BYTES.value} {FORWARD_BYTES.unit}; "
            f"if it is to be trusted, set {FORWARD_SECONDS.name} or {FORWARD_BYTES.name} to raise them"
        )


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and close its pipes."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:
                continue
