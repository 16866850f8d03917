"""Which normal clips thresholds are taken from, and their scores: written by each training, before any label is seen.

A calibration table has a row per clip: its scores, `method`, and `session` where the configuration says how sessions are named.
Detectors that standardise scores by held-out clips may do so here: the scores of the training clips of each fold are
standardised by the same clips.
"""

import hashlib
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from humwatch.detectors.base import BaseDetector, FitContext
    from humwatch.features.store import Features

FOLDS = 5
# What else the clips of a calibration were used for.
OWN = "calibration clips"  # for nothing
CROSS = f"cross-conformal, {FOLDS} folds"  # training clips, scored by detectors fitted without them
HELD_OUT = "held-out clips"  # too few to halve: the end of training and the choice among trials have seen them as well


def cross_conformal(
    detector: "BaseDetector",
    train: "Features",
    validation: "Features",
    context: "FitContext",
    session: str | None = None,
) -> pd.DataFrame | None:
    """The calibration table of the clips that a detector was fitted on, scored by copies of it that were fitted without them.

    Folds consist of whole sessions.

    Parameters
    ----------
    detector
        Fitted on `train`.
    train, validation, context
        What it was fitted on and with.
    session
        As for `sessions`.

    Returns
    -------
    table
        None for detectors that take too long to fit.
    """
    dealt = folds(sessions(train.clips, session), train.clips)
    scores = detector.out_of_fold(train, validation, dealt, context)
    if scores is None:
        return None
    table = pd.concat([train.clips, pd.DataFrame(scores)], axis=1)
    return described(table[~np.isnan(scores["score"])].reset_index(drop=True), CROSS, session)


def described(table: pd.DataFrame, method: str, session: str | None) -> pd.DataFrame:
    """A score table with the columns `method` and, where something names sessions, `session`."""
    table = table.assign(method=method)
    return table if session is None or table.empty else table.assign(session=sessions(table, session))


def sessions(clips: pd.DataFrame, pattern: str | None) -> list[str]:
    """The session of each clip.

    Parameters
    ----------
    clips
        With the column clip, and attributes if there are any.
    pattern
        A regular expression for clip and attributes. A session is named by its first group, or by the whole match without a
        group; a clip that does not match is a session of its own.
    """
    names = clips["clip"].astype(str)
    if pattern is None:
        return list(names)
    texts = names if "attributes" not in clips else names + " " + clips["attributes"].fillna("").astype(str)
    matches = [re.search(pattern, text) for text in texts]
    return [
        name if match is None else match[1] if match.re.groups else match[0]
        for name, match in zip(names, matches, strict=True)
    ]


def folds(session: list[str], clips: pd.DataFrame) -> np.ndarray:
    """Deal out each machine's sessions among the folds, in the order of the hashes of their names.

    Returns
    -------
    (clips,) int
        The fold of each clip, from 0 to FOLDS - 1.
    """
    found = np.zeros(len(clips), int)
    for rows in clips.groupby(["machine_type", "machine_id"]).indices.values():
        named = sorted({session[row] for row in rows}, key=lambda name: hashlib.sha256(name.encode()).digest())
        fold = {name: i % FOLDS for i, name in enumerate(named)}
        found[rows] = [fold[session[row]] for row in rows]
    return found
