"""Data sources: which clips there are, and what their names say of them.

A source is a file of this folder, by its name in the configuration, with `find(folder, dataset)`: its clips under the data
folder. Planning a study needs neither a network nor the data: `machines` knows the machines of sources that rules fetch
or generate.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from humwatch.datasets import names
from humwatch.datasets.directory import SPLITS, ClipName
from humwatch.errors import InputError

DEMO_MACHINE_TYPE = "slider"
DEMO_MACHINE_IDS = ("00", "02", "04")
MADE = ("demo", "dcase2020")  # sources whose clips rules make

Machines = dict[tuple[str, str], list[str]]
Recordings = dict[tuple[str, str], list[ClipName]]


def data_folder(dataset: Mapping[str, Any]) -> str:
    """The folder below which all clips of a validated `dataset` section lie."""
    if dataset["source"] == "demo":
        return f"results/{dataset['name']}/recordings"
    if dataset["source"] == "dcase2020":
        if set("{}<>") & set(dataset["data_folder"]):  # rules write there: the path is part of Snakemake's patterns
            raise InputError(f"config: dataset.data_folder is {dataset['data_folder']!r}: choose one without {{ }} < >")
        return dataset["data_folder"]
    if "path" in dataset:
        return dataset["path"]
    if "csv" in dataset and dataset["source"] == "folder":
        return str(Path(dataset["csv"]).parent)
    raise InputError("config: dataset lacks path, the folder of the recordings: add it")


def recordings(dataset: Mapping[str, Any], folder: str | Path) -> Recordings:
    """(machine_type, split) -> the clips that are under `folder` now.

    dataset: source and, where it matters, machine_types, machine_ids (empty or missing: all), and the source's own keys.
    Raises InputError for a missing folder, for every name that fits no layout or that nothing may have (`names`), and for a
    recording that is there twice.
    """
    clips = [
        clip
        for clip in importlib.import_module(f"humwatch.datasets.{module(dataset)}").find(Path(folder), dataset)
        if _wanted(clip.machine_type, dataset, "machine_types") and _wanted(clip.machine_id, dataset, "machine_ids")
    ]
    names.check(clips, from_table=dataset["source"] == "parquet" or bool(dataset.get("csv")))
    if dataset["source"] != "parquet":  # which has no recordings
        names.check_files(Path(folder), clips)
    found: Recordings = {}
    for clip in clips:
        found.setdefault((clip.machine_type, clip.split), []).append(clip)
    return found


def module(dataset: Mapping[str, Any]) -> str:
    """The file of this folder that finds the clips: the demo writes a directory."""
    return {"demo": "directory"}.get(dataset["source"], dataset["source"])


def machines(dataset: Mapping[str, Any], found: Recordings) -> Machines:
    """(machine_type, split) -> machine ids, sorted, as they are known before anything runs.

    found: `recordings` of a source whose clips are there; {} for one whose clips rules make. Raises InputError where a
    wanted machine type or id is missing, and where there is nothing to train on.
    """
    if dataset["source"] == "demo":
        known = {(DEMO_MACHINE_TYPE, split): {*DEMO_MACHINE_IDS} for split in SPLITS}
    elif dataset["source"] == "dcase2020":
        # By name: stages that find clips depend on the code of their own source alone.
        dcase2020 = importlib.import_module("humwatch.datasets.dcase2020")
        known = dcase2020.machines(dataset["machine_types"], dataset["parts"])
    else:
        known = {key: {clip.machine_id for clip in clips} for key, clips in found.items()}
    kept = {key: sorted(i for i in ids if _wanted(i, dataset, "machine_ids")) for key, ids in known.items()}
    kept = {key: ids for key, ids in sorted(kept.items()) if ids}
    _check(dataset, kept, known)
    return kept


def _wanted(name: str, dataset: Mapping[str, Any], key: str) -> bool:
    return not dataset.get(key) or name in dataset[key]


def _everything(dataset: Mapping[str, Any]) -> dict[tuple[str, str], set[str]]:
    """Machine ids by machine type and split, also of those that are not wanted; none where one of them cannot be read."""
    try:
        found = recordings({**dataset, "machine_types": [], "machine_ids": []}, data_folder(dataset))
    except InputError:  # of a machine that nobody asked for
        return {}
    return {key: {clip.machine_id for clip in clips} for key, clips in found.items()}


def _check(dataset: Mapping[str, Any], kept: Machines, known: Mapping[tuple[str, str], set[str]]) -> None:
    where = data_folder(dataset)
    lacking = {
        "machine_types": set(dataset["machine_types"]) - {machine_type for machine_type, _ in kept},
        "machine_ids": set(dataset["machine_ids"]) - set().union(*kept.values()),
    }
    if any(lacking.values()):
        if dataset["source"] not in MADE:
            known = _everything(dataset) or known
        present = {
            "machine_types": {machine_type for machine_type, _ in known},
            "machine_ids": set().union(
                *(ids for (of, _), ids in known.items() if _wanted(of, dataset, "machine_types"))
            ),
        }
        for key, there in present.items():
            if there and (missing := sorted(lacking[key] - there)):
                raise InputError(
                    f"dataset.{key}: there are no clips of {names.listing(missing)} in {where}, only of "
                    f"{names.listing(sorted(there))}: correct the name"
                )
        if kept:
            raise InputError(
                f"dataset.machine_types: {names.listing(sorted(lacking['machine_types']))} has no clips of the ids that "
                f"dataset.machine_ids names in {where}: leave it out, or add its ids"
            )
    if not kept:
        kind = "files of features" if dataset["source"] == "parquet" else "recordings"
        wanted = [*dataset["machine_types"], *(f"id {machine_id}" for machine_id in dataset["machine_ids"])]
        of = f" of {names.listing(wanted)}" if wanted else ""
        raise InputError(f"dataset.path: {where} has no {kind}{of}: add some")
    if not any(split == "train" for _, split in kept):
        raise InputError(
            f"dataset: {where} has no training clips: add normal recordings, see the source's layout in config/README.md"
        )
