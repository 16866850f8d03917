"""The official score of DCASE Task 2, as each year defines it, with its interval; also of one's own recordings with domains.

    2020           arithmetic mean of every machine's AUC and pAUC (the challenge ranked by the mean of either)
    2021           harmonic mean of AUC and pAUC of every section and domain, a domain's normal clips against its own anomalies
    2022 to 2026   harmonic mean of AUC of every section and domain, a domain's normal clips against the anomalies of both, and of
                   every section's pAUC over all its clips; recordings of one's own with domains are measured so

Kawaguchi et al. 2021 (arXiv 2106.04492), Dohi et al. 2022 (arXiv 2206.05876). No figure counts as less than machine epsilon.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from humwatch import parquet
from humwatch.evaluation.calibration import rows_by
from humwatch.evaluation.metrics import MAX_FPR, auc, interval, pauc, weighted_areas
from humwatch.study.trials import Trial

FIGURES = ["auc_source", "auc_target", "official"]  # that other tables have as well, beside AUC and pAUC
COLUMNS = ["trial", "epochs", "score", "set", "machine_type", "official", "official_low", "official_high", "auc_source"]
COLUMNS += ["auc_target", "auc", "pauc", "figures", "averaged"]
KEYS = ["trial", "epochs", "score", "machine_type"]
EVERY_TYPE = "all"
EVERY_SET = "all"
EPSILON = np.finfo(float).eps


@dataclass(frozen=True)
class Definition:
    """What the score is of.

    Attributes
    ----------
    year
        The challenge's; None: one's own recordings.
    sets
        The machines, as (machine type, id), of each set that is measured by itself: development, evaluation. Without any, all
        machines are one set.
    """

    year: int | None = None
    sets: Mapping[str, list[tuple[str, str]]] | None = None

    @property
    def is_harmonic(self) -> bool:
        return self.year != 2020


class Figure(NamedTuple):
    """An AUC or pAUC of one machine.

    Attributes
    ----------
    name
        auc, auc_source, auc_target or pauc.
    draws : (samples,)
        Of the bootstrap.
    """

    name: str
    value: float
    draws: np.ndarray


def official_table(
    trials: Iterable[Trial],
    score_files: Mapping[str, list[Path]],
    definition: Definition,
    samples: int,
    seed: int,
) -> pd.DataFrame:
    """The official score of each trial, of the machines that it heard in training.

    A row per trial, set and machine type, then one over all types (`all`); where machines of several sets are measured, the same
    rows follow over all sets. `figures` is the number of AUCs and pAUCs that the score is the mean of, and `averaged` the kind of
    mean, also of the columns auc_source, auc_target, auc and pauc. Intervals: 95 %, bootstrap stratified by label and domain.
    """
    rows: list[dict[str, Any]] = []
    for trial in trials:
        files = score_files[f"{trial.name}/{trial.epochs}"]
        if files:
            scores = pd.concat([parquet.read(path) for path in files], ignore_index=True)
            described = {"trial": trial.name, "epochs": trial.epochs, "score": trial.parameters["score"]}
            rows += (
                {**described, **row} for row in official_rows(scores, described["score"], definition, samples, seed)
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def official_rows(
    scores: pd.DataFrame, score: str, definition: Definition, samples: int, seed: int
) -> Iterator[dict[str, Any]]:
    """The rows of one trial, from its scores of the test clips."""
    scores = scores[scores["heard"].astype(bool) & scores["label"].notna()]
    labels, values = scores["label"].to_numpy(int), scores[score].to_numpy(float)
    domains = scores["domain"].fillna("").to_numpy(object) if "domain" in scores else np.full(len(scores), "")
    machines = {
        machine: found
        for machine, rows in rows_by(scores, ["machine_type", "machine_id"]).items()
        if (found := [*_figures(labels[rows], values[rows], domains[rows], definition.year, samples, seed)])
    }
    sets: dict[str, list[tuple]] = {"": [*machines]}
    if definition.sets:
        sets = {name: [m for m in machines if m in {*map(tuple, of)}] for name, of in definition.sets.items()}
        sets = {name: of for name, of in sets.items() if of}
        if len(sets) > 1:
            sets[EVERY_SET] = [*machines]
    for name, of in sets.items():
        by_type: dict[str, list[Figure]] = {}
        for machine in of:
            by_type.setdefault(machine[0], []).extend(machines[machine])
        if len(by_type) > 1:
            by_type[EVERY_TYPE] = [figure for figures in by_type.values() for figure in figures]
        for machine_type, figures in by_type.items():
            yield {"set": name, "machine_type": machine_type, **_row(figures, definition.is_harmonic)}


def with_figures(table: pd.DataFrame, official: pd.DataFrame | None) -> pd.DataFrame:
    """A table with a row per trial and machine type, with the columns `FIGURES` after `pauc`; as it is where there are none."""
    if official is None:
        return table
    keys = keys_of(table)
    last = official.drop_duplicates(KEYS, keep="last")  # over all sets
    found = keys.merge(last[[*KEYS, *FIGURES]], on=KEYS, how="left")
    place = list(table).index("pauc") + 1
    return pd.concat(
        [table.iloc[:, :place], found[FIGURES].set_axis(table.index), table.iloc[:, place:]], axis="columns"
    )


def keys_of(table: pd.DataFrame) -> pd.DataFrame:
    """The columns `KEYS` of a table with a row per trial and machine type; epochs are 0 for detectors without."""
    epochs = table["epochs"].fillna(0).astype(int) if "epochs" in table else 0
    return table.assign(epochs=epochs)[KEYS]


def mean(values: np.ndarray, is_harmonic: bool) -> np.ndarray:
    """Harmonic or arithmetic mean over the first axis, of values no smaller than machine epsilon."""
    return len(values) / (1 / np.maximum(values, EPSILON)).sum(axis=0) if is_harmonic else values.mean(axis=0)


def _figures(
    labels: np.ndarray, scores: np.ndarray, domains: np.ndarray, year: int | None, samples: int, seed: int
) -> Iterator[Figure]:
    """Of one machine, those that have both normal clips and anomalies."""
    known = [] if year == 2020 else sorted({*domains} - {""})
    weights = np.empty((samples, len(labels)))
    for (label, domain), rows in _strata(labels, domains if known else np.full(len(labels), "")).items():
        place = known.index(domain) + 1 if domain else 0
        weights[:, rows] = _resampled(len(rows), samples, (seed, label, place))

    def figure(name: str, own: np.ndarray, max_fpr: float = 1.0) -> Iterator[Figure]:
        if len({*labels[own]}) == 2:
            value = (auc if max_fpr == 1 else pauc)(labels[own], scores[own])
            yield Figure(name, value, weighted_areas(labels[own], scores[own], weights[:, own], max_fpr))

    everything = np.full(len(labels), True)
    for domain in known:
        own = domains == domain
        yield from figure(f"auc_{domain}", own if year == 2021 else own | (labels == 1))
        if year == 2021:
            yield from figure("pauc", own, MAX_FPR)
    if not known:
        yield from figure("auc", everything)
    if not known or year != 2021:
        yield from figure("pauc", everything, MAX_FPR)


def _strata(labels: np.ndarray, domains: np.ndarray) -> dict[tuple[int, str], np.ndarray]:
    kinds = {(int(label), domain) for label, domain in zip(labels, domains, strict=True)}
    return {kind: np.flatnonzero((labels == kind[0]) & (domains == kind[1])) for kind in sorted(kinds)}


@lru_cache
def _resampled(clips: int, samples: int, seed: tuple[int, ...]) -> np.ndarray:
    """How often each clip is drawn in each sample, (samples, clips)."""
    return np.random.default_rng(seed).multinomial(clips, np.full(clips, 1 / clips), samples).astype(float)


def _row(figures: list[Figure], is_harmonic: bool) -> dict[str, Any]:
    low, high = interval(mean(np.array([figure.draws for figure in figures]), is_harmonic))
    row = {"official": float(mean(np.array([figure.value for figure in figures]), is_harmonic))}
    row |= {"official_low": low, "official_high": high}
    for name in ("auc_source", "auc_target", "auc", "pauc"):
        if values := [figure.value for figure in figures if figure.name == name]:
            row[name] = float(mean(np.array(values), is_harmonic))
    return row | {"figures": len(figures), "averaged": "harmonic" if is_harmonic else "arithmetic"}
