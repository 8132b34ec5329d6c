"""One target a reader: a whole file, and what reads it to the end."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import nn

from covalign.data.decoding import decode
from covalign.data.loading import load_images
from covalign.data.memory import images_from_arrays
from covalign.networks.readers.opening import read_network
from covalign.report.page import Page
from covalign.storage.folder import Folder
from covalign.studies.comparison.measure import align
from covalign.studies.result import Result
from covalign.studies.subjects import load_network
from covalign.training.presets import spec_from_toml


@dataclass(frozen=True)
class Target:
    """A format.

    Attributes:
        name: of the file; its ending decides the reader.
        whole: a good file.
        read: reads a file at a path.
    """

    name: str
    whole: bytes
    read: Callable[[Path], Any]


def weights() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {
        "first.weight": torch.randn(8, 3, 3, 3, generator=draw),
        "first.bias": torch.randn(8, generator=draw),
        "second.weight": torch.randn(8, 8, 3, 3, generator=draw),
        "last.weight": torch.randn(4, 8, generator=draw),
    }


def picture(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(256, size=(16, 16, 3), dtype=np.uint8)
    made = BytesIO()
    Image.fromarray(pixels).save(made, kind)
    return made.getvalue()


def graph() -> bytes:
    stored = [
        numpy_helper.from_array(weights()["first.weight"].numpy(), "first.weight"),
        numpy_helper.from_array(weights()["second.weight"].numpy(), "second.weight"),
        numpy_helper.from_array(np.ones(8, np.float32), "scale"),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "first.weight"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", "scale", "scale", "scale", "scale"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Conv", ["c", "second.weight"], ["y"]),
    ]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3, 8, 8))
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    made = helper.make_graph(nodes, "net", [image], [result], stored)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return bytes(model.SerializeToString())


def written(write: Callable[[BytesIO], Any]) -> bytes:
    made = BytesIO()
    write(made)
    return made.getvalue()


def ran(path: Path) -> Any:
    """Read a network and align its layers with themselves on some images, which runs it."""
    architecture = None if path.suffix == ".onnx" else "fuzz.targets:architecture"
    opened = load_network(path, architecture, normalization="cifar")
    pixels = np.random.default_rng(0).integers(256, size=(6, 3, 8, 8), dtype=np.uint8)
    return align(opened, opened, images_from_arrays(pixels, np.arange(6) % 2))


def architecture() -> nn.Module:
    """The module that `weights` belong to."""
    parts = OrderedDict(first=nn.Conv2d(3, 8, 3), second=nn.Conv2d(8, 8, 3, bias=False))
    parts |= OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), last=nn.Linear(8, 4, bias=False))
    return nn.Sequential(parts)


def table() -> bytes:
    frame = pd.DataFrame({"image": [{"bytes": picture("PNG"), "path": None}] * 3, "label": [0, 1, 0]})
    return written(lambda file: frame.to_parquet(file))


@dataclass(frozen=True, eq=False)
class Fuzzed(Result):
    """A result of two values."""

    KIND: ClassVar[str] = "fuzzed"
    a: Any
    b: Any

    def page(self) -> Page:
        """It has none."""
        raise NotImplementedError

    def figure(self) -> None:
        """It has none."""


def results(path: Path) -> Any:
    """Read a folder of results whose document is the file; its manifest fits, as one that somebody made."""
    tensors = safetensors.torch.save({"a": torch.ones(2)})
    folder = path.parent / "results"
    Folder(folder).replace({"results.json": path.read_bytes(), "tensors.safetensors": tensors})
    return Fuzzed.load(folder)


def arrays() -> bytes:
    pixels = np.random.default_rng(0).integers(256, size=(4, 8, 8, 3), dtype=np.uint8)
    return written(lambda file: np.savez(file, images=pixels, labels=np.arange(4) % 2))


TARGETS = (
    Target("net.safetensors", safetensors.torch.save(weights()), read_network),
    Target("net.pt", written(lambda file: torch.save(weights(), file)), read_network),
    Target(
        "old.pt",
        written(lambda file: torch.save(weights(), file, _use_new_zipfile_serialization=False)),
        read_network,
    ),
    Target(
        "net.npz",
        written(lambda file: np.savez(file, **{k: v.numpy() for k, v in weights().items()})),
        read_network,
    ),
    Target("net.onnx", graph(), read_network),
    Target("images.parquet", table(), lambda path: load_images(path, cache=False)),
    Target("images.npz", arrays(), lambda path: load_images(path, cache=False)),
    Target("image.png", picture("PNG"), lambda path: decode(path.read_bytes(), str(path))),
    Target("image.jpg", picture("JPEG"), lambda path: decode(path.read_bytes(), str(path))),
    Target("image.webp", picture("WEBP"), lambda path: decode(path.read_bytes(), str(path))),
    Target(
        "spec.toml",
        b'preset = "laptop"\nwidth = 0.5\nepochs = 3\nclasses = [1, 2]\nnormalization = "cifar"\n',
        spec_from_toml,
    ),
    Target(
        "results.json",
        b'{"schema_version": 2, "kind": "fuzzed", "a": {"$tuple": [1, {"$float": "nan"}]}, "b": {"$tensor": "a"}}',
        results,
    ),
)

RUN = (
    Target("run.safetensors", safetensors.torch.save(weights()), ran),
    Target("run.pt", written(lambda file: torch.save(weights(), file)), ran),
    Target("run.onnx", graph(), ran),
)
"""Networks that are not only read: what is read of them is run."""
