"""Few images say what many say, or that they are too few."""

from dataclasses import replace

import pytest
import torch

from covalign.data.images import Images
from covalign.errors import InputError
from covalign.first_layer.dependence import label_dependence
from covalign.first_layer.labelings import mean_patch_labels
from covalign.first_layer.patches import PatchCovariance, average_patches, patch_covariance
from covalign.first_layer.verdict import AGREEMENT, Verdict, verdict
from samples.pictures import smooth_images


@pytest.fixture(scope="module")
def measured(images: Images) -> PatchCovariance:
    return patch_covariance(images, 3)


def relabelled(images: Images, seed: int) -> Images:
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return replace(images, labels=images.labels[order])


def verdict_of(images: Images, measured: PatchCovariance, count: int | None = None) -> Verdict:
    return verdict(label_dependence(images, measured), measured, count)


@pytest.fixture(scope="module")
def many() -> tuple[Images, PatchCovariance]:
    images = smooth_images(4000)
    return images, patch_covariance(images, 3)


def test_a_strong_signal_changes_the_first_layer(many):
    images, measured = many
    planted = verdict_of(mean_patch_labels(images, measured, 8), measured)
    assert planted.changes
    assert planted.low <= planted.agreement <= planted.high < AGREEMENT
    assert planted.sentence.startswith("labels will change")
    assert planted.largest > 10 * planted.chance
    assert planted.p_value <= 0.01


@pytest.mark.parametrize("count", [20, 60, 200, 1000])
@pytest.mark.parametrize("labels", ["random", "even", "weak"])
def test_few_images_never_find_what_is_not_there(images, measured, labels, count):
    """Neither random labels, nor labels by the size of a coefficient, nor weak ones change the layer by the model."""
    averages = average_patches(images, 3) @ measured.eigenvectors
    for seed in range(5):
        made = relabelled(images, seed)
        if labels == "even":
            size = (averages[:, 4] - averages[:, 4].median()).abs()
            made = replace(images, labels=(size > size.median()).long(), classes=("small", "large"))
        if labels == "weak":
            made = mean_patch_labels(images, measured, 3, 0.03, bins=4, seed=seed)
        found = verdict_of(made.sample(count, seed=seed), measured)
        assert found.changes is not True, found.sentence
        if found.changes is None:
            assert found.sentence.startswith("too few images to tell")


@pytest.mark.parametrize(("component", "changes"), [(3, True), (8, True), (15, False)])
def test_few_images_say_what_many_say_or_nothing(many, component, changes):
    images, measured = many
    whole = mean_patch_labels(images, measured, component, bins=4)
    assert verdict_of(whole, measured).changes is changes
    found = [verdict_of(whole.sample(count), measured).changes for count in (10, 30, 100, 300, 1000)]
    assert set(found) <= {changes, None}
    assert found[0] is None


@pytest.mark.parametrize("count", [5, 12, 19])
def test_a_handful_of_images_says_nothing_and_prints_no_numbers(images, measured, count):
    for seed in range(3):
        found = verdict_of(images.sample(count, seed=seed), measured)
        assert found.changes is None
        assert found.sentence.endswith(f"this data set: got {count}, expected at least 20")
        assert (found.low, found.high) == (-1, 1)


def test_as_many_images_as_are_trained_on_tell_random_labels(images, measured):
    """With N = n the label-free part is as large as its noise."""
    found = verdict_of(relabelled(images, 3), measured, len(images))
    assert found.changes is False
    assert found.sentence.startswith(
        f"labels will not change the first layer of this data set beyond an agreement of {found.low:.2f}"
    )
    assert found.training_images == len(images)


def test_an_earlier_dependence_gives_no_verdict(images, measured):
    old = replace(label_dependence(images, measured), excess=None, redrawn=None)
    with pytest.raises(InputError, match="no label signal with its uncertainty; measure it again"):
        verdict(old, measured)
