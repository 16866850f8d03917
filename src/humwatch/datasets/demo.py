"""The demo, slide rails of three machine ids: which clips there are; `slide_rails` generates them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from humwatch.datasets import directory
from humwatch.datasets.clip_name import SPLITS, ClipName
from humwatch.datasets.source import Known, MadeSource, Recordings, Seeded
from humwatch.errors import InputError
from humwatch.parameters import parameter

MACHINE_TYPE = "slider"
MACHINE_IDS = ("00", "02", "04")
# Clips per machine id: train, test normal, test anomaly.
SIZES = {
    "default": {machine_id: (40, 20, 20) for machine_id in MACHINE_IDS},
    "small": {machine_id: (6, 3, 3) for machine_id in MACHINE_IDS},
    "full": {"00": (968, 100, 356), "02": (968, 100, 267), "04": (434, 100, 178)},
}


@dataclass(frozen=True, kw_only=True)
class Source(Seeded, MadeSource):
    """Written into the results of the study, in the layout of DCASE 2020."""

    size: str | dict[str, int] = parameter(
        "default",
        "How much of the demo to generate: small (tests), default, full (the counts of the real slider set), or clips per "
        "machine id as {train, test_normal, test_anomaly}.",
        anyOf=[
            {"enum": ["small", "default", "full"]},
            {
                "type": "object",
                "required": ["train", "test_normal", "test_anomaly"],
                "additionalProperties": False,
                "properties": {
                    "train": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
                    "test_normal": {"type": "integer", "minimum": 0, "maximum": 1_000_000},
                    "test_anomaly": {"type": "integer", "minimum": 0, "maximum": 1_000_000},
                },
            },
        ],
    )

    noise: dict[str, float | bool] | None = parameter(
        None,
        "Another noise of the generated factory: snr_db, of the machine against it (default -8), and far_microphone, whether a "
        "second channel hears it far from the machine (default false).",
        anyOf=[
            {"type": "null"},
            {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "snr_db": {"type": "number", "minimum": -60, "maximum": 60},
                    "far_microphone": {"type": "boolean"},
                },
            },
        ],
    )

    summary = "generated slide rails."
    place = 1
    is_generated = True
    not_needed = MadeSource.not_needed | {"size", "seed", "noise"}

    def folder(self) -> str:
        return f"results/{self.name}/recordings"

    def find(self, folder: Path) -> list[ClipName]:
        return directory.find(folder, self.machine_types)

    def known_machines(self, found: Recordings) -> Known:
        return {(MACHINE_TYPE, split): {*MACHINE_IDS} for split in SPLITS}

    def known_counts(self, found: Recordings) -> Counter[tuple[str, str, str]]:
        known: Counter = Counter()
        for (machine_id, split, _), n in counts(self.size).items():
            known[MACHINE_TYPE, split, machine_id] += n
        return known

    def inputs(self, machine_type: str, split: str) -> list[str]:
        """The list of the clips that were generated."""
        return [f"{self.folder()}/{split}.txt"]


def counts(size: str | dict) -> dict[tuple[str, str, str], int]:
    """Number of clips for each (machine id, split, label).

    Parameters
    ----------
    size
        "default" (40 train, 20 normal and 20 anomalous test clips per id), "small" (6, 3, 3), "full" (as many as the
        recordings of DCASE 2020: 2370 train, 1101 test), or {"train": n, "test_normal": n, "test_anomaly": n} for every id.
    """
    keys = ("train", "test_normal", "test_anomaly")
    if isinstance(size, dict):
        if set(size) != set(keys) or not all(isinstance(n, int) and n >= 0 for n in size.values()):
            raise InputError(f"demo size must give {', '.join(keys)}, numbers of clips from 0; got {size}.")
        per_id = {machine_id: tuple(size[key] for key in keys) for machine_id in MACHINE_IDS}
    elif size in SIZES:
        per_id = SIZES[size]
    else:
        raise InputError(f"demo size must be {', '.join(SIZES)} or numbers of {', '.join(keys)} clips; got {size!r}.")
    return {
        (machine_id, split, label): n
        for machine_id, (train, normal, anomaly) in per_id.items()
        for split, label, n in (("train", "normal", train), ("test", "normal", normal), ("test", "anomaly", anomaly))
    }


def clips(size: str | dict, split: str, machine_ids: Sequence[str] = MACHINE_IDS) -> list[tuple[str, str, str, int]]:
    """(name, machine id, label, index) of each of a split's clips, by name, as "slider/train/normal_id_00_00000000.wav"."""
    if split not in SPLITS or not set(machine_ids) <= set(MACHINE_IDS):
        raise InputError(
            f"the demo has the splits {', '.join(SPLITS)} and the machine ids {', '.join(MACHINE_IDS)}; "
            f"got split {split!r} and ids {', '.join(machine_ids)}."
        )
    return sorted(
        (f"{MACHINE_TYPE}/{split}/{label}_id_{machine_id}_{index:08d}.wav", machine_id, label, index)
        for (machine_id, part, label), n in counts(size).items()
        if part == split and machine_id in machine_ids
        for index in range(n)
    )
