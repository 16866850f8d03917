"""Names and values as a reader sees them in figures and on the report page."""

from typing import Any

import numpy as np
import pandas as pd

from humwatch.evaluation.selection import NOT_PARAMETERS

WORDS = {
    "auc": "AUC",
    "pauc": "pAUC",
    "auc_source": "AUC source",
    "auc_target": "AUC target",
    "official": "official score",
    "heard": "seen in training",
    "kl_weight": "KL weight",
    "n_normal": "normal clips",
    "n_anomaly": "anomalies",
    "n_mels": "mel bins",
    "seconds_per_epoch": "s per epoch",
    "val_loss": "validation loss",
    "leave_id_out": "left-out-id AUC",
    "pseudo_auc": "pseudo-anomaly AUC",
}


def words(name: str) -> str:
    """A column's name in words: "learning_rate" becomes "learning rate"."""
    return WORDS.get(name, name.replace("_", " "))


def varied(table: pd.DataFrame) -> list[str]:
    """The parameters that a sweep varies, the detector first, then in the table's order, without what follows from the others.

    A sweep over detectors varies their own hyper-parameters too, but only along with the detector.
    """
    found: list[str] = []
    for name in sorted((str(c) for c in table if c not in NOT_PARAMETERS), key=lambda name: name != "detector"):
        if table[name].nunique(dropna=False) < 2:
            continue
        if found and (table.groupby(found, dropna=False)[name].nunique(dropna=False) == 1).all():
            continue
        found.append(name)
    return found


def trial_name(row: pd.Series) -> str:
    """A trial's name and, where its detector has epochs, their number."""
    epochs = row.get("epochs", 0)
    return (
        row["trial"] if pd.isna(epochs) or epochs == 0 else f"{row['trial']}, {int(epochs)} epoch{'s'[: epochs != 1]}"
    )


def value_text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float | np.number) and not isinstance(value, bool) else str(value)
