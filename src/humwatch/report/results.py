"""Read the folder of a finished run, `results/<name>`: tables, scores, models, logs, features."""

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
    """The folder of one data set's results.

    A `row` is a row of a sweep's table: one trial on one machine type.
    """

    folder: Path

    @property
    def layout(self) -> Layout:
        return Layout(str(self.folder))

    @cached_property
    def clips(self) -> pd.DataFrame:
        """The clip table."""
        return parquet.read(self.folder / "clips.parquet")

    def sweep(self, name: str) -> pd.DataFrame:
        """The sweep's tidy table, a row per trial and machine type, with the column seconds_per_epoch."""
        tables = self.folder / "tables"
        sweep, times = read_table(tables / "sweeps" / f"{name}.csv"), read_table(tables / TIMES)
        keys = [key for key in ("trial", "epochs", "machine_type") if key in sweep]
        return sweep.merge(times[[*keys, "seconds_per_epoch"]], on=keys, how="left")

    def feature(self, row: pd.Series) -> str:
        """The name of the row's feature; of an ensemble, that of its first member."""
        if isinstance(row["feature"], str):
            return row["feature"]
        member = models.description(self.model(row, ""))["members"][0]["trial"]
        sweep = self.sweep(row["sweep"])
        return sweep.loc[sweep["trial"] == member, "feature"].iloc[0]

    def model(self, row: pd.Series, machine_id: str) -> Path:
        """The folder of the model that scores this machine id."""
        models = self._models(row)
        return Path(self.layout.model(*models.get(machine_id, next(iter(models.values())))))

    def detector(self, row: pd.Series, machine_id: str) -> BaseDetector:
        """The model that scores this machine id, loaded."""
        return _load(self.model(row, machine_id))

    def scores(self, row: pd.Series) -> pd.DataFrame:
        """The scores of the machine type's test clips; the column `score` is the one that the trial names."""
        files = [self.layout.scores(*model) for model in self._models(row).values()]
        scores = pd.concat([parquet.read(Path(path)) for path in files], ignore_index=True)
        scores["score"] = scores[row["score"]]
        return scores[scores["machine_type"] == row["machine_type"]].reset_index(drop=True)

    def decisions(self, row: pd.Series) -> pd.DataFrame:
        """The row's thresholds and how well they decide on labelled test clips, a row per machine id seen in training."""
        if (table := read_table(self.folder / "tables" / "decisions.csv")).empty:
            return table
        same = {"epochs": _epochs(row)} | {key: row[key] for key in ("trial", "score", "machine_type")}
        own = table[np.logical_and.reduce([table[key] == value for key, value in same.items()])]
        return own[own["domain"].isna() & own["heard"] & own["false_alarm_rate"].notna()].reset_index(drop=True)

    def held_out(self, row: pd.Series) -> pd.DataFrame:
        """The scores of the normal clips that were held out of training; empty where none were."""
        files = [Path(self.layout.model(*model), "validation.parquet") for model in self._models(row).values()]
        held_out = pd.concat([parquet.read(path) for path in files], ignore_index=True)
        if held_out.empty:
            return pd.DataFrame({"machine_id": []})
        return held_out[(held_out["machine_type"] == row["machine_type"]) & (held_out["pseudo"] == 0)]

    def reasons(self, row: pd.Series) -> pd.DataFrame:
        """The candidates of the row's trial and how they were judged, a row each; empty where it does not choose any."""
        models_of = {i: models.description(Path(self.layout.model(*model))) for i, model in self._models(row).items()}
        rows = [
            ({"machine_id": i} if i else {}) | one for i, made in models_of.items() for one in made.get("choice", [])
        ]
        table = pd.DataFrame(rows)
        if table.empty:
            return table
        own = table[table["machine_type"] == row["machine_type"]].drop(columns="machine_type")
        return own.dropna(axis="columns", how="all")  # of the two figures, that which chose

    def log(self, row: pd.Series) -> pd.DataFrame:
        """The losses of each epoch, the mean over models where each machine id has its own; empty without epochs."""
        logs = [models.log(Path(self.layout.model(*model))) for model in self._models(row).values()]
        if len(logs) < 2:
            return logs[0] if logs else pd.DataFrame(columns=models.LOG_COLUMNS)
        return pd.concat(logs).groupby("epoch", as_index=False).mean()

    def parts(self, feature: str, machine_type: str, split: str, clips: Iterable[str]) -> Iterator[Features]:
        """A feature of these clips, a row group of the store at a time."""
        wanted = set(clips)
        for group in store.groups(self._features(feature, machine_type, split)):
            if len(part := group.select(group.clips["clip"].isin(wanted).to_numpy())):
                yield part

    def frames(
        self, feature: str, machine_type: str, clips: Iterable[str]
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """A feature of these test clips.

        Returns
        -------
        frames
            By clip, (frames, bins) float32.
        parameters
            Those of the feature, as its file states them.
        """
        parts = [*self.parts(feature, machine_type, "test", clips)]
        found = {name: part.clip(i) for part in parts for i, name in enumerate(part.clips["clip"])}
        return found, store.parameters(self._features(feature, machine_type, "test"))

    def warnings(self) -> Iterator[str]:
        """The warnings of the stage that reads the recordings."""
        for path in sorted((self.folder / "logs" / "clips").rglob("*.log")):
            for line in path.read_text().splitlines():
                if " WARNING: " in line:
                    yield line.split(" WARNING: ", 1)[1]

    def _features(self, feature: str, machine_type: str, split: str) -> Path:
        return Path(self.layout.features(feature, slug(machine_type), split))

    def _models(self, row: pd.Series) -> dict[str, tuple[str, str, int]]:
        """Scope, trial and epochs of the row's models, by machine id; by "" of the one that all machine ids share."""
        end = row["trial"], _epochs(row)
        if row["scope"] != "machine_id":
            return {"": (Scope(None if row["scope"] == "all" else row["machine_type"]).name, *end)}
        clips = self.clips[self.clips["machine_type"] == row["machine_type"]]
        ids = clips.groupby("machine_id")["split"].nunique()
        return {i: (Scope(row["machine_type"], i).name, *end) for i in sorted(ids[ids == 2].index)}


_load = lru_cache(base.load)  # the machine ids of one type may share a model


def scale_of(parameters: dict[str, Any], bins: int) -> Scale:
    """The axes of a feature with its file's `parameters` and so many bins, in seconds and Hz as far as they are known."""
    return feature_class(parameters["source"]).scale(parameters, bins)


def read_table(path: Path) -> pd.DataFrame:
    """Read one of the run's CSV tables: names stay text ("00", "NA"), empty cells are missing values.

    Raises
    ------
    InputError
        The table is missing or damaged.
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
    """The milestone of a row; 0 for detectors without epochs."""
    epochs = row.get("epochs", 0)
    return 0 if pd.isna(epochs) else int(epochs)
