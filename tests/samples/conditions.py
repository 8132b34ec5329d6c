"""Planted populations: networks whose agreement at a layer is known, without any training."""

import itertools

import pandas as pd
import torch

from covalign.encoding.debiased.shared_variance import SharedVariance
from covalign.report.columns import frame
from covalign.studies.comparison.columns import PairRow
from covalign.studies.comparison.record import Comparison


def learned(templates, noise: float, generator: torch.Generator) -> torch.Tensor:
    """What networks learned at one layer: the template of each one's condition and a part of its own, unit length.

    R of two networks is the cosine; a network's own part is in all of its pairs, which are therefore dependent.
    """
    vectors = torch.stack(list(templates)).double()
    own = torch.randn(vectors.shape, generator=generator, dtype=torch.float64)
    vectors = vectors + noise * own
    return vectors / vectors.norm(dim=1, keepdim=True)


def comparison(
    conditions: dict[str, str], layers: list[torch.Tensor], contained=None, **changes
) -> Comparison:
    """A comparison whose R is the inner product of what two networks learned, layer by layer.

    Args:
        conditions: by name of the network.
        layers: of each, a unit vector a network.
        contained: (name of a, name of b) -> share of a found in b, the same at every rank and layer.
    """
    rows, curves, names = [], {}, list(conditions)
    for (i, a), (j, b) in itertools.combinations(enumerate(names), 2):
        for depth, vectors in enumerate(layers, 1):
            r = float(vectors[i] @ vectors[j])
            layer = f"layer{depth}"
            row = {"a": a, "b": b, "layer_a": layer, "layer_b": layer, "depth": depth, "form": "joint", "d": 9,
                   "neurons_a": 9, "neurons_b": 9, "kept_a": 1, "kept_b": 1, "effective_rank_a": 1.0,
                   "effective_rank_b": 1.0, "bulk_ok": True, "alignment_correlation": 1.0, "debiased": r,
                   "debiased_cross": r, "debiased_within_a": 1.0, "debiased_within_b": 1.0}  # fmt: skip
            rows.append(PairRow(**row))
            if contained is not None:
                curves[a, b, layer] = _curve(contained(a, b), contained(b, a))
    found = {
        "table": frame(rows, PairRow),
        "layers": pd.DataFrame(),
        "spectra": {},
        "curves": curves,
        "conditions": conditions,
        "training": {name: [{"epoch": 1, "train_accuracy": 0.9, "test_accuracy": 0.5}] for name in names},
        "provenance": {"images": {"name": "planted"}},
    }
    return Comparison(**(found | changes))


def _curve(a_in_b: float, b_in_a: float) -> SharedVariance:
    flat = torch.ones(3, dtype=torch.float64)
    nothing = torch.full((3, 2), torch.nan, dtype=torch.float64)
    return SharedVariance((1, 2, 4), flat, nothing, flat, nothing, flat, a_in_b * flat, b_in_a * flat, 3, 3)
