"""Data sources. Each one ends in a folder of clips in the DCASE 2020 layout."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from humwatch.datasets.directory import ClipName, scan
from humwatch.errors import InputError

DEMO_MACHINE_TYPE = "slider"
DEMO_MACHINE_IDS = ("00", "02", "04")


def recordings(dataset: Mapping[str, Any]) -> dict[tuple[str, str], list[ClipName]]:
    """(machine_type, split) -> the clips that are known before anything runs (none yet where a rule makes them).

    dataset: the validated section of the configuration. Raises InputError where there is nothing to train on.
    """
    if dataset["source"] == "demo":
        return {(DEMO_MACHINE_TYPE, "train"): [], (DEMO_MACHINE_TYPE, "test"): []}
    if "path" not in dataset:
        raise InputError("config: dataset lacks path, the folder of the recordings: add it")
    found = scan(Path(dataset["path"]), dataset["machine_types"], dataset["machine_ids"])
    if not any(split == "train" for _, split in found):
        raise InputError(
            f"dataset.path: {dataset['path']} has no training clips: put normal recordings in <machine_type>/train"
        )
    return found
