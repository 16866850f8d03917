"""Distance from parts of a clip's statistics to those of the nearest normal clips of its machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from humwatch.detectors.base import CLIPS
from humwatch.detectors.clip_statistics import STATISTICS, TRANSFORM, vector_size
from humwatch.detectors.local_density import RESCALINGS, WHITENINGS, LocalDensity, parts
from humwatch.detectors.models import under
from humwatch.detectors.per_machine import DOMAINS, PerMachineDetector
from humwatch.parameters import parameter


@dataclass
class Hyperparameters:
    """Parameters of `ClipStatistics`, `local_density.parts` and `LocalDensity`."""

    transform: str = parameter(**TRANSFORM)
    statistics: str = parameter(**STATISTICS)
    neighbours: int = parameter(
        5,
        "Nearest training clips that a score is the mean over; of few, at most a tenth.",
        minimum=1,
        maximum=1_000_000,
    )
    density_neighbours: int = parameter(
        16, "Neighbours of a training clip that its local density is taken from.", minimum=1, maximum=1_000_000
    )
    whitening: str = parameter(
        "shrinkage",
        "How correlations within a part are taken out: by the shrinkage below, or ledoit_wolf; or not: standardise, none.",
        enum=[*WHITENINGS],
    )
    shrinkage: float = parameter(0.5, "Of the covariance, where whitening is shrinkage.", minimum=0, maximum=1)
    rescaling: str = parameter(
        "local_density",
        "What distances are divided by: the local density of the training clip, varmin (the power of it that makes normal clips' "
        "scores most alike), or none.",
        enum=[*RESCALINGS],
    )
    parts: str = parameter(
        "both",
        "What is compared by itself: bands (of modulation; or each statistic over time), groups of adjacent bins, both, or none.",
        enum=["both", "bands", "groups", "none"],
    )
    groups: int = parameter(6, "Groups of adjacent bins.", minimum=1, maximum=1000)
    top: int = parameter(
        3, "Strangest parts, of bands and of groups, that the score is the mean of.", minimum=1, maximum=1000
    )
    most: int | None = parameter(
        4000,
        "Training clips that are kept of a machine, of more, so many drawn by chance; null: all.",
        minimum=20,
        maximum=1_000_000,
    )
    domains: str = parameter(**DOMAINS)


class Detector(PerMachineDetector):
    """Nearest training clips of the id, in each part of a clip's statistics by itself: faults rarely change all of a sound.

    A part is a modulation band (or a statistic over time), or a group of adjacent bins. In each, whitened, a clip's score is the
    mean of its smallest ratios of the distance to a training clip over that clip's own mean distance to its neighbours, in units
    of the training clips' own scores; the mean over the `top` strangest parts of each kind is the clip's.

    Scores: "local_density", also called "score"; "distance", the same with distances as they are; "minimum", the least of these
    two and of the distance from the mean (all in units of training clips' own scores, as in arXiv 2606.19269); "bands" and
    "groups", whose mean local_density is.

    Defaults were chosen by leaving ids out (docs/detectors.md).
    """

    Hyperparameters = Hyperparameters
    scores: ClassVar[dict[str, Any]] = {
        "description": "local_density (also score), distance, or minimum: the least of them and of the distance from the mean.",
        "enum": ["score", "local_density", "distance", "minimum"],
    }
    chooses = False

    def __init__(self, **hyperparameters: Any) -> None:
        super().__init__(**hyperparameters)
        p = self.hyperparameters
        self.kinds = ("local_density", "distance", "minimum", *(("bands", "groups") if p.parts == "both" else ()))
        self.backend = LocalDensity(p.neighbours, p.density_neighbours, p.whitening, p.shrinkage, p.rescaling, p.most)

    @classmethod
    def training_bytes(cls, parameters: Mapping[str, Any], frames: int, bins: int) -> float:
        vector = vector_size(parameters["statistics"], frames, bins)
        rows, which, groups = vector // bins, parameters["parts"], min(parameters["groups"], bins)
        squares = {"none": vector**2, "bands": rows * bins**2, "groups": groups * (rows * -(-bins // groups)) ** 2}
        whiten = squares["bands"] + squares["groups"] if which == "both" else squares[which]
        return 8 * 10 * whiten + 40 * CLIPS * vector

    def fit_one(self, vectors: np.ndarray, domains: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        model: dict[str, np.ndarray] = {}
        for name, index in self._parts(vectors).items():
            fitted = [self.backend.fit(vectors[:, part], domains) for part in index]
            model |= {f"{name}_{key}": np.stack([one[key] for one in fitted]) for key in fitted[0]}
        return model

    def score_one(self, model: dict[str, np.ndarray], vectors: np.ndarray) -> np.ndarray:
        strangest = []
        for name, index in self._parts(vectors).items():
            own = under(f"{name}_", model)
            each = [
                self.backend.score({key: array[i] for key, array in own.items()}, vectors[:, part])
                for i, part in enumerate(index)
            ]
            strangest.append(np.sort(each, axis=0)[-self.hyperparameters.top :].mean(axis=0))
        by_cut = np.stack(strangest)  # (ways to cut, clips, kinds of local_density.KINDS)
        density, distance, gaussian = by_cut.mean(axis=0).T
        alone = by_cut[:, :, 0] if len(by_cut) > 1 else ()
        return np.column_stack([density, distance, np.min([density, distance, gaussian], axis=0), *alone])

    def _parts(self, vectors: np.ndarray) -> dict[str, np.ndarray]:
        rows = self.statistics.rows
        return parts(rows, vectors.shape[1] // rows, self.hyperparameters.parts, self.hyperparameters.groups)
