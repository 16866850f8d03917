"""The thresholds of trials, and how well they decide on test clips."""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from humwatch.evaluation.calibration import MACHINE, rows_by
from humwatch.evaluation.thresholds import Calibration, calibration_for, clopper_pearson

if TYPE_CHECKING:  # scoring decides too, and does not depend on what trials are
    from humwatch.study.trials import Trial

COLUMNS = ["trial", "epochs", "score", "machine_type", "machine_id", "domain", "heard", "threshold", "promised_rate"]
COLUMNS += ["calibration_clips", "method", "extrapolated", "n_normal", "n_anomaly", "false_alarm_rate"]
COLUMNS += ["false_alarm_rate_low", "false_alarm_rate_high", "recall", "precision", "f1", "kept"]


def calibrations(tables: Iterable[pd.DataFrame], score: str, rate: float) -> dict[tuple[str, str], Calibration]:
    """The calibration of each machine (type, id), from the calibration tables of a trial's models.

    Parameters
    ----------
    tables
        As `calibration_clips` describes them.
    score
        The column to read.
    rate
        The false-alarm rate to promise.
    """
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


def decision_rows(
    trial: "Trial", scores: pd.DataFrame, tables: Iterable[pd.DataFrame], rate: float
) -> Iterable[dict[str, Any]]:
    """The threshold of each machine id and domain, and how well it decides on the test clips.

    Parameters
    ----------
    trial
        Whose score is read.
    scores
        The score table of the test clips.
    tables
        The calibration tables of the trial's models.
    rate
        The false-alarm rate to promise.

    Yields
    ------
    dict
        Values of COLUMNS, those left out that are not known. Domain "" has all of an id's clips; any other domain has its own
        normal clips, and the anomalies of all domains. `kept` says whether the promised rate lies in the 95 % interval of
        the observed one; it is missing without normal test clips, or without a threshold.
    """
    score = trial.parameters["score"]
    described = {"trial": trial.name, "epochs": trial.epochs, "score": score}
    for row in _rows(scores, score, calibrations(tables, score, rate), rate):
        yield {**described, **row}


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
    """How well a threshold decides on labelled clips."""
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
