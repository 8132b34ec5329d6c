import dataclasses
import random

import pandas as pd
import pytest
import torch

from covalign import compare
from covalign.studies.comparison import known
from covalign.studies.comparison.measure import KNOWN
from samples.networks import images, module, read

OPTIONS = {"calibrate": False, "controls": True, "draws": 2}
WIDTHS = (12, 16)


def networks(count=4, **changes):
    return {f"network {seed}": read(module(widths=WIDTHS, seed=seed), **changes) for seed in range(count)}


class Stopped(Exception):
    pass


def stop_after(share):
    def told(stage, done, note=""):
        if stage == "similarities" and done >= share:
            raise Stopped

    return told


def begun_at(wanted, data, cache, **options):
    """The share of the pairs that were known at the start, and the comparison."""
    told = []
    found = compare(
        wanted,
        data,
        cache=cache,
        progress=lambda stage, share, *_: told.append((stage, share)),
        **{**OPTIONS, **options},
    )
    return dict(told).get(KNOWN, 0), found


def assert_same(one, other):
    pd.testing.assert_frame_equal(one.table, other.table, rtol=0, atol=0)
    pd.testing.assert_frame_equal(one.layers, other.layers, rtol=0, atol=0)
    for field in ("cosine_maps", "spectra"):
        assert list(getattr(one, field)) == list(getattr(other, field))
        for key, value in getattr(one, field).items():
            assert torch.equal(value, getattr(other, field)[key])
    assert list(one.curves) == list(other.curves)
    for key, curve in one.curves.items():
        for field in dataclasses.fields(curve):
            value, again = getattr(curve, field.name), getattr(other.curves[key], field.name)
            assert value == again if not isinstance(value, torch.Tensor) else torch.equal(
                value.nan_to_num(9), again.nan_to_num(9)
            )  # fmt: skip


@pytest.mark.parametrize("memory", [2**31, 2**20])
def test_an_interrupted_comparison_goes_on_and_gives_the_same(tmp_path, memory):
    data = images(40)
    undisturbed = compare(networks(), data, memory=memory, **OPTIONS)
    with pytest.raises(Stopped):
        compare(networks(), data, memory=memory, cache=tmp_path, progress=stop_after(0.5), **OPTIONS)
    share, resumed = begun_at(networks(), data, tmp_path, memory=memory)
    assert share == 0.5
    assert_same(undisturbed, resumed)


def test_more_networks_cost_their_own_pairs_alone(tmp_path):
    data = images(40)
    assert begun_at(networks(3), data, tmp_path)[0] == 0
    share, found = begun_at(networks(4), data, tmp_path)
    assert share == 0.5
    assert_same(compare(networks(4), data, **OPTIONS), found)


def test_everything_that_decides_a_pair_makes_another_one_of_it(tmp_path):
    wanted, data = networks(2), images(40)
    first, second = wanted
    compare(wanted, data, cache=tmp_path, **OPTIONS)
    assert begun_at(wanted, data, tmp_path)[0] == 1
    with torch.no_grad():
        trained = module(widths=WIDTHS, seed=1)
        trained.stages[1].pointwise.weight[0, 0] += 1e-3
        moved = module(widths=WIDTHS, seed=1)  # the same weights behind another forward pass
        next(m for m in moved.modules() if isinstance(m, torch.nn.BatchNorm2d)).running_mean += 0.1
    changed = {
        "weights": ({**wanted, second: read(trained)}, data, {}),
        "forward pass": ({**wanted, second: read(moved)}, data, {}),
        "images": (wanted, images(41), {}),
        "seed": (wanted, data, {"seed": 1}),
        "controls": (wanted, data, {"controls": False}),
        "layers": (wanted, data, {"layers": ["stages.1.pointwise"]}),
        "order": ({second: wanted[second], first: wanted[first]}, data, {}),
    }
    for what, (others, pixels, options) in changed.items():
        assert begun_at(others, pixels, tmp_path, **options)[0] == 0, what


def test_other_code_finds_nothing(tmp_path, monkeypatch):
    wanted, data = networks(2), images(40)
    compare(wanted, data, cache=tmp_path, **OPTIONS)
    monkeypatch.setattr(known, "code_digest", lambda: "another version")
    assert begun_at(wanted, data, tmp_path)[0] == 0


def test_a_damaged_pair_is_measured_again(tmp_path):
    wanted, data = networks(2), images(40)
    undisturbed = compare(wanted, data, cache=tmp_path, **OPTIONS)
    (entry,) = tmp_path.iterdir()
    whole = entry.read_bytes()
    draw = random.Random(0)
    for _ in range(5):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        entry.write_bytes(draw.choice([bytes(damaged), whole[: draw.randrange(len(whole))]]))
        share, found = begun_at(wanted, data, tmp_path)
        assert share == 0
        assert entry.read_bytes() == whole
    assert_same(undisturbed, found)


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    wanted, data = networks(2), images(40)
    assert_same(compare(wanted, data, **OPTIONS), compare(wanted, data, cache=blocked, **OPTIONS))
