"""What normal vectors look like, and how far others are from that: a Gaussian, nearest neighbours."""

import itertools
from dataclasses import dataclass

import numpy as np

SHRINKAGES = (1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
FOLDS = 4
BLOCK = 1000  # dimensions whose covariances are summed at once
SMALLEST = 1e-9  # distance: that of a training clip from itself is 0
LEAST_VARIANCE = 1e-6  # of the mean one, that what never changed has
LEAST_SPREAD = 1e-6  # of logarithms, below which they differ by rounding alone


@dataclass
class Standardiser:
    """Each dimension to mean 0 and standard deviation 1 on the clips that it was fitted on.

    A dimension that never changed there is given the median standard deviation of the others: a change in it later is
    an anomaly, neither infinite nor none.

    Attributes
    ----------
    mean, std : (size,)
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def fit(cls, vectors: np.ndarray) -> "Standardiser":
        mean, std = vectors.mean(axis=0), vectors.std(axis=0)
        changes = std > 1e-9 * np.maximum(min(1.0, np.abs(vectors).max()), np.abs(mean))
        return cls(mean, np.where(changes, std, np.median(std[changes]) if changes.any() else 1.0))

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        return (vectors - self.mean) / self.std

    def of_training(self, vectors: np.ndarray) -> np.ndarray:
        """As a call, of the vectors that were fitted: 0 where they differ by rounding alone, which would be blown up."""
        x = self(vectors)
        return x if x.std(axis=0).max() >= 0.5 else np.zeros_like(x)  # 1 in each dimension that changes at all


def gaussian(
    vectors: np.ndarray, shrinkage: str | float = "ledoit_wolf", seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A Gaussian of vectors, whose correlations are shrunk towards the identity.

    Parameters
    ----------
    vectors : (clips, size)
    shrinkage
        "ledoit_wolf"; "held_out", the one of SHRINKAGES under which clips left out, in FOLDS parts, are likeliest; or a
        number, from 0 to 1.
    seed
        Of the draw of these parts.

    Returns
    -------
    mean : (size,)
    whiten : (size, size)
        The matrix that whitens differences from the mean: times its transpose, it is the inverse covariance.

    References
    ----------
    Ledoit & Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices".
    """
    standardise = Standardiser.fit(vectors)
    x = standardise.of_training(vectors)
    if len(x) < FOLDS or not x.any():
        chosen = 1.0  # so few clips, or copies of one, know nothing of correlations
    elif isinstance(shrinkage, int | float):
        chosen = shrinkage
    elif shrinkage == "ledoit_wolf":
        chosen = ledoit_wolf(x)
    else:
        chosen = _held_out_shrinkage(x, seed)
    variances, axes = _principal(x)
    whiten = axes / np.sqrt(_shrunk(variances, chosen))
    return standardise.mean, whiten / standardise.std[:, None]


def ledoit_wolf(x: np.ndarray) -> float:
    """The shrinkage of the covariance towards its mean variance that comes nearest to the true covariance.

    The same bytes as scikit-learn's ledoit_wolf_shrinkage, which takes a second to load.

    Parameters
    ----------
    x : (clips, size)
        Of mean 0.

    References
    ----------
    Ledoit & Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices".
    """
    clips, size = x.shape
    squares = x**2
    of_squares = of_products = 0.0
    blocks = [slice(first, first + BLOCK) for first in range(0, size, BLOCK)]
    for rows, columns in itertools.product(blocks, repeat=2):
        of_squares += np.sum(squares.T[rows] @ squares[:, columns])
        of_products += np.sum((x.T[rows] @ x[:, columns]) ** 2)
    of_products /= clips**2
    variances = squares.sum(axis=0) / clips
    mean = variances.sum() / size
    distance = (of_products - 2 * mean * variances.sum() + size * mean**2) / size  # of the covariance from its target
    error = min(1 / (size * clips) * (of_squares / clips - of_products), distance)
    return float(error / distance) if error and size > 1 else 0.0


def without_domains(vectors: np.ndarray, domains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors, each domain's moved so that its mean is that of the first.

    A model of these judges every domain by what all vary in.

    Parameters
    ----------
    vectors : (clips, ...)
    domains : (clips,) int

    Returns
    -------
    moved : (clips, ...)
    offsets : (domains, ...)
        By which each domain's were moved.
    """
    numbers = np.unique(domains, return_inverse=True)[1]
    means = np.stack([vectors[numbers == number].mean(axis=0) for number in np.unique(numbers)])
    offsets = means - means[0]
    return vectors - offsets[numbers], offsets


def squared_distance(vectors: np.ndarray, mean: np.ndarray, whiten: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distance of each vector from the mean.

    Parameters
    ----------
    vectors : (clips, size)
    mean, whiten : (size,), (size, size)
        As from `gaussian`.

    Returns
    -------
    (clips,)
    """
    return np.square((vectors - mean) @ whiten).sum(axis=1)


def distances(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Euclidean distance of each vector from each of the others.

    The same bytes as scikit-learn's euclidean_distances, which takes a second to load.

    Parameters
    ----------
    vectors : (vectors, size)
    others : (others, size)

    Returns
    -------
    (vectors, others) float32
    """
    x, y = vectors.astype(np.float64), others.astype(np.float64)
    squares = -2 * (x @ y.T)
    squares += np.einsum("ij,ij->i", x, x)[:, None]
    squares += np.einsum("ij,ij->i", y, y)
    if others is vectors:
        np.fill_diagonal(squares, 0)
    return np.sqrt(np.maximum(squares.astype(np.float32), 0))


def log_distances(*kinds: np.ndarray) -> np.ndarray:
    """Logarithms of several kinds of distance.

    Parameters
    ----------
    *kinds : (clips,) each

    Returns
    -------
    (clips, kinds) float64
    """
    return np.log(np.maximum(np.column_stack(kinds), SMALLEST), dtype=np.float64)


def center_and_spread(raw: np.ndarray) -> np.ndarray:
    """Median and standard deviation of normal clips' raw scores, which are logarithms; where all are alike, 1.

    Parameters
    ----------
    raw : (clips, kinds)

    Returns
    -------
    (2, kinds)
    """
    std = raw.std(axis=0)
    return np.stack([np.median(raw, axis=0), np.where(std > LEAST_SPREAD, std, 1)])


def spread(scores: np.ndarray) -> float:
    """Standard deviation of scores, (clips,); 1 where they differ by rounding alone."""
    std = float(scores.std())
    return std if std > 1e-9 * float(np.abs(scores).max()) + 1e-12 else 1.0


def calibrated(raw: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Raw scores in units of normal clips.

    Parameters
    ----------
    raw : (clips, kinds)
    normal : (2, kinds)
        Of the normal clips, as from `center_and_spread`.

    Returns
    -------
    (clips, kinds)
    """
    center, spread = normal
    return (raw - center) / spread


def _principal(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances along the principal axes (size,), and the axes as columns (size, size)."""
    variances, axes = np.linalg.eigh(x.T @ x / len(x))
    return variances.clip(min=0), axes


def _shrunk(variances: np.ndarray, shrinkage: float) -> np.ndarray:
    """Towards the mean variance: that of Ledoit & Wolf, 1 but for bins that never change."""
    mean = variances.mean() or 1.0
    return np.maximum((1 - shrinkage) * variances + shrinkage * mean, LEAST_VARIANCE * mean)


def _held_out_shrinkage(x: np.ndarray, seed: int) -> float:
    part = np.random.default_rng(seed).permutation(len(x)) % FOLDS
    log_likelihood = np.zeros(len(SHRINKAGES))
    for fold in range(FOLDS):
        variances, axes = _principal(x[part != fold])
        squares = np.square(x[part == fold] @ axes)  # (clips left out, size)
        for i, shrinkage in enumerate(SHRINKAGES):
            shrunk = _shrunk(variances, shrinkage)
            log_likelihood[i] -= (squares / shrunk + np.log(shrunk)).sum()
    return SHRINKAGES[int(log_likelihood.argmax())]
