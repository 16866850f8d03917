"""The tables: AUC per trial, milestone and machine id, and a summary over seeds."""

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from humwatch import parquet
from humwatch.detectors import models
from humwatch.detectors.leave_id_out import finite_mean, mean_auc, pseudo_auc
from humwatch.evaluation.calibration import rows_by, standardise
from humwatch.evaluation.decisions import COLUMNS, decision_rows
from humwatch.evaluation.metrics import auc, bootstrap_auc, interval, pauc
from humwatch.evaluation.official import FIGURES, with_figures
from humwatch.study.trials import Trial

MEASURES = ["auc", "auc_low", "auc_high", "pauc", "n_normal", "n_anomaly"]
SUMMARIES = ["mean", "pooled", "pooled_standardised"]  # rows of `machine_id` that are no machine
NOTE_UNLABELLED = "no labels: scored, not measured"


def measure(
    trials: Iterable[Trial],
    score_files: Mapping[str, list[Path]],
    models: Mapping[str, Mapping[str, list[Path]]],
    samples: int,
    seed: int,
    rate: float,
    judged: Mapping[str, Mapping[str, list[Path]]] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Measure trials, reading each trial's files once.

    Parameters
    ----------
    trials
        Those without score files are left out.
    score_files
        The score files of each trial, by "name/epochs".
    models
        The folders of each trial's models, by "name/epochs" and machine type.
    samples, seed
        Of the bootstrap.
    rate
        The false-alarm rate that thresholds are to keep.
    judged
        What the models that stand for each trial make of ids left out of training (`detectors.leave_id_out`), by "name/epochs"
        and machine type; None where no trial is judged so.

    Returns
    -------
    measured
        A row per trial, machine type and machine id, then rows `mean` (over ids), `pooled` (all ids in one ranking), and
        `pooled_standardised` (the same, with scores standardised per id by held-out normal clips). Machine ids without
        training clips (`heard` False) have a mean and a pooled row of their own. Intervals: 95 %, stratified bootstrap. Where
        clips have a domain, the same rows follow for each domain: its normal clips against the anomalies of all domains, as
        DCASE 2022 to 2025 measure it.
    trained
        What is known without labels, a row per trial and machine type: trial, epochs, score, machine_type, val_loss,
        leave_id_out where any trial is judged so, pseudo_auc (`evaluation.selection`), seconds_per_epoch, diverged.
    decided
        A row per trial, machine type, id and domain, with the columns `decisions.COLUMNS`.
    """
    measured: list[dict[str, Any]] = []
    trained: list[dict[str, Any]] = []
    decided: list[dict[str, Any]] = []
    judgement = functools.cache(leave_id_out)
    for trial in trials:
        if not score_files[f"{trial.name}/{trial.epochs}"]:
            continue  # its models hear no machine that is tested
        key, score = f"{trial.name}/{trial.epochs}", trial.parameters["score"]
        folders = dict.fromkeys(folder for listed in models[key].values() for folder in listed)
        held_out = {folder: parquet.read(folder / "validation.parquet") for folder in folders}
        described = {"trial": trial.name, **{k: _cell(v) for k, v in trial.parameters.items()}}
        scores = pd.concat([parquet.read(path) for path in score_files[key]], ignore_index=True)
        measured += [{**described, **row} for row in _measured(scores, [*held_out.values()], score, samples, seed)]
        calibration = (parquet.read(folder / "calibration.parquet") for folder in folders)
        decided += decision_rows(trial, scores, calibration, rate)
        described = {"trial": trial.name, "epochs": trial.epochs, "score": score}
        for machine_type, listed in models[key].items():
            row = trained_row({folder: held_out[folder] for folder in listed}, machine_type, score)
            if judged is not None:
                row["leave_id_out"] = judgement(tuple(judged[key].get(machine_type, ())), machine_type, score)
            trained.append({**described, "machine_type": machine_type, **row})
    table = pd.DataFrame(measured)
    order = ["trial", "machine_type", "machine_id", "domain", "heard", *MEASURES, "note"]
    table = table[[*order, *(c for c in table if c not in order)]]
    return table, pd.DataFrame(trained), pd.DataFrame(decided, columns=COLUMNS)


def summary_table(table: pd.DataFrame, official: pd.DataFrame | None = None) -> pd.DataFrame:
    """Mean and standard deviation over seeds of each configuration's mean AUC and pAUC, best first.

    A row per configuration and machine type, over the ids that were seen in training.

    Parameters
    ----------
    official
        The official scores, whose means over seeds are added.
    """
    means = table[(table["machine_id"] == "mean") & (table["domain"] == "") & table["heard"]]
    means = with_figures(means, official)
    fixed = ["trial", "seed", "machine_id", "domain", "heard", "note", *MEASURES, *FIGURES]
    keys = [c for c in means if c not in fixed]
    grouped = means.groupby(keys, dropna=False, sort=False)
    summary = grouped.agg(
        seeds=("seed", "size"),
        auc_mean=("auc", "mean"),
        auc_std=("auc", "std"),
        pauc_mean=("pauc", "mean"),
        pauc_std=("pauc", "std"),
        **{name: (name, "mean") for name in FIGURES if name in means},
    ).reset_index()
    measures = ["auc_mean", "auc_std", "pauc_mean", "pauc_std", *(name for name in FIGURES if name in means), "seeds"]
    summary = summary.sort_values("auc_mean", ascending=False, kind="stable", na_position="last", ignore_index=True)
    return summary[["machine_type", *measures, *(k for k in keys if k != "machine_type")]]


def _measured(
    scores: pd.DataFrame, held_out: list[pd.DataFrame], score: str, samples: int, seed: int
) -> Iterable[dict[str, Any]]:
    """One trial's rows, measured on arrays: pandas would take ten times as long."""
    clips = {
        "score": scores[score].to_numpy(float),
        "label": scores["label"].to_numpy(float, na_value=np.nan),
        "clip": scores["clip"].to_numpy(object),
        "machine_id": scores["machine_id"].to_numpy(object),
        "domain": scores["domain"].fillna("").to_numpy(object) if "domain" in scores else np.full(len(scores), ""),
    }
    if len(known := pd.concat(held_out, ignore_index=True)):
        clips["standardised"] = standardise(scores, known[~known["pseudo"].astype(bool)], score)
    for (machine_type, heard), rows in rows_by(scores, ["machine_type", "heard"]).items():
        part = {name: values[rows] for name, values in clips.items()}
        for domain in dict.fromkeys(["", *sorted(part["domain"])]):
            own = (part["domain"] == domain) | (part["label"] == 1) | (domain == "")
            for row in _rows({name: values[own] for name, values in part.items()}, samples, seed):
                yield {"machine_type": machine_type, "domain": domain, "heard": heard, **row}


def _rows(clips: Mapping[str, np.ndarray], samples: int, seed: int) -> Iterable[dict[str, Any]]:
    """One machine type's rows: each id, mean, pooled; `clips` are arrays (clips,) by name."""
    ids, draws = [], []
    for machine_id in sorted(set(clips["machine_id"])):
        own = clips["machine_id"] == machine_id
        row, drawn = _measure(clips["clip"][own], clips["label"][own], clips["score"][own], samples, seed)
        ids.append({"machine_id": machine_id, **row})
        if np.isfinite(row["auc"]):
            draws.append(drawn)
    yield from ids
    low, high = interval(np.mean(draws, axis=0)) if draws else (np.nan, np.nan)
    yield {
        "machine_id": "mean",
        "auc": finite_mean(row["auc"] for row in ids),
        "auc_low": low,
        "auc_high": high,
        "pauc": finite_mean(row["pauc"] for row in ids),
        "n_normal": sum(row["n_normal"] for row in ids),
        "n_anomaly": sum(row["n_anomaly"] for row in ids),
        "note": "" if draws else ids[0]["note"],
    }
    for name, column in (("pooled", "score"), ("pooled_standardised", "standardised")):
        if column in clips:
            yield {"machine_id": name, **_measure(clips["clip"], clips["label"], clips[column], samples, seed)[0]}


def _measure(
    names: np.ndarray, labels: np.ndarray, scores: np.ndarray, samples: int, seed: int
) -> tuple[dict[str, Any], np.ndarray]:
    """Measures of one set of clips, over those with a label (NaN: none), and the bootstrap's AUCs."""
    labelled = np.isfinite(labels)
    names, labels, scores = names[labelled], labels[labelled].astype(int), scores[labelled]
    drawn = bootstrap_auc(labels, scores, samples, seed)
    low, high = interval(drawn)
    note = ""
    if len(labels) == 0:
        note = NOTE_UNLABELLED
    elif len(lost := names[~np.isfinite(scores)]):
        others = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        note = f"no finite score of {lost[0]}{others}: look at the recording, or remove it"
        if len(lost) == len(scores):
            note = "diverged: no clip has a finite score"
    elif labels.min() == labels.max():
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


def trained_row(held_out: Mapping[Path, pd.DataFrame], machine_type: str, score: str) -> dict[str, Any]:
    """What the models of one trial and machine type tell without labels; `held_out` has each model's held-out scores."""
    logs = [models.log(folder) for folder in held_out]
    diverged = any(models.description(folder)["diverged"] for folder in held_out)
    return {
        "val_loss": np.nan if diverged else finite_mean(log["val_loss"].iloc[-1] for log in logs if len(log)),
        "pseudo_auc": np.nan
        if diverged
        else finite_mean(pseudo_auc(t, machine_type, score) for t in held_out.values()),
        "seconds_per_epoch": np.mean([log["seconds"].mean() for log in logs]),
        "diverged": diverged,
    }


def leave_id_out(files: Iterable[Path], machine_type: str, score: str) -> float:
    """AUC of machine ids left out of training against their siblings, over the tables of some models; NaN where none tells."""
    return mean_auc((parquet.read(path) for path in files), machine_type, score)


def _cell(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value
