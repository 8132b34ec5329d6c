"""When, during training, did each layer learn what it ends with?

The checkpoints of one training are compared, layer by layer, with the network that the training ended with, and
where wanted with another network, by every measure of `covalign.studies.comparison.measure.compare`. With the initial
weights W_0 two plain measures of how far the weights went are given as well:

    relative change   ||W - W_0|| / ||W_0||
    energy moved      1 - <W, W_0>^2 / (||W||^2 ||W_0||^2),  the share of the squared weights that is no multiple of
                      the initial ones; 0 for a rescaling (our choice)
"""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from covalign.data.images import Images
from covalign.errors import InputError
from covalign.networks.network import Layer, Network
from covalign.progress import Told, untold
from covalign.studies.comparison.columns import MEASURED
from covalign.studies.comparison.measure import compare
from covalign.studies.comparison.record import Comparison
from covalign.studies.subjects import Source, open_subject
from covalign.studies.trajectory.record import Trajectory
from covalign.training.run import Run

FINAL, CHECKPOINT = "final", "checkpoint"
OWN = (
    "layer",
    "depth",
    "d",
    "neurons",
    "kept",
    "effective_rank",
    "participation_ratio",
    "entropy_rank",
    "stable_rank",
    "bulk_ok",
    "bulk_reason",
)
"""Columns of `Comparison.layers` that a checkpoint keeps."""


def trajectory(
    run: Run,
    images: Images | None,
    *,
    other: Source | None = None,
    epochs: Sequence[int] | None = None,
    layers: Sequence[str] | None = None,
    max_images: int | None = 10_000,
    draws: int = 10,
    seed: int = 0,
    controls: bool = False,
    calibrate: bool = False,
    progress: Told = untold,
) -> Trajectory:
    """Measure the checkpoints of a training, by themselves and against where they lead.

    Args:
        run: a finished training whose spec kept checkpoints.
        images: what the alignments are fitted to, raw pixels; None measures what needs no alignment.
        other: another network to compare every checkpoint with.
        epochs: 0 is before training; by default 0, those of ``checkpoint_epochs``, and the last.
        layers: names of layers; all by default.
        max_images: at most this many, drawn with ``seed``.
        draws: for chance and ceiling.
        seed: of everything random.
        controls: also fit alignments to shuffled images.
        calibrate: also estimate the calibrated similarity.
        progress: told the stage and the share of it that is done.

    Raises:
        InputError: an unfinished training, or an epoch whose weights were not kept.
    """
    if epochs is None:
        epochs = sorted({0, *run.spec.checkpoint_epochs, run.spec.epochs})
    if not epochs:
        raise InputError("trajectory: got no epochs, expected at least one, such as 0 (before training)")
    references: dict[str, Network] = {FINAL: run.network}
    if other is not None:
        reference = open_subject(other)
        references[reference.name] = reference.network
    steps = [(epoch, name) for epoch in epochs for name in references]
    rows: list[dict[str, Any]] = []
    for done, (epoch, name) in enumerate(steps):
        checkpoint = run.at_epoch(epoch)
        comparison = compare(
            {CHECKPOINT: checkpoint, "reference": references[name]},
            images,
            layers,
            max_images=max_images,
            draws=draws,
            seed=seed,
            controls=controls,
            calibrate=calibrate,
            layer_map=False,
        )
        start = {"network": run.name, "epoch": epoch, "reference": name}
        rows += [start | row for row in _rows(checkpoint, comparison)]
        progress("checkpoints", (done + 1) / len(steps))
    return Trajectory(
        pd.DataFrame(rows), {"run": run.key, "draws": draws, "seed": seed, "max_images": max_images}
    )


def relative_change(layer: Layer) -> float:
    """Return ||W - W_0|| / ||W_0||; NaN where the initial weights are unknown or zero."""
    if layer.initial is None:
        return math.nan
    start = layer.initial.double()
    return _ratio(float((layer.weight.double() - start).norm()), float(start.norm()))


def energy_moved(layer: Layer) -> float:
    """Return 1 - <W, W_0>^2 / (||W||^2 ||W_0||^2); NaN where the initial weights are unknown or either is zero."""
    if layer.initial is None:
        return math.nan
    now, start = layer.weight.double(), layer.initial.double()
    cosine = _ratio(float((now * start).sum()), float(now.norm() * start.norm()))
    return 1 - cosine**2


def _rows(checkpoint: Network, comparison: Comparison) -> list[dict[str, Any]]:
    """Return the checkpoint's own measures, and those against the reference, a row per layer."""
    layers = comparison.layers
    own = layers[layers["network"] == CHECKPOINT].set_index("layer", drop=False)
    compared = ["layer_b", "alignment_correlation", *MEASURED, "reason"]
    rows = []
    for row in comparison.table.reindex(columns=["layer_a", *compared]).to_dict("records"):
        layer = checkpoint.layer(row.pop("layer_a"))
        far = {"relative_change": relative_change(layer), "energy_moved": energy_moved(layer)}
        rows.append({**own.loc[layer.name, list(OWN)].to_dict(), **far, **row})
    return rows


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else math.nan
