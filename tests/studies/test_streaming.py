import math

import pytest
import torch

from covalign.encoding.alignment import procrustes
from covalign.errors import InputError
from covalign.networks.network import Network
from covalign.studies.inputs import layer_inputs, matched_size, resized
from covalign.studies.pairing import match_layers
from covalign.studies.streaming import Link, fit_alignments, fitting_batch
from samples.networks import images, module, permuted, read, slot_order


def links(a: Network, b: Network, shared: bool = False) -> list[Link]:
    pairs = [(match.layer_a, match.layer_b) for match in match_layers(a, b)]
    known = torch.eye(30, dtype=torch.float64)
    return [
        Link(a, left, b, right, known if shared and i == 0 else None) for i, (left, right) in enumerate(pairs)
    ]


def samples(network, layer, data):
    """Everything a layer receives, at once, a row per position, in float64."""
    received = layer_inputs([(network, layer)], data.pixels)[id(network), layer.name]
    return received.double().flatten(2).movedim(1, 2).flatten(0, 1)


@pytest.fixture(scope="module")
def pair():
    return read(module(seed=0), "a"), read(module(seed=5), "b")


@pytest.mark.parametrize("form", ["factorized", "joint"])
def test_streaming_equals_a_dense_computation_at_once(form):
    a, b = read(module(form, seed=0)), read(module(form, seed=5))
    data = images(53)
    held = torch.arange(53) % 5 == 4
    for link, fit in zip(links(a, b), fit_alignments(links(a, b), data, batch_size=7), strict=True):
        fitted, kept = data.take(torch.nonzero(~held)[:, 0]), data.take(torch.nonzero(held)[:, 0])
        phi_a, phi_b = samples(a, link.layer_a, fitted), samples(b, link.layer_b, fitted)
        moment = phi_b.T @ phi_a
        rotation = fit.alignment.rotation
        assert fit.alignment.samples == len(phi_a)
        assert float((rotation * moment).sum()) == pytest.approx(
            float(torch.linalg.svdvals(moment).sum()), rel=1e-6
        )
        phi_a, phi_b = samples(a, link.layer_a, kept), samples(b, link.layer_b, kept)
        correlation = float(((phi_a @ rotation.T) * phi_b).sum() / (phi_a.norm() * phi_b.norm()))
        assert fit.alignment.correlation == pytest.approx(correlation, abs=1e-6)


def test_groups_of_one_pair_give_the_same_as_one_group(pair):
    wanted = links(*pair)
    together = list(fit_alignments(wanted, images(), control=True, batch_size=20))
    one_by_one = list(fit_alignments(wanted, images(), control=True, batch_size=20, memory=1))
    for all_at_once, alone in zip(together, one_by_one, strict=True):
        assert torch.equal(all_at_once.alignment.rotation, alone.alignment.rotation)
        assert torch.equal(all_at_once.shuffled.rotation, alone.shuffled.rotation)
        assert all_at_once.alignment.correlation == alone.alignment.correlation


@pytest.mark.parametrize("form", ["factorized", "joint"])
def test_a_copy_with_shuffled_channels_is_aligned_by_its_permutation(form):
    original = module(form)
    twin, orders = permuted(original, seed=3)
    fits = list(fit_alignments(links(read(original, "a"), read(twin, "b")), images(120)))
    for order, fit in zip(orders, fits[1:], strict=False):
        coordinates = slot_order(order, 10) if form == "factorized" else order
        expected = torch.eye(len(coordinates), dtype=torch.float64)[coordinates]
        torch.testing.assert_close(fit.alignment.rotation, expected, atol=1e-3, rtol=0)
        assert fit.alignment.correlation == pytest.approx(1, abs=1e-5)


def test_shared_first_layers_keep_the_identity(pair):
    first, second, *_ = fit_alignments(links(*pair, shared=True), images(), control=True)
    assert torch.equal(first.alignment.rotation, torch.eye(30, dtype=torch.float64))
    assert not first.alignment.fitted
    assert first.alignment.correlation == pytest.approx(1, abs=0.2)
    assert first.shuffled is None
    assert second.alignment.fitted


def test_images_in_shuffled_order_share_only_their_average(pair):
    a, b = pair
    data = images(200)
    fit = list(fit_alignments(links(a, b), data, control=True))[1]
    link = links(a, b)[1]
    phi_a, phi_b = samples(a, link.layer_a, data), samples(b, link.layer_b, data)

    def trace(alignment):
        return float(((phi_a @ alignment.rotation.T) * phi_b).sum())

    assert trace(fit.shuffled) < trace(fit.alignment)


def test_centred_controls_are_those_of_features_less_their_mean_at_each_position(pair):
    a, b = pair
    data = images(60)
    fit = list(fit_alignments(links(a, b), data, control=True, holdout=0, batch_size=30))[1]
    link = links(a, b)[1]
    maps = [
        layer_inputs([(network, layer)], data.pixels)[id(network), layer.name].double()
        for network, layer in ((a, link.layer_a), (b, link.layer_b))
    ]
    left, right = (each - each.mean(0) for each in maps)
    moment = torch.einsum("nbhw,nahw->ba", right, left)
    torch.testing.assert_close(fit.centred.rotation, procrustes(moment).rotation, atol=1e-4, rtol=0)


def test_without_held_out_images_there_is_no_correlation(pair):
    (fit, *_) = fit_alignments(links(*pair), images(20), holdout=0)
    assert math.isnan(fit.alignment.correlation)
    assert fit.alignment.samples == 20 * 64


def test_progress_rises_to_one(pair):
    told = []
    fits = fit_alignments(
        links(*pair), images(20), batch_size=5, memory=1, progress=lambda stage, share: told.append(share)
    )
    assert len(list(fits)) == len(links(*pair))
    assert told == sorted(told)
    assert told[-1] == 1


def test_a_finer_map_is_averaged_to_the_coarser_one():
    fine, coarse = torch.arange(16.0).view(1, 1, 4, 4), torch.zeros(1, 2, 2, 2)
    size = matched_size(fine, coarse)
    torch.testing.assert_close(resized(fine, size), torch.tensor([[[[2.5, 4.5], [10.5, 12.5]]]]))
    assert torch.equal(resized(coarse, size), coarse)
    vector = torch.zeros(1, 5)
    size = matched_size(fine, vector)
    torch.testing.assert_close(resized(fine, size), torch.tensor([[7.5]]))
    assert torch.equal(resized(vector, size), vector)


def test_what_cannot_be_aligned_is_named(pair):
    a, b = pair
    with pytest.raises(InputError, match="got 3 images, expected at least 5"):
        fit_alignments(links(a, b), images(3))
    bare = Network("file", b.layers)
    with pytest.raises(InputError, match="bare weight file without a forward pass"):
        list(fit_alignments([Link(a, a.layers[0], bare, bare.layers[0])], images(10)))
    unknown = Network("unknown", b.layers, source=b.source)
    with pytest.raises(InputError, match="not known how its input pixels are normalized"):
        list(fit_alignments([Link(a, a.layers[0], unknown, unknown.layers[0])], images(10)))


def test_the_batch_follows_from_the_memory(pair):
    wanted, data = links(*pair), images()
    received = layer_inputs(
        [(network, layer) for network in pair for layer in network.layers], data.pixels[:1]
    )
    image = sum(4 * maps.numel() for maps in received.values())
    for memory in (0, image * 30, image * 200):
        size = fitting_batch(wanted, data, memory)
        assert size % 2 == 0
        assert size == 2 or image * size < memory
    assert fitting_batch(wanted, data, 2**40) == 100


def test_a_smaller_memory_gives_the_same_alignments(pair):
    wanted = links(*pair)
    for large, small in zip(
        fit_alignments(wanted, images()), fit_alignments(wanted, images(), memory=1), strict=True
    ):
        torch.testing.assert_close(large.alignment.rotation, small.alignment.rotation, atol=1e-4, rtol=0)
