import pytest
import torch

from covalign.encoding.universal.basis import common_basis, objective
from covalign.errors import InputError
from samples.planted import noise, orthonormal

WIDTHS = (6, 9, 9, 7)


def received(widths, samples=300, spread=0.1):
    """Inputs of networks that see the same six latent variables, each in its own turned coordinates."""
    latent = noise(samples, 6, 0) * torch.tensor([4.0, 3.0, 2.0, 1.5, 1.0, 0.5]).double() + 1.0
    return [
        latent @ orthonormal(width, 6, i + 1).T * (i + 1) + spread * noise(samples, width, 50 + i)
        for i, width in enumerate(widths)
    ]


def moments(inputs):
    return {
        (i, j): one.T @ other / len(one)
        for i, one in enumerate(inputs)
        for j, other in enumerate(inputs)
        if i <= j
    }


def basis(inputs):
    return common_basis(moments(inputs), [each.mean(0) for each in inputs])


def test_planted_rotations_are_found_whatever_widths_and_scales():
    inputs = received(WIDTHS, spread=0.0)
    found = basis(inputs)
    unit = [each / each.square().sum(1).mean().sqrt() for each in inputs]
    together = [each @ a.T for each, a in zip(unit, found.rotations, strict=True)]
    for other in together[1:]:
        assert torch.allclose(together[0], other, atol=1e-6)
    assert found.agreement == pytest.approx(1)
    for a in found.rotations:
        assert torch.allclose(a.T @ a, torch.eye(a.shape[1]).double(), atol=1e-10)


def test_axes_are_principal_and_signs_fixed():
    inputs = received(WIDTHS)
    found = basis(inputs)
    unit = [each / each.square().sum(1).mean().sqrt() for each in inputs]
    aligned = torch.stack([each @ a.T for each, a in zip(unit, found.rotations, strict=True)])
    second = torch.einsum("mni,mnj->ij", aligned, aligned) / aligned.shape[:2].numel()
    assert torch.allclose(second, found.variances.diag(), atol=1e-9)
    assert float(found.variances.sum()) == pytest.approx(1)
    assert float(aligned.mean((0, 1)).min()) > -1e-9


def test_the_result_does_not_depend_on_the_coordinates_of_a_member():
    inputs = received((7, 7, 7))
    turned = [each @ orthonormal(7, 7, 90 + i).T for i, each in enumerate(inputs)]
    one, other = basis(inputs), basis(turned)
    first = [each @ a.T for each, a in zip(inputs, one.rotations, strict=True)]
    second = [each @ a.T for each, a in zip(turned, other.rotations, strict=True)]
    for a, b in zip(first, second, strict=True):
        assert torch.allclose(a, b, atol=1e-3)


def test_no_single_network_can_be_placed_better():
    inputs = received(WIDTHS, spread=1.0)
    given = moments(inputs)
    energies = [float(given[i, i].trace()) for i in range(len(inputs))]
    scaled = {(i, j): each / (energies[i] * energies[j]) ** 0.5 for (i, j), each in given.items()}
    found = list(basis(inputs).rotations)
    best = objective(found, scaled)
    for i, width in enumerate(WIDTHS):
        for seed in range(3):
            other = torch.linalg.qr(found[i] + 0.05 * noise(9, width, seed)).Q
            other = other * torch.sign((other * found[i]).sum(0))
            assert objective([*found[:i], other, *found[i + 1 :]], scaled) < best


def test_one_network_is_its_own_basis():
    (rotation,) = basis(received((6,))).rotations
    assert torch.allclose(rotation @ rotation.T, torch.eye(6).double(), atol=1e-10)


def test_what_is_missing_or_zero_is_refused():
    inputs = received((6, 6))
    given = moments(inputs)
    with pytest.raises(InputError, match=r"\(0, 1\) is missing"):
        common_basis({k: v for k, v in given.items() if k != (0, 1)}, [each.mean(0) for each in inputs])
    zero = [inputs[0], torch.zeros_like(inputs[1])]
    with pytest.raises(InputError, match="nothing but zeros"):
        basis(zero)
