"""Which pairs of networks were compared before?

A pair is kept in one file (a checksum, then safetensors) as soon as it is measured, under a digest of everything that
decides it: the weights of both networks, what their layers receive for the first images (which says what the forward
pass, its normalization and its statistics do, whatever they are made of), the images, the settings, the code of this
package and the versions of what computes. A changed network or an updated package therefore finds nothing. A file
that is damaged is measured again; a folder that cannot be written to costs time only.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from covalign.data.images import Images
from covalign.encoding.debiased.shared_variance import SharedVariance
from covalign.networks.network import Network
from covalign.storage.atomic import write_durably
from covalign.storage.metadata import metadata_of
from covalign.storage.provenance import code_digest
from covalign.storage.results import decoded, encoded
from covalign.studies.comparison.columns import PairRow
from covalign.studies.comparison.couples import Couple
from covalign.studies.comparison.rows import LayerPair
from covalign.studies.comparison.settings import Settings
from covalign.studies.inputs import layer_inputs

PROBED = 2
"""Images by which a forward pass is known."""
KINDS: dict[str, type] = {kind.__name__: kind for kind in (LayerPair, PairRow, SharedVariance)}


@dataclass(frozen=True, eq=False)
class Known:
    """Pairs of networks that were measured before.

    Attributes:
        folder: of their files; None where nothing is kept.
        common: digest of what is the same for all pairs.
        networks: digests of the networks, by name.
    """

    folder: Path | None
    common: str
    networks: Mapping[str, str]

    @classmethod
    def of(
        cls,
        folder: str | Path | None,
        couples: Sequence[Couple],
        images: Images | None,
        settings: Settings,
        batch: int,
    ) -> "Known":
        """Take the digests of what is to be compared.

        Args:
            folder: of the files; None keeps nothing.
            couples: pairs of networks.
            images: what alignments are fitted to.
            settings: how they are compared; through a reference, all networks decide every pair.
            batch: images a pass, on which controls depend.
        """
        if folder is None:
            return cls(None, "", {})
        layers: dict[str, dict[str, None]] = {}
        networks: dict[str, Network] = {}
        for each in couples:
            for subject in (each.first, each.second):
                networks[subject.name] = subject.network
                layers.setdefault(subject.name, {})
            for subject, layer in each.sides:
                layers[subject.name][layer.name] = None
        prints = {name: _digest_of(networks[name], list(layers[name]), images) for name in networks}
        place = [images and images.fingerprint, batch, code_digest(), torch.get_num_threads()]
        common = [asdict(settings), *place, list(prints.items()) if settings.reference else None]
        return cls(Path(folder).expanduser(), json.dumps(common, sort_keys=True), prints)

    def get(self, pair: Couple) -> list[LayerPair] | None:
        """Return what was measured of a pair; None where it is not known."""
        if self.folder is None:
            return None
        with suppress(
            OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError
        ):
            return _unpacked(self._entry(pair).read_bytes())
        return None

    def keep(self, pair: Couple, measured: Sequence[LayerPair]) -> None:
        """Keep what was measured of a pair."""
        if self.folder is not None:
            with suppress(OSError):
                write_durably(self._entry(pair), _packed(measured))

    def _entry(self, pair: Couple) -> Path:
        assert self.folder is not None
        matched = [(match.layer_a.name, match.layer_b.name) for match in pair.matches]
        key = [self.common, *((name, self.networks[name]) for name in pair.names), matched]
        return self.folder / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()}.pair"


def _packed(measured: Sequence[LayerPair]) -> bytes:
    tensors: dict[str, Tensor] = {}
    document = json.dumps(encoded(list(measured), "", tensors), allow_nan=False)
    content = safetensors.torch.save(tensors, metadata={"pairs": document})
    return hashlib.sha256(content).digest() + content


def _unpacked(content: bytes) -> list[LayerPair]:
    digest, packed = content[:32], content[32:]
    if hashlib.sha256(packed).digest() != digest:
        raise ValueError("checksum differs")
    document = json.loads(metadata_of(packed)["pairs"])
    found: list[LayerPair] = decoded(document, safetensors.torch.load(packed), KINDS)
    return found


def _digest_of(network: Network, layers: Sequence[str], images: Images | None) -> str:
    """Return a digest of all weights of a network, and of what its layers receive for the first images."""
    digest = hashlib.sha256()
    known = (network.normalization, network.intake, network.filters and network.filters.fingerprint)
    digest.update(repr(known).encode())
    for layer in network.layers:
        stated = (layer.kind, layer.init_variance, layer.factorized, layer.groups, layer.stride)
        digest.update(repr((layer.name, *stated, layer.padding, layer.dilation)).encode())
        for tensor in (layer.weight, layer.initial):
            _add(digest, tensor)
    if network.source is not None and images is not None:
        wanted = [(network, network.layer(name)) for name in layers]
        for received in layer_inputs(wanted, images.pixels[:PROBED]).values():
            _add(digest, received)
    return digest.hexdigest()


def _add(digest: Any, tensor: Tensor | None) -> None:
    if tensor is None:
        digest.update(b"none")
        return
    plain = tensor.detach().cpu().contiguous()
    digest.update(repr((plain.dtype, tuple(plain.shape))).encode())
    digest.update(plain.flatten().view(torch.uint8).numpy().data)
