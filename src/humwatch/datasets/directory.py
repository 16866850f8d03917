"""Recordings in the DCASE 2020 layout: `<machine_type>/<split>/<label>_id_<id>_<index>.wav`.

Evaluation names have no label: `id_<id>_<index>.wav`. Files that are no recordings are ignored.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from humwatch.datasets.clip_name import SPLITS, ClipName
from humwatch.datasets.recordings import LABELS, LayoutError, agreeing, audio_files, checked, read_folder, stem
from humwatch.datasets.source import RecordingsSource

NAME = re.compile(r"(?:(?P<label>normal|anomaly)_)?id_(?P<machine_id>[^_]+)_(?P<index>[^.]+)")


def find(folder: Path, machine_types: Sequence[str] = ()) -> list[ClipName]:
    """All clips under `folder`, sorted by machine type, split and name.

    Parameters
    ----------
    machine_types
        Whose folders are looked into; none: all.
    """
    return read_folder("directory", folder, audio_files(folder, machine_types), parse)


def parse(clip: str) -> ClipName:
    """Read a clip's path relative to the data folder; LayoutError where it fits no layout."""
    parts = clip.split("/")
    match = NAME.fullmatch(stem(clip))
    if len(parts) != 3 or parts[1] not in SPLITS or not match:
        raise LayoutError(
            clip, "does not fit <machine_type>/<train|test>/[<normal|anomaly>_]id_<id>_<index>.wav: rename or remove it"
        )
    parsed = ClipName(clip, parts[0], match["machine_id"], parts[1], LABELS[match["label"]])
    return checked(agreeing(parsed, "the beginning of it", "begin it with {word}_id_"))


@dataclass(frozen=True, kw_only=True)
class Source(RecordingsSource):
    """A folder of recordings that are named so."""

    summary = "recordings in the DCASE 2020 layout."
    place = 4
    parse = staticmethod(parse)

    def find(self, folder: Path) -> list[ClipName]:
        return find(folder, self.machine_types)
