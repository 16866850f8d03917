"""Recordings in the DCASE 2020 layout: `<machine_type>/<split>/<label>_id_<id>_<index>.wav`.

Evaluation names have no label: `id_<id>_<index>.wav`. WAV and FLAC are read; other files are ignored.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from humwatch.errors import InputError

AUDIO_SUFFIXES = {".wav", ".flac", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".mp3", ".ogg", ".oga", ".opus"}
SPLITS = ("train", "test")
NAME = re.compile(r"(?:(?P<label>normal|anomaly)_)?id_(?P<machine_id>[^_]+)_(?P<index>[^.]+)")
LABELS = {"normal": 0, "anomaly": 1, None: None}


class ClipName(NamedTuple):
    """What a clip's path says of it.

    clip: path under the data folder. label: 0 normal, 1 anomaly, None unknown. domain ("source", "target") and attributes
    (of the machine and its surroundings): DCASE 2021 to 2025 state them, others leave them None.
    """

    clip: str
    machine_type: str
    machine_id: str
    split: str
    label: int | None
    domain: str | None = None
    attributes: str | None = None


def find(folder: Path, dataset: Mapping[str, Any]) -> list[ClipName]:
    """All clips under `folder`, sorted by machine type, split and name.

    dataset: folders of machine types other than its machine_types are not looked into.
    """
    return read_names(audio_files(folder, dataset.get("machine_types")), parse)


def parse(clip: str) -> ClipName:
    """Read a clip's path relative to the data folder; InputError where it fits no layout."""
    parts = clip.split("/")
    match = NAME.fullmatch(Path(clip).stem)
    if len(parts) != 3 or parts[1] not in SPLITS or not match:
        raise InputError(
            f"{clip} does not fit <machine_type>/<train|test>/[<normal|anomaly>_]id_<id>_<index>.wav: rename or remove it"
        )
    return checked(ClipName(clip, parts[0], match["machine_id"], parts[1], LABELS[match["label"]]))


def audio_files(folder: Path, top_folders: list[str] | None = None) -> Iterator[str]:
    """Paths of all WAV and FLAC files below the folders in `folder`, relative to it; top_folders: in these only."""
    if not folder.is_dir():
        raise InputError(f"dataset.path: {folder} is no folder: create it or correct the path")
    for top in sorted(folder.iterdir()):
        if not top.is_dir() or top.name.startswith(".") or (top_folders and top.name not in top_folders):
            continue
        for directory, _, names in os.walk(top):
            for name in names:
                if Path(name).suffix.lower() in AUDIO_SUFFIXES and not name.startswith("."):
                    yield Path(directory, name).relative_to(folder).as_posix()


def read_names(files, parse) -> list[ClipName]:
    """`parse` each name; one InputError that lists all that it refuses."""
    clips, problems = [], []
    for file in files:
        try:
            clips.append(parse(file))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(sorted(problems)))
    return sorted(clips, key=lambda clip: (clip.machine_type, clip.split, clip.clip))


def checked(clip: ClipName) -> ClipName:
    """The clip, unless it would teach a detector that an anomaly is normal."""
    if clip.split == "train" and clip.label == 1:
        raise InputError(
            f"{clip.clip} is in train but labelled anomaly: training uses normal clips only, move it to test"
        )
    return clip
