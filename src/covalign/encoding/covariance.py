"""What did a layer learn about its channels?

The weight covariance of ``n`` neurons ``W [n, d]`` in units of the initialization variance,

    C = W^T W / (n sigma^2) = V diag(lambda) V^T    (uncentred; Guth & Menard 2024, section 3.2),

is kept as eigenvalues and eigenvectors of rank r = min(n, d), never as a dense d x d matrix. Before
training its eigenvalues fill the Marchenko-Pastur bulk around 1; what training adds sticks out. `shrink`
removes the noise (eq. 3), `rotate` carries the covariance into another network's coordinates (eq. 2).
"""

from dataclasses import dataclass, replace

from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike
from covalign.encoding.alignment import Alignment
from covalign.encoding.signs import canonical_signs
from covalign.encoding.spectrum import WeightSpectrum, neuron_rows
from covalign.errors import InputError
from covalign.kernels.thin import squared_factors
from covalign.showing import Shown


@dataclass(frozen=True, eq=False, repr=False)
class WeightCovariance(Shown):
    """Eigendecomposition of a weight covariance.

    Attributes:
        eigenvalues: shape ``[r]``, descending, in units of ``init_variance``.
        eigenvectors: shape ``[d, r]``, orthonormal columns; signs are arbitrary but fixed.
        neurons: number n of rows it was estimated from.
        init_variance: sigma^2 of the initial weights.
        shrunk: whether noise has been removed from the eigenvalues.
        carried_from: dimension before it was carried into a wider network's coordinates; None where it was not.

    References:
        Guth & Ménard, "On the universality of neural encodings in CNNs", 2024, section 3.2.
    """

    eigenvalues: Float64[Tensor, " r"]
    eigenvectors: Float64[Tensor, "d r"]
    neurons: int
    init_variance: float = 1.0
    shrunk: bool = False
    carried_from: int | None = None

    @property
    def dimension(self) -> int:
        """Dimension d of the coordinates."""
        return self.eigenvectors.shape[0]

    @property
    def noise_dimension(self) -> int:
        """Dimension of a neuron and its noise: less than ``dimension`` in a wider network's coordinates."""
        return self.carried_from or self.dimension

    @property
    def aspect_ratio(self) -> float:
        """Gamma = d / n, d counting all coordinates of a neuron."""
        return self.noise_dimension / self.neurons

    @property
    def spectrum(self) -> WeightSpectrum:
        """The eigenvalues, without the directions that they belong to."""
        return WeightSpectrum(
            self.eigenvalues, self.neurons, self.noise_dimension, self.init_variance, self.shrunk
        )

    def shrink(self, method: str = "operator") -> "WeightCovariance":
        """Remove noise from the eigenvalues (eq. 3 by default); zeros are kept, eigenvectors too.

        Args:
            method: see `covalign.encoding.shrinkage.shrink_eigenvalues`.

        Raises:
            InputError: already shrunk, or an unknown method.
        """
        return replace(self, eigenvalues=self.spectrum.shrink(method).eigenvalues, shrunk=True)

    def rotate(self, alignment: Alignment) -> "WeightCovariance":
        """Return A C A^T (eq. 2), or (A x I_m) C (A x I_m)^T where the neurons are m = d / d1 times longer.

        The second form is for joint convolutions: neurons flattened (c_in, space), A acting on channels.

        Raises:
            InputError: d is not a multiple of d1, or A maps into fewer dimensions.
        """
        rotation = alignment.rotation.to(self.eigenvectors)
        d2, d1 = rotation.shape
        if self.dimension % d1 or d2 < d1:
            raise InputError(
                f"rotate: got an alignment [{d2}, {d1}] for neurons of dimension {self.dimension}, expected "
                "d2 >= d1 and a dimension that is a multiple of d1; align the narrower network to the wider"
            )
        blocks = self.eigenvectors.reshape(d1, -1)
        vectors = (rotation @ blocks).reshape(-1, len(self.eigenvalues))
        return replace(self, eigenvectors=vectors, carried_from=self.noise_dimension)

    @property
    def shrunken(self) -> "WeightCovariance":
        """This covariance without noise: itself if shrunk, else `shrink` with eq. 3."""
        return self if self.shrunk else self.shrink()

    @property
    def kept(self) -> int:
        """Number of eigenvalues that stand out of the noise."""
        return self.spectrum.kept

    @property
    def trace(self) -> float:
        """Sum of the eigenvalues."""
        return float(self.eigenvalues.sum())

    @property
    def effective_rank(self) -> float:
        """sum_k k lambda_k / sum_k lambda_k on shrunk eigenvalues (eq. 4); NaN where none is kept."""
        return self.spectrum.effective_rank

    @property
    def participation_ratio(self) -> float:
        """(tr C)^2 / tr C^2 on shrunk eigenvalues; NaN where none is kept."""
        return self.spectrum.participation_ratio

    @property
    def entropy_rank(self) -> float:
        """exp(-sum_k p_k log p_k) with p = lambda / sum lambda, shrunk; NaN where none is kept."""
        return self.spectrum.entropy_rank

    @property
    def stable_rank(self) -> float:
        """Return tr C / lambda_1 on shrunk eigenvalues; NaN where none is kept."""
        return self.spectrum.stable_rank


def weight_covariance(weight: ArrayLike, init_variance: float = 1.0) -> WeightCovariance:
    """Estimate a weight covariance from neurons, without forming a d x d matrix.

    C = W^T W / (n sigma^2), uncentred, of n neurons ``W [n, d]``; kept as C = V diag(lambda) V^T of rank min(n, d).

    Args:
        weight: ``[c_out, d]``, or a convolution's ``[c_out, c_in, k_h, k_w]``, flattened (c_in, space).
        init_variance: variance of the initial weights; 1 / (3 fan_in) for PyTorch's default initializer.

    Returns:
        Eigenvalues in units of ``init_variance``, not shrunk.

    Raises:
        InputError: unusable weights or variance.

    Example:
        Two neurons in three dimensions; nothing stands out of the bulk, whose upper edge is at 4.95:

        >>> c = weight_covariance([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
        >>> [round(value, 6) for value in c.eigenvalues.tolist()], c.kept
        ([2.0, 1.0], 0)

    References:
        Guth & Ménard, "On the universality of neural encodings in CNNs", 2024, section 3.2.
    """
    rows = neuron_rows(weight, init_variance)
    squares, vectors = squared_factors(rows)
    return WeightCovariance(
        squares / (len(rows) * init_variance),
        vectors * canonical_signs(vectors),
        len(rows),
        float(init_variance),
    )
