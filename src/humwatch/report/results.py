"""A finished run's folder, `results/<name>`, read back: tables, the trials chosen, their scores, models, logs, spectrograms."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from humwatch import parquet
from humwatch.detectors import base, models
from humwatch.detectors.base import BaseDetector
from humwatch.errors import InputError, damaged
from humwatch.features import store
from humwatch.features.base import Scale, feature_class
from humwatch.features.store import Features
from humwatch.files import is_damaged
from humwatch.slugs import slug
from humwatch.study.layout import CHECKSUMS, TEXT_COLUMNS, TIMES, Layout, Scope


@dataclass(frozen=True)
class Results:
    """The folder of one data set's results. A `row` is a row of a sweep's table: one trial on one machine type."""

    folder: Path

    @property
    def layout(self) -> Layout:
        return Layout(str(self.folder))

    @cached_property
    def clips(self) -> pd.DataFrame:
        """The clip table."""
        return parquet.read(self.folder / "clips.parquet")

    def sweep(self, name: str) -> pd.DataFrame:
        """The sweep's tidy table: a row per trial and machine type, and how long its epochs took."""
        tables = self.folder / "tables"
        sweep, times = read_table(tables / "sweeps" / f"{name}.csv"), read_table(tables / TIMES)
        keys = [key for key in ("trial", "epochs", "machine_type") if key in sweep]
        return sweep.merge(times[[*keys, "seconds_per_epoch"]], on=keys, how="left")

    def model(self, row: pd.Series, machine_id: str) -> Path:
        """Folder of the model that scores this machine id."""
        models = self._models(row)
        return Path(self.layout.model(*models.get(machine_id, next(iter(models.values())))))

    def detector(self, row: pd.Series, machine_id: str) -> BaseDetector:
        """The model that scores this machine id, loaded."""
        return _load(self.model(row, machine_id))

    def scores(self, row: pd.Series) -> pd.DataFrame:
        """The test clips of the row's machine type; column `score` is the one that the trial names."""
        files = [self.layout.scores(*model) for model in self._models(row).values()]
        scores = pd.concat([parquet.read(Path(path)) for path in files], ignore_index=True)
        scores["score"] = scores[row["score"]]
        return scores[scores["machine_type"] == row["machine_type"]].reset_index(drop=True)

    def decisions(self, row: pd.Series) -> pd.DataFrame:
        """The row's thresholds and what they are worth on labelled test clips, a row per machine id seen in training."""
        if (table := read_table(self.folder / "tables" / "decisions.csv")).empty:
            return table
        same = {"epochs": _epochs(row)} | {key: row[key] for key in ("trial", "score", "machine_type")}
        own = table[np.logical_and.reduce([table[key] == value for key, value in same.items()])]
        return own[own["domain"].isna() & own["heard"] & own["false_alarm_rate"].notna()].reset_index(drop=True)

    def held_out(self, row: pd.Series) -> pd.DataFrame:
        """Scores of the row's normal clips that were held out of training; empty where none were."""
        files = [Path(self.layout.model(*model), "validation.parquet") for model in self._models(row).values()]
        held_out = pd.concat([parquet.read(path) for path in files], ignore_index=True)
        if held_out.empty:
            return pd.DataFrame({"machine_id": []})
        return held_out[(held_out["machine_type"] == row["machine_type"]) & (held_out["pseudo"] == 0)]

    def reasons(self, row: pd.Series) -> pd.DataFrame:
        """The candidates of the row's trial and how they were judged, a row each; empty where it does not choose any."""
        models_of = [models.description(Path(self.layout.model(*model))) for model in self._models(row).values()]
        table = pd.DataFrame([one for model in models_of for one in model.get("choice", [])])
        return (
            table if table.empty else table[table["machine_type"] == row["machine_type"]].drop(columns="machine_type")
        )

    def log(self, row: pd.Series) -> pd.DataFrame:
        """Loss of each epoch: the mean over the trial's models where each machine id has its own. Empty without epochs."""
        logs = [models.log(Path(self.layout.model(*model))) for model in self._models(row).values()]
        if len(logs) < 2:
            return logs[0] if logs else pd.DataFrame(columns=models.LOG_COLUMNS)
        return pd.concat(logs).groupby("epoch", as_index=False).mean()

    def parts(self, feature: str, machine_type: str, split: str, clips: Iterable[str]) -> Iterator[Features]:
        """A feature of these clips, a row group's at a time."""
        wanted = set(clips)
        for group in store.groups(self._features(feature, machine_type, split)):
            if len(part := group.select(group.clips["clip"].isin(wanted).to_numpy())):
                yield part

    def frames(
        self, feature: str, machine_type: str, clips: Iterable[str]
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """A feature of these test clips, (frames, bins) each, and the feature's parameters."""
        parts = [*self.parts(feature, machine_type, "test", clips)]
        found = {name: part.clip(i) for part in parts for i, name in enumerate(part.clips["clip"])}
        return found, store.parameters(self._features(feature, machine_type, "test"))

    def warnings(self) -> Iterator[str]:
        """What the stages that read the recordings warned of."""
        for path in sorted((self.folder / "logs" / "clips").rglob("*.log")):
            for line in path.read_text().splitlines():
                if " WARNING: " in line:
                    yield line.split(" WARNING: ", 1)[1]

    def _features(self, feature: str, machine_type: str, split: str) -> Path:
        return Path(self.layout.features(feature, slug(machine_type), split))

    def _models(self, row: pd.Series) -> dict[str, tuple[str, str, int]]:
        """Scope, trial and epochs of the row's models: by machine id where each has one of its own, else the one of all."""
        end = row["trial"], _epochs(row)
        if row["scope"] != "machine_id":
            return {"": (Scope(None if row["scope"] == "all" else row["machine_type"]).name, *end)}
        clips = self.clips[self.clips["machine_type"] == row["machine_type"]]
        ids = clips.groupby("machine_id")["split"].nunique()
        return {i: (Scope(row["machine_type"], i).name, *end) for i in sorted(ids[ids == 2].index)}


_load = lru_cache(base.load)  # the machine ids of one type may share a model


def feature_of(row: pd.Series, sweep: pd.DataFrame) -> str:
    """A trial's feature; of an ensemble, which has none of its own, the first of its members', which are in its sweep."""
    return row["feature"] if isinstance(row["feature"], str) else sweep["feature"].dropna().iloc[0]


def scale_of(parameters: dict[str, Any], bins: int) -> Scale:
    """Seconds and Hz of a feature, as far as its file states them."""
    return feature_class(parameters["source"]).scale(parameters, bins)


def read_table(path: Path) -> pd.DataFrame:
    """One of the run's CSV tables, with its types: names stay the text that they are ("00", "NA"), what is empty is missing.

    Raises InputError where it is not what was written.
    """
    folder = path.parents[1] if path.parent.name == "sweeps" else path.parent
    try:
        if is_damaged(path, folder / CHECKSUMS):
            raise InputError(damaged(path, f"its checksum is not that in {folder / CHECKSUMS}"))
        return pd.read_csv(path, dtype=dict.fromkeys(TEXT_COLUMNS, str), keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: run `snakemake` to make the tables") from None
    except pd.errors.EmptyDataError:
        return pd.DataFrame()


def _epochs(row: pd.Series) -> int:
    """The row's milestone; 0 for detectors without epochs."""
    epochs = row.get("epochs", 0)
    return 0 if pd.isna(epochs) else int(epochs)
