"""From a feature file to a table of scores."""

from collections.abc import Iterable

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
