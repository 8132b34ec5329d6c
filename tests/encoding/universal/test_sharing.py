import pytest
import torch

from covalign.encoding.universal.sharing import sharing, turned_at_random
from covalign.errors import InputError
from samples.planted import generator, neurons, noise, orthonormal


def unit(rows):
    return rows / rows.norm(dim=1, keepdim=True)


def population(count: int = 6, n: int = 60, d: int = 80, shared: int = 5, strength: float = 30.0):
    basis, spikes = orthonormal(d, shared, 0), torch.linspace(2, 1, shared).double() * strength
    return [unit(neurons(n, basis, spikes, seed=i + 1)) for i in range(count)]


def test_planted_directions_are_shared_by_all_and_no_others():
    found = sharing(population())
    assert found.shared_rank == 5
    assert found.shared[:5].min() == 1
    assert float(found.shared[8:].mean()) < 0.15


def test_debiased_eigenvalues_are_those_of_the_population():
    d, spikes = 80, torch.linspace(2, 1, 5).double() * 30
    found = sharing(population(count=8, n=200))
    many = unit(neurons(40_000, orthonormal(d, 5, 0), spikes, seed=99))
    expected = torch.linalg.eigvalsh(many.T @ many / len(many)).flip(0)[:5] - 1 / d
    assert torch.allclose(found.variances[:5], expected, atol=0.02)
    assert (
        float(found.variances[10:40].abs().max()) < 0.01
    )  # where the plain mean has (1 + sqrt(d / N))^2 / d


def test_rotated_and_untrained_networks_share_nothing():
    turned = [turned_at_random(each, 1, generator(i)) for i, each in enumerate(population())]
    untrained = [unit(noise(60, 80, i)) for i in range(6)]
    for members in (turned, untrained):
        found = sharing(members)
        assert found.shared_rank == 0
        assert float(found.shared.mean()) == pytest.approx(0.05, abs=0.04)
        assert float(found.explained(5).mean()) == pytest.approx(0, abs=0.1)


def test_others_explain_all_where_noise_is_small_and_never_more_than_all():
    strong = sharing(population(n=200, strength=3000.0)).explained(5)
    assert strong.shape == (6,)
    assert float(strong.mean()) == pytest.approx(1, abs=0.02)
    for found in (sharing(population(n=8)), sharing(population(n=8, strength=0.5))):
        for rank in (1, 4, 30):
            assert float(found.explained(rank).max()) <= 1


def test_the_most_that_directions_capture_is_the_sum_of_leading_eigenvalues():
    members = population(n=9)
    found = sharing(members, ranks=20)
    for each, most in zip(members, found.most, strict=True):
        values = torch.linalg.eigvalsh(each.T @ each / len(each)).flip(0)
        assert torch.allclose(most, values[:20].cumsum(0), atol=1e-9)
    assert bool((found.captured <= found.most + 1e-9).all())


def test_space_alone_is_no_shared_direction():
    channels, places = 12, 9
    pattern = noise(places, 1, 0)[:, 0] * 3
    members = []
    for i in range(6):
        rows = noise(60, channels, i + 1)[:, :, None] * pattern + 0.3 * noise(
            60, channels * places, 30 + i
        ).view(60, channels, places)
        members.append(unit(rows.flatten(1)))
    blind, seeing = sharing(members, ranks=12), sharing(members, places=places, ranks=12)
    assert float(blind.shared.mean()) == 1  # to the plain null space is evidence
    assert float(seeing.shared.mean()) < 0.2


@pytest.mark.parametrize("places", [1, 4])
def test_a_random_turn_keeps_the_neurons_inner_products_of_channels(places):
    rows = noise(5, 24, 0)
    turned = turned_at_random(rows, places, generator(1))
    assert torch.allclose(turned @ turned.T, rows @ rows.T, atol=1e-9)
    assert not torch.allclose(turned, rows, atol=0.1)


def test_too_few_are_refused():
    with pytest.raises(InputError, match="expected two networks of four neurons"):
        sharing([unit(noise(9, 5, 0))])
