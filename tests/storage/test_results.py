"""A record comes back from the disk as it was, whole, and as nothing that it was not told to be."""

import json
import math
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, is_dataclass
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covalign.errors import InputError, UncheckedWarning
from covalign.storage import atomic
from covalign.storage.folder import MANIFEST, Folder
from covalign.storage.results import decoded, encoded, load, save
from samples.interposed import Interposed, Killed


@dataclass(frozen=True, eq=False)
class Part:
    """A record inside another."""

    values: torch.Tensor
    size: tuple[int, int] = (3, 3)


@dataclass(frozen=True, eq=False)
class Whole:
    """A record of everything that can be kept."""

    table: pd.DataFrame
    parts: dict[tuple[str, str], Part] = field(default_factory=dict)
    weight: torch.Tensor | None = None
    anything: Any = None
    provenance: dict[str, Any] = field(default_factory=dict)


def whole(shift: float = 0.0) -> Whole:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(4, 3, generator=generator, dtype=torch.float64) + shift
    table = pd.DataFrame(
        {
            "layer": ["a", "b", "ü"],
            "value": [0.1 + shift, math.nan, 1e-300],
            "kept": [1, 2, 3],
            "shared": [True, False, True],
        }
    )
    return Whole(
        table,
        {("a", "1"): Part(values), ("a", "2"): Part(values.T, (1, 4))},
        values[:, 1].float(),
        {
            "mixed": (1, [None, (math.nan, -math.inf)], {3: "x", None: True}),
            "$odd": {},
            "plain": {"k": [0.1]},
        },
        {"command": "test", "shift": shift},
    )


def same(one: Any, two: Any) -> bool:
    """Whether two values are equal to the last bit, in type too; NaN equals NaN."""
    if type(one) is not type(two):
        return False
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, two, check_exact=True)
        return True
    if isinstance(one, torch.Tensor):
        return one.dtype == two.dtype and one.shape == two.shape and torch.equal(one, two)
    if is_dataclass(one):
        return all(same(getattr(one, each.name), getattr(two, each.name)) for each in fields(one))
    if isinstance(one, dict):
        return same(list(one), list(two)) and same(list(one.values()), list(two.values()))
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two or (one != one and two != two)


def opened(folder) -> Whole:
    return Whole(**load(folder, "whole").values((Part,)))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(
            st.text() | st.integers() | st.none() | st.tuples(st.text(), st.integers()) | st.just("$tuple"),
            inner,
        )
    ),
    max_leaves=20,
)


@given(VALUES)
def test_every_value_comes_back_as_it_was(value):
    text = json.dumps(encoded(value, "", {}), allow_nan=False)
    assert same(decoded(json.loads(text), {}, {}), value)


def test_a_record_comes_back_as_it_was(tmp_path):
    record = whole()
    assert save(record, tmp_path / "out", "whole") == tmp_path / "out"
    assert same(opened(tmp_path / "out"), record)


def test_numbers_of_numpy_become_plain_ones():
    assert encoded({"a": np.float64(0.5), "b": np.int64(3), "c": np.bool_(True)}, "", {}) == {
        "a": 0.5,
        "b": 3,
        "c": True,
    }


def test_tables_and_results_can_be_read_by_anything(tmp_path):
    folder = save(whole(), tmp_path, "whole")
    document = json.loads((folder / "results.json").read_text())
    assert (document["schema_version"], document["kind"]) == (2, "whole")
    assert document["table"][1] == {"layer": "b", "value": None, "kept": 2, "shared": False}
    assert document["provenance"] == {"command": "test", "shift": 0.0}
    assert list(pd.read_csv(folder / "table.csv").columns) == ["layer", "value", "kept", "shared"]


def test_the_same_record_gives_the_same_files(tmp_path):
    manifests = [(save(whole(), tmp_path / name, "whole") / MANIFEST).read_bytes() for name in "ab"]
    assert manifests[0] == manifests[1]


def test_what_cannot_be_kept_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(TypeError, match="provenance/0: set cannot be kept"):
        save(Whole(whole().table, provenance={"names": {"a"}}), tmp_path / "out", "whole")
    assert not (tmp_path / "out").exists()


def test_records_that_were_not_named_are_not_made(tmp_path):
    save(whole(), tmp_path, "whole")
    with pytest.raises(KeyError, match="Part"):
        load(tmp_path, "whole").values(())


@pytest.mark.parametrize("change", [{"kind": "difference"}, {"schema_version": 99}, {"schema_version": None}])
def test_another_kind_or_schema_is_refused(tmp_path, change):
    path = save(whole(), tmp_path, "whole") / "results.json"
    document = {**json.loads(path.read_text()), **change}
    Folder(tmp_path).replace(
        {**Folder(tmp_path).contents("results.json"), path.name: json.dumps(document).encode()}
    )
    with pytest.raises(InputError, match="expected 'whole' of schema 2 or older"):
        load(tmp_path, "whole")


def test_a_folder_without_results_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match=r"holds no results\.json; expected a folder of results"):
            load(folder, "whole")


def test_a_folder_without_manifest_loads_and_says_so(tmp_path):
    (save(whole(), tmp_path, "whole") / MANIFEST).unlink()
    with pytest.warns(UncheckedWarning, match=r"has no manifest\.json with checksums"):
        again = opened(tmp_path)
    assert same(again, whole())
    (tmp_path / "table.parquet").write_bytes(b"PAR1")
    with pytest.warns(UncheckedWarning), pytest.raises(InputError, match=r"table\.parquet: cannot be read"):
        opened(tmp_path)


def test_files_of_others_are_left_alone_and_stale_ones_of_ours_are_not(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    save(whole(), tmp_path, "whole", {"report.html": b"old page"})
    save(whole(1.0), tmp_path, "whole")
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert not (tmp_path / "report.html").exists()


def test_every_flipped_byte_is_noticed_and_named(tmp_path):
    folder = save(whole(), tmp_path, "whole", {"report.html": b"<html>" + bytes(100)})
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for position in range(0, len(content), max(1, len(content) // 60)):
            for bit in (0x01, 0x20, 0x80):
                damaged = bytearray(content)
                damaged[position] ^= bit
                path.write_bytes(damaged)
                with pytest.raises(InputError, match=path.name.replace(".", r"\.")):
                    opened(folder)
        path.write_bytes(content)
        path.write_bytes(content[:-1] if content else b"")
        if content:
            with pytest.raises(InputError, match=path.name.replace(".", r"\.")):
                opened(folder)
        path.write_bytes(content)
    assert same(opened(folder), whole())


def steps_of(folder) -> int:
    with pytest.MonkeyPatch.context() as patch:
        counter = Interposed(patch)
        save(whole(1.0), folder, "whole", {"report.html": b"new page"})
    return counter.taken


@pytest.mark.parametrize("older", ["none", "unlisted", "listed"])
def test_a_kill_after_any_step_leaves_the_old_the_new_or_a_named_error(tmp_path, older):
    outcomes = []
    for step in range(steps_of(tmp_path / "count") + 3):
        folder = tmp_path / str(step)
        if older != "none":
            save(whole(), folder, "whole", {"figure.png": b"old picture"})
        if older == "unlisted":
            (folder / MANIFEST).unlink()
        with pytest.MonkeyPatch.context() as patch:
            Interposed(patch, step)
            try:
                save(whole(1.0), folder, "whole", {"report.html": b"new page"})
                alive = True
            except Killed:
                alive = False
        outcomes.append(outcome(folder))
        assert outcomes[-1] == "new" or not alive
        save(whole(1.0), folder, "whole", {"report.html": b"new page"})
        assert outcome(folder) == "new"
        assert not list(folder.glob(".*.tmp"))
    assert outcomes[-1] == "new"
    assert set(outcomes) <= {"old", "new", "named"}
    assert {"old", "named", "new"} <= set(outcomes) or older == "none"


def outcome(folder) -> str:
    """What a reader finds after the kill: the old state, the new one, or an error with this name."""
    unlisted = not any((folder / name).exists() for name in (MANIFEST, f"{MANIFEST}.next"))
    expected = (
        pytest.warns(UncheckedWarning) if unlisted and (folder / "results.json").exists() else nullcontext()
    )
    try:
        with expected:
            found = opened(folder)
    except InputError as error:
        named = "was being replaced when its writer stopped: run the command again", "holds no results.json"
        return "named" if any(name in str(error) for name in named) else str(error)
    states = {"old": whole(), "new": whole(1.0)}
    return next((name for name, state in states.items() if matches(found, state)), "a mixture")


def matches(one: Whole, two: Whole) -> bool:
    try:
        return same(one, two)
    except AssertionError:  # of two tables
        return False


def test_a_write_that_fails_changes_nothing_and_is_named(tmp_path, monkeypatch):
    save(whole(), tmp_path, "whole")

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "stage", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\); free some space"):
        save(whole(1.0), tmp_path, "whole")
    assert same(opened(tmp_path), whole())


def test_two_writers_are_kept_apart(tmp_path):
    writers = [Thread(target=save, args=(whole(float(index)), tmp_path, "whole")) for index in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    shift = opened(tmp_path).provenance["shift"]
    assert same(opened(tmp_path), whole(shift))
