import numpy as np
import pandas as pd
import pytest
import torch

from covalign import align, compare, load_network
from covalign.errors import InputError
from covalign.studies.comparison.couples import couple
from covalign.studies.comparison.reference import aligned_in_common
from covalign.studies.subjects import subjects
from samples.networks import images, module, permuted, read, slot_order

WIDTHS = (12, 24, 24)
OPTIONS = {"controls": False, "calibrate": False, "draws": 2}


def rotations(networks, data):
    """Rotation of the layers of every pair that is aligned in common."""
    opened = subjects(networks)
    couples = [couple(a, b, None, data) for i, a in enumerate(opened) for b in opened[i + 1 :]]
    found = aligned_in_common(couples, data, set(range(len(couples))), memory=2**28, progress=lambda *_: None)
    return {couples[place].names: [fit.alignment.rotation for fit in fits] for place, fits in found}


def test_of_two_networks_it_is_the_alignment_of_the_pair():
    pair = [read(module(widths=WIDTHS, seed=seed), f"net {seed}") for seed in range(2)]
    data = images(100)
    (found,) = rotations(pair, data).values()
    for rotation, alone in zip(found, align(*pair, data, holdout=0).values(), strict=True):
        torch.testing.assert_close(rotation, alone.rotation, atol=1e-3, rtol=0)


def test_shuffled_copies_are_aligned_by_their_permutations():
    original = module(widths=WIDTHS)
    twins = [permuted(original, seed=seed) for seed in (3, 4, 5)]
    networks = [read(original, "net"), *(read(twin, f"twin {i}") for i, (twin, _) in enumerate(twins))]
    found = rotations(networks, images(150))
    for i, (_, orders) in enumerate(twins):
        for order, rotation in zip(orders, found["net", f"twin {i}"][1:], strict=False):
            coordinates = slot_order(order, 10)
            expected = torch.eye(len(coordinates), dtype=torch.float64)[coordinates]
            torch.testing.assert_close(rotation, expected, atol=1e-4, rtol=0)
    table = compare(networks, images(150), reference=True, **OPTIONS).table
    np.testing.assert_allclose(table["debiased"].dropna(), 1, atol=1e-6)
    assert len(table) == 18


def test_unlike_networks_keep_rotations_that_compose():
    networks = [read(module(widths=WIDTHS, seed=seed), f"net {seed}") for seed in range(3)]
    found = rotations(networks, images(60))
    names = [network.name for network in networks]
    for index in range(3):
        ab, bc, ac = (found[names[i], names[j]][index] for i, j in ((0, 1), (1, 2), (0, 2)))
        torch.testing.assert_close(bc @ ab, ac, atol=1e-10, rtol=0)


def test_narrower_networks_are_mapped_into_wider_ones():
    wide = read(module(widths=WIDTHS, seed=0), "wide")
    others = [read(module(widths=(6, 12, 12), seed=seed), f"narrow {seed}") for seed in (1, 2)]
    for rotation in (
        each for fits in rotations([others[0], wide, others[1]], images(80)).values() for each in fits
    ):
        assert rotation.shape[0] >= rotation.shape[1]
        eye = torch.eye(rotation.shape[1], dtype=torch.float64)
        torch.testing.assert_close(rotation.T @ rotation, eye, atol=1e-9, rtol=0)


def test_memory_changes_no_number():
    networks = [read(module(widths=WIDTHS, seed=seed), f"net {seed}") for seed in range(3)]
    wide, narrow = (
        compare(networks, images(60), reference=True, memory=memory, **OPTIONS).table
        for memory in (2**30, 3_000_000)
    )
    pd.testing.assert_frame_equal(wide, narrow, rtol=1e-3, atol=1e-4)


def test_curves_are_measured_only_where_they_are_asked_for():
    networks = [read(module(widths=WIDTHS, seed=seed), f"net {seed}") for seed in range(2)]
    lean = compare(networks, images(40), curves=False, **OPTIONS)
    whole = compare(networks, images(40), **OPTIONS)
    assert not lean.curves
    assert whole.curves
    left_out = ["debiased_without_top", "debiased_without_5", "reproducible_a", "reproducible_b"]
    assert lean.table[left_out].isna().all(axis=None)
    pd.testing.assert_frame_equal(lean.table.drop(columns=left_out), whole.table.drop(columns=left_out))


def test_what_has_no_common_layers_is_named():
    net = read(module(widths=WIDTHS))
    deeper = read(module(widths=(12, 24, 24, 24), seed=1), "deeper")
    file = load_network(net, name="other")
    with pytest.raises(InputError, match="paired otherwise through other networks"):
        compare(
            [net, deeper, file],
            images(40),
            [("stages.1.pointwise", "stages.2.pointwise"), ("stages.1.pointwise", "stages.1.pointwise")],
            reference=True,
            **OPTIONS,
        )
