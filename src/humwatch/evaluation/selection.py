"""Choosing a trial without labels: criteria computed on normal training clips alone.

`val_loss`, the loss of held-out clips, compares trials that minimise the same loss. `leave_id_out` compares losses: how well
machine ids that were left out of training are told from their siblings (`detectors.leave_id_out`). Of the loss with the highest,
the trial with the lowest `val_loss` is chosen. `pseudo_auc` stands in where a machine type has one id, and where there is no
loss: how well scores tell held-out clips from strange ones made of them (`detectors.pseudo_anomalies`).
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from humwatch.study.trials import SAME_LOSS

# Columns of a sweep's table that are not parameters of its trials.
NOT_PARAMETERS = {"sweep", "trial", "machine_type", "auc", "auc_low", "auc_high", "pauc", "n_normal", "n_anomaly", "selected",
                  "best_by_labels", "criterion", "val_loss", "leave_id_out", "pseudo_auc", "diverged", "seconds_per_epoch",
                  "reference", "auc_source", "auc_target", "official",
                  }  # fmt: skip


def criterion(trials: pd.DataFrame, parameters: list[str]) -> str:
    """The column to choose by: `val_loss` where all trials minimise the same loss, else `leave_id_out`, else `pseudo_auc`.

    Parameters
    ----------
    trials
        Rows of a sweep's table, of one machine type.
    parameters
        Its columns that are parameters of trials.
    """
    if len(_losses(trials, parameters)) < 2:
        return "val_loss" if trials["val_loss"].notna().any() else "pseudo_auc"
    return "leave_id_out" if "leave_id_out" in trials and trials["leave_id_out"].notna().any() else "pseudo_auc"


def choose(trials: pd.DataFrame, parameters: list[str]) -> int | None:
    """The index of the chosen row, the first of equals; None where no trial has a finite criterion.

    Of the trials of a loss that `leave_id_out` knows and nothing else does, since no clip is held out, the first that has not
    diverged.
    """
    column = criterion(trials, parameters)
    if column == "leave_id_out":
        losses = _losses(trials[trials[column].notna()], parameters)
        best = sorted(losses, key=lambda rows: rows[column].iloc[0], reverse=True)
        return next((row for rows in best if (row := _of_one_loss(rows, parameters)) is not None), None)
    values = trials[column].replace([np.inf, -np.inf], np.nan).dropna()
    if values.empty:
        return None
    return int(values.idxmin() if column == "val_loss" else values.idxmax())


def _of_one_loss(trials: pd.DataFrame, parameters: list[str]) -> int | None:
    chosen = choose(trials, parameters)
    if chosen is None and "diverged" in trials and (kept := ~trials["diverged"].astype(bool)).any():
        return int(trials.index[kept][0])
    return chosen


def all_trials(sweeps: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The tables of several sweeps as one, the trials that they chose first; a trial that they share has one row."""
    table = pd.concat(sweeps, ignore_index=True)
    keys = [key for key in ("trial", "epochs", "score", "machine_type") if key in table]
    return table.sort_values("selected", ascending=False, kind="stable").drop_duplicates(keys, ignore_index=True)


def overall_choice(sweeps: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The trial of each machine type that is chosen without labels among those of all sweeps; never one that diverged.

    Among equals a sweep's own choice comes first, as the values in tables are rounded.

    Returns
    -------
    DataFrame
        Rows of the sweeps' tables, with `criterion`, the one used here, and `chosen_from`, the number of trials.
    """
    trials = all_trials(sweeps)
    parameters = [str(column) for column in trials if column not in NOT_PARAMETERS]
    kept = ~trials["diverged"].astype(bool)
    usable = trials.assign(val_loss=trials["val_loss"].where(kept), pseudo_auc=trials["pseudo_auc"].where(kept))
    rows = {}
    for _, part in usable.groupby("machine_type"):
        if (row := choose(part, parameters)) is not None:
            rows[row] = {"criterion": criterion(part, parameters), "chosen_from": len(part)}
    return trials.loc[[*rows]].assign(**pd.DataFrame([*rows.values()], [*rows], ["criterion", "chosen_from"]))


def _losses(trials: pd.DataFrame, parameters: list[str]) -> list[pd.DataFrame]:
    """The rows of each loss that trials minimise, where they make scores of it in one way."""
    same = [name for name in parameters if name not in SAME_LOSS]
    return [rows for _, rows in trials.groupby([*same, "score"], dropna=False, sort=False)]
