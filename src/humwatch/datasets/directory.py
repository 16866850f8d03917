"""Recordings in the DCASE 2020 layout: `<machine_type>/<split>/<label>_id_<id>_<index>.wav`.

Evaluation names have no label: `id_<id>_<index>.wav`. WAV and FLAC are read; other files are ignored.
"""

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from humwatch.errors import InputError

AUDIO_SUFFIXES = {".wav", ".flac"}
SPLITS = ("train", "test")
NAME = re.compile(r"(?:(?P<label>normal|anomaly)_)?id_(?P<machine_id>[^_]+)_(?P<index>[^.]+)")
LABELS = {"normal": 0, "anomaly": 1, None: None}


class ClipName(NamedTuple):
    """What a clip's path says of it. label: 0 normal, 1 anomaly, None unknown."""

    clip: str
    machine_type: str
    machine_id: str
    split: str
    label: int | None


def parse(clip: str) -> ClipName:
    """Read a clip's path relative to the data folder; InputError where it fits no layout."""
    parts = clip.split("/")
    match = NAME.fullmatch(Path(clip).stem)
    if len(parts) != 3 or parts[1] not in SPLITS or not match:
        raise InputError(
            f"{clip} does not fit <machine_type>/<train|test>/[<normal|anomaly>_]id_<id>_<index>.wav: rename or remove it"
        )
    if parts[1] == "train" and match["label"] == "anomaly":
        raise InputError(f"{clip} is in train but labelled anomaly: training uses normal clips only, move it to test")
    return ClipName(clip, parts[0], match["machine_id"], parts[1], LABELS[match["label"]])


def scan(
    folder: Path, machine_types: Collection[str] = (), machine_ids: Collection[str] = ()
) -> dict[tuple[str, str], list[ClipName]]:
    """All clips under `folder`, by (machine_type, split), sorted by name; empty collections mean all.

    Raises InputError for a missing or empty folder, for every name that fits no layout, and where a wanted type or id is
    missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"dataset.path: {folder} is no folder: create it or correct the path")
    found: dict[tuple[str, str], list[ClipName]] = {}
    problems = []
    for type_folder in sorted(folder.iterdir()):
        if not type_folder.is_dir() or (machine_types and type_folder.name not in machine_types):
            continue
        for directory, _, names in os.walk(type_folder):
            for name in sorted(names):
                if Path(name).suffix.lower() not in AUDIO_SUFFIXES or name.startswith("."):
                    continue
                try:
                    clip = parse(Path(directory, name).relative_to(folder).as_posix())
                except InputError as error:
                    problems.append(str(error))
                    continue
                if not machine_ids or clip.machine_id in machine_ids:
                    found.setdefault((clip.machine_type, clip.split), []).append(clip)
    if problems:
        raise InputError("\n".join(problems))
    if not found:
        raise InputError(f"dataset.path: {folder} has no WAV or FLAC clips{_of(machine_types, machine_ids)}: add some")
    for key, wanted, present in (
        ("machine_types", machine_types, {machine_type for machine_type, _ in found}),
        ("machine_ids", machine_ids, {clip.machine_id for clips in found.values() for clip in clips}),
    ):
        if missing := sorted(set(wanted) - present):
            raise InputError(f"dataset.{key}: {folder} has no clips of {', '.join(missing)}: correct the name")
    return {key: sorted(clips) for key, clips in found.items()}


def _of(machine_types: Collection[str], machine_ids: Collection[str]) -> str:
    wanted = [*machine_types, *(f"id {machine_id}" for machine_id in machine_ids)]
    return f" of {', '.join(wanted)}" if wanted else ""
