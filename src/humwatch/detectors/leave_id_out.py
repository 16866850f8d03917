"""How well a detector tells anomalies, by training clips alone: machine ids left out of training stand in for anomalies.

In each round one id of every machine type is left out of training altogether. Its clips are then scored as if they came from
each of its siblings, the other ids of the type, against the siblings' own held-out normal clips. The mean AUC over these pairs
compares detectors of any kind. It must be ids left out: those trained on are told apart too easily. Where a type has one id,
`pseudo_anomalies` stand in.
"""

import logging
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from humwatch.detectors.backends import spread
from humwatch.detectors.base import BaseDetector, FitContext
from humwatch.errors import InputError
from humwatch.features.store import Features

log = logging.getLogger(__name__)

ROUNDS = 1
PAIR = ["machine_type", "machine_id", "left_out"]  # of clips: whose they are said to be, and whose the strange ones are
COLUMNS = [*PAIR, "clip", "strange"]


def leave_id_out(
    make: Callable[[], BaseDetector],
    train: Features,
    validation: Features,
    context: FitContext,
    rounds: int = ROUNDS,
) -> pd.DataFrame:
    """Fit new detectors without one id of each machine type, and score that id's clips as if they were its siblings'.

    Parameters
    ----------
    make
        Makes a detector that is not fitted yet.

    Returns
    -------
    DataFrame
        A row per clip and pair: COLUMNS and the detector's scores. No rows of a machine type with one id, and none at all
        where the detector cannot be fitted without the ids that are left out, or cannot score these.
    """
    tables = []
    for out in left_out(train.clips, rounds):
        strange, others = _divided(train, out)
        _, normal = _divided(validation, out)
        detector = make()
        try:
            detector.fit(others, normal, context)
            tables.append(as_siblings(detector, strange, normal))
        except InputError as error:
            return _cannot_be_judged(detector, error)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def of_one_machine(detector: BaseDetector, train: Features, normal: Features, rounds: int = ROUNDS) -> pd.DataFrame:
    """As `leave_id_out`, of a detector that was fitted on one machine alone: nothing is fitted anew.

    Parameters
    ----------
    train
        Clips of all ids of the machine's type.
    normal
        Its own held-out clips.
    """
    strange = np.zeros(len(train), bool)
    for out in left_out(train.clips, rounds):
        strange |= _is_of(train.clips, out)
    try:
        return as_siblings(detector, train.select(strange), normal)
    except InputError as error:
        return _cannot_be_judged(detector, error)


def left_out(clips: pd.DataFrame, rounds: int = ROUNDS) -> list[dict[str, str]]:
    """The id of each machine type that is left out, of each round; types with one id, or none for this round, are not in it."""
    ids = clips.groupby("machine_type")["machine_id"].unique().map(sorted)
    outs = [{t: found[n] for t, found in ids.items() if n < len(found) > 1} for n in range(rounds)]
    return [out for out in outs if out]


def as_siblings(detector: BaseDetector, strange: Features, normal: Features) -> pd.DataFrame:
    """Scores of normal clips, and of strange ones as if they came from each machine of their type that has normal clips.

    Returns
    -------
    DataFrame
        As from `leave_id_out`.
    """
    tables = []
    others = [*strange.clips.groupby(["machine_type", "machine_id"]).indices.items()]
    for (machine_type, machine_id), rows in normal.clips.groupby(["machine_type", "machine_id"]).indices.items():
        own = normal.select(rows)
        for (of_type, other_id), other_rows in others:
            if of_type == machine_type and other_id != machine_id:
                other = strange.select(other_rows)
                other.clips["machine_id"] = machine_id
                for part in (own, other):
                    described = part.clips[["machine_type", "machine_id", "clip"]]
                    described = described.assign(left_out=other_id, strange=part is other)[COLUMNS]
                    tables.append(pd.concat([described, pd.DataFrame(detector.checked_scores(part))], axis=1))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def mean_auc(tables: Iterable[pd.DataFrame], machine_type: str, score: str) -> float:
    """The mean AUC over a machine type's pairs; NaN where there are none, or a score is not finite."""
    found = []
    for table in tables:
        for (of_type, *_), rows in table.groupby(PAIR):
            if of_type == machine_type:
                found.append(auc(rows[score].to_numpy(float), rows["strange"].to_numpy(bool)))
    return float(np.mean(found)) if found else np.nan


def pseudo_auc(scores: pd.DataFrame, machine_type: str, score: str) -> float:
    """How well pseudo-anomalies are told from normal clips, the mean AUC over a type's machines; NaN where it cannot be told.

    Parameters
    ----------
    scores
        With the columns machine_type, machine_id, `pseudo` (whether a clip is one) and the score; or empty.
    """
    if scores.empty:
        return np.nan
    return finite_mean(
        auc(own[score].to_numpy(float), own["pseudo"].to_numpy(bool))
        for (of_type, _), own in scores.groupby(["machine_type", "machine_id"])
        if of_type == machine_type
    )


def finite_mean(values: Iterable[float]) -> float:
    """The mean of the finite values; NaN without any."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else np.nan


def auc(scores: np.ndarray, strange: np.ndarray) -> float:
    """The share of (strange, normal) pairs of clips in order, ties counted half; NaN where one kind is missing.

    Parameters
    ----------
    scores : (clips,) float64
    strange : (clips,) bool
    """
    normal, other = np.sort(scores[~strange]), scores[strange]
    if not (len(normal) and len(other) and np.isfinite(scores).all()):
        return np.nan
    below = np.searchsorted(normal, other, "left") + np.searchsorted(normal, other, "right")
    return float(below.mean() / (2 * len(normal)))


def standardised(table: pd.DataFrame, score: str) -> np.ndarray:
    """Each row's score in units of its pair's normal clips, (score - mean) / standard deviation.

    Returns
    -------
    (rows,)
    """
    values, strange = table[score].to_numpy(float), table["strange"].to_numpy(bool)
    found = np.empty(len(table))
    for rows in table.groupby(PAIR).indices.values():
        normal = values[rows][~strange[rows]]
        found[rows] = (values[rows] - normal.mean()) / spread(normal)
    return found


def combined(tables: Iterable[tuple[pd.DataFrame, str]]) -> pd.DataFrame:
    """The mean of several detectors' standardised scores, in the column `score`, of the clips that all of them have.

    Parameters
    ----------
    tables
        As `leave_id_out` returns them, each with the name of its score.
    """
    tables = [*tables]
    if any(table.empty for table, _ in tables):  # one that cannot be judged
        return pd.DataFrame(columns=[*COLUMNS, "score"])
    keys = [*PAIR, "strange", "clip"]
    columns = [t.set_index(keys).assign(score=standardised(t, score))["score"] for t, score in tables]
    found = pd.concat(columns, axis=1, join="inner")
    return found.mean(axis=1, skipna=False).rename("score").reset_index()[[*COLUMNS, "score"]]


def _cannot_be_judged(detector: BaseDetector, error: InputError) -> pd.DataFrame:
    log.warning("%s cannot be judged by ids left out of its training: %s", detector.name, error)
    return pd.DataFrame(columns=COLUMNS)


def _divided(features: Features, out: dict[str, str]) -> tuple[Features, Features]:
    """The clips of the ids left out, and all others."""
    strange = _is_of(features.clips, out)
    return features.select(strange), features.select(~strange)


def _is_of(clips: pd.DataFrame, out: dict[str, str]) -> np.ndarray:
    return (clips["machine_type"].map(out) == clips["machine_id"]).to_numpy(bool)
