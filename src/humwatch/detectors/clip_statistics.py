"""One vector per clip, of any number of frames."""

import numpy as np

from humwatch.detectors.base import Rules
from humwatch.detectors.energies import log_floor
from humwatch.errors import InputError
from humwatch.features.store import Features

FEW_FRAMES = 16  # clips of so few frames are one vector as they are: the 8 modulation bands of modspec
QUANTILES = (0.05, 0.5, 0.95)
SCALES = (1, 4, 16, 64)  # frames: of log-mel at 16 kHz, 32 ms to 2 s
GAMMAS = {"rdp_4": 4, "rdp_8": 8}

TRANSFORM: Rules = {
    "default": "auto",
    "description": (
        "log: features are energies; none: take them as they are; auto: log where no training value is negative, but for "
        "embeddings."
    ),
    "enum": ["auto", "log", "none"],
}
STATISTICS: Rules = {
    "default": "auto",
    "description": (
        "How a clip becomes one vector: flatten (few frames), mean, moments, quantiles, scales, rdp (frames weighted by their "
        "deviation to the power of 4 or 8); auto chooses by the number of frames."
    ),
    "enum": ["auto", "flatten", "mean", "moments", "quantiles", "scales", *GAMMAS],
}


class Transform:
    """Energies to logarithms, ln(x + floor); decibels as they are.

    The floor of a bin is that of its training values.

    Parameters
    ----------
    kind
        "log", "none", or "auto": "log" where no training value is negative. Embeddings stay as they are, even of a network that
        ends in a rectifier.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.floor = np.zeros(0)  # (bins,), empty where there is no logarithm

    def fit(self, train: Features) -> None:
        if len(train) == 0:
            raise InputError("there is no training clip: widen the trial's scope or add recordings")
        negative = train.values.min() < 0
        if self.kind == "log" and negative:
            raise InputError("transform is 'log', but the feature has negative values: use transform 'none'")
        are_energies = not negative and train.parameters.get("source") != "embedding"
        if self.kind == "log" or (self.kind == "auto" and are_energies):
            floor = log_floor(train.values).astype(np.float64)
            self.floor = np.maximum(floor, np.finfo(np.float32).tiny)  # some bins are silent throughout

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Frames, as logarithms or as they are.

        Parameters
        ----------
        frames : (frames, bins)

        Returns
        -------
        (frames, bins) float64
        """
        frames = frames.astype(np.float64)
        return np.log(frames.clip(min=0) + self.floor) if len(self.floor) else frames


class ClipStatistics:
    """One vector of each clip, whatever its number of frames.

    Parameters
    ----------
    transform
        As the kind of `Transform`.
    statistics
        "flatten" lays the frames out one after the other, which needs clips of equally many frames; "mean" is each bin's mean
        over time; "moments" adds the standard deviation, "quantiles" also the 0.05, 0.5 and 0.95 quantile; "scales" adds to the
        mean the standard deviation of means over 1, 4, 16 and 64 frames, 0 where a clip has fewer; "rdp_4" and "rdp_8" are
        relative deviation pooling, a mean in which a frame's weight is its distance from the plain mean to that power; "auto" is
        "flatten" where all training clips have the same few frames (up to 16), else "quantiles".

    References
    ----------
    Wilkinghoff et al. 2026, "Temporal Pooling Strategies for Training-Free Anomalous Sound Detection with Self-Supervised Audio
    Embeddings", arXiv 2603.04605: relative deviation pooling, by its description.
    """

    def __init__(self, transform: str, statistics: str) -> None:
        self.transform = Transform(transform)
        self.statistics = statistics
        self.frames = 0  # of each clip, where they are laid out; else 0

    def fit(self, train: Features) -> "ClipStatistics":
        """Learn the floor, and how many frames a clip has."""
        self.transform.fit(train)
        counts = np.unique(np.diff(train.starts))
        if self.statistics == "flatten" and len(counts) > 1:
            raise InputError(
                f"statistics is 'flatten', but training clips have {counts[0]} to {counts[-1]} frames: use 'moments'"
            )
        few = len(counts) == 1 and counts[0] <= FEW_FRAMES
        if self.statistics == "flatten" or (self.statistics == "auto" and few):
            self.frames = int(counts[0])
        return self

    def __call__(self, features: Features) -> np.ndarray:
        """The clips' vectors.

        Returns
        -------
        (clips, size) float64
        """
        counts = np.diff(features.starts)
        if self.frames:
            for i in np.flatnonzero(counts != self.frames):
                raise InputError(
                    f"clip {features.clips['clip'].iloc[i]} has {counts[i]} frames, the model was trained on clips of "
                    f"{self.frames}: use clips of the same length"
                )
            return self.transform(features.values).reshape(len(features), self.frames * features.values.shape[1])
        vectors = [self._summary(self.transform(features.clip(i))) for i in range(len(features))]
        return np.array(vectors).reshape(len(features), self._parts * features.values.shape[1])

    def state(self) -> dict[str, np.ndarray]:
        return {"statistics.floor": self.transform.floor, "statistics.frames": np.array(self.frames)}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        self.transform.floor = state["statistics.floor"]
        self.frames = int(state["statistics.frames"])

    @property
    def rows(self) -> int:
        """Rows of bins that a vector consists of: frames, or statistics over time."""
        return self.frames or self._parts

    @property
    def _parts(self) -> int:
        return _rows(self.statistics)

    def _summary(self, frames: np.ndarray) -> np.ndarray:
        if self.statistics == "mean":
            return frames.mean(axis=0)
        if gamma := GAMMAS.get(self.statistics):
            return _deviant_mean(frames, gamma)
        if self.statistics == "scales":
            return np.concatenate([frames.mean(axis=0), *(_deviation(frames, scale) for scale in SCALES)])
        parts = [frames.mean(axis=0), frames.std(axis=0)]
        if self.statistics != "moments":
            parts.extend(np.quantile(frames, QUANTILES, axis=0))
        return np.concatenate(parts)


def _deviation(frames: np.ndarray, scale: int) -> np.ndarray:
    """Standard deviation over time of the means over so many frames each, (bins,)."""
    count = len(frames) // scale
    if not count:
        return np.zeros(frames.shape[1])
    return frames[: count * scale].reshape(count, scale, -1).mean(axis=1).std(axis=0)


def _deviant_mean(frames: np.ndarray, gamma: int) -> np.ndarray:
    """Mean over time, frames weighted by their distance from the plain mean to a power, (bins,)."""
    mean = frames.mean(axis=0)
    distance = np.linalg.norm(frames - mean, axis=1)
    if not distance.any():
        return mean
    weights = (distance / distance.max()) ** gamma
    return weights @ frames / weights.sum()


def vector_size(statistics: str, frames: int, bins: int) -> int:
    """Number of values of a clip's vector: an estimate, where clips may differ in their frames."""
    if statistics == "flatten" or (statistics == "auto" and frames <= FEW_FRAMES):
        return frames * bins
    return _rows(statistics) * bins


def _rows(statistics: str) -> int:
    """Statistics over time of each bin."""
    return {"mean": 1, **dict.fromkeys(GAMMAS, 1), "moments": 2, "scales": 1 + len(SCALES)}.get(
        statistics, 2 + len(QUANTILES)
    )
