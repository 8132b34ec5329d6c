"""What will the first layer's energy profile be, given the images alone?

Four answers, from the simplest to the most exact; all from the model of a linear CNN (see `linear_cnn`),
with patches and labels centred. tau is training time.

1. `predicted_energy`: f_tau(lambda) = (1 - exp(-tau lambda^2)) / lambda, from single-patch statistics, as
   published. Rises like lambda (slope +1), peaks at tau lambda^2 = 1.2564, falls like 1/lambda: the whitening
   limit, reached at tau = infinity. It takes the patches of an image to be independent, which they are not.
2. `linear_cnn_energy`: the exact expectation over random labels, or the exact profile for given labels, with
   the covariance A of average patches; its diagonal approximation uses a_i = u_i^T A u_i only.
3. `trained_readout_energy`: the limit of training the readout as well, from small balanced weights.
4. `fit_energy`: tau chosen to agree best with a measured profile, beside the same fit on random weights.

The formula is an *expectation*: a single output's profile does not concentrate on it. Both |u_i^T b| and the
fit of one labelling keep a relative spread of sqrt(pi/2 - 1) = 0.76 however many images there are.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.errors import InputError
from covalign.first_layer.energy import EnergyProfile
from covalign.first_layer.linear_cnn import finite_time_gain
from covalign.first_layer.patches import PatchCovariance
from covalign.showing import Shown

PAPER_SEARCH = (9.3, 4673.0)
"""tau lambda_1^2 covered by the search in the authors' code, on CIFAR-10."""


@dataclass(frozen=True, eq=False, repr=False)
class Baseline(Shown):
    """The same fit on random initializations.

    Attributes:
        correlations: best correlation of each draw.
        mean: their mean.
        spread: their standard deviation.
    """

    correlations: Float64[Tensor, " draws"]
    mean: float
    spread: float


@dataclass(frozen=True, eq=False, repr=False)
class EnergyFit(Shown):
    """The one-parameter form fitted to a measured profile.

    Attributes:
        tau: training time of best agreement, in 1 / (pixel units)^2.
        correlation: Pearson correlation of measured and predicted e at that time.
        predicted: the prediction itself.
        baseline: what the fit reaches on random weights.
        p_value: share of random initializations that fit at least as well, (1 + count) / (1 + draws).
    """

    tau: float
    correlation: float
    predicted: EnergyProfile
    baseline: Baseline
    p_value: float


def predicted_energy(patch_covariance: PatchCovariance, tau: float | int) -> EnergyProfile:
    """The published one-parameter form: e_i = (1 - exp(-tau lambda_i^2)) / lambda_i, 0 where lambda_i = 0.

    Args:
        patch_covariance: of the images.
        tau: training time, in units of 1 / lambda^2; 2 eta K t / J for the linear CNN (see `linear_cnn_tau`).
            ``math.inf`` gives the whitening limit 1 / lambda_i.

    Returns:
        Energies ``[d]``, up to a common factor.

    Raises:
        InputError: a tau that is not positive.

    Example:
        After a long time it falls like 1 / lambda, so that responses to all components are equally strong:

        >>> from covalign.first_layer.patches import patch_covariance
        >>> patches = patch_covariance(torch.rand(9, 1, 8, 8), kernel_size=2)
        >>> (predicted_energy(patches, math.inf).energy * patches.standard_deviations).round(decimals=4).tolist()
        [1.0, 1.0, 1.0, 1.0]

    References:
        Chowers & Weiss, "What do CNNs learn in the first layer and why?", ICML 2023, theorem 4.2 and equation 7
        (factors that only rescale e or tau left out).
    """
    if not tau > 0:
        raise InputError(f"tau: got {tau}, expected a positive training time")
    return EnergyProfile(
        _one_parameter(patch_covariance.standard_deviations, torch.tensor([tau], dtype=torch.float64))[0]
    )


def linear_cnn_tau(rate: float | int, filters: int, steps: int, positions: int = 1) -> float:
    """The training time that a learning rate, width and number of steps imply in a linear CNN.

    2 eta K t / J where tau multiplies lambda^2 (pass the number of positions J), 2 eta K t where it
    multiplies the variances a_i of average patches. For a nonlinear network this is only a reference point:
    its "linear-CNN tau".
    """
    return 2 * rate * filters * steps / positions


def linear_cnn_energy(
    patch_covariance: PatchCovariance,
    tau: float | int,
    cross_covariance: ArrayLike | None = None,
    steps: int | None = None,
    diagonal: bool = False,
) -> EnergyProfile:
    """Energy profile of the linear CNN with fixed readout and its initial weights subtracted.

    With G = (1 - exp(-tau A)) / A and b_c = E[(x - E x)(y_c - E y_c)] over average patches x,

        e_i^2 = sum_c (u_i^T G b_c)^2            for given labels,
        e_i^2 = u_i^T G A G u_i                  in expectation over random labels, up to a factor,

    because random labels give b mean 0 and covariance A var(y) / n. ``diagonal`` replaces A by its diagonal
    a_i = u_i^T A u_i in the patch basis: (1 - exp(-tau a_i)) / sqrt(a_i), or / a_i times |u_i^T b|.

    Args:
        patch_covariance: of the images.
        tau: training time 2 eta K t (`linear_cnn_tau` with one position).
        cross_covariance: b, shape ``[d, outputs]`` (see `label_dependence`); None for random labels.
        steps: number of gradient steps; None takes steps to be infinitely small.
        diagonal: use the diagonal approximation.

    Raises:
        InputError: a tau that is not positive, or a cross-covariance of another length.
    """
    if not tau > 0:
        raise InputError(f"tau: got {tau}, expected a positive training time")
    axes = patch_covariance.eigenvectors
    if diagonal:
        modes, variances = axes, patch_covariance.average_variances
    else:
        variances, modes = torch.linalg.eigh(patch_covariance.average_covariance)
    variances = variances.clamp(min=0)
    gain = finite_time_gain(variances, tau, steps)
    if cross_covariance is None:
        amplitudes = torch.diag(variances.sqrt())
    else:
        amplitudes = modes.T @ _cross_covariance(cross_covariance, patch_covariance)
    learned = modes @ (gain[:, None] * amplitudes)
    return EnergyProfile((axes.T @ learned).norm(dim=1))


def trained_readout_energy(
    patch_covariance: PatchCovariance, cross_covariance: ArrayLike | None = None
) -> EnergyProfile:
    """Profile of a linear CNN whose readout is trained too, at convergence from small balanced weights.

    W^T W = (M^T M)^(1/2) with the least-squares map M = B A^{-1}, B = b^T. For as many independent labels as
    dimensions M^T M is proportional to A^{-1}, hence e ~ a^(-1/4) ~ lambda^(-1/2) instead of 1 / lambda; this
    expectation is what None for the labels gives.

    Args:
        patch_covariance: of the images.
        cross_covariance: b, shape ``[d, outputs]``; None for infinitely many random labels.
    """
    variances, modes = torch.linalg.eigh(patch_covariance.average_covariance)
    kept = variances > len(variances) * torch.finfo(torch.float64).eps * variances[-1]
    inverse = torch.where(kept, 1 / torch.where(kept, variances, 1.0), 0.0)
    if cross_covariance is None:
        amplitudes = torch.diag(inverse.sqrt())
    else:
        amplitudes = inverse[:, None] * (modes.T @ _cross_covariance(cross_covariance, patch_covariance))
    left, singular, _ = torch.linalg.svd(modes @ amplitudes, full_matrices=False)
    return EnergyProfile((patch_covariance.eigenvectors.T @ left * singular.sqrt()).norm(dim=1))


def fit_energy(
    profile: EnergyProfile,
    patch_covariance: PatchCovariance,
    draws: int = 200,
    seed: int = 0,
    search: tuple[float, float] | None = None,
) -> EnergyFit:
    """Fit the one-parameter form to a measured profile by maximizing the Pearson correlation of e over tau.

    The form is e_i = (1 - exp(-tau lambda_i^2)) / lambda_i (`predicted_energy`), tau in units of 1 / lambda^2.

    The baseline repeats the fit on ``draws`` random initializations of as many filters (independent Gaussian
    weights; 64 filters where the profile is itself a prediction): one free parameter alone explains a part
    of any profile.

    Args:
        profile: measured energy ``[d]``.
        patch_covariance: the patches that the profile was measured on.
        draws: number of random initializations.
        seed: of the random initializations.
        search: smallest and largest tau lambda_1^2; None covers everything from pure growth (all
            components proportional to lambda) to complete whitening. `PAPER_SEARCH` is the authors' range.

    Raises:
        InputError: a profile over other patches, a flat profile, patches without spread, or no draws.

    Example:
        A profile that has the form is fitted exactly, at its own tau; random filters are not:

        >>> from covalign.first_layer.patches import patch_covariance
        >>> walk = torch.randn(50, 1, 8, 8, generator=torch.Generator().manual_seed(0)).cumsum(-1)
        >>> patches = patch_covariance(walk, kernel_size=3)
        >>> fit = fit_energy(predicted_energy(patches, 0.3), patches, draws=20)
        >>> round(fit.tau, 3), round(fit.correlation, 6), fit.baseline.mean < 0.9
        (0.3, 1.0, True)

    References:
        Chowers & Weiss, "What do CNNs learn in the first layer and why?", ICML 2023, equation 7 and figure 7.
    """
    lam = patch_covariance.standard_deviations
    _check_fit(profile, lam, draws)
    smallest = lam[lam > 0].min()
    low, high = search or (1e-2, 1e2 * float(lam[0] / smallest) ** 2)
    grid = torch.logspace(math.log10(low), math.log10(high), 256, dtype=torch.float64) / lam[0] ** 2
    generator = torch.Generator().manual_seed(seed)
    shape = (draws, profile.filters or 64, len(lam))
    random = torch.stack(
        [torch.randn(shape[1:], generator=generator, dtype=torch.float64) for _ in range(draws)]
    )
    random_energy = random.square().mean(1).sqrt()
    (tau,), (best,) = _best_tau(profile.energy[None], lam, grid)
    _, correlations = _best_tau(random_energy, lam, grid)
    return EnergyFit(
        tau=float(tau),
        correlation=float(best),
        predicted=predicted_energy(patch_covariance, float(tau)),
        baseline=Baseline(correlations, float(correlations.mean()), float(correlations.std(correction=0))),
        p_value=(1 + int((correlations >= best).sum())) / (1 + draws),
    )


def _one_parameter(lam: Tensor, tau: Tensor) -> Float64[Tensor, "taus d"]:
    """f_tau(lambda) for many tau at once."""
    zero = lam == 0
    growth = -torch.expm1(-tau[:, None] * torch.where(zero, 1.0, lam).square())
    return torch.where(zero, 0.0, growth / lam)


def _best_tau(
    energies: Tensor, lam: Tensor, grid: Tensor
) -> tuple[Float64[Tensor, " m"], Float64[Tensor, " m"]]:
    """Best tau and correlation of each of ``m`` profiles: a logarithmic grid, then finer ones.

    The form is smooth on the scale of the first grid's spacing, so that its best point brackets the maximum.
    """
    centred = energies - energies.mean(1, keepdim=True)
    measured = centred / centred.norm(dim=1, keepdim=True)
    taus = grid.expand(len(energies), -1)
    for _ in range(6):
        curves = _one_parameter(lam, taus.flatten()).view(*taus.shape, -1)
        curves = curves - curves.mean(2, keepdim=True)
        correlations = torch.einsum("mgd,md->mg", curves / curves.norm(dim=2, keepdim=True), measured)
        best, index = correlations.max(1)
        rows = torch.arange(len(taus))
        below = taus[rows, (index - 1).clamp(min=0)].log()
        above = taus[rows, (index + 1).clamp(max=taus.shape[1] - 1)].log()
        chosen = taus[rows, index]
        steps = torch.linspace(0, 1, 17, dtype=torch.float64)
        taus = (below[:, None] + steps * (above - below)[:, None]).exp()
    return chosen, best


def _check_fit(profile: EnergyProfile, lam: Tensor, draws: int) -> None:
    if len(profile.energy) != len(lam):
        raise InputError(
            f"profile: got {len(profile.energy)} components and patches of dimension {len(lam)}, expected "
            "equal numbers; fit a profile to the patch covariance that it was measured on"
        )
    if float(profile.energy.std(correction=0)) <= 1e-12 * float(profile.energy.abs().max()):
        raise InputError(
            "profile: it is flat, expected energies that differ; are these weights still the initial ones?"
        )
    if float(lam.std(correction=0)) <= 1e-12 * float(lam[0]):
        raise InputError(
            "patch_covariance: all standard deviations are equal, so that every tau predicts a flat profile; "
            "use images with spatial structure"
        )
    if draws < 1:
        raise InputError(f"draws: got {draws}, expected at least one random initialization")


def _cross_covariance(value: ArrayLike, patches: PatchCovariance) -> Tensor:
    """Validated b, shape [d, outputs]."""
    cross = as_float64(value, "cross_covariance", "d outputs")
    if len(cross) != patches.dimension:
        raise InputError(
            f"cross_covariance: got {len(cross)} rows, expected {patches.dimension} as the patches have; "
            "compute it from the same kernel size and channels"
        )
    return cross
