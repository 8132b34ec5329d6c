"""The forward pass of a stranger's graph, in a process of its own.

A graph may loop for ever or ask for any amount of memory while it runs, and nothing in its file says so. It is run by
this file as a program, whose processor time and memory the operating system limits, and which the reader outlives. It
reads requests from its standard input and answers on its standard output: a line of JSON, then arrays as NumPy writes
them. It imports nothing of covalign, so that it starts fast.
"""

import json
import sys
from typing import IO, Any, BinaryIO

import numpy as np

try:
    import resource
except ImportError:  # not a POSIX system: no limits
    resource = None  # type: ignore[assignment]

LARGEST = 2**29
"""Numbers in one tensor of a graph, per image, as far as its shapes are known: two gigabytes (our choice)."""


class Pipe:
    """A stream that cannot be wound, which NumPy must not take for a file."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream

    def read(self, count: int = -1, /) -> bytes:
        """Return so many bytes."""
        return self.stream.read(count)

    def write(self, content: Any, /) -> int:
        """Pass bytes on."""
        return self.stream.write(content)


def serve(source: BinaryIO, answers: BinaryIO) -> None:
    """Open the graph that is sent first, then run it on every array that follows."""
    request = json.loads(source.readline())
    try:
        session = _session(source.read(request["bytes"]), request)
        image = session.get_inputs()[0]
        _limit("AS", _virtual_memory() + request["memory"])
        _answer(answers, {"name": image.name, "type": image.type})
    except BaseException as error:
        _answer(answers, {"error": str(error) or type(error).__name__})
        return
    while line := source.readline():
        request = json.loads(line)
        pixels = np.lib.format.read_array(Pipe(source), allow_pickle=False)
        _limit("CPU", _seconds_used() + request["seconds"])
        try:
            values = session.run(request["outputs"], {image.name: pixels})
        except BaseException as error:
            _answer(answers, {"error": str(error) or type(error).__name__})
            continue
        _answer(answers, {"arrays": len(values)})
        for value in values:
            np.lib.format.write_array(Pipe(answers), np.ascontiguousarray(value), allow_pickle=False)
        answers.flush()


def _session(graph: bytes, request: dict[str, Any]) -> Any:
    """Open a session whose outputs are also the tensors that are asked for."""
    import onnx
    import onnxruntime

    _limit("AS", _virtual_memory() + request["memory"])
    _limit("CPU", _seconds_used() + request["seconds"])
    model = onnx.ModelProto.FromString(graph)
    _check_sizes(onnx.shape_inference.infer_shapes(model, data_prop=True).graph)
    for name in request["outputs"]:
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = request["threads"]
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", request["folder"]
    )
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _check_sizes(graph: Any) -> None:
    """Refuse a graph that makes a tensor too large for memory, as far as its shapes are known."""
    for value in (*graph.value_info, *graph.output):
        numbers = 1
        for axis in value.type.tensor_type.shape.dim:
            numbers *= max(1, axis.dim_value)
        if numbers > LARGEST:
            raise ValueError(
                f"its tensor {value.name!r} has {numbers} numbers, expected at most {LARGEST}; such a graph is not "
                "run"
            )


def _answer(answers: BinaryIO, document: dict[str, Any]) -> None:
    answers.write(json.dumps(document).encode() + b"\n")
    answers.flush()


def _limit(kind: str, value: float) -> None:
    """Let the operating system end or refuse what goes beyond."""
    if resource is not None:
        which = getattr(resource, f"RLIMIT_{kind}")
        resource.setrlimit(which, (int(value), resource.getrlimit(which)[1]))


def _seconds_used() -> float:
    if resource is None:
        return 0.0
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime + 1


def _virtual_memory() -> int:
    """Return the bytes of addresses in use: what the limit counts, most of it libraries."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except (OSError, AttributeError):
        return 2**32


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
