"""An axiom is worth something if a measure that breaks it is found out."""

import pytest
import torch

from samples import axioms
from samples.planted import STRUCTURES, draw, noise, power_law, sharing, turned, unit_rows

A, B, C = (noise(6, 4, seed) for seed in range(3))
UNRELATED = [(noise(6, 4, seed), noise(6, 4, seed + 100)) for seed in range(50)]
COUNT = iter(range(100))

BROKEN = {
    "rotation": lambda: axioms.assert_rotation_invariant(lambda a: a[:, 0].norm(), A),
    "order": lambda: axioms.assert_order_invariant(lambda a, b: (a * b).sum().abs(), A, B),
    "scale": lambda: axioms.assert_scale_invariant(lambda a, b: (a.T @ b).norm() / b.norm(), A, B),
    "sign": lambda: axioms.assert_sign_invariant(lambda a: a.sum(), A),
    "homogeneous": lambda: axioms.assert_homogeneous(lambda a: a.norm(), A, scale=2.0, degree=2),
    "symmetric": lambda: axioms.assert_symmetric(lambda a, b: (a.T @ b).norm() / b.norm(), A, B),
    "bounded": lambda: axioms.assert_bounded(lambda a, b: (a * b).sum() / a.norm() ** 2, A, 2 * A),
    "one on itself": lambda: axioms.assert_one_on_itself(lambda a, b: (a * b).sum(), A),
    "distance": lambda: axioms.assert_distance(lambda a, b: (a - b).norm() ** 2, A, (A + B) / 2, B),
    "chance": lambda: axioms.assert_chance_is_zero(lambda a, b: (a.T @ b).norm(), UNRELATED, 0.1),
    "deterministic": lambda: axioms.assert_deterministic(lambda a: next(COUNT), A),
    "undefined": lambda: axioms.assert_symmetric(lambda a, b: torch.nan if a is A else 1.0, A, B),
}


@pytest.mark.parametrize("axiom", BROKEN)
def test_a_measure_that_breaks_an_axiom_is_found_out(axiom):
    with pytest.raises(AssertionError):
        BROKEN[axiom]()


def test_the_euclidean_distance_keeps_them():
    axioms.assert_distance(lambda a, b: (a - b).norm(), A, B, C)
    axioms.assert_rotation_invariant(lambda a, b: (a - b).norm(), A, B)
    axioms.assert_homogeneous(lambda a, b: (a - b).norm(), A, B, scale=7.0, degree=1)
    axioms.assert_chance_is_zero(lambda a, b: (a * b).sum() / 24, UNRELATED, 0.1)


@pytest.mark.parametrize("kind", STRUCTURES)
def test_samplers_are_repeatable_float64_and_of_the_shape_asked_for(kind):
    w = STRUCTURES[kind](7, 5, 3)
    assert (w.shape, w.dtype) == ((7, 5), torch.float64)
    assert torch.equal(w, STRUCTURES[kind](7, 5, 3))
    assert not torch.equal(w, STRUCTURES[kind](7, 5, 4))


def test_structures_are_as_stated():
    torch.testing.assert_close(unit_rows(5, 3, 0).norm(dim=1), torch.ones(5, dtype=torch.float64))
    assert int(torch.linalg.matrix_rank(STRUCTURES["low rank"](9, 14, 0))) == 3
    variances = power_law(20_000, 4)
    assert draw(20_000, variances, 0).square().mean(0) == pytest.approx(variances, rel=0.05)
    torch.testing.assert_close(turned(A, 0) @ turned(A, 0).T, A @ A.T)


def test_shared_directions_are_as_many_as_asked_for():
    first, second = sharing(20_000, 12, 4, 2, 30.0, seed=0)
    tops = [torch.linalg.svd(w, full_matrices=False).Vh[:4] for w in (first, second)]
    cosines = torch.linalg.svdvals(tops[0] @ tops[1].T)
    assert cosines == pytest.approx(torch.tensor([1.0, 1, 0, 0]).double(), abs=0.05)
