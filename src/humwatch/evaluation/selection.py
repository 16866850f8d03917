"""Choosing a trial without labels: criteria computed on held-out normal clips alone.

`val_loss`, the loss of held-out clips, compares trials that minimise the same loss. `pseudo_auc` compares any: how well a
trial's scores tell held-out clips from copies of them with a patch cut out and pasted elsewhere (CutPaste, Li et al. 2021,
arXiv 2104.04015), which are no longer normal though every value in them is.
"""

import numpy as np
import pandas as pd

# Trials that differ in these alone minimise the same loss on the same held-out clips.
SAME_LOSS = {"learning_rate", "batch_size", "epochs", "seed", "hidden", "latent", "bottleneck", "score"}


def criterion(trials: pd.DataFrame, parameters: list[str]) -> str:
    """The column to choose by: val_loss where all trials minimise the same loss, else pseudo_auc."""
    varied = {name for name in parameters if trials[name].nunique(dropna=False) > 1}
    comparable = varied <= SAME_LOSS and trials["score"].nunique() == 1
    return "val_loss" if comparable and trials["val_loss"].notna().any() else "pseudo_auc"


def choose(trials: pd.DataFrame, parameters: list[str]) -> int | None:
    """Index of the chosen row, None where no trial has a finite criterion. The first of equals."""
    column = criterion(trials, parameters)
    values = trials[column].replace([np.inf, -np.inf], np.nan).dropna()
    if values.empty:
        return None
    return int(values.idxmin() if column == "val_loss" else values.idxmax())


def overall_choice(trials: pd.DataFrame) -> int | None:
    """Index of the row chosen over all sweeps of one machine type. Columns: the parameters, and those of `trained_row`.

    Trials that diverged are never chosen. The only trial needs no criterion.
    """
    able = trials[~trials["diverged"].astype(bool)]
    measures = {"val_loss", "pseudo_auc", "seconds_per_epoch", "diverged"}
    described = able.map(lambda value: str(value) if isinstance(value, list) else value)
    chosen = choose(described, [name for name in able if name not in measures]) if len(able) else None
    return int(able.index[0]) if chosen is None and len(able) == 1 else chosen
