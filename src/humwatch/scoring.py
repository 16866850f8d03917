"""From the errors of a clip's windows to the clip's scores, and from a feature file to a table of scores."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from humwatch.detectors.base import BaseDetector
from humwatch.errors import InputError
from humwatch.features.store import Features

TOP_SHARE = 0.1


def pool(errors: np.ndarray, per_clip: np.ndarray) -> dict[str, np.ndarray]:
    """Reduce window errors to clip scores by every pooling.

    errors: (windows of all clips,). per_clip: (clips,) windows of each. Returns mean, median, std (over time, Haunschmid &
    Praher 2020), max, and top_k (mean of the largest tenth), each (clips,) float64.
    """
    pooled: dict[str, list[float]] = {name: [] for name in ("mean", "median", "std", "max", "top_k")}
    for clip in np.split(errors.astype(np.float64), np.cumsum(per_clip)[:-1]):
        top = max(round(TOP_SHARE * len(clip)), 1)
        pooled["mean"].append(clip.mean())
        pooled["median"].append(float(np.median(clip)))
        pooled["std"].append(clip.std())
        pooled["max"].append(clip.max())
        pooled["top_k"].append(np.partition(clip, -top)[-top:].mean())
    return {name: np.array(values) for name, values in pooled.items()}


def score_table(detector: BaseDetector, parts: Iterable[Features]) -> pd.DataFrame:
    """A row per clip: the clip's columns and one column per score of the detector."""
    tables = [pd.concat([part.clips, pd.DataFrame(_checked(detector, part))], axis=1) for part in parts if len(part)]
    return pd.concat(tables, ignore_index=True)


def _checked(detector: BaseDetector, part: Features) -> dict[str, np.ndarray]:
    """The detector's scores, if they are one for each clip."""
    scores = detector.score(part)
    if not isinstance(scores, dict) or any(np.shape(values) != (len(part),) for values in scores.values()):
        raise InputError(
            f"detectors/{detector.name}.py: score must return name -> one score per clip, arrays of {len(part)} values here"
        )
    return scores
