"""Distance from a clip's statistics to the nearest normal clip of its machine."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances

from humwatch.detectors.clip_statistics import PerMachineDetector, Standardiser

SMALLEST = 1e-9  # distance: that of a training clip from itself is 0


@dataclass
class Hyperparameters:
    """transform, statistics: see ClipStatistics. neighbours: how many the "distance" is the mean over.
    density_neighbours: of a training clip, how many the local density is taken from.
    """

    transform: str = "auto"
    statistics: str = "auto"
    neighbours: int = 1
    density_neighbours: int = 16


class Detector(PerMachineDetector):
    """Nearest training clips of the id, by Euclidean distance in standardised statistics.

    Scores, as logarithms: "distance", the mean distance to the nearest `neighbours`; "local_density", the least of the
    distances to a training clip over that clip's own mean distance to its `density_neighbours` nearest (Wilkinghoff et al.
    2025, "Keeping the balance: anomaly score calculation for domain generalization"), for machines whose normal sounds
    are of several kinds, some more varied than others; "score", for each machine type, the better of the two.
    transform, statistics: see ClipStatistics.
    """

    Hyperparameters = Hyperparameters
    kinds = ("distance", "local_density")

    def fit_one(self, vectors: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        standardise = Standardiser.fit(vectors)
        clips = standardise(vectors).astype(np.float32)
        among = np.sort(euclidean_distances(clips), axis=1)[:, 1 : 1 + self.hyperparameters.density_neighbours]
        spacing = among.mean(axis=1) if len(clips) > 1 else np.ones(1)
        # Copies of one recording have no spacing, which must not make all other sounds infinitely far.
        spacing = np.maximum(spacing, 0.01 * (spacing.mean() or 1))
        return {"mean": standardise.mean, "std": standardise.std, "clips": clips, "spacing": spacing.astype(np.float32)}

    def score_one(self, model: dict[str, np.ndarray], vectors: np.ndarray) -> np.ndarray:
        x = Standardiser(model["mean"], model["std"])(vectors).astype(np.float32)
        distances = euclidean_distances(x, model["clips"])  # (clips, training clips)
        count = min(self.hyperparameters.neighbours, distances.shape[1])
        nearest = np.partition(distances, count - 1, axis=1)[:, :count].mean(axis=1)
        raw = np.column_stack([nearest, (distances / model["spacing"]).min(axis=1)])
        return np.log(np.maximum(raw, SMALLEST), dtype=np.float64)
