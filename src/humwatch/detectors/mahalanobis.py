"""Mahalanobis distance of a clip's statistics from those of its machine's normal clips."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from humwatch.detectors.backends import gaussian, squared_distance, without_domains
from humwatch.detectors.base import CLIPS
from humwatch.detectors.clip_statistics import STATISTICS, TRANSFORM, vector_size
from humwatch.detectors.per_machine import DOMAINS, PerMachineDetector
from humwatch.parameters import parameter


@dataclass
class Hyperparameters:
    """Parameters of `ClipStatistics` and `backends.gaussian`; the shrinkage is chosen on normal training clips alone."""

    transform: str = parameter(**TRANSFORM)
    statistics: str = parameter(**STATISTICS)
    shrinkage: str = parameter("ledoit_wolf", "How the covariance is regularised.", enum=["ledoit_wolf", "held_out"])
    domains: str = parameter(**DOMAINS)


class Detector(PerMachineDetector):
    """Squared Mahalanobis distance, one Gaussian per machine id: of several domains' means, from the nearest."""

    Hyperparameters = Hyperparameters
    scores: ClassVar[dict[str, Any]] = {"description": "The distance.", "enum": ["score", "distance"]}
    kinds = ("distance",)
    chooses = False

    @classmethod
    def training_bytes(cls, parameters: Mapping[str, Any], frames: int, bins: int) -> float:
        vector = vector_size(parameters["statistics"], frames, bins)
        return 8 * 10 * vector**2 + 24 * CLIPS * vector

    def fit_one(self, vectors: np.ndarray, domains: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        moved, offsets = without_domains(vectors, domains)
        mean, whiten = gaussian(moved, self.hyperparameters.shrinkage, seed)
        return {"mean": mean + offsets, "whiten": whiten}

    def score_one(self, model: dict[str, np.ndarray], vectors: np.ndarray) -> np.ndarray:
        each = [squared_distance(vectors, mean, model["whiten"]) for mean in model["mean"]]
        return np.min(each, axis=0)[:, None]
