"""The tables: AUC per trial, milestone and machine id, and a summary over seeds."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from humwatch.metrics import auc, bootstrap_auc, interval, pauc
from humwatch.trials import Trial

MEASURES = ["auc", "auc_low", "auc_high", "pauc", "n_normal", "n_anomaly"]
NOTE_UNLABELLED = "no labels: scored, not measured"


def auc_table(trials: Iterable[Trial], score_files: Mapping[str, list[Path]], samples: int, seed: int) -> pd.DataFrame:
    """A row per trial, machine type and machine id, then rows `mean` (over ids) and `pooled` (all ids in one ranking).

    score_files: trial key "name/epochs" -> its score files. Machine ids that had no training clips (`heard` False) have a
    mean and a pooled row of their own. Intervals: 95 %, stratified bootstrap.
    """
    rows: list[dict[str, Any]] = []
    for trial in trials:
        scores = pd.concat([pd.read_parquet(path) for path in score_files[f"{trial.name}/{trial.epochs}"]])
        scores["score"] = scores[trial.parameters["score"]]
        described = {"trial": trial.name, **{k: _cell(v) for k, v in trial.parameters.items()}}
        for (machine_type, heard), part in scores.groupby(["machine_type", "heard"], sort=True):
            for row in _rows(part, samples, seed):
                rows.append({**described, "machine_type": machine_type, "heard": heard, **row})
    table = pd.DataFrame(rows)
    order = ["trial", "machine_type", "machine_id", "heard", *MEASURES, "note"]
    return table[[*order, *(c for c in table if c not in order)]]


def summary_table(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds of each configuration's mean AUC and pAUC, best first.

    One row per configuration and machine type; the ids that were heard in training only.
    """
    means = table[(table["machine_id"] == "mean") & table["heard"]].copy()
    fixed = ["trial", "seed", "machine_id", "heard", "note", *MEASURES]
    keys = [c for c in means if c not in fixed]
    grouped = means.groupby(keys, dropna=False, sort=False)
    summary = grouped.agg(
        seeds=("seed", "size"),
        auc_mean=("auc", "mean"),
        auc_std=("auc", "std"),
        pauc_mean=("pauc", "mean"),
        pauc_std=("pauc", "std"),
    ).reset_index()
    measures = ["auc_mean", "auc_std", "pauc_mean", "pauc_std", "seeds"]
    summary = summary.sort_values("auc_mean", ascending=False, kind="stable", na_position="last", ignore_index=True)
    return summary[["machine_type", *measures, *(k for k in keys if k != "machine_type")]]


def _rows(scores: pd.DataFrame, samples: int, seed: int) -> Iterable[dict[str, Any]]:
    """One machine type's rows: each id, mean, pooled."""
    ids, draws = [], []
    for machine_id, clips in scores.groupby("machine_id", sort=True):
        row, drawn = _measure(clips, samples, seed)
        ids.append({"machine_id": machine_id, **row})
        draws.append(drawn)
    yield from ids
    frame = pd.DataFrame(ids)
    labelled = frame["auc"].notna().to_numpy()
    low, high = interval(np.mean(np.array(draws)[labelled], axis=0)) if labelled.any() else (np.nan, np.nan)
    yield {
        "machine_id": "mean",
        "auc": frame["auc"].mean(),
        "auc_low": low,
        "auc_high": high,
        "pauc": frame["pauc"].mean(),
        "n_normal": frame["n_normal"].sum(),
        "n_anomaly": frame["n_anomaly"].sum(),
        "note": "" if labelled.any() else frame["note"].iloc[0],
    }
    yield {"machine_id": "pooled", **_measure(scores, samples, seed)[0]}


def _measure(clips: pd.DataFrame, samples: int, seed: int) -> tuple[dict[str, Any], np.ndarray]:
    """Measures of one set of clips, over those with a label, and the bootstrap's AUCs."""
    labelled = clips[clips["label"].notna()]
    labels, scores = labelled["label"].to_numpy(int), labelled["score"].to_numpy(float)
    drawn = bootstrap_auc(labels, scores, samples, seed)
    low, high = interval(drawn)
    note = ""
    if len(labelled) == 0:
        note = NOTE_UNLABELLED
    elif not np.isfinite(scores).all():
        note = "diverged: training ended in a loss that is not finite"
    elif len(np.unique(labels)) < 2:
        note = "only one of normal and anomaly in the test clips"
    row = {
        "auc": auc(labels, scores),
        "auc_low": low,
        "auc_high": high,
        "pauc": pauc(labels, scores),
        "n_normal": int((labels == 0).sum()),
        "n_anomaly": int((labels == 1).sum()),
        "note": note,
    }
    return row, drawn


def _cell(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value
