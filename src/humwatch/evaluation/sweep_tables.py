"""The tables of sweeps: a row per trial, the trials chosen without labels, and the shape that the course's report prints."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import scipy.special

from humwatch.evaluation.auc_table import MEASURES, SUMMARIES
from humwatch.evaluation.official import FIGURES
from humwatch.evaluation.selection import choose, criterion
from humwatch.study.layout import TEXT_COLUMNS
from humwatch.study.trials import Trial

SPREAD = ("mean", "std", "low", "high")


def sweep_table(
    sweep: str, trials: list[Trial], measured: pd.DataFrame, trained: pd.DataFrame, references: pd.DataFrame
) -> pd.DataFrame:
    """One sweep as a tidy table: a row per trial and machine type, over the ids that were seen in training.

    Parameters
    ----------
    sweep
        Its name.
    trials
        Its trials.
    measured, trained
        The first two tables of `auc_table.measure`.
    references
        Published figures: machine_type, machine_ids, method, auc, pauc, source.

    Returns
    -------
    DataFrame
        `selected` marks the trial chosen on held-out normal clips alone, by the column that `criterion` names;
        `best_by_labels` the one that the test labels would have chosen; `reference` has published figures for exactly the
        same machine ids.
    """
    keys = pd.DataFrame([{"trial": t.name, "epochs": t.epochs, "score": t.parameters["score"]} for t in trials])
    measured = measured[measured["domain"] == ""]
    means = measured[(measured["machine_id"] == "mean") & measured["heard"]].assign(epochs=lambda t: _epochs(t))
    # An inner join: a machine type without training clips has no row.
    table = keys.merge(trained, on=list(keys)).merge(means, on=[*keys, "machine_type"])
    parameters = [
        name for name in dict.fromkeys(["epochs", *(n for t in trials for n in t.parameters)]) if name in table
    ]
    table["reference"] = ""
    table[["criterion", "selected", "best_by_labels"]] = None  # a sweep without any row has these columns too
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
        *(["leave_id_out"] if "leave_id_out" in table else []),
        "pseudo_auc",
        "diverged",
    ]
    return table[[*front, *parameters, "reference"]]


def times_table(trained: pd.DataFrame) -> pd.DataFrame:
    """Seconds per epoch of each model: in a table of its own, as they differ from run to run."""
    return trained[["trial", "epochs", "machine_type", "seconds_per_epoch"]].drop_duplicates(
        ["trial", "epochs", "machine_type"], ignore_index=True
    )


def selected_table(sweeps: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """A row per sweep and machine type: the trial chosen without labels, the one that labels choose, their difference in AUC."""
    rows = []
    for table in sweeps:
        for machine_type, part in table.groupby("machine_type"):
            chosen, best = part[part["selected"]], part[part["best_by_labels"]]
            row = {"sweep": part["sweep"].iloc[0], "machine_type": machine_type, "criterion": part["criterion"].iloc[0]}
            for prefix, picked in (("selected", chosen), ("best_by_labels", best)):
                for column in [c for c in ("trial", "epochs", "score", "auc", "pauc", *FIGURES) if c in part]:
                    row[f"{prefix}_{column}"] = picked[column].iloc[0] if len(picked) else None
            if len(chosen) and len(best):
                row["price_of_honesty"] = row["best_by_labels_auc"] - row["selected_auc"]
            rows.append(row)
    return pd.DataFrame(rows)


def report_table(table: pd.DataFrame, measured: pd.DataFrame, varied: list[str]) -> pd.DataFrame:
    """One sweep with the parameters that it varies in rows and columns, and AUC in the cells.

    With one parameter (besides the seed): a row per value, a column per machine id, then mean, standard deviation, 95 %
    interval (over seeds where there are several, else the bootstrap's), and pAUC. With two or more: the values of the last one
    are columns of mean AUC. With seeds alone: a column per seed.

    Parameters
    ----------
    table
        What `sweep_table` returns.
    measured
        The first table of `auc_table.measure`.
    varied
        The sweep's parameters that have several values.
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
    half = scipy.special.stdtrit(n - 1, 0.975) * std / np.sqrt(n) if n > 1 else np.nan
    return dict(zip(SPREAD, (mean, std, mean - half, mean + half), strict=True))
