"""Tables as the report page shows them: what is the same in every row stands once, below; headings sort the rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from humwatch.report.words import words

ROWS = 300  # of a table
NEVER_FIXED = {"auc", "auc_low", "auc_high"}
CHOICES = {"selected": ("chosen", "good"), "best_by_labels": ("best by labels", ""), "diverged": ("diverged", "warn")}
# The order of columns: the machine, the parameters (""), the measures, the choice; long names last.
ORDER = ["machine_type", "machine_id", "", "auc", "auc_low", "auc_high", "auc_mean", "auc_std", "pauc", "pauc_mean",
         "pauc_std", "auc_source", "auc_target", "official", "official_low", "official_high", *CHOICES, "val_loss",
         "leave_id_out", "pseudo_auc", "seconds_per_epoch", "trial", "note"]  # fmt: skip


@dataclass
class Cell:
    """One cell.

    Attributes
    ----------
    text
        What it shows, without chips.
    chips
        Word and look (CSS class) of each.
    attributes
        Of its HTML element.
    is_code
        Whether it is set like source code.
    """

    text: str = ""
    chips: list[tuple[str, str]] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)
    is_code: bool = False


@dataclass
class Table:
    """A table to be filled into its template.

    Attributes
    ----------
    caption
        Its heading.
    columns
        The kind of each column: "text", "number", "interval" or "choice".
    rows
        Whether the row is that of a chosen trial, and its cells.
    length
        The number of rows, of which the first `ROWS` are shown.
    same
        What is the same in all of them, in words.
    """

    caption: str
    columns: dict[str, str]
    rows: list[tuple[bool, list[Cell]]]
    length: int
    same: str


def table_of(table: pd.DataFrame, caption: str, as_it_is: bool = False) -> Table:
    """Make a data frame a table of the page: its columns sorted, those that are the same in all rows left out.

    With `as_it_is`, the columns stay in their order, and none is left out.
    """
    names, same = [str(c) for c in table], ""
    if not as_it_is:
        names = sorted(
            (c for c in names if not table[c].isna().all()), key=lambda c: ORDER.index(c if c in ORDER else "")
        )
        fixed = [c for c in names if len(table) > 1 and c not in NEVER_FIXED and table[c].nunique(dropna=False) == 1]
        names = [c for c in names if c not in fixed]
        told = [f"{words(c)} {cell_text(c, table[c].iloc[0])}" for c in fixed if c not in ("sweep", *CHOICES)]
        same = "; ".join(told)
    columns: dict[str, str] = {}
    for c in names:
        if c in CHOICES:
            columns["choice"] = "choice"
        elif c == "auc_high" and "auc_low" in names:
            columns["95 % interval"] = "interval"
        elif c != "auc_low" or "auc_high" not in names:
            numeric = pd.api.types.is_numeric_dtype(table[c]) and not pd.api.types.is_bool_dtype(table[c])
            columns[c] = "number" if numeric else "text"
    rows = [
        (bool(row.get("selected")), [_cell(row, c, kind) for c, kind in columns.items()])
        for row in table.head(ROWS).to_dict("records")
    ]
    return Table(caption, columns, rows, len(table), same)


def cell_text(column: str, value: Any) -> str:
    if value is None or (not isinstance(value, list) and pd.isna(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float):
        if "auc" in column or column.startswith("official"):
            return f"{value:.3f}"
        return f"{value:.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.4g}"
    return str(value)


def _cell(row: Mapping[Any, Any], column: str, kind: str) -> Cell:
    if kind == "choice":
        chips = [chip for name, chip in CHOICES.items() if row.get(name) is True]
        return Cell(chips=chips, attributes={"data-value": " ".join(word for word, _ in chips)})
    if kind == "interval":
        low, high = (cell_text(name, row[name]) for name in ("auc_low", "auc_high"))
        return Cell(f"{low} – {high}" if low else "", attributes={"class": "number", "data-value": low})
    value = row[column]
    text = cell_text(column, value)
    if kind == "number":
        attributes = {"class": "number", "data-value": "" if pd.isna(value) else repr(float(value))}
        if column in ("auc", "auc_mean") and not pd.isna(value):
            share = 100 * min(max((float(value) - 0.5) * 2, 0), 1)
            attributes |= {"class": "number bar", "style": f"--share: {share:.0f}%"}
        return Cell(text, attributes=attributes)
    if column.endswith("trial"):
        return Cell(text, is_code=True)
    return Cell(text, attributes={"class": "text"} if len(text) > 40 and " " in text else {})
