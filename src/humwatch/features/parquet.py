"""Features that were computed elsewhere, one file <machine_type>.parquet each: what planning knows of them.

`features.imported` reads the files.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from humwatch.errors import InputError
from humwatch.features import logmel
from humwatch.features.base import BaseFeature, Scale
from humwatch.parameters import REQUIRED, parameter


@dataclass(frozen=True)
class Feature(BaseFeature):
    """Until its files are read, a feature like log-mel."""

    path: str | None = parameter(
        REQUIRED, "Folder of the files; default is the data set's.", type="string", minLength=1
    )

    seconds_per_clip = 0.002
    from_recordings = False
    is_waveform = True

    @property
    def bins(self) -> int:
        return logmel.Feature().bins

    def shape(self, sample_rate: int, seconds: float) -> tuple[int, int]:
        return logmel.Feature().shape(sample_rate, seconds)

    def __call__(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        raise NotImplementedError("it was computed elsewhere")

    @classmethod
    def scale(cls, stated: Mapping[str, Any], bins: int) -> Scale:
        return logmel.Feature.scale(stated, bins)  # whose parameters its files may state


def folders(
    features: Mapping[str, Mapping[str, Any]],
    used: Collection[str],
    dataset: Mapping[str, Any],
    machine_types: Iterable[str],
) -> dict[str, str]:
    """Folder of each feature that was computed elsewhere, a file per machine type in it.

    Parameters
    ----------
    features, dataset
        These sections of a validated configuration.
    used
        The features of its trials.

    Raises
    ------
    InputError
        A folder or a file is missing, or a feature would need recordings where the data set has none.
    """
    own = dataset["path"] if dataset["source"] == "parquet" else None
    found = {name: one.get("path", own) for name, one in features.items() if one["source"] == "parquet"}
    for name, folder in found.items():
        if folder is None:
            raise InputError(f"config: features.{name} lacks path, the folder of <machine_type>.parquet: add it")
        for machine_type in sorted(machine_types):
            if not (file := Path(folder, f"{machine_type}.parquet")).is_file():
                raise InputError(
                    f"config: features.{name}: {file} is not there: add it or correct features.{name}.path"
                )
    if own and (computed := sorted(set(used) - found.keys())):
        raise InputError(
            f"config: the feature {computed[0]} is computed from recordings and dataset.source parquet has none: "
            "set trial.feature to a feature of source parquet"
        )
    return found
