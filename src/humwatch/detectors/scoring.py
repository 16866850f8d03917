"""From features to tables of scores."""

import itertools
from collections.abc import Iterable

import numpy as np
import pandas as pd

from humwatch.detectors.base import BaseDetector
from humwatch.features.store import Features


def score_table(detector: BaseDetector, parts: Iterable[Features]) -> pd.DataFrame:
    """A row per clip: the clip's columns and one column per score of the detector.

    Raises
    ------
    InputError
        The detector does not give one score per clip.
    """
    tables = [
        pd.concat([part.clips, pd.DataFrame(detector.checked_scores(part))], axis=1) for part in parts if len(part)
    ]
    return pd.concat(tables, ignore_index=True)


def scores_beside(detector: BaseDetector, normal: Features, strange: Iterable[Features]) -> pd.DataFrame:
    """`score_table` of normal clips, then of strange ones (`pseudo`); empty where there are no normal ones."""
    if not len(normal):
        return pd.DataFrame()
    scores = score_table(detector, itertools.chain([normal], strange))
    return scores.assign(pseudo=np.arange(len(scores)) >= len(normal))
