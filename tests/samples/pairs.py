"""A slow reading: dense matrices P(w w^T), and averages by loops over pairs of neurons."""

import itertools
import math

import torch


def unit(rows):
    return rows / rows.norm(dim=1, keepdim=True)


def plain(w):
    """w w^T without its multiple of the identity."""
    outer = torch.outer(w, w)
    return outer - outer.trace() / len(w) * torch.eye(len(w)).double()


def joint(w, places):
    """w w^T without I_c (x) its partial trace over channels."""
    channels = len(w) // places
    outer = torch.outer(w, w).reshape(channels, places, channels, places)
    partial = torch.einsum("iaib->ab", outer)
    identity = torch.eye(channels).double()
    removed = torch.einsum("ij,ab->iajb", identity, partial / channels)
    return (outer - removed).reshape(len(w), len(w))


def slotted(w, slots):
    """w w^T without the identity of every slot."""
    channels = len(w) // slots
    outer = torch.outer(w, w).reshape(channels, slots, channels, slots).clone()
    for slot in range(slots):
        trace = outer[:, slot, :, slot].trace()
        outer[:, slot, :, slot] -= trace / channels * torch.eye(channels).double()
    return outer.reshape(len(w), len(w))


def without(w, matrices):
    """w w^T projected orthogonally to the span of matrices, by least squares."""
    outer = torch.outer(w, w).flatten()
    span = torch.stack([m.flatten() for m in matrices], 1)
    return (outer - span @ (torch.linalg.pinv(span) @ outer)).reshape(len(w), len(w))


def gram(first, second):
    """k of all pairs from projected matrices."""
    return torch.tensor([[float((a * b).sum()) for b in second] for a in first], dtype=torch.float64)


def mean_within(k):
    n = len(k)
    return sum(float(k[i, j]) for i, j in itertools.permutations(range(n), 2)) / (n * (n - 1))


def mean_between(k):
    return sum(float(value) for row in k for value in row) / k.numel()


def mean_without_diagonal(k):
    return mean_within(k)


def leave_out(k, rows=(), columns=()):
    keep_rows = [i for i in range(k.shape[0]) if i not in rows]
    keep_columns = [j for j in range(k.shape[1]) if j not in columns]
    return k[keep_rows][:, keep_columns]


def scatter(replicates):
    """(n - 1) / n times the sum of squared deviations of leave-one-out values, for vectors."""
    values = torch.tensor(replicates, dtype=torch.float64)
    centred = values - values.mean(0)
    return (len(values) - 1) / len(values) * centred.T @ centred


def zeta_within(k):
    """Mean square of residuals after least squares on k_ij = U + a_i + a_j over i < j."""
    n = len(k)
    pairs = list(itertools.combinations(range(n), 2))
    design = torch.zeros(len(pairs), n, dtype=torch.float64)
    for row, (i, j) in enumerate(pairs):
        design[row, i] = design[row, j] = 1
    target = torch.tensor([float(k[i, j]) for i, j in pairs], dtype=torch.float64)
    residual = target - design @ (torch.linalg.pinv(design) @ target)
    return float(residual.square().sum()) / (n * (n - 3) / 2)


def zeta_between(k):
    residual = k - k.mean(0) - k.mean(1, keepdim=True) + k.mean()
    return float(residual.square().sum()) / ((k.shape[0] - 1) * (k.shape[1] - 1))


def fieller_contains(rho, cross, scale, variance, quantile):
    """Whether cross - rho scale is within quantile standard deviations of zero."""
    spread = variance[0][0] - 2 * rho * variance[0][1] + rho**2 * variance[1][1]
    return (cross - rho * scale) ** 2 <= quantile**2 * spread


def cosine(a, b):
    return float((a * b).sum()) / math.sqrt(float(a.square().sum() * b.square().sum()))
