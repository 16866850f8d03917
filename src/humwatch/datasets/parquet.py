"""Clips whose features were computed elsewhere: a folder of `<machine_type>.parquet`, both splits in one file, no recordings.

Each file has the columns of the feature store (clip, machine_type, machine_id, split, label, frames).
"""

import os
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from humwatch.datasets.clip_name import CLIP_COLUMNS, OPTIONAL_COLUMNS, SPLITS, ClipName
from humwatch.datasets.names import shown
from humwatch.datasets.source import FolderSource
from humwatch.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Source(FolderSource):
    """A folder of such files."""

    summary = "no recordings, but features that were computed elsewhere."
    place = 6
    has_recordings = False

    @property
    def from_table(self) -> bool:
        return True

    def find(self, folder: Path) -> list[ClipName]:
        """The clips of every file, in the file's order; only the columns that describe clips are read.

        Raises
        ------
        InputError
            The folder is missing, or a file cannot be used.
        """
        if not os.path.isdir(folder):
            raise InputError(f"dataset.path: {shown(folder)} is no folder: create it or correct the path")
        return [
            clip
            for path in sorted(folder.glob("*.parquet"))
            if not path.name.startswith(".") and (not self.machine_types or path.stem in self.machine_types)
            for clip in read_clips(path)
        ]


def read_clips(path: Path) -> list[ClipName]:
    """The clips of one file.

    Raises
    ------
    InputError
        They cannot be used; the sentence names the first bad row.
    """
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        if missing := [name for name in (*CLIP_COLUMNS, "frames") if name not in names]:
            raise InputError(
                f"{shown(path)} lacks the column(s) {', '.join(missing)}: write it in the feature store's schema"
            )
        table = file.read(columns=[*CLIP_COLUMNS, *(name for name in OPTIONAL_COLUMNS if name in names)])
        clips = [ClipName(**row) for row in table.to_pylist()]
    except (OSError, UnicodeError, pa.ArrowException) as error:
        raise InputError(f"{shown(path)} cannot be read as Parquet ({shown(error)}): replace it") from None
    seen: set[str] = set()
    for row, clip in enumerate(clips):
        problem = _problem(clip, path.stem, seen)
        if problem:
            raise InputError(f"{shown(path)}, row {row}: {shown(problem)}: correct the file")
        seen.add(clip.clip)
    # Labels may be stored as numbers of any type.
    return [clip if clip.label is None else clip._replace(label=int(clip.label)) for clip in clips]


def _problem(clip: ClipName, machine_type: str, seen: set[str]) -> str | None:
    for column in CLIP_COLUMNS[:-1]:
        if not isinstance(getattr(clip, column), str):
            return f"{column} is {getattr(clip, column)!r}, it must be text"
    for column in OPTIONAL_COLUMNS:
        if not isinstance(getattr(clip, column), str | None):
            return f"{column} is {getattr(clip, column)!r}, it must be text or missing"
    if not clip.clip.strip():
        return f"clip is {clip.clip!r}, it must be a name"
    if clip.machine_type != machine_type:
        return f"machine_type is {clip.machine_type!r} where the file's name says {machine_type!r}"
    if clip.split not in SPLITS:
        return f"split is {clip.split!r}, it must be train or test"
    if clip.label not in (0, 1, None):
        return f"label is {clip.label!r}, it must be 0 (normal), 1 (anomaly) or missing"
    if clip.split == "train" and clip.label == 1:
        return f"{clip.clip} is in train but labelled anomaly, training uses normal clips only"
    if clip.clip in seen:
        return f"{clip.clip} is there twice"
    return None
