import pytest
import torch

from covalign.encoding.universal.basis import common_basis
from covalign.studies.universal.principal import completed, principal
from samples.planted import noise, orthonormal


def second(rows):
    return rows.T @ rows / len(rows)


def test_leading_directions_are_those_of_the_whole_decomposition():
    moment = second(noise(200, 12, 0) * torch.arange(1.0, 13.0).double())
    found = principal(moment, 5)
    values, vectors = torch.linalg.eigh(moment)
    assert torch.allclose(
        (found.directions.T @ vectors.flip(1)[:, :5]).abs(), torch.eye(5).double(), atol=1e-8
    )
    assert found.share == pytest.approx(float(values.flip(0)[:5].sum() / values.sum()))


def test_whole_inputs_meet_where_their_leading_parts_do_and_rotations_are_orthonormal():
    latent = noise(500, 4, 0) * torch.tensor([4.0, 3.0, 2.0, 1.0]).double() + 1
    inputs = [
        latent @ orthonormal(d, 4, i + 1).T + 1e-3 * noise(500, d, 9 + i) for i, d in enumerate((10, 8, 10))
    ]
    leading = [principal(second(each), 4) for each in inputs]
    parts = [each @ own.directions for each, own in zip(inputs, leading, strict=True)]
    moments = {(i, j): parts[i].T @ parts[j] / 500 for j in range(3) for i in range(j + 1)}
    found = completed(common_basis(moments, [each.mean(0) for each in parts]), leading)
    together = [each @ a.T for each, a in zip(inputs, found.rotations, strict=True)]
    for each, rotation in zip(together, found.rotations, strict=True):
        assert each.shape == (500, 10)
        assert torch.allclose(rotation.T @ rotation, torch.eye(rotation.shape[1]).double(), atol=1e-10)
        assert float((each - together[0]).norm() / each.norm()) < 0.01
    assert float(found.variances.sum()) == pytest.approx(1)
    assert found.agreement == pytest.approx(1, abs=1e-3)
