"""Gaussian mixtures of time-weighted spectra: the mean over time, the maximum, and all between."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from humwatch.detectors.backends import Standardiser, ledoit_wolf, without_domains
from humwatch.detectors.base import CLIPS
from humwatch.detectors.clip_statistics import TRANSFORM, ClipStatistics
from humwatch.detectors.per_machine import DOMAINS, PerMachineDetector
from humwatch.errors import shown
from humwatch.features.store import Features
from humwatch.parameters import parameter

if TYPE_CHECKING:
    from humwatch.features.base import BaseFeature

TOLERANCE = 1e-6
ITERATIONS = 1000  # that tolerance takes more than scikit-learn's 100
REGULARISATION = 1e-6


@dataclass
class Hyperparameters:
    """What the mixtures are fitted on, and how.

    The regularisation is added to the variances of the standardised bins: "paper" is 1e-6 whatever the data; "ledoit_wolf"
    is s / (1 - s), s the shrinkage that is right for so many clips and bins (and 1e-6 at least): with fewer clips than
    bins there is no covariance without it.
    """

    transform: str = parameter(**TRANSFORM)
    r: list[float] = parameter(
        [0.95, 1.0, 0.99, 0.98, 0.9, 0.8, 0.5, 0.0],
        "The curve of time weightings: 1 is the mean over time, 0 the maximum.",
        minItems=1,
        maxItems=100,
        items={"type": "number", "minimum": 0, "maximum": 1},
    )
    components: int = parameter(2, "Gaussians of each mixture.", minimum=1, maximum=1000)
    regularisation: str = parameter(
        "ledoit_wolf",
        "What is added to the variances: paper (1e-6), or ledoit_wolf (as much as so few clips need).",
        enum=["paper", "ledoit_wolf"],
    )
    domains: str = parameter(**DOMAINS)


class Detector(PerMachineDetector):
    """TWFR-GMM: Gaussian mixtures of spectra whose frames are weighted by rank over time.

    Each bin's values are sorted over time, the greatest first, and averaged with weights r^0, r^1, r^2, ...: r = 0 is
    the maximum, r = 1 the mean. One full-covariance mixture per machine id and r; the score is minus the log density of
    the best component, its weight left out, as in the authors' program.

    The whole curve over r is had in one pass, as the scores "r_0.00" ... "r_1.00". "score" is the best r of the list for
    each machine type, chosen by normal clips alone (see PerMachineDetector), or the first where they cannot tell; the
    authors chose it by test labels.

    References
    ----------
    Guan et al. 2023, "Time-weighted frequency domain audio representation with GMM estimator for anomalous sound detection",
    https://arxiv.org/abs/2305.03328.
    """

    Hyperparameters = Hyperparameters
    scores: ClassVar[dict[str, Any]] = {
        "description": "score: the r chosen by normal clips alone; or r_0.95 and the like, of the r above.",
        "type": "string",
        "pattern": r"^(score|r_[01]\.[0-9][0-9])$",
        "says": "score, or r_0.95 and the like",
    }

    def __init__(self, **hyperparameters: Any) -> None:
        super().__init__(**hyperparameters)
        self.kinds = kinds_of(self.hyperparameters.r)

    @classmethod
    def problems(
        cls, parameters: Mapping[str, Any], feature: "BaseFeature", frames: int | None
    ) -> Iterator[tuple[str, str]]:
        yield from super().problems(parameters, feature, frames)
        r, score = parameters["r"], parameters["score"]
        if len({*kinds_of(r)}) < len(r):
            yield "r", f"is {shown(r)}, of which several are the same to two decimals: remove all but one"
        if score not in ("score", *kinds_of(r)):
            names = ", ".join(kinds_of(r)[:20])
            yield "score", f"is {score}, which r does not make: it must be one of score, {names}, or add to r"

    @classmethod
    def training_bytes(cls, parameters: Mapping[str, Any], frames: int, bins: int) -> float:
        number = len(parameters["r"])
        return 4 * 8 * number * parameters["components"] * bins**2 + 24 * CLIPS * number * bins

    def vectors(self, features: Features) -> np.ndarray:
        """Time-weighted spectra.

        Returns
        -------
        (clips, r, bins)
        """
        transform = self.statistics.transform
        return np.array(
            [time_weighted(transform(features.clip(i)), self.hyperparameters.r) for i in range(len(features))]
        )

    def fit_one(self, vectors: np.ndarray, domains: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        moved, offsets = without_domains(vectors, domains)
        fitted = [self._mixture(moved[:, i], seed) for i in range(moved.shape[1])]
        return {"offsets": offsets} | {name: np.stack([one[name] for one in fitted]) for name in fitted[0]}

    def score_one(self, model: dict[str, np.ndarray], vectors: np.ndarray) -> np.ndarray:
        return np.min([self._of_domain(model, vectors - offset) for offset in model["offsets"]], axis=0)

    def _of_domain(self, model: dict[str, np.ndarray], vectors: np.ndarray) -> np.ndarray:
        scores = np.empty(vectors.shape[:2])  # (clips, r)
        for i in range(vectors.shape[1]):
            x = Standardiser(model["mean"][i], model["std"][i])(vectors[:, i])
            components = zip(model["centres"][i], model["whiten"][i], strict=True)
            scores[:, i] = np.min([_minus_log_density(x, *component) for component in components], axis=0)
        return scores

    def _statistics(self) -> ClipStatistics:
        return ClipStatistics(self.hyperparameters.transform, "moments")  # for its transform: the weights do the rest

    def _mixture(self, vectors: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """Of one machine and one r: vectors (clips, bins)."""
        from sklearn.mixture import GaussianMixture

        standardise = Standardiser.fit(vectors)
        x = standardise.of_training(vectors)
        distinct = len(np.unique(x, axis=0))
        regularisation = REGULARISATION
        if distinct == 1:
            regularisation = 1.0
        elif self.hyperparameters.regularisation == "ledoit_wolf":
            shrinkage = min(ledoit_wolf(x), 0.5)
            regularisation = max(REGULARISATION, shrinkage / (1 - shrinkage))
        components = min(self.hyperparameters.components, distinct)
        x = x if len(x) > 1 else np.repeat(x, 2, axis=0)  # scikit-learn wants two
        mixture = GaussianMixture(
            components, tol=TOLERANCE, max_iter=ITERATIONS, reg_covar=regularisation, random_state=seed % 2**32
        ).fit(x)
        every = np.minimum(np.arange(self.hyperparameters.components), components - 1)  # as many for each r
        return {
            "mean": standardise.mean,
            "std": standardise.std,
            "centres": mixture.means_[every],
            "whiten": mixture.precisions_cholesky_[every],
        }


def kinds_of(r: list[float]) -> list[str]:
    """The name of each r's score."""
    return [f"r_{value:.2f}" for value in r]


def time_weighted(frames: np.ndarray, r: list[float]) -> np.ndarray:
    """Means over time, sorted in each bin, in which the i-th greatest value has the weight r^i.

    Parameters
    ----------
    frames : (frames, bins)

    Returns
    -------
    (len(r), bins)
    """
    weights = np.power(np.asarray(r, float)[:, None], np.arange(len(frames)))  # 0 ** 0 is 1: the maximum
    return weights / weights.sum(axis=1, keepdims=True) @ -np.sort(-frames, axis=0)


def _minus_log_density(x: np.ndarray, centre: np.ndarray, whiten: np.ndarray) -> np.ndarray:
    """Of a Gaussian: whiten @ whiten.T is the inverse of its covariance."""
    squares = np.square((x - centre) @ whiten).sum(axis=1)
    return 0.5 * (squares + len(centre) * np.log(2 * np.pi)) - np.log(np.diag(whiten)).sum()
