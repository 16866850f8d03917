"""From a feature file to a table of scores."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from humwatch.detectors.base import BaseDetector
from humwatch.errors import InputError
from humwatch.features.store import Features


def score_table(detector: BaseDetector, parts: Iterable[Features]) -> pd.DataFrame:
    """A row per clip: the clip's columns and one column per score of the detector.

    Raises
    ------
    InputError
        The detector does not give one score per clip.
    """
    tables = [pd.concat([part.clips, pd.DataFrame(_checked(detector, part))], axis=1) for part in parts if len(part)]
    return pd.concat(tables, ignore_index=True)


def _checked(detector: BaseDetector, part: Features) -> dict[str, np.ndarray]:
    """The detector's scores, (clips,) each by name; InputError where they are something else."""
    scores = detector.score(part)
    if not isinstance(scores, dict) or any(np.shape(values) != (len(part),) for values in scores.values()):
        raise InputError(
            f"detectors/{detector.name}.py: score must return name -> one score per clip, arrays of {len(part)} values here"
        )
    return scores
