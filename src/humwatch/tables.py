"""The tables: AUC per trial, milestone and machine id, and a summary over seeds."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from humwatch import models, parquet
from humwatch.calibration import MACHINE, rows_by, standardise
from humwatch.layout import TEXT_COLUMNS
from humwatch.metrics import auc, bootstrap_auc, interval, pauc
from humwatch.selection import choose, criterion
from humwatch.trials import Trial

MEASURES = ["auc", "auc_low", "auc_high", "pauc", "n_normal", "n_anomaly"]
SUMMARIES = ["mean", "pooled", "pooled_standardised"]  # rows of `machine_id` that are no machine
SPREAD = ("mean", "std", "low", "high")
NOTE_UNLABELLED = "no labels: scored, not measured"


def measure(
    trials: Iterable[Trial],
    score_files: Mapping[str, list[Path]],
    models: Mapping[str, Mapping[str, list[Path]]],
    samples: int,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The AUC table and the training table of trials, each trial's files read once.

    AUC: a row per trial, machine type and machine id, then rows `mean` (over ids), `pooled` (all ids in one ranking), and
    `pooled_standardised` (the same, with scores standardised per id by held-out normal clips). Machine ids without training
    clips (`heard` False) have a mean and a pooled row of their own. Intervals: 95 %, stratified bootstrap. Where clips have a
    domain, the same rows follow for each domain: its normal clips against the anomalies of all domains, as DCASE 2022 to 2025
    measure it.

    Training: what is known without labels, a row per trial and machine type. Columns trial, epochs, score, machine_type,
    val_loss, pseudo_auc (humwatch.selection), seconds_per_epoch, diverged.

    score_files: trial key "name/epochs" -> its files. models: trial key -> machine type -> folders of its models.
    """
    measured: list[dict[str, Any]] = []
    trained: list[dict[str, Any]] = []
    for trial in trials:
        if not score_files[f"{trial.name}/{trial.epochs}"]:
            continue  # its models hear no machine that is tested
        key, score = f"{trial.name}/{trial.epochs}", trial.parameters["score"]
        folders = dict.fromkeys(folder for listed in models[key].values() for folder in listed)
        held_out = {folder: parquet.read(folder / "validation.parquet") for folder in folders}
        described = {"trial": trial.name, **{k: _cell(v) for k, v in trial.parameters.items()}}
        scores = pd.concat([parquet.read(path) for path in score_files[key]], ignore_index=True)
        measured += [{**described, **row} for row in _measured(scores, [*held_out.values()], score, samples, seed)]
        described = {"trial": trial.name, "epochs": trial.epochs, "score": score}
        for machine_type, listed in models[key].items():
            row = _trained({folder: held_out[folder] for folder in listed}, machine_type, score)
            trained.append({**described, "machine_type": machine_type, **row})
    table = pd.DataFrame(measured)
    order = ["trial", "machine_type", "machine_id", "domain", "heard", *MEASURES, "note"]
    return table[[*order, *(c for c in table if c not in order)]], pd.DataFrame(trained)


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
    table[["criterion", "selected", "best_by_labels"]] = None  # of a sweep without any row too
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
    front += ["diverged"]
    return table[[*front, *parameters, "reference"]]


def times_table(trained: pd.DataFrame) -> pd.DataFrame:
    """How long the epochs of each model took, in seconds: apart, as it differs from run to run."""
    return trained[["trial", "epochs", "machine_type", "seconds_per_epoch"]].drop_duplicates(
        ["trial", "epochs", "machine_type"], ignore_index=True
    )


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
    standard deviation, 95 % interval (over seeds where there are several, else the bootstrap's), and pAUC.
    Two or more: the last one's values are columns of mean AUC. Seeds alone: a column per seed.
    """
    keys = ["trial", "epochs", "score", "machine_type"]
    free = [name for name in varied if name != "seed"]
    ids = measured[measured["heard"] & (measured["domain"] == "") & ~measured["machine_id"].isin(SUMMARIES[1:])]
    ids = ids.assign(epochs=lambda t: _epochs(t))
    by_id = ids.set_index([*keys, "machine_id"])["auc"].unstack()
    if not free:
        wide = table[[*keys, "seed"]].join(by_id, on=keys)
        shape = wide.set_index(["machine_type", "seed"])[[*by_id]].stack().unstack("seed")
        shape.index.names = ["machine_type", "machine_id"]
        shape.columns = [f"seed {seed}" for seed in shape.columns]
        spread = pd.DataFrame([_spread(row) for row in shape.to_numpy()], index=shape.index)
        return pd.concat([shape, spread], axis=1).reset_index()
    if len(free) == 1:
        rows = []
        for key, part in table.groupby(["machine_type", free[0]], sort=True, dropna=False):
            of_ids = by_id.reindex(pd.MultiIndex.from_frame(part[keys])).drop(columns="mean").mean()
            # An id may be called as a column is.
            of_ids = {f"id {i}" if i in (*SPREAD, *free, "pauc", *TEXT_COLUMNS) else i: of_ids[i] for i in of_ids.index}
            row = {"machine_type": key[0], free[0]: key[1], **of_ids, **_spread(part["auc"])}
            if len(part) == 1:
                row |= {"low": part["auc_low"].iloc[0], "high": part["auc_high"].iloc[0]}
            rows.append({**row, "pauc": part["pauc"].mean()})
        return pd.DataFrame(rows)
    shape = table.groupby(["machine_type", *free], dropna=False)["auc"].mean().unstack()
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
    return dict(zip(SPREAD, (mean, std, mean - half, mean + half), strict=True))


def _measured(
    scores: pd.DataFrame, held_out: list[pd.DataFrame], score: str, samples: int, seed: int
) -> Iterable[dict[str, Any]]:
    """One trial's rows. All measuring is done on arrays: pandas would take ten times as long."""
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
    """One machine type's rows: each id, mean, pooled. clips: arrays by name, an element per clip."""
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
        "auc": _mean(row["auc"] for row in ids),
        "auc_low": low,
        "auc_high": high,
        "pauc": _mean(row["pauc"] for row in ids),
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


def _trained(held_out: Mapping[Path, pd.DataFrame], machine_type: str, score: str) -> dict[str, Any]:
    """What the models of one trial and machine type tell without labels. held_out: model folder -> its held-out scores."""
    logs = [models.log(folder) for folder in held_out]
    return {
        "val_loss": np.mean([log["val_loss"].iloc[-1] if len(log) else np.nan for log in logs]),
        "pseudo_auc": np.mean([_pseudo_auc(scores, machine_type, score) for scores in held_out.values()]),
        "seconds_per_epoch": np.mean([log["seconds"].mean() for log in logs]),
        "diverged": any(models.description(folder)["diverged"] for folder in held_out),
    }


def _pseudo_auc(held_out: pd.DataFrame, machine_type: str, score: str) -> float:
    if held_out.empty:
        return np.nan
    pseudo, scores = held_out["pseudo"].to_numpy(int), held_out[score].to_numpy(float)
    machines = rows_by(held_out, MACHINE)
    return _mean(auc(pseudo[rows], scores[rows]) for (of_type, _), rows in machines.items() if of_type == machine_type)


def _mean(values: Iterable[float]) -> float:
    """Over those that are there; NaN if none is."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else np.nan


def _cell(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value
