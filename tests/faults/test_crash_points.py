"""A kill after any write, fsync or rename of any command leaves the old result, the new one, or a named error."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch

from covalign.data.images import Images
from covalign.errors import InputError
from covalign.papers import reproduction
from covalign.papers.exhibit import Exhibit, Measurements
from covalign.storage.folder import NEXT, Folder
from covalign.studies.comparison.record import Comparison
from covalign.studies.difference.record import Difference
from covalign.training.loop import train
from covalign.training.spec import TrainingSpec
from covalign.training.store import RunStore
from samples.interposed import killed_after, steps_of

SPEC = TrainingSpec(
    architecture="vgg11", form="joint", width=0.02, epochs=2, batch_size=8, learning_rate=0.01, precision="float32",
    checkpoint_epochs=(1,),
)  # fmt: skip


def pictures(split: str, seed: int) -> Images:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (16, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.arange(16) % 2, ("a", "b"), "noise", split)


PAIR = pictures("train", 0), pictures("test", 1)


def trained(store: RunStore):
    return train(SPEC, store, images=PAIR, progress=False, checkpoint_seconds=0.0)


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_train(tmp_path):
    expected = trained(RunStore(tmp_path / "whole")).final
    steps = steps_of(lambda: trained(RunStore(tmp_path / "count")))
    assert steps > 40
    for step in range(0, steps, 3):
        store = RunStore(tmp_path / str(step))
        assert killed_after(step, lambda: trained(store))  # noqa: B023
        assert all(entry.problem is None for entry in store.entries())
        assert same(trained(store).final, expected)
        store.leftovers(delete=True)
        assert same(store.runs()[0].final, expected)


def state(folder: Path) -> dict[str, bytes] | str:
    """The committed files and their bytes, or the error that a reader gets."""
    try:
        return Folder(folder).contents("results.json")
    except InputError as error:
        return str(error)


NAMED = ("was being replaced when its writer stopped: run the command again", "holds no results.json")


def check(folder: Path, older, newer) -> None:
    """Enumerate the crash points of ``newer``, which replaces what ``older`` wrote."""
    older(folder / "old")
    newer(folder / "new")
    allowed = [state(folder / "old"), state(folder / "new")]
    assert allowed[0] != allowed[1]
    seen = []

    def replacing(place: Path) -> int:
        older(place)
        return steps_of(lambda: newer(place))

    for step in range(replacing(folder / "count")):
        place = folder / str(step)
        older(place)
        assert killed_after(step, lambda: newer(place))  # noqa: B023
        found = state(place)
        assert found in allowed or any(name in str(found) for name in NAMED)
        seen.append(allowed.index(found) if found in allowed else "named")
        newer(place)
        assert state(place) == allowed[1]
        assert not (place / NEXT).exists()
    assert {0, "named", 1} <= set(seen)


def test_compare(tmp_path, factorized, joint):
    check(tmp_path, lambda folder: factorized.save(folder), lambda folder: joint.save(folder))
    assert isinstance(Comparison.load(tmp_path / "new"), Comparison)


def test_diff(tmp_path, factorized):
    stored = Path(__file__).parents[1] / "stored" / "difference"
    with pytest.warns(UserWarning, match="no manifest"):
        difference = Difference.load(stored)
    check(tmp_path, lambda folder: factorized.save(folder), lambda folder: difference.save(folder))


def tiny(shift: float) -> Exhibit:
    """An exhibit of one number, which it draws."""

    def draw(measured: Measurements):
        figure, axes = plt.subplots(figsize=(1, 1))
        axes.plot(measured.tables["numbers"]["value"])
        return {"tiny": figure}

    return Exhibit(
        "tiny",
        f"moved by {shift}",
        "nobody (2000)",
        lambda scale: {},
        lambda bench: Measurements({"numbers": pd.DataFrame({"value": [shift, 1.0]})}),
        draw,
        lambda measured: [],
    )


def reproduced(out: Path, shift: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reproduction, "exhibit", lambda name: tiny(shift))
        reproduction.reproduce(["tiny"], "smoke", {}, RunStore(out / "runs"), out)


def redrawn(out: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reproduction, "exhibit", lambda name: tiny(3.0))
        reproduction.redraw("tiny", out)


def shown(out: Path):
    """What an exhibit's folder says, times left out, or the error that a reader gets."""
    found = state(out / "tiny")
    if isinstance(found, str):
        return found
    return json.loads(found["results.json"])["title"], found["numbers.csv"], found["tiny.png"]


def check_exhibit(folder: Path, again) -> None:
    reproduced(folder / "count", 0.0)
    before = shown(folder / "count")
    steps = steps_of(lambda: again(folder / "count"))
    after = shown(folder / "count")
    assert before != after
    for step in range(0, steps, 2):
        out = folder / str(step)
        reproduced(out, 0.0)
        assert killed_after(step, lambda: again(out))  # noqa: B023
        found = shown(out)
        assert found in (before, after) or NAMED[0] in str(found)
        reproduced(out, 0.0)
        assert shown(out) == before


@pytest.mark.slow
def test_reproduce(tmp_path):
    check_exhibit(tmp_path, lambda out: reproduced(out, 2.0))


@pytest.mark.slow
def test_redraw(tmp_path):
    check_exhibit(tmp_path, redrawn)


def test_gc(tmp_path):
    store = RunStore(tmp_path)
    run = trained(store)
    for index in range(3):
        (run.path / f".final.safetensors.{index}.tmp").write_bytes(b"half")
    for _ in range(3):
        assert killed_after(1, lambda: store.leftovers(delete=True)) or not store.leftovers()
        assert same(store.runs()[0].final, run.final)
    store.leftovers(delete=True)
    assert not store.leftovers()
