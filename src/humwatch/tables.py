"""The tables: AUC per trial, milestone and machine id, and a summary over seeds."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from humwatch.calibration import standardise
from humwatch.metrics import auc, bootstrap_auc, interval, pauc
from humwatch.selection import choose, criterion
from humwatch.trials import Trial

MEASURES = ["auc", "auc_low", "auc_high", "pauc", "n_normal", "n_anomaly"]
SUMMARIES = ["mean", "pooled", "pooled_standardised"]  # rows of `machine_id` that are no machine
NOTE_UNLABELLED = "no labels: scored, not measured"


def auc_table(
    trials: Iterable[Trial],
    score_files: Mapping[str, list[Path]],
    held_out_files: Mapping[str, list[Path]],
    samples: int,
    seed: int,
) -> pd.DataFrame:
    """A row per trial, machine type and machine id, then rows `mean` (over ids), `pooled` (all ids in one ranking), and
    `pooled_standardised` (the same, with scores standardised per id by held-out normal clips).

    score_files, held_out_files: trial key "name/epochs" -> its files. Machine ids without training clips (`heard` False) have a
    mean and a pooled row of their own. Intervals: 95 %, stratified bootstrap. Where clips have a domain, the same rows follow
    for each domain: its normal clips against the anomalies of all domains, as DCASE 2022 to 2025 measure it.
    """
    rows: list[dict[str, Any]] = []
    for trial in trials:
        scores, held_out = (
            pd.concat([pd.read_parquet(path) for path in files[f"{trial.name}/{trial.epochs}"]], ignore_index=True)
            for files in (score_files, held_out_files)
        )
        scores["score"] = scores[trial.parameters["score"]]
        if len(held_out):
            held_out = held_out[~held_out["pseudo"]].assign(score=held_out[trial.parameters["score"]])
            scores["standardised"] = standardise(scores, held_out, "score")
        described = {"trial": trial.name, **{k: _cell(v) for k, v in trial.parameters.items()}}
        for (machine_type, heard), part in scores.groupby(["machine_type", "heard"], sort=True):
            for domain, clips in _domains(part):
                for row in _rows(clips, samples, seed):
                    rows.append({**described, "machine_type": machine_type, "domain": domain, "heard": heard, **row})
    table = pd.DataFrame(rows)
    order = ["trial", "machine_type", "machine_id", "domain", "heard", *MEASURES, "note"]
    return table[[*order, *(c for c in table if c not in order)]]


def summary_table(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds of each configuration's mean AUC and pAUC, best first.

    One row per configuration and machine type; the ids that were heard in training only.
    """
    means = table[(table["machine_id"] == "mean") & (table["domain"] == "") & table["heard"]].copy()
    fixed = ["trial", "seed", "machine_id", "domain", "heard", "note", *MEASURES]
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


def _domains(scores: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """All clips, named "", then those that measure each domain."""
    yield "", scores
    for domain in sorted(scores["domain"].dropna().unique()) if "domain" in scores else []:
        yield domain, scores[(scores["domain"] == domain) | (scores["label"] == 1).fillna(False)]


def training_table(trials: Iterable[Trial], models: Mapping[str, Mapping[str, list[Path]]]) -> pd.DataFrame:
    """What each trial's training tells without labels, a row per trial and machine type.

    models: trial key "name/epochs" -> machine type -> folders of its models. Columns trial, epochs, score, machine_type,
    val_loss, pseudo_auc (humwatch.selection), seconds_per_epoch, diverged.
    """
    rows: list[dict[str, Any]] = []
    for trial in trials:
        key = {"trial": trial.name, "epochs": trial.epochs, "score": trial.parameters["score"]}
        for machine_type, folders in models[f"{trial.name}/{trial.epochs}"].items():
            logs = [pd.read_csv(folder / "log.csv") for folder in folders]
            rows.append(
                {
                    **key,
                    "machine_type": machine_type,
                    "val_loss": np.mean([log["val_loss"].iloc[-1] if len(log) else np.nan for log in logs]),
                    "pseudo_auc": np.mean([_pseudo_auc(folder, machine_type, key["score"]) for folder in folders]),
                    "seconds_per_epoch": np.mean([log["seconds"].mean() for log in logs]),
                    "diverged": any(json.loads((folder / "model.json").read_text())["diverged"] for folder in folders),
                }
            )
    return pd.DataFrame(rows)


def sweep_table(
    sweep: str, trials: list[Trial], measured: pd.DataFrame, trained: pd.DataFrame, references: pd.DataFrame
) -> pd.DataFrame:
    """One sweep, tidy: a row per trial and machine type, over the ids that were heard in training.

    `selected`: the trial chosen on held-out normal clips alone, by the column `criterion` names. `best_by_labels`: the one
    that the test labels would have chosen. `reference`: published figures for exactly the same machine ids.
    """
    keys = pd.DataFrame([{"trial": t.name, "epochs": t.epochs, "score": t.parameters["score"]} for t in trials])
    measured = measured[measured["domain"] == ""]
    means = measured[(measured["machine_id"] == "mean") & measured["heard"]].assign(epochs=lambda t: _epochs(t))
    # Inner: a machine type without training clips has no row, in any trial.
    table = keys.merge(trained, on=list(keys)).merge(means, on=[*keys, "machine_type"])
    parameters = [
        name for name in dict.fromkeys(["epochs", *(n for t in trials for n in t.parameters)]) if name in table
    ]
    table["reference"] = ""
    for machine_type, rows in table.groupby("machine_type").groups.items():
        part = table.loc[rows]
        chosen = choose(part, parameters)
        table.loc[rows, "criterion"] = criterion(part, parameters)
        table.loc[rows, "selected"] = part.index == chosen
        table.loc[rows, "best_by_labels"] = part.index == (part["auc"].idxmax() if part["auc"].notna().any() else None)
        ids = measured[(measured["machine_type"] == machine_type) & measured["heard"]]["machine_id"].unique()
        same = references[
            (references["machine_type"] == machine_type)
            & (references["machine_ids"] == " ".join(sorted({*ids} - {*SUMMARIES})))
        ]
        table.loc[rows, "reference"] = "; ".join(f"{r.method} {r.auc}/{r.pauc} [{r.source}]" for r in same.itertuples())
    table.insert(0, "sweep", sweep)
    front = [
        "sweep",
        "trial",
        "machine_type",
        *MEASURES,
        "selected",
        "best_by_labels",
        "criterion",
        "val_loss",
        "pseudo_auc",
    ]
    front += ["seconds_per_epoch", "diverged"]
    return table[[*front, *parameters, "reference"]]


def selected_table(sweeps: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Per sweep and machine type: what was chosen without labels, what labels would have chosen, and the difference in AUC."""
    rows = []
    for table in sweeps:
        for machine_type, part in table.groupby("machine_type"):
            chosen, best = part[part["selected"]], part[part["best_by_labels"]]
            row = {"sweep": part["sweep"].iloc[0], "machine_type": machine_type, "criterion": part["criterion"].iloc[0]}
            for prefix, picked in (("selected", chosen), ("best_by_labels", best)):
                for column in ("trial", "epochs", "score", "auc", "pauc"):
                    row[f"{prefix}_{column}"] = picked[column].iloc[0] if len(picked) else None
            if len(chosen) and len(best):
                row["price_of_honesty"] = row["best_by_labels_auc"] - row["selected_auc"]
            rows.append(row)
    return pd.DataFrame(rows)


def report_table(table: pd.DataFrame, measured: pd.DataFrame, varied: list[str]) -> pd.DataFrame:
    """One sweep in the shape of a report: what it varies in rows and columns, AUC in the cells.

    varied: the sweep's parameters of several values. One (seeds aside): a row per value, a column per machine id, then mean,
    standard deviation, 95 % interval (over seeds where there are several, else the bootstrap's), pAUC and seconds per epoch.
    Two or more: the last one's values are columns of mean AUC. Seeds alone: a column per seed.
    """
    keys = ["trial", "epochs", "score", "machine_type"]
    free = [name for name in varied if name != "seed"]
    ids = measured[measured["heard"] & (measured["domain"] == "") & ~measured["machine_id"].isin(SUMMARIES[1:])]
    ids = ids.assign(epochs=lambda t: _epochs(t))
    by_id = ids.set_index([*keys, "machine_id"])["auc"].unstack()
    wide = table.join(by_id, on=keys, rsuffix="_id")
    if not free:
        shape = wide.set_index(["machine_type", "seed"])[[*by_id]].stack().unstack("seed")
        shape.index.names = ["machine_type", "machine_id"]
        shape.columns = [f"seed {seed}" for seed in shape.columns]
        spread = pd.DataFrame([_spread(row) for row in shape.to_numpy()], index=shape.index)
        return pd.concat([shape, spread], axis=1).reset_index()
    if len(free) == 1:
        rows = []
        for key, part in wide.groupby(["machine_type", free[0]], sort=True, dropna=False):
            of_ids = part[[c for c in by_id if c != "mean"]].mean().to_dict()
            row = {"machine_type": key[0], free[0]: key[1], **of_ids, **_spread(part["auc"])}
            if len(part) == 1:
                row |= {"low": part["auc_low"].iloc[0], "high": part["auc_high"].iloc[0]}
            rows.append({**row, "pauc": part["pauc"].mean(), "seconds_per_epoch": part["seconds_per_epoch"].mean()})
        return pd.DataFrame(rows)
    shape = wide.groupby(["machine_type", *free], dropna=False)["auc"].mean().unstack()
    shape.columns = [f"{free[-1]} {value}" for value in shape.columns]
    return shape.reset_index()


def _epochs(table: pd.DataFrame) -> pd.Series:
    """Milestones as whole numbers; 0 for detectors without epochs."""
    return table["epochs"].fillna(0).astype(int) if "epochs" in table else pd.Series(0, table.index)


def _spread(values: Any) -> dict[str, float]:
    """Mean, standard deviation and the mean's 95 % interval by Student's t."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]  # diverged trials have none
    mean, n = values.mean() if len(values) else np.nan, len(values)
    std = values.std(ddof=1) if n > 1 else np.nan
    half = scipy.stats.t.ppf(0.975, n - 1) * std / np.sqrt(n) if n > 1 else np.nan
    return {"mean": mean, "std": std, "low": mean - half, "high": mean + half}


def _pseudo_auc(folder: Path, machine_type: str, score: str) -> float:
    scores = pd.read_parquet(folder / "validation.parquet")
    if scores.empty:
        return np.nan
    scores = scores[scores["machine_type"] == machine_type]
    areas = [auc(part["pseudo"].to_numpy(int), part[score].to_numpy(float)) for _, part in scores.groupby("machine_id")]
    return float(np.mean(areas)) if areas else np.nan


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
    if "standardised" in scores:
        alike = scores.assign(score=scores["standardised"])
        yield {"machine_id": "pooled_standardised", **_measure(alike, samples, seed)[0]}


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
