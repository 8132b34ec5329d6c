"""Which few spatial filters do convolutional networks learn anyway?

A `FilterBank` holds the leading eigenvectors of spatial weight covariances (Guth & Menard 2024, section
2.2) in a fixed order and with fixed signs, so that slot j of one factorized network means the same as slot
j of another. The shipped bank is analytic: on the three-point line take the orthonormal vectors

    g = (1, 2, 1) / sqrt(6)  (low-pass),   d = (1, 0, -1) / sqrt(2)  (first derivative),
    s = (1, -1, 1) / sqrt(3) (second derivative, made orthogonal to g),

and their products: g g^T, d along x, d along y, and the two second-order ones (g s^T + s g^T) / sqrt(2)
(Laplacian) and (g s^T - s g^T) / sqrt(2) (difference of the second derivatives), because these five, and
not the mixed derivative d d^T, lead the spatial covariances of joint networks trained on natural images.
Banks measured on trained networks replace it through `save` and `load`. The scale of a filter is
irrelevant, because batch normalization follows.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional

from covalign.arrays import ArrayLike, as_float64
from covalign.encoding.signs import canonical_signs
from covalign.errors import InputError
from covalign.showing import Shown
from covalign.storage.atomic import write_durably

VANISHED = 1e-6
"""Norm below which a filter of unit norm has vanished on another grid: interpolation leaves rounding alone."""


@dataclass(frozen=True, eq=False, repr=False)
class FilterBank(Shown):
    """Spatial filters with fixed order and sign.

    Attributes:
        filters: shape ``[count, k, k]``, unit norm.
        provenance: where they come from, JSON-serializable.

    Example:
        `of` gives filters unit norm and the sign that the library uses everywhere:

        >>> bank = FilterBank.of([[[0.0] * 3, [-3.0, 0.0, 3.0], [0.0] * 3]], {"name": "a derivative"})
        >>> (bank.filters[0, 1, ::2] * 2**0.5).round(decimals=4).tolist(), tuple(bank.signed.shape)
        ([1.0, -1.0], (2, 3, 3))
    """

    PICTURES = "filters"

    filters: Float32[Tensor, "count k k"]
    provenance: dict[str, Any]

    @property
    def kernel_size(self) -> int:
        """Side k of the filters."""
        return self.filters.shape[-1]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of shape and values: equal fingerprints mean equal slots."""
        digest = hashlib.sha256(repr(tuple(self.filters.shape)).encode())
        digest.update(self.filters.contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def signed(self) -> Float32[Tensor, "twice_count k k"]:
        """The filters, then their negatives: ReLU of this pair keeps both signs of a response."""
        return torch.cat([self.filters, -self.filters])

    def resize(self, kernel_size: int) -> "FilterBank":
        """Return the bank on another odd kernel size, by bicubic interpolation, with unit norm again.

        Raises:
            InputError: an even size, or one on which a filter vanishes (derivatives have no value at a single pixel).
        """
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise InputError(f"kernel size: got {kernel_size}, expected an odd number such as 3, 5 or 7")
        if kernel_size == self.kernel_size:
            return self
        resized = functional.interpolate(
            self.filters[None].double(), size=(kernel_size, kernel_size), mode="bicubic", align_corners=False
        )[0]
        norms = resized.flatten(1).norm(dim=1)
        if bool((norms < VANISHED).any()):
            raise InputError(
                f"kernel size: got {kernel_size}, on which {int((norms < VANISHED).sum())} of {len(norms)} filters "
                "vanish; expected 3 or more for a factorized network, a joint one takes 1"
            )
        resized /= norms[:, None, None]
        return FilterBank(resized.float(), {**self.provenance, "resized_from": self.kernel_size})

    def save(self, path: str | Path) -> Path:
        """Write filters, provenance and a checksum of both as one safetensors file, whole or not at all."""
        path, provenance = Path(path), json.dumps(self.provenance)
        metadata = {"provenance": provenance, "sha256": _checksum(self.fingerprint, provenance)}
        write_durably(path, save({"filters": self.filters.contiguous()}, metadata))
        return path

    @classmethod
    def load(cls, path: str | Path) -> "FilterBank":
        """Read a bank written by `save`, by version 0.1 too, which wrote no checksum.

        Raises:
            InputError: the file cannot be read, or was altered.
        """
        try:
            with safe_open(path, "pt") as file:
                metadata, filters = file.metadata() or {}, file.get_tensor("filters")
            provenance = metadata.pop("provenance", "{}")
            found = {name: value for name, value in metadata.items() if name != "format"}
            if found and found != {"sha256": _checksum(cls(filters, {}).fingerprint, provenance)}:
                raise ValueError("damaged: its checksum is another one")
            return cls.of(filters, json.loads(provenance))
        except (OSError, SafetensorError, ValueError, TypeError) as error:
            raise InputError(
                f"filter bank {path}: cannot be read ({error}); expected a file that FilterBank.save wrote"
            ) from error

    @classmethod
    def of(cls, filters: ArrayLike, provenance: dict[str, Any]) -> "FilterBank":
        """Check filters of shape ``[count, k, k]``, give them unit norm and the canonical sign."""
        values = as_float64(filters, "filters", "count k k")
        if values.shape[1] != values.shape[2] or values.shape[1] % 2 == 0:
            raise InputError(f"filters: got shape {tuple(values.shape)}, expected [count, k, k] with k odd")
        norms = values.flatten(1).norm(dim=1)
        if bool((norms == 0).any()):
            raise InputError("filters: at least one filter is zero, expected non-zero filters")
        unit = values.flatten(1) / norms[:, None]
        return cls((unit * canonical_signs(unit.T)[:, None]).view_as(values).float(), provenance)


def _checksum(fingerprint: str, provenance: str) -> str:
    return hashlib.sha256(f"{fingerprint} {provenance}".encode()).hexdigest()


def analytic_filters() -> FilterBank:
    """Return the shipped bank of five 3x3 filters (formula in the module's text)."""
    g = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64) / 6**0.5
    d = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64) / 2**0.5
    s = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64) / 3**0.5
    across, down = torch.outer(g, s), torch.outer(s, g)
    second = [(across + down) / 2**0.5, (across - down) / 2**0.5]
    filters = [torch.outer(g, g), torch.outer(g, d), torch.outer(d, g), *second]
    return FilterBank.of(
        torch.stack(filters),
        {
            "name": "analytic",
            "order": ["low-pass", "d/dx", "d/dy", "laplacian", "d2/dx2 - d2/dy2"],
            "source": "closed form: products of the orthonormal three-point vectors g, d and s",
        },
    )
