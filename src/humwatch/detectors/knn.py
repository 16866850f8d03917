"""Distance from a clip's statistics to the nearest normal clip of its machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from humwatch.detectors.backends import Standardiser, distances, log_distances, spacing
from humwatch.detectors.base import CLIPS
from humwatch.detectors.clip_statistics import STATISTICS, TRANSFORM, vector_size
from humwatch.detectors.per_machine import PerMachineDetector
from humwatch.parameters import parameter


@dataclass
class Hyperparameters:
    """transform, statistics: see ClipStatistics."""

    transform: str = parameter(**TRANSFORM)
    statistics: str = parameter(**STATISTICS)
    neighbours: int = parameter(
        1, "Nearest training clips that the distance is the mean over.", minimum=1, maximum=1_000_000
    )
    density_neighbours: int = parameter(
        16, "Neighbours of a training clip that its local density is taken from.", minimum=1, maximum=1_000_000
    )


class Detector(PerMachineDetector):
    """Nearest training clips of the id, by Euclidean distance in standardised statistics.

    Scores, as logarithms: "distance", the mean distance to the nearest `neighbours`; "local_density", the least of the
    distances to a training clip over that clip's own mean distance to its `density_neighbours` nearest (Wilkinghoff et al.
    2025, "Keeping the balance: anomaly score calculation for domain generalization"), for machines whose normal sounds
    are of several kinds, some more varied than others; "score", for each machine type, the better of the two.
    """

    Hyperparameters = Hyperparameters
    scores: ClassVar[dict[str, Any]] = {
        "description": (
            "distance, local_density, or score: the better of the two for each machine type, by normal clips alone."
        ),
        "enum": ["score", "distance", "local_density"],
    }
    kinds = ("distance", "local_density")

    @classmethod
    def training_bytes(cls, parameters: Mapping[str, Any], frames: int, bins: int) -> float:
        return 24 * CLIPS * vector_size(parameters["statistics"], frames, bins)

    def fit_one(self, vectors: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        standardise = Standardiser.fit(vectors)
        clips = standardise(vectors).astype(np.float32)
        own = spacing(clips, self.hyperparameters.density_neighbours)
        return {"mean": standardise.mean, "std": standardise.std, "clips": clips, "spacing": own}

    def score_one(self, model: dict[str, np.ndarray], vectors: np.ndarray) -> np.ndarray:
        x = Standardiser(model["mean"], model["std"])(vectors).astype(np.float32)
        found = distances(x, model["clips"])  # (clips, training clips)
        count = min(self.hyperparameters.neighbours, found.shape[1])
        nearest = np.partition(found, count - 1, axis=1)[:, :count].mean(axis=1)
        return log_distances(nearest, (found / model["spacing"]).min(axis=1))
