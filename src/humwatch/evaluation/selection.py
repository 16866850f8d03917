"""Choosing a trial without labels: criteria computed on held-out normal clips alone.

`val_loss`, the loss of held-out clips, compares trials that minimise the same loss. `pseudo_auc` compares any: how well a
trial's scores tell held-out clips from copies of them with a patch cut out and pasted elsewhere, which are no longer normal
though every value in them is.

References
----------
Li et al. 2021, "CutPaste: Self-Supervised Learning for Anomaly Detection and Localization", arXiv 2104.04015.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

# Trials that differ in these alone minimise the same loss on the same held-out clips.
SAME_LOSS = {"learning_rate", "batch_size", "epochs", "seed", "hidden", "latent", "bottleneck", "score"}

# Columns of a sweep's table that are not parameters of its trials.
NOT_PARAMETERS = {"sweep", "trial", "machine_type", "auc", "auc_low", "auc_high", "pauc", "n_normal", "n_anomaly", "selected",
                  "best_by_labels", "criterion", "val_loss", "pseudo_auc", "diverged", "seconds_per_epoch", "reference",
                  "auc_source", "auc_target", "official",
                  }  # fmt: skip


def criterion(trials: pd.DataFrame, parameters: list[str]) -> str:
    """The column to choose by: `val_loss` where all trials minimise the same loss, else `pseudo_auc`.

    Parameters
    ----------
    trials
        Rows of a sweep's table, of one machine type.
    parameters
        Its columns that are parameters of trials.
    """
    varied = {name for name in parameters if trials[name].nunique(dropna=False) > 1}
    comparable = varied <= SAME_LOSS and trials["score"].nunique() == 1
    return "val_loss" if comparable and trials["val_loss"].notna().any() else "pseudo_auc"


def choose(trials: pd.DataFrame, parameters: list[str]) -> int | None:
    """The index of the chosen row, the first of equals; None where no trial has a finite criterion."""
    column = criterion(trials, parameters)
    values = trials[column].replace([np.inf, -np.inf], np.nan).dropna()
    if values.empty:
        return None
    return int(values.idxmin() if column == "val_loss" else values.idxmax())


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
