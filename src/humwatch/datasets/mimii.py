"""MIMII in its own layout: `[<snr>_dB_<type>/]<type>/id_<id>/{normal,abnormal}/<n>.wav`, 8 channels.

Purohit et al. 2019 (https://arxiv.org/abs/1909.09347). The split is the paper's: as many normal test clips of a machine as
there are abnormal ones, drawn at random; the other normal clips train.
"""

import hashlib
import logging
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from humwatch.datasets.directory import ClipName, audio_files, read_names
from humwatch.errors import InputError

log = logging.getLogger("humwatch")

LAYOUT = re.compile(
    r"(?:(?P<snr>-?\d+_dB)_[^/]+/)?(?P<machine_type>[^/]+)/id_(?P<machine_id>[^/]+)/(?P<label>normal|abnormal)/[^/]+"
)
LABELS = {"normal": 0, "abnormal": 1}


def find(folder: Path, dataset: Mapping[str, Any]) -> list[ClipName]:
    """All clips. A machine type that is there at several signal-to-noise ratios becomes one type for each: fan_-6_dB.

    dataset: `seed` of the draw. A clip's place in it is a hash of its name, so that new clips move few of the old ones.
    """
    files = list(audio_files(folder))
    levels = defaultdict(set)
    for file in files:
        if match := LAYOUT.fullmatch(file):
            levels[match["machine_type"]].add(match["snr"])

    def parse(file: str) -> ClipName:
        match = LAYOUT.fullmatch(file)
        if not match:
            raise InputError(
                f"{file} does not fit [<snr>_dB_<type>/]<type>/id_<id>/<normal|abnormal>/<n>.wav: rename or remove it"
            )
        machine_type = match["machine_type"]
        if len(levels[machine_type]) > 1 and match["snr"]:
            machine_type += f"_{match['snr']}"
        return ClipName(file, machine_type, match["machine_id"], "test", LABELS[match["label"]])

    return _split(read_names(files, parse), dataset.get("seed", 0))


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
                *(machine_type, machine_id, len(normal), len(abnormal), max(len(normal) - len(abnormal), 0)),
            )
        drawn = sorted(normal, key=lambda clip: hashlib.sha256(f"{seed} {clip.clip}".encode()).digest())
        train.update(drawn[tested:])
    split = [clip._replace(split="train") if clip in train else clip for clip in clips]
    return sorted(split, key=lambda clip: (clip.machine_type, clip.split, clip.clip))
