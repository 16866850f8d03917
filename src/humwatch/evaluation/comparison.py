"""AUC and pAUC of this run for DCASE 2020 beside published ones, each over exactly the same machine ids."""

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from humwatch.datasets.dcase_tables import DCASE2020
from humwatch.evaluation.auc_table import SUMMARIES

COLUMNS = ["machine_type", "machine_ids", "set", "method", "ours", "heard", "auc", "pauc", "source"]
COURSE = {"slider": ["00", "02", "04"]}


def comparison_table(
    measured: pd.DataFrame, trials: Iterable[tuple[str, int, str]], references: pd.DataFrame
) -> pd.DataFrame:
    """A row per machine type, set of machine ids and method, best first within a set; then the challenge's average over types.

    Sets: the development and evaluation ids, those of the course, and each single id for which there is a published figure.
    Sets of which not all ids were measured are left out.

    Parameters
    ----------
    measured
        The first table of `auc_table.measure`.
    trials
        Trial, epochs and score of those to compare.
    references
        Columns machine_type, machine_ids (separated by spaces), method, auc, pauc, source. Of a method with a row per id, the
        mean over any of its ids is known.
    """
    ids = measured[(measured["domain"] == "") & ~measured["machine_id"].isin(SUMMARIES)]
    rows: list[dict[str, Any]] = []
    for machine_type in [t for t in DCASE2020.machine_types if t in set(ids["machine_type"])]:
        of_type = ids[ids["machine_type"] == machine_type]
        published = references[references["machine_type"] == machine_type]
        for name, wanted in _sets(machine_type, published):
            if set(wanted) <= set(of_type["machine_id"]):
                found = [*_ours(of_type, list(trials), wanted), *_published(published, wanted)]
                described = {"machine_type": machine_type, "machine_ids": " ".join(wanted), "set": name}
                rows += [described | row for row in sorted(found, key=lambda row: -row["auc"])]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return pd.concat([table, pd.DataFrame([*_averages(table)], columns=COLUMNS)], ignore_index=True)


def _sets(machine_type: str, published: pd.DataFrame) -> Iterator[tuple[str, list[str]]]:
    yield "development", DCASE2020.expected_ids(machine_type, "dev")
    if machine_type in COURSE:
        yield "course", COURSE[machine_type]
    yield "evaluation", DCASE2020.expected_ids(machine_type, "eval")
    for ids in sorted(set(published["machine_ids"])):
        if " " not in ids:
            yield "one id", [ids]


def _ours(of_type: pd.DataFrame, trials: list[tuple[str, int, str]], wanted: list[str]) -> Iterator[dict[str, Any]]:
    epochs = of_type["epochs"].fillna(0).astype(int) if "epochs" in of_type else 0
    for trial, milestone, score in trials:
        rows = of_type[(of_type["trial"] == trial) & (epochs == milestone) & (of_type["score"] == score)]
        rows = rows[rows["machine_id"].isin(wanted)]
        if len(rows) == len(wanted) and rows["auc"].notna().all():
            method = f"{trial}, {milestone} epochs, {score}"
            measures = {"auc": rows["auc"].mean(), "pauc": rows["pauc"].mean()}
            yield {"method": method, "ours": True, "heard": bool(rows["heard"].all()), **measures, "source": "this run"}


def _published(published: pd.DataFrame, wanted: list[str]) -> Iterator[dict[str, Any]]:
    for method, rows in published.groupby("method", sort=False):
        same = rows[rows["machine_ids"] == " ".join(wanted)]
        one_by_one = rows[rows["machine_ids"].isin(wanted)]
        for part in [same] if len(same) else [one_by_one] if len(one_by_one) == len(wanted) else []:
            measures = {"auc": part["auc"].astype(float).mean(), "pauc": part["pauc"].astype(float).mean()}
            yield {"method": method, "ours": False, **measures, "source": part["source"].iloc[0]}


def _averages(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Over all machine types of a set, of the methods that have them all."""
    for name in ("development", "evaluation"):
        part = table[table["set"] == name]
        types = list(part["machine_type"].unique())
        for _, rows in part.groupby("method", sort=False):
            if len(types) > 1 and len(rows) == len(types):
                row = rows.iloc[0].to_dict() | {"auc": rows["auc"].mean(), "pauc": rows["pauc"].mean()}
                yield row | {"machine_type": f"average of {', '.join(types)}", "machine_ids": ""}
