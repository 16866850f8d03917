"""Decisions instead of scores: which normal clips thresholds are taken from, and what the thresholds are worth on test clips.

Calibration scores are written by each training into `calibration.parquet`: a row per clip with its scores, `method`, and
`session` where the configuration says what names sessions. Labels meet thresholds in `decisions_table` alone.
"""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from humwatch import parquet
from humwatch.detectors.base import BaseDetector, FitContext
from humwatch.evaluation.calibration import MACHINE, rows_by
from humwatch.evaluation.thresholds import Calibration, calibration_for, clopper_pearson
from humwatch.features.store import Features
from humwatch.study.trials import Trial

FOLDS = 5
# How the clips of a calibration stand to the detector.
OWN = "calibration clips"  # heard for nothing else
CROSS = f"cross-conformal, {FOLDS} folds"  # training clips, scored by detectors fitted without them
HELD_OUT = "held-out clips"  # which the choice among trials has seen as well
STOPPING = "held-out clips, which ended the training"
COLUMNS = ["trial", "epochs", "score", "machine_type", "machine_id", "domain", "heard", "threshold", "promised_rate"]
COLUMNS += ["calibration_clips", "method", "extrapolated", "n_normal", "n_anomaly", "false_alarm_rate"]
COLUMNS += ["false_alarm_rate_low", "false_alarm_rate_high", "recall", "precision", "f1", "kept"]


def cross_conformal(
    detector: BaseDetector, train: Features, validation: Features, context: FitContext, session: str | None = None
) -> pd.DataFrame | None:
    """The calibration table of the clips that a detector was fitted on, scored by copies of it that were fitted without them.

    Folds consist of whole sessions. None where fitting takes too long.
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
    """The session of each clip: the pattern's first group, or all that it finds; a clip where it finds nothing is its own."""
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
    """A number below FOLDS for each clip, (clips,): each machine's sessions, in the order of their names' hashes, dealt out."""
    found = np.zeros(len(clips), int)
    for rows in rows_by(clips, MACHINE).values():
        named = sorted({session[row] for row in rows}, key=lambda name: hashlib.sha256(name.encode()).digest())
        fold = {name: i % FOLDS for i, name in enumerate(named)}
        found[rows] = [fold[session[row]] for row in rows]
    return found


def calibrations(tables: Iterable[pd.DataFrame], score: str, rate: float) -> dict[tuple[str, str], Calibration]:
    """The calibration of each machine (type, id), from the calibration tables of a trial's models."""
    found = {}
    for table in tables:
        if table.empty:
            continue
        values = table[score].to_numpy(float)
        group = table["session"].to_numpy(object) if "session" in table else None
        for machine, rows in rows_by(table, MACHINE).items():
            groups = None if group is None else group[rows]
            if np.isfinite(values[rows]).all():  # else the training has diverged
                found[machine] = Calibration(values[rows], rate, groups, table["method"].iloc[0])
    return found


def decisions_table(
    trials: Iterable[Trial],
    score_files: Mapping[str, list[Path]],
    models: Mapping[str, Mapping[str, list[Path]]],
    rate: float,
) -> pd.DataFrame:
    """A row per trial, machine type, id and domain: the threshold, and what it is worth on the test clips.

    score_files, models: as of `auc_table.measure`. Domain "" is all of an id's clips; of the others, a domain's normal clips
    stand against the anomalies of all. kept: whether the promised rate lies in the 95 % interval of the observed one; missing
    without normal test clips, or without a threshold.
    """
    rows = []
    for trial in trials:
        key, score = f"{trial.name}/{trial.epochs}", trial.parameters["score"]
        if score_files[key]:
            folders = dict.fromkeys(folder for listed in models[key].values() for folder in listed)
            tables = [parquet.read(folder / "calibration.parquet") for folder in folders]
            scores = pd.concat([parquet.read(path) for path in score_files[key]], ignore_index=True)
            described = {"trial": trial.name, "epochs": trial.epochs, "score": score}
            rows += [{**described, **row} for row in _rows(scores, score, calibrations(tables, score, rate), rate)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(
    scores: pd.DataFrame, score: str, found: Mapping[tuple[str, str], Calibration], rate: float
) -> Iterable[dict[str, Any]]:
    values, labels = scores[score].to_numpy(float), scores["label"].to_numpy(float, na_value=np.nan)
    heard = scores["heard"].to_numpy(bool)
    domains = scores["domain"].fillna("").to_numpy(object) if "domain" in scores else np.full(len(scores), "")
    for machine, rows in rows_by(scores, MACHINE).items():
        described = {"machine_type": machine[0], "machine_id": machine[1], "heard": bool(heard[rows[0]])}
        calibration = calibration_for(machine, found, rate) if np.isfinite(values[rows]).all() else None
        for domain in dict.fromkeys(["", *sorted(domains[rows])]):
            own = rows[(domains[rows] == domain) | (labels[rows] == 1) | (domain == "")]
            yield {**described, "domain": domain, **_worth(values[own], labels[own], calibration, rate)}


def _worth(values: np.ndarray, labels: np.ndarray, calibration: Calibration | None, rate: float) -> dict[str, Any]:
    """Of a threshold on labelled clips."""
    normals, anomalies = int((labels == 0).sum()), int((labels == 1).sum())
    row: dict[str, Any] = {"promised_rate": rate, "n_normal": normals, "n_anomaly": anomalies}
    if calibration is None:
        return row
    row |= {
        "threshold": calibration.threshold,
        "calibration_clips": len(calibration.scores),
        "method": calibration.method,
        "extrapolated": calibration.extrapolated,
    }
    alarms = values > calibration.threshold
    false, true = int((alarms & (labels == 0)).sum()), int((alarms & (labels == 1)).sum())
    low, high = clopper_pearson(false, normals)
    row |= {
        "false_alarm_rate": _share(false, normals),
        "false_alarm_rate_low": low,
        "false_alarm_rate_high": high,
        "recall": _share(true, anomalies),
        "precision": _share(true, true + false),
        "f1": _share(2 * true, true + false + anomalies) if anomalies else math.nan,
    }
    return row | ({"kept": low <= rate <= high} if normals else {})


def _share(count: int, n: int) -> float:
    return count / n if n else math.nan
