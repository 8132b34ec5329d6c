"""What do the layers of an ONNX graph receive?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from covalign.data.normalization import Normalization
from covalign.errors import InputError, optional
from covalign.networks.activations import channels_second
from covalign.networks.intake import Intake, arranged
from covalign.networks.readers.onnx_intake import intake_of
from covalign.networks.readers.onnx_process import GraphProcess
from covalign.networks.readers.torch_file import one_line

TYPES = {
    "tensor(float16)": torch.float16,
    "tensor(double)": torch.float64,
    "tensor(uint8)": torch.uint8,
}
UINT8 = 2
"""What ONNX calls whole numbers from 0 to 255."""

WHOLE = Normalization("pixels 0 to 255", (0.0,), (1 / 255,))
"""What a graph takes that normalizes whole numbers by itself."""


class OnnxSource:
    """Layer inputs of an ONNX graph, by onnxruntime with added outputs.

    Attributes:
        received: by layer, the name of the tensor it receives and whether the layer is linear.
        batch: number of images the graph demands; 0 if it takes any.
        intake: what the graph fixes of its images.
        normalization: of the pixels, where the graph takes them as whole numbers; else it is not known.
    """

    def __init__(
        self,
        model: Any,
        folder: Path,
        name: str,
        received: dict[str, tuple[str, bool]],
        channels_last: bool | None = None,
    ) -> None:
        self.model, self.folder, self.name, self.received = model, folder, name, received
        stored = {tensor.name for tensor in model.graph.initializer}
        self.images = [value for value in model.graph.input if value.name not in stored]
        self.batch, self.intake, self.normalization = 0, Intake(), None
        if self.images:
            stated = self.images[0].type.tensor_type
            self.batch = max(0, stated.shape.dim[0].dim_value) if stated.shape.dim else 0
            self.intake = intake_of(model.graph, self.images[0], channels_last)
            self.normalization = WHOLE if stated.elem_type == UINT8 else None
        self.session: GraphProcess | None = None

    def inputs(
        self, batch: Float[Tensor, "n c h w"], names: Sequence[str]
    ) -> dict[str, Float[Tensor, "n channels ..."]]:
        """Return the inputs of the named layers for one batch of normalized images.

        Raises:
            InputError: an unknown layer, or a graph that cannot run on such images.
        """
        if unknown := [name for name in names if name not in self.received]:
            raise InputError(f"network {self.name!r} has no layer {unknown[0]!r}; expected names it lists")
        try:
            tensors = self._run(batch, {self.received[name][0] for name in names})
        except InputError:
            raise
        except Exception as error:  # onnxruntime has exceptions of its own
            shape = "x".join(map(str, batch.shape[1:]))
            raise InputError(
                f"network {self.name!r} cannot run on images of {shape} (channels x height x width), given with "
                f"channels {'last' if self.intake.channels_last else 'first'}: {one_line(error)}; give images of the "
                "size and channels it was exported for, or state --resolution or --layout"
            ) from error
        return {
            name: channels_second(tensors[tensor], len(batch), linear)
            for name, (tensor, linear) in ((name, self.received[name]) for name in names)
        }

    def _run(self, batch: Tensor, wanted: set[str]) -> dict[str, Tensor]:
        """Run the graph, in pieces where it demands a number of images, and return the wanted tensors."""
        if len(self.images) != 1:
            raise InputError(
                f"network {self.name!r}: the graph takes {len(self.images)} inputs, expected images alone; "
                "export the network with one input"
            )
        self.session = self.session or self._start()
        image = self.images[0].name
        outputs = sorted(wanted - {image})
        dtype = TYPES.get(self.session.type, torch.float32)
        size = self.batch or len(batch)
        parts: dict[str, list[Tensor]] = {name: [] for name in outputs}
        for piece in batch.split(size):
            filled = torch.cat([piece, piece.new_zeros(size - len(piece), *piece.shape[1:])])
            given = self._typed(arranged(filled, self.intake).cpu(), dtype)
            values = self.session.run(outputs, given.numpy()) if outputs else []
            for name, value in zip(outputs, values, strict=True):
                parts[name].append(torch.from_numpy(value[: len(value) * len(piece) // size].copy()).float())
        return {name: torch.cat(part) for name, part in parts.items()} | {
            image: arranged(batch.float(), self.intake)
        }

    def _typed(self, batch: Tensor, dtype: torch.dtype) -> Tensor:
        """Bring a batch to the type that the graph takes; whole numbers have to be pixels."""
        if dtype.is_floating_point:
            return batch.to(dtype)
        low, high = (float(extreme) for extreme in batch.aminmax())
        if not (
            (torch.iinfo(dtype).min <= round(low) and round(high) <= 255 and high > 1) or low == high == 0
        ):
            raise InputError(
                f"network {self.name!r} takes pixels as whole numbers from 0 to 255, got numbers from {low:.3g} to "
                f"{high:.3g}; leave out --normalization, since the graph normalizes by itself"
            )
        return batch.round().to(dtype)

    def _start(self) -> GraphProcess:
        """Start a process whose outputs are also the inputs of all layers."""
        optional("onnxruntime", "onnx")
        known = {value.name for value in (*self.model.graph.input, *self.model.graph.output)}
        outputs = sorted({tensor for tensor, _ in self.received.values()} - known)
        return GraphProcess(self.model.SerializeToString(), self.folder, outputs, self.name)
