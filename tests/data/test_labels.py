import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from covalign.data.images import Images
from covalign.data.labels import random_labels, select_classes
from covalign.errors import InputError


def images(n=6000, classes=5, seed=0):
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, classes, n))
    pixels = torch.arange(n).remainder(256).to(torch.uint8).view(n, 1, 1, 1)
    return Images(pixels, labels, tuple("abcdefgh"[:classes]), "letters", "train")


def dependence(a, b):
    """The p-value of independence of two lists of labels."""
    table = torch.zeros((5, 5)).index_put_((a, b), torch.ones(len(a)), accumulate=True)
    return chi2_contingency(table.numpy()).pvalue


@pytest.mark.parametrize("kind", ["uniform", "permuted"])
def test_a_realization_is_always_the_same_and_differs_from_others(kind):
    first, again = random_labels(images(), 0, kind), random_labels(images(), 0, kind)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.labels, random_labels(images(), 1, kind).labels)
    assert first.name == f"letters, {kind} labels 0"


@pytest.mark.parametrize("kind", ["uniform", "permuted"])
def test_random_labels_are_independent_of_the_true_ones_and_of_other_realizations(kind):
    true = images()
    first, second = (random_labels(true, r, kind).labels for r in (0, 1))
    for a, b in ((true.labels, first), (true.labels, second), (first, second)):
        assert dependence(a, b) > 0.001
    assert dependence(true.labels, true.labels) < 1e-9  # the test can fail


def test_permuted_labels_keep_class_counts_and_uniform_ones_do_not():
    true = select_classes(images(), ["a", "b"])
    counts = [torch.bincount(random_labels(true, 0, kind).labels) for kind in ("permuted", "uniform")]
    assert torch.equal(counts[0], torch.bincount(true.labels))
    assert not torch.equal(counts[1], counts[0])


def test_uniform_labels_draw_all_classes_equally_often():
    counts = torch.bincount(random_labels(images(), 4).labels, minlength=5)
    assert ((counts - 1200.0) ** 2 / 1200).sum() < 18.5  # chi-squared, 4 degrees of freedom, p = 0.001


def test_pixels_are_shared_with_the_true_images():
    true = images()
    assert random_labels(true, 0).pixels is true.pixels


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="got kind 'shuffled', expected 'uniform' or 'permuted'"):
        random_labels(images(), 0, "shuffled")


@given(st.permutations("abcde"), st.integers(1, 5))
def test_selected_classes_keep_their_images_in_the_order_asked_for(names, count):
    true, wanted = images(100), tuple(names[:count])
    selected = select_classes(true, wanted)
    keep = [i for i, label in enumerate(true.labels.tolist()) if true.classes[label] in wanted]
    assert selected.classes == wanted
    assert torch.equal(selected.pixels, true.pixels[keep])
    assert [wanted[i] for i in selected.labels] == [true.classes[i] for i in true.labels[keep]]


def test_a_number_selects_the_first_classes():
    assert select_classes(images(), 3).classes == ("a", "b", "c")
    assert select_classes(images(), "b").classes == ("b",)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["a", "z"], "'z' is not one of the 5 classes; near: a, b, c, d, e"),
        (6, "got 6, expected 1 to 5"),
        (0, "got 0, expected 1 to 5"),
        (["a", "a"], "each of them once"),
        ([], "at least one name"),
    ],
)
def test_classes_that_do_not_exist_are_refused(classes, message):
    with pytest.raises(InputError, match=message):
        select_classes(images(), classes)
