"""How similar are the populations behind two noisy weight covariances?

Asked for is a property of the populations, which no amount of noise should change:

    S* = (cosine(C₁, C₂) - z) / (1 - z),    z = E cosine(C₁, O C₂ Oᵀ) over Haar-random O,

where C_i is the second moment of a neuron minus σ²I and the cosine is that of Bures and Wasserstein. S* is 0
on average for unrelated populations and 1 only for proportional ones. Three statistics of the observed matrices
are informative. With x the spikes seen above the bulk edge, c² the overlap of sample with population
eigenvectors (1/c at most 2 in V) and M = diag(√x₁) V₁ᵀV₂ diag(√x₂),

    T = ‖M‖_nuclear / √(Σ c₁²x₁ Σ c₂²x₂)                        near S*, strong directions counting most,
    V = ‖diag(1/c₁) M diag(1/c₂)‖_nuclear / √(Σ x₁ Σ x₂)        weak directions in full, but with their noise,
    F = (‖M‖² - Σx₁ Σx₂ / d) / √(Σ c₁⁴x₁² Σ c₂⁴x₂²)             the quadratic analogue.

T against V tells whether strong directions agree more than weak ones, T against F a few common directions from
many that partly agree. T and V are read relative to their means t₀ over rotations of the *observed*
eigenvectors, as (T - t₀)/(1 - t₀), so that all three are exactly centred at chance whatever the spectra are.

What noise, missed spikes and finite size do to them is simulated: populations that could have shown the observed
spectra (`covalign.encoding.calibration.plausible`), in many degrees and kinds of agreement, give samples with known
S*. Over these, the linear combination of T, V and F that best predicts S* is found (as in Fearnhead & Prangle 2012),
and the regression of that index on S* is inverted at the observed value (classical calibration, Eisenhart 1939):
the estimate is unbiased where the simulation is right, and not clipped. Its squared errors over the simulations, as a
quadratic function of S*, give the interval, larger by (n + p) / (n - p) for p coefficients fitted to n simulations
(the final prediction error, Akaike 1969); the uncertainty of the spectra is part of it.

A misfit of the simulation to the observed pair is looked for and not hidden: with m(s) the quadratic regression of
(T, V, F) on S* over the simulations and R their residual covariance,

    D² = min_s (observed - m(s))ᵀ R⁻¹ (observed - m(s))        about χ² of 2 degrees of freedom where it fits.

Trained networks often fail this: training raises their bulk above the level of the initial weights, by 4 to 60 % in
networks of ours (see docs/results/calibration). Beyond `MISFIT` both covariances are therefore taken in units
of the level that their own bulks show, if that fits better; what is still beyond is withheld, with that reason: a
value that no simulated pair resembles says nothing about S*. Everything here holds inside the family of spiked
populations only; what needs no model of the noise is `covalign.encoding.debiased`.

Where weak directions cannot be seen, whether they agree is not in the data: the estimate then assumes that they
agree as often as the simulated ones do (see docs/results/calibration).
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float64
from scipy.stats import t
from torch import Tensor

from covalign.encoding.bures import same_weights
from covalign.encoding.calibration.independence import SHARED_NOISE, shared_noise
from covalign.encoding.calibration.plausible import Spectrum
from covalign.encoding.calibration.simulation import SAMPLES, Simulation, simulate
from covalign.encoding.calibration.statistics import (
    Visible,
    above_chance,
    agreement_statistics,
    chance_statistics,
)
from covalign.encoding.covariance import WeightCovariance
from covalign.encoding.noise import bulk_check, noise_level
from covalign.encoding.reasons import Reason, Remark, Remarks, in_words
from covalign.encoding.spiked import eigenvector_overlap, population_spike
from covalign.errors import InputError
from covalign.showing import Shown

FLOOR = 0.25
"""Smallest variance of an estimate, as a share of its mean over all simulations."""

MISFIT = 20.0
"""D² from which the simulation counts as not fitting the observed pair (our choice): planted populations exceed it in
about 1 % of samples, the layers of trained networks three to ten times over."""

SAME = 1e-8
"""By how much the cosine of one sample with itself may fall short of 1."""

GRID = 101
"""Values of S* at which the misfit is looked for."""


@dataclass(frozen=True, repr=False)
class Calibration(Shown):
    """Estimate of the similarity of two populations.

    Attributes:
        value: estimate of S*, not clipped; NaN where withheld.
        low: lower end of the 95 % interval.
        high: upper end.
        p_value: share of random rotations that agree at least as well, from 1/(rotations + 1).
        remarks: why the value is withheld, what it means, or in which units of noise it is; empty for an ordinary
            estimate.
        detectable: populations of this strength that agree fully would be told from chance (at 5 %) in at
            least half of all samples.
        misfit: D² of the observed statistics from the simulated ones; NaN where withheld.
    """

    INTERVAL = ("value", "low", "high")

    value: float
    low: float
    high: float
    p_value: float
    remarks: Remarks = ()
    detectable: bool = False
    misfit: float = math.nan

    @property
    def reason(self) -> str:
        """The remarks in words; empty for an ordinary estimate."""
        return in_words(self.remarks)


def calibrated_similarity(
    c1: WeightCovariance, c2: WeightCovariance, *, draws: int = 200, seed: int = 0
) -> Calibration:
    """Estimate S* of two aligned weight covariances, with a 95 % interval and a p-value.

    Symmetric in its arguments. Weights that are equal up to a rotation are one sample, not two: value 1, with
    that reason. Withheld (NaN, with the reason) where nothing was learned, where the bulk does not look like
    noise, where the noise is shared, and where not even full agreement could be told from chance.

    Args:
        c1: not shrunk.
        c2: not shrunk, in the same coordinates.
        draws: random rotations behind the p-value and the chance level of the observed pair.
        seed: of all draws.

    Raises:
        InputError: different dimensions, shrunk covariances, or no draws.
    """
    _checked(c1, c2, draws)
    if same_weights(c1, c2, SAME):
        return Calibration(1.0, math.nan, math.nan, math.nan, (Remark(Reason.SAME_WEIGHTS),))
    spectra = [Spectrum(c.eigenvalues.cpu(), c.neurons, c.noise_dimension) for c in (c1, c2)]
    for which, spectrum in zip(("first", "second"), spectra, strict=True):
        if spectrum.kept < 2:
            return _withheld(Remark(Reason.UNDETECTABLE_SPIKES, (spectrum.kept, which)))
        check = bulk_check(spectrum.eigenvalues, spectrum.neurons, spectrum.dimension)
        if not check.ok:
            return _withheld(Remark(Reason.BULK_FAILED, (which, check.reason)))
    shared = shared_noise(c1, c2, spectra[0].kept, spectra[1].kept)
    if shared > SHARED_NOISE:
        return _withheld(Remark(Reason.SHARED_NOISE, (shared,)))
    found = _estimate(c1, c2, draws, seed)
    return found if not found.misfit > MISFIT else _misfitting(found, c1, c2, draws, seed)


def _misfitting(
    found: Calibration, c1: WeightCovariance, c2: WeightCovariance, draws: int, seed: int
) -> Calibration:
    """Return the estimate in units of the bulks' own levels where that fits; withheld where neither unit does."""
    levels = [noise_level(c.eigenvalues, c.neurons, c.noise_dimension) for c in (c1, c2)]
    own1, own2 = (
        replace(c, eigenvalues=c.eigenvalues / level) for c, level in zip((c1, c2), levels, strict=True)
    )
    if min(own1.kept, own2.kept) >= 2:
        other = _estimate(own1, own2, draws, seed)
        if other.misfit < found.misfit:
            found = replace(other, remarks=(Remark(Reason.OWN_LEVEL, tuple(levels)),))
    if not found.misfit > MISFIT:
        return found
    return replace(_withheld(Remark(Reason.MISFIT, (found.misfit,)), found.p_value), misfit=found.misfit)


def _estimate(c1: WeightCovariance, c2: WeightCovariance, draws: int, seed: int) -> Calibration:
    """Estimate S* and its interval, in the units that the covariances are in."""
    if (c1.neurons, c1.trace) > (c2.neurons, c2.trace):
        c1, c2 = c2, c1
    generator = torch.Generator().manual_seed(seed)
    spectra = [Spectrum(c.eigenvalues.cpu(), c.neurons, c.noise_dimension) for c in (c1, c2)]
    kept1, kept2 = (spectrum.kept for spectrum in spectra)
    overlaps = (c1.eigenvectors[:, :kept1].T @ c2.eigenvectors[:, :kept2]).cpu()
    first, second = (Visible.of(s.eigenvalues[None, : s.kept], s.gamma) for s in spectra)
    observed = agreement_statistics(first, second, overlaps[None], c1.dimension)
    chance = chance_statistics(first, second, c1.dimension, draws, generator)
    p_value = (1 + int((chance[..., 0] >= observed[:, 0]).sum())) / (1 + draws)
    simulated = simulate(spectra[0], spectra[1], c1.dimension, generator)
    if simulated.power < 0.5:
        return _withheld(Remark(Reason.UNDETECTABLE_POWER, (simulated.power,)), p_value)
    above = above_chance(observed, chance.mean(0))
    value, error = classical_calibration(simulated, above)
    reach = float(t.ppf(0.975, SAMPLES - 1)) * error
    return Calibration(value, value - reach, value + reach, p_value, (), True, _misfit(simulated, above))


def corrected_eigenvector_cosines(
    c1: WeightCovariance, c2: WeightCovariance, ranks: int
) -> Float64[Tensor, "r1 r2"]:
    """Cosines |⟨u_i, v_j⟩| of the population eigenvectors, estimated as |⟨û_i, v̂_j⟩| / (c_i c_j).

    c² is the overlap of sample with population eigenvector that the spiked model expects
    (`covalign.encoding.spiked.eigenvector_overlap`); chance is not subtracted. Values above 1 are noise, and
    left so that they can be seen. Rows and columns end at the last eigenvalue above the bulk edge.

    Args:
        c1: not shrunk.
        c2: not shrunk, in the same coordinates.
        ranks: how many of each; fewer where fewer stand out.

    Raises:
        InputError: different dimensions, shrunk covariances, or no ranks.
    """
    _checked(c1, c2, ranks)
    counted = []
    for c in (c1, c2):
        spikes = population_spike(c.eigenvalues, c.aspect_ratio)
        counted.append(eigenvector_overlap(spikes[spikes > 0], c.aspect_ratio)[:ranks].sqrt())
    left, right = counted
    cosines = (c1.eigenvectors[:, : len(left)].T @ c2.eigenvectors[:, : len(right)]).abs()
    return cosines / left[:, None] / right


def classical_calibration(simulated: Simulation, observed: Float64[Tensor, "1 3"]) -> tuple[float, float]:
    """Estimate of S* at the observed statistics, and its standard error."""
    truth = simulated.truth
    constant = torch.ones_like(truth)[:, None]
    terms = torch.cat([constant, simulated.statistics], 1)
    weights = _least_squares(terms, truth)
    index = terms @ weights
    line = torch.cat([constant, truth[:, None]], 1)
    offset, slope = _least_squares(line, index)
    value = float((weights[0] + observed[0] @ weights[1:] - offset) / slope)
    residual = (index - offset) / slope - truth
    squared = residual.square()
    bend = _least_squares(_powers(truth), squared)
    variance = float(_powers(torch.tensor([min(max(value, 0.0), 1.0)])) @ bend)
    points, fitted = len(truth), terms.shape[1] + line.shape[1]
    inflation = (points + fitted) / (points - fitted)
    return value, math.sqrt(inflation * max(variance, FLOOR * float(squared.mean())))


def _misfit(simulated: Simulation, observed: Float64[Tensor, "1 3"]) -> float:
    """D² of the module's docstring, over the range of simulated S*; infinite where the simulated ones do not vary."""
    truth = simulated.truth
    design = _powers(truth)
    q, r = torch.linalg.qr(design)
    weights = torch.linalg.solve_triangular(r, q.T @ simulated.statistics, upper=True)
    residual = simulated.statistics - design @ weights
    spread = residual.T @ residual / (len(truth) - design.shape[1])
    range_ = torch.linspace(float(truth.min()), float(truth.max()), GRID, dtype=torch.float64)
    away = observed - _powers(range_) @ weights
    solved, singular = torch.linalg.solve_ex(spread, away.T)
    return math.inf if int(singular) else float((away * solved.T).sum(1).min())


def _powers(of: Tensor) -> Float64[Tensor, "b 3"]:
    """1, s and s^2."""
    of = of.double()
    return torch.stack([torch.ones_like(of), of, of.square()], 1)


def _withheld(remark: Remark, p_value: float = math.nan) -> Calibration:
    return Calibration(math.nan, math.nan, math.nan, p_value, (remark,))


def _checked(c1: WeightCovariance, c2: WeightCovariance, draws: int) -> None:
    if c1.dimension != c2.dimension:
        raise InputError(
            f"covariances of dimensions {c1.dimension} and {c2.dimension} cannot be compared; "
            "align the narrower network to the wider"
        )
    if c1.shrunk or c2.shrunk:
        raise InputError("calibration: got a shrunk covariance, expected the original with its noise")
    if draws < 1:
        raise InputError(f"calibration: got {draws} draws or ranks, expected at least 1")


def _least_squares(design: Float64[Tensor, "b p"], target: Float64[Tensor, " b"]) -> Float64[Tensor, " p"]:
    """Least squares by QR: LAPACK's own driver gives other last bits from call to call."""
    q, r = torch.linalg.qr(design)
    solved: Tensor = torch.linalg.solve_triangular(r, (q.T @ target)[:, None], upper=True)
    return solved[:, 0]
