"""Names and values as they are read, in figures and on the page."""

from typing import Any

import numpy as np
import pandas as pd

MEASURES = {"auc", "auc_low", "auc_high", "pauc", "pauc_low", "pauc_high", "selected", "best_by_labels", "diverged",
            "val_loss", "pseudo_auc", "seconds_per_epoch", "n_normal", "n_anomaly", "note"}  # fmt: skip
NOT_PARAMETERS = MEASURES | {"sweep", "trial", "machine_type", "criterion", "reference", "source"}
WORDS = {
    "auc": "AUC",
    "pauc": "pAUC",
    "kl_weight": "KL weight",
    "n_normal": "normal clips",
    "n_anomaly": "anomalies",
    "n_mels": "mel bins",
    "seconds_per_epoch": "s per epoch",
    "val_loss": "validation loss",
    "pseudo_auc": "pseudo-anomaly AUC",
}


def words(name: str) -> str:
    """A column's name as it is read: "learning_rate" -> "learning rate"."""
    return WORDS.get(name, name.replace("_", " "))


def varied(table: pd.DataFrame) -> list[str]:
    """The parameters that a sweep varies, in the table's order, without those that follow from the others.

    A sweep over detectors varies their own hyper-parameters too, but only along with the detector.
    """
    found: list[str] = []
    for name in (str(c) for c in table if c not in NOT_PARAMETERS):
        if table[name].nunique(dropna=False) < 2:
            continue
        if found and (table.groupby(found, dropna=False)[name].nunique(dropna=False) == 1).all():
            continue
        found.append(name)
    return found


def value_text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float | np.number) and not isinstance(value, bool) else str(value)
