"""Records of the mathematics show themselves: briefly, in bounded size, and whatever they were given as names."""

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from enum import Enum

import pytest
import torch

import covalign
from covalign.data.images import Images
from covalign.data.loading import load_images
from covalign.encoding.alignment import procrustes
from covalign.encoding.covariance import weight_covariance
from covalign.encoding.debiased.estimate import debiased_similarity
from covalign.encoding.debiased.groups import group_similarity
from covalign.encoding.debiased.shared_variance import shared_variance
from covalign.encoding.similarity import normalized_similarity
from covalign.encoding.spatial import spatial_covariance
from covalign.encoding.universal.barycenter import bures_barycenter
from covalign.first_layer.energy import energy_profile
from covalign.first_layer.patches import patch_covariance
from covalign.first_layer.prediction import fit_energy
from covalign.networks.filters import FilterBank
from covalign.showing import CURVES, PICTURES, Shown, cells, curve, described, interval

LIMIT = 200_000
HOSTILE = '<script>alert("1")</script>'


def rows(count: int, d: int, seed: int = 0) -> torch.Tensor:
    drawn = torch.randn(count, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    drawn[:, :2] *= 5
    return drawn


def records() -> dict[str, Shown]:
    pixels = torch.randint(256, (30, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    patches = patch_covariance(pixels.double().cumsum(-1), 3)
    profile = energy_profile(rows(16, 27).view(16, 3, 3, 3), patches)
    return {
        "Alignment": procrustes(rows(5, 5)),
        "WeightCovariance": weight_covariance(rows(400, 600)),
        "DebiasedSimilarity": debiased_similarity(rows(40, 10), rows(40, 10, seed=1)),
        "Similarity": normalized_similarity(
            weight_covariance(rows(40, 10)), weight_covariance(rows(40, 10, 1))
        ),
        "GroupSimilarity": group_similarity(torch.ones(3, 3) / 2, torch.ones(3, 3), torch.ones(3, 3)),
        "SharedVariance": shared_variance(rows(40, 10), rows(40, 10, seed=1)),
        "SpatialCovariance": spatial_covariance(rows(32, 121).view(8, 4, 11, 11)),
        "Barycenter": bures_barycenter([rows(10, 4), rows(10, 4, seed=1)]),
        "EnergyProfile": profile,
        "EnergyFit": fit_energy(profile, patches, draws=3),
        "PatchCovariance": patches,
        "FilterBank": FilterBank(rows(3, 9).view(3, 3, 3).float(), {"name": HOSTILE}),
        "Images": load_images((pixels, torch.arange(30) % 2)),
    }


RECORDS = records()


def drawn(shown: str) -> list[ET.Element]:
    """The figures of what a notebook shows, which must be well-formed."""
    return list(ET.fromstring(f"<body>{shown}</body>").iter("{http://www.w3.org/2000/svg}svg"))


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_shows_itself_in_a_few_lines_and_in_a_small_table(name):
    record = RECORDS[name]
    assert repr(record).startswith(f"{name}(")
    assert len(repr(record).splitlines()) <= 6
    shown = record._repr_html_()
    assert len(shown.encode()) < LIMIT
    assert f"<h4>{name}</h4>" in shown
    assert shown.count("<tr>") >= 2
    assert drawn(shown) or name in {"Images", "EnergyFit"}


def test_what_comes_from_elsewhere_is_escaped():
    pixels, labels = torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1])
    shown = Images(pixels, labels, (HOSTILE, "b"), HOSTILE, HOSTILE)._repr_html_()
    assert HOSTILE not in shown
    assert "&lt;script&gt;" in shown
    assert "<script" not in curve(HOSTILE, [0.0, 1.0])


def test_no_record_that_is_public_shows_tensors_number_by_number():
    """The default of a dataclass does; who adds a record with tensors has to make it `Shown`."""
    for name in covalign.__all__:
        thing = getattr(covalign, name)
        held = getattr(thing, "__annotations__", {}).values() if isinstance(thing, type) else ()
        if any("Tensor" in str(kind) for kind in held):
            assert "__repr__" in vars(thing) or issubclass(thing, Shown), name
            assert not str(thing.__repr__).startswith("<function __create_fn__"), name


def test_numbers_are_rounded_and_tensors_described():
    class Kind(Enum):
        ONE = "the first"

    assert described(1 / 3) == "0.3333"
    assert described(torch.tensor([3.0, 2.0, 1.0])) == "3 from 3 to 1"
    assert described(torch.zeros(4, 3)) == "4x3"
    assert described(torch.tensor(2.5)) == "2.5"
    assert described((3, 5)) == "(3, 5)"
    assert described({"a": 1}) == "1 entry"
    assert described(["a", "b"]) == "2 entries"
    assert described(Kind.ONE) == "the first"
    assert described(None) == described("") == described({}) == ""
    assert len(described("word " * 1000)) <= 40


def test_a_reason_is_shown_in_words():
    nothing = weight_covariance(torch.randn(30, 20, generator=torch.Generator().manual_seed(0)))
    similarity = normalized_similarity(nothing, nothing, calibrate=False)
    assert similarity.reason
    assert "reason: " + similarity.reason[:20] in repr(similarity)


def test_a_curve_leaves_gaps_where_values_are_missing_and_stays_small():
    (line,) = (
        each for each in ET.fromstring(curve("x", [1.0, 2.0, math.nan, 4.0, 3.0])) if "d" in each.attrib
    )
    assert line.attrib["d"].count("M") == 2
    assert line.attrib["d"].count("L") == 2
    assert len(curve("x", [float(i) for i in range(100_000)])) < 5_000
    assert curve("x", [math.nan, math.nan]) == ""
    assert "M5.0 75.0L235.0 75.0" in curve("x", [0.0, 0.0])


def test_an_interval_stands_where_its_numbers_say():
    figure = ET.fromstring(interval("R", 0.5, 0.25, 0.75))
    (dot,) = (each for each in figure if "cx" in each.attrib)
    assert float(dot.attrib["cx"]) == 120
    assert "M65.0 30H175.0" in interval("R", 0.5, 0.25, 0.75)
    assert interval("R", math.nan, 0.0, 1.0) == ""
    assert "stroke-width" not in interval("R", 0.5, math.nan, 1.0)


def test_cells_are_coloured_by_sign_and_size():
    fills = [each.attrib["fill"] for each in ET.fromstring(cells(torch.tensor([[2.0, -2.0], [0.0, 1.0]])))]
    assert fills == ["#d55e00", "#0072b2", "#ffffff", "#eaae80"]
    assert "#ffffff" in cells(torch.zeros(2, 2))


def test_many_vectors_and_pictures_are_not_all_drawn():
    @dataclass(frozen=True, repr=False)
    class Much(Shown):
        PICTURES = "pictures"
        pictures: torch.Tensor
        a: torch.Tensor
        b: torch.Tensor
        c: torch.Tensor
        d: torch.Tensor
        e: torch.Tensor
        f: torch.Tensor

    shown = Much(torch.randn(500, 11, 11), *(torch.randn(10_000) for _ in range(6)))._repr_html_()
    assert len(drawn(shown)) == CURVES + PICTURES
    assert len(shown.encode()) < LIMIT
    assert not drawn(
        Much(torch.randn(5, 40, 40), *(torch.tensor([math.nan] * 2) for _ in range(6)))._repr_html_()
    )
