"""A comparison with known numbers, as the figures and the report receive it.

Four networks (two image sets, two seeds each), eight layers, six pairs. It holds the cases a reader can meet:
a layer where nothing was learned, a bulk that is not noise, names that are hostile.
"""

from itertools import combinations

import numpy as np
import pandas as pd
import torch

from covalign.encoding.reasons import Reason, Remark, codes
from covalign.encoding.spatial import spatial_covariance
from covalign.report.columns import completed
from covalign.studies.comparison.columns import PairRow
from covalign.studies.comparison.layer_map import LayerMap
from covalign.studies.comparison.record import Comparison

NAMES = ("grey textures, seed 0", "grey textures, seed 1", "photographs, seed 0", "photographs, seed 1")
HOSTILE = ("<script>alert(1)</script>", "_a$b$ {{ 7*7 }} </script>", 'x" onload="alert(2)', "ünïcode_{2}^")
WIDTHS = (16, 32, 64, 64, 128, 128, 128, 128)
SAME = (0.86, 0.67, 0.51, 0.39, 0.42, 0.35, 0.48, 0.58)
OTHER = (0.82, 0.42, 0.31, 0.24, 0.24, 0.29, 0.32, 0.11)
GRID = torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0)).double()
UNALIGNED = (0.86, 0.25, 0.10, 0.05, 0.03, 0.02, 0.09, 0.04)


def layer_names(form):
    part = "pointwise" if form == "factorized" else "convolution"
    return [f"stages.{index}.{part}" for index in range(8)]


def dimensions(form):
    inputs = (3, *WIDTHS[:-1])
    return [channels * (10 if form == "factorized" else 9) for channels in inputs]


def spectrum(neurons, dimension, spikes, generator):
    """Return eigenvalues of a noise weight covariance with ``spikes`` planted directions."""
    scale = torch.ones(dimension, dtype=torch.float64)
    strength = (dimension / neurons) ** 0.5
    scale[:spikes] += strength * torch.linspace(16, 2, spikes, dtype=torch.float64)
    weights = torch.randn(neurons, dimension, dtype=torch.float64, generator=generator) * scale.sqrt()
    return torch.linalg.svdvals(weights).square() / neurons


def remark(table, rows, said):
    """State a reason in some rows of a table."""
    table.loc[rows, "reason"] = str(said)
    table.loc[rows, "reason_codes"] = pd.Series([codes([said])] * int(rows.sum()), table.index[rows])


def pair_table(names, form, generator):
    rows = []
    for a, b in combinations(names, 2):
        same = names.index(a) // 2 == names.index(b) // 2
        for depth, layer in enumerate(layer_names(form), start=1):
            level = (SAME if same else OTHER)[depth - 1]
            noise = 0.03 * torch.randn(2, generator=generator, dtype=torch.float64)
            chance, ceiling = 0.5 - 0.05 * depth, 0.96 - 0.02 * depth
            rows.append(
                {
                    "a": a,
                    "b": b,
                    "layer_a": layer,
                    "layer_b": layer,
                    "depth": depth,
                    "form": form,
                    "d": dimensions(form)[depth - 1],
                    "neurons_a": WIDTHS[depth - 1],
                    "neurons_b": WIDTHS[depth - 1],
                    "kept_a": 2 * depth,
                    "kept_b": 2 * depth + 1,
                    "effective_rank_a": 1.0 + 0.8 * depth,
                    "effective_rank_b": 1.2 + 0.8 * depth,
                    "bulk_ok": True,
                    "alignment_correlation": 0.98 - 0.04 * depth,
                    "cosine": chance + level * (ceiling - chance),
                    "chance": chance,
                    "ceiling": ceiling,
                    "similarity": level + float(noise[0]),
                    "similarity_reversed": level + float(noise[1]),
                    "calibrated": level + 0.06,
                    "low": level - 0.02,
                    "high": level + 0.14,
                    "p_value": 0.005 if level > 0.2 else 0.3,
                    "reason": "",
                    "reason_codes": (),
                    "unaligned": UNALIGNED[depth - 1] + 0.02 * float(noise[0]),
                    "shuffled": 0.02,
                }
            )
    table = pd.DataFrame(rows)
    undefined = (table.a == names[0]) & (table.b == names[1]) & (table.depth == 8)
    numbers = ["cosine", "chance", "ceiling", "similarity", "similarity_reversed"]
    calibrated = ["calibrated", "low", "high", "p_value"]
    table.loc[undefined, [*numbers, *calibrated]] = np.nan
    remark(table, undefined, Remark(Reason.NOTHING_LEARNED, (0, 3)))
    table.loc[undefined, "kept_a"] = 0
    bulk = (table.depth == 7) & (table.a == names[2])
    table.loc[bulk, "bulk_ok"] = False
    table.loc[bulk, calibrated] = np.nan
    remark(table, bulk, Remark(Reason.BULK_TOO_LOW, (0.3, 0.6)))
    return completed(table, PairRow)


def layer_map(a, b, form, matched=True):
    """Eight layers against eight: the nearer in depth the more alike, and the last of a most like the sixth of b."""
    layers, places = tuple(layer_names(form)), torch.arange(8, dtype=torch.float64)
    values = 1 - 0.1 * (places[:, None] - places).abs()
    if matched:
        values = values - 0.2
        values[7, 5] = 0.9
    depths = tuple(range(1, 9))
    pairs = tuple(zip(layers, layers, strict=True)) if matched else ()
    return LayerMap(a, b, layers, layers, depths, depths, values, pairs, 256)


def comparison(names=NAMES, form="factorized"):
    """Return a comparison of networks called ``names``."""
    generator = torch.Generator().manual_seed(0)
    spectra, layers = {}, []
    for name in names:
        for depth, layer in enumerate(layer_names(form), start=1):
            d, neurons = dimensions(form)[depth - 1], WIDTHS[depth - 1]
            ratio = d / neurons
            spectra[name, layer] = spectrum(neurons, d, 2 * depth, generator)
            layers.append(
                {
                    "network": name,
                    "layer": layer,
                    "depth": depth,
                    "form": form,
                    "d": d,
                    "neurons": neurons,
                    "kept": 2 * depth,
                    "effective_rank": 1 + 0.8 * depth,
                    "bulk_ok": depth != 7,
                    "bulk_reason": "" if depth != 7 else "smallest eigenvalue at 0.3 of the lower edge",
                    "upper_edge": (1 + ratio**0.5) ** 2,
                    "lower_edge": (1 - ratio**0.5) ** 2,
                }
            )
    maps = {}
    for a, b in combinations(names, 2):
        for depth, layer in enumerate(layer_names(form), start=1):
            ranks = min(24, dimensions(form)[depth - 1], WIDTHS[depth - 1])
            noise = torch.randn(ranks, ranks, generator=generator, dtype=torch.float64).abs()
            diagonal = torch.diag(torch.exp(-torch.arange(ranks, dtype=torch.float64) / (2 * depth)))
            maps[a, b, layer] = (noise / dimensions(form)[depth - 1] ** 0.5 + diagonal).clamp(max=1)
    spatial = {}
    if form == "joint":
        for name in names:
            for layer in layer_names(form):
                smooth = torch.exp(-torch.cdist(GRID, GRID).square() / 2)
                root = torch.linalg.cholesky(smooth + 1e-9 * torch.eye(9, dtype=torch.float64))
                kernels = torch.randn(400, 9, generator=generator, dtype=torch.float64) @ root.T
                spatial[name, layer] = spatial_covariance(kernels.reshape(20, 20, 3, 3))
    history = [
        {
            "epoch": float(epoch),
            "train_loss": 2.0 * 0.8**epoch,
            "train_accuracy": 1 - 0.8 * 0.8**epoch,
            "test_accuracy": 0.9 - 0.7 * 0.8**epoch,
        }
        for epoch in range(1, 13)
    ]
    return Comparison(
        table=pair_table(names, form, generator),
        layers=pd.DataFrame(layers),
        spectra=spectra,
        cosine_maps=maps,
        spatial=spatial,
        layer_maps={
            **{(a, b): layer_map(a, b, form) for a, b in combinations(names, 2)},
            **{(name, name): layer_map(name, name, form, matched=False) for name in names},
        },
        training=dict.fromkeys(names, history),
        skipped={names[0]: [("head.bias", "a bias has no weight covariance")]},
        provenance={
            "schema_version": 1,
            "command": "covalign demo",
            "date": "2026-11-20",
            "images": {"name": "photos", "split": "test", "fingerprint": "9f1c" * 16},
            "packages": {"covalign": "0.1.0", "torch": "2.13.0", "python": "3.11.9"},
            "seeds": [0, 1],
            "networks": {name: {"preset": "laptop", "seed": index % 2} for index, name in enumerate(names)},
        },
    )


def with_agreement(table):
    """The table with R for every pair: .8 within a data set, .4 across, half of it without the same images."""
    own = table["a"].str.partition(",")[0] == table["b"].str.partition(",")[0]
    value = np.where(own, 0.8, 0.4)
    numbers = {
        "debiased": value,
        "debiased_low": value - 0.1,
        "debiased_high": value + 0.1,
        "debiased_z": 20 * value,
        "debiased_p": np.where(table["depth"] == 2, 0.8, 1e-6),
        "debiased_unaligned": 0.05,
        "debiased_shuffled": value / 2,
        "debiased_cross": value,
        "debiased_within_a": 1.0,
        "debiased_within_b": 1.0,
    }
    missing = table["depth"] == 3
    known = table.assign(**numbers)
    known.loc[missing, ["debiased", "debiased_low", "debiased_high"]] = np.nan
    return known.assign(debiased_reason=np.where(missing, "too_little_learned", ""))
