"""Mahalanobis distance of a clip's statistics from those of its machine's normal clips."""

from dataclasses import dataclass

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage

from humwatch.detectors.clip_statistics import PerMachineDetector, Standardiser, one_of

SHRINKAGES = (1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
FOLDS = 4


@dataclass
class Hyperparameters:
    """transform, statistics: see ClipStatistics. shrinkage: how far the correlation matrix is drawn to the identity,
    chosen on the normal training clips alone: "ledoit_wolf" (Ledoit & Wolf 2004), or "held_out": the one of SHRINKAGES
    under which clips left out (in FOLDS parts) are likeliest.
    """

    transform: str = "auto"
    statistics: str = "auto"
    shrinkage: str = "ledoit_wolf"


class Detector(PerMachineDetector):
    """Squared Mahalanobis distance, one Gaussian per machine id."""

    Hyperparameters = Hyperparameters
    kinds = ("distance",)

    def fit_one(self, vectors: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        mean, whiten = gaussian(vectors, self.hyperparameters.shrinkage, seed)
        return {"mean": mean, "whiten": whiten}

    def score_one(self, model: dict[str, np.ndarray], vectors: np.ndarray) -> np.ndarray:
        return squared_distance(vectors, model["mean"], model["whiten"])[:, None]


def gaussian(vectors: np.ndarray, shrinkage: str = "ledoit_wolf", seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Mean (size,) of vectors (clips, size), and whitening matrix (size, size): the distance from the mean, times it, squared.

    The matrix times its transpose is the inverse covariance; the correlations are shrunk, as Hyperparameters says.
    """
    standardise = Standardiser.fit(vectors)
    x = standardise(vectors)
    choice = one_of("shrinkage", shrinkage, ("ledoit_wolf", "held_out"))
    if x.std(axis=0).max() < 0.5:  # 1 in each dimension that changes at all
        x = np.zeros_like(x)  # not rounding errors, that would be blown up
    if len(x) < FOLDS or not x.any():
        chosen = 1.0  # so few clips, or copies of one, know nothing of correlations
    elif choice == "ledoit_wolf":
        chosen = ledoit_wolf_shrinkage(x, assume_centered=True)
    else:
        chosen = _held_out_shrinkage(x, seed)
    variances, axes = _principal(x)
    whiten = axes / np.sqrt(_shrunk(variances, chosen))
    return standardise.mean, whiten / standardise.std[:, None]


def squared_distance(vectors: np.ndarray, mean: np.ndarray, whiten: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distance of each vector from `mean`, (clips,)."""
    return np.square((vectors - mean) @ whiten).sum(axis=1)


def _principal(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances along the principal axes (size,), and the axes as columns (size, size)."""
    variances, axes = np.linalg.eigh(x.T @ x / len(x))
    return variances.clip(min=0), axes


def _shrunk(variances: np.ndarray, shrinkage: float) -> np.ndarray:
    """Towards the mean variance: that of Ledoit & Wolf, 1 but for bins that never change."""
    return (1 - shrinkage) * variances + shrinkage * (variances.mean() or 1.0)


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
