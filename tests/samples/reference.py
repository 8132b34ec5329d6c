"""An independent NumPy reading of eqs 1-6 of Guth & Menard (2024): dense, slow, and written from the text."""

import numpy as np


def rotation(phi_1, phi_2):
    """Eq. 1: argmin over orthogonal A of E||A phi_1 - phi_2||^2; a row per sample."""
    u, _, vh = np.linalg.svd(phi_2.T @ phi_1)
    return u @ vh


def covariance(w, variance):
    """C = W^T W / n in units of the initialization variance, as a dense matrix."""
    return w.T @ w / len(w) / variance


def shrink(values, gamma):
    """Eq. 3, one eigenvalue at a time."""
    kept = []
    for value in values:
        if value > (1 + np.sqrt(gamma)) ** 2:
            half = (value + 1 - gamma) / 2
            kept.append((value - 1 - gamma) / 2 + np.sqrt(half**2 - value))
        else:
            kept.append(0.0)
    return np.array(kept)


def shrunk_covariance(w, variance):
    values, vectors = np.linalg.eigh(covariance(w, variance))
    return vectors @ np.diag(shrink(values, w.shape[1] / w.shape[0])) @ vectors.T


def effective_rank(values):
    """Eq. 4."""
    values = np.sort(values)[::-1]
    return np.sum(np.arange(1, len(values) + 1) * values) / np.sum(values)


def root(c):
    values, vectors = np.linalg.eigh(c)
    return vectors @ np.diag(np.sqrt(np.clip(values, 0, None))) @ vectors.T


def cosine(c1, c2):
    """Eq. 5, with the nuclear norm of a dense product of roots."""
    nuclear = np.linalg.svd(root(c1) @ root(c2), compute_uv=False).sum()
    return nuclear / np.sqrt(np.trace(c1) * np.trace(c2))


def haar(d, rng):
    q, r = np.linalg.qr(rng.standard_normal((d, d)))
    return q * np.sign(np.diag(r))


def chance(c, draws, rng):
    """Eq. 6, z: with a full Haar rotation."""
    values = []
    for _ in range(draws):
        o = haar(len(c), rng)
        values.append(cosine(c, o @ c @ o.T))
    return np.mean(values), np.std(values) / np.sqrt(draws)


def ceiling(c, n, draws, rng):
    """Eq. 6, u: with neurons drawn in full."""
    d = len(c)
    values = []
    for _ in range(draws):
        w = rng.standard_normal((n, d)) @ root(c + np.eye(d))
        resampled = shrunk_covariance(w, 1.0)
        values.append(cosine(c, resampled) if np.trace(resampled) > 0 else 0.0)
    return np.mean(values), np.std(values) / np.sqrt(draws)
