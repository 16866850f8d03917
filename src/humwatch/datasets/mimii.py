"""MIMII in its own layout: `[<snr>_dB_<type>/]<type>/id_<id>/{normal,abnormal}/<n>.wav`, 8 channels.

Its baseline unpacks the same into `min6dB/`, `0dB/` and `6dB/`. Purohit et al. 2019 (https://arxiv.org/abs/1909.09347). The
split is the paper's: as many normal test clips of a machine as there are abnormal ones, drawn at random; the other normal
clips train.
"""

import hashlib
import logging
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from humwatch.datasets.clip_name import ClipName
from humwatch.datasets.names import shown
from humwatch.datasets.recordings import LayoutError, agreeing, audio_files, read_folder
from humwatch.datasets.source import RecordingsSource, Seeded

log = logging.getLogger("humwatch")

LEVEL = r"(?P<minus>min|-)?(?P<snr>\d+)_?dB"  # of a folder: -6_dB_fan, min6dB
LAYOUT = re.compile(
    rf"(?:{LEVEL}(?:_[^/]+)?/)?(?P<machine_type>[^/]+)/id_(?P<machine_id>[^/]+)/(?P<label>normal|abnormal)/[^/]+"
)
LABELS = {"normal": 0, "abnormal": 1}


def parse(clip: str, several: Collection[str] = ()) -> ClipName:
    """Read a clip's path relative to the data folder.

    Parameters
    ----------
    several
        Machine types that are there at several signal-to-noise ratios, which becomes part of their names.

    Raises
    ------
    LayoutError
        It does not fit.
    """
    match = LAYOUT.fullmatch(clip)
    if not match:
        raise LayoutError(
            clip, "does not fit [<snr>_dB_<type>/]<type>/id_<id>/<normal|abnormal>/<n>.wav: rename or remove it"
        )
    machine_type, level = match["machine_type"], _level(match)
    if machine_type in several and level:
        machine_type += f"_{level}"
    parsed = ClipName(clip, machine_type, match["machine_id"], "test", LABELS[match["label"]])
    return agreeing(parsed, f"its folder {match['label']}/", "move it to the other folder")


@dataclass(frozen=True, kw_only=True)
class Source(Seeded, RecordingsSource):
    """The unpacked data set.

    A clip's place in the draw is a hash of its name and `seed`: new clips move few of the old ones.
    """

    summary = "the MIMII data set in its own layout."
    place = 5
    parse = staticmethod(parse)

    def find(self, folder: Path) -> list[ClipName]:
        """All clips.

        A machine type that is there at several signal-to-noise ratios becomes one type for each: fan_-6_dB. Files that do not
        fit are refused only in folders of the wanted machine types.
        """
        files = audio_files(folder)
        levels = defaultdict(set)
        for file in files:
            if match := LAYOUT.fullmatch(file):
                levels[match["machine_type"]].add(_level(match))
        several = {machine_type for machine_type, found in levels.items() if len(found) > 1}
        if self.machine_types:
            files = [file for file in files if LAYOUT.fullmatch(file) or _may_be_of(self.machine_types, file)]
        clips = read_folder("mimii", folder, files, lambda file: parse(file, several))
        return _split(clips, self.seed)


def _level(match: re.Match[str]) -> str | None:
    return f"{'-' if match['minus'] else ''}{match['snr']}_dB" if match["snr"] else None


def _may_be_of(machine_types: Iterable[str], file: str) -> bool:
    """Whether a file that does not fit lies in a folder of one of these machine types."""
    types = {re.sub(r"_-?\d+_dB$", "", machine_type) for machine_type in machine_types} | {*machine_types}
    return any(re.sub(f"^{LEVEL}_", "", part) in types for part in file.split("/")[:-1])


def _split(clips: list[ClipName], seed: int) -> list[ClipName]:
    machines: dict[tuple[str, str], tuple[list[ClipName], list[ClipName]]] = defaultdict(lambda: ([], []))
    for clip in clips:
        machines[clip.machine_type, clip.machine_id][clip.label or 0].append(clip)
    train = set()
    for (machine_type, machine_id), (normal, abnormal) in machines.items():
        tested = min(len(abnormal), len(normal) // 2)
        if tested < len(abnormal):
            log.warning(
                "%s id %s has %d normal and %d abnormal clips: half of the normal ones train, the published rule would leave %d",
                *(shown(machine_type), shown(machine_id)),
                *(len(normal), len(abnormal), max(len(normal) - len(abnormal), 0)),
            )
        drawn = sorted(
            normal, key=lambda clip: hashlib.sha256(f"{seed} {clip.clip}".encode(errors="surrogateescape")).digest()
        )
        train.update(drawn[tested:])
    split = [clip._replace(split="train") if clip in train else clip for clip in clips]
    return sorted(split, key=lambda clip: (clip.machine_type, clip.split, clip.clip))
