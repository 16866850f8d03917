"""Task 2 of the DCASE Challenge, fetched from Zenodo (`dcase_fetch`): the unpacked clips, from their manifests, and their labels.

<data_folder>/dcase2020/dev/slider/{train,test}/*.wav    the recordings; dev, additional and eval are a root each
<data_folder>/dcase2020/dev_slider.json                  the manifest: written last, so where it is, all is
<data_folder>/dcase2020/eval_data_list.csv               the labels of the evaluation set
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from humwatch.datasets.clip_name import ClipName
from humwatch.datasets.dcase_tables import CHALLENGES, Archive, Challenge
from humwatch.datasets.directory import parse
from humwatch.datasets.source import Fetched, Known, MadeSource, Recordings
from humwatch.errors import InputError
from humwatch.parameters import parameter

UNKNOWN = {"train": 1000, "test": 500}  # clips of a machine id whose number is not published


@dataclass(frozen=True, kw_only=True)
class Source(MadeSource):
    """One year's data, or parts of it. The folder is shared by studies."""

    data_folder: str = parameter("data", "Where archives and clips are kept; several studies share it.", minLength=1)
    base_url: str = parameter("https://zenodo.org", "Zenodo, or a mirror with its paths.", minLength=1)
    parts: list[str] = parameter(
        ["dev", "additional", "eval"],
        "Parts of the data set. dev: training and labelled test clips of the development ids; additional: training clips of the "
        "evaluation ids; eval: their test clips.",
        minItems=1,
        uniqueItems=True,
        items={"enum": ["dev", "additional", "eval"]},
    )
    ground_truth: bool = parameter(
        True, "Fetch the labels of the evaluation clips; without them those are scored, not measured."
    )

    summary = "DCASE 2020 Task 2, fetched from Zenodo."
    place = 2
    names = tuple(CHALLENGES)
    is_published = True
    not_needed = MadeSource.not_needed | {"data_folder", "base_url"}

    @property
    def challenge(self) -> Challenge:
        return CHALLENGES[self.source]

    @property
    def archives(self) -> list[Archive]:
        """Those that hold the wanted machine types."""
        return self.challenge.archives(self.machine_types or self.challenge.machine_types, self.parts)

    def folder(self) -> str:
        if set("{}<>") & set(self.data_folder):  # rules write there: the path is part of Snakemake's patterns
            raise InputError(f"config: dataset.data_folder is {self.data_folder!r}: choose one without {{ }} < >")
        return self.data_folder

    def find(self, folder: Path) -> list[ClipName]:
        """The unpacked clips; evaluation clips get their label from the ground truth, where it is there, by name."""
        csv_path = self.challenge.labels_path(folder)
        labels = {}
        if self.ground_truth and csv_path.exists():
            labels = evaluation_labels(csv_path, self.challenge.machine_types)
        clips = []
        for archive in self.archives:
            for path in read_manifest(archive.manifest(folder)):
                clip = parse(path.split("/", 2)[2])._replace(clip=path)
                if labels and archive.part == "eval":
                    key = archive.machine_type, Path(path).name
                    if key not in labels:
                        raise InputError(
                            f"{csv_path}: it has no label of {path}, so fetch it again or set dataset.ground_truth to false."
                        )
                    clip = clip._replace(label=labels[key])
                clips.append(clip)
        return clips

    def known_machines(self, found: Recordings) -> Known:
        known: dict[tuple[str, str], set[str]] = {}
        for part in self.parts:
            for machine_type in self.machine_types or self.challenge.machine_types:
                ids = self.challenge.expected_ids(machine_type, part)
                for split in self.challenge.splits(part):
                    known.setdefault((machine_type, split), set()).update(ids)
        return known

    def known_counts(self, found: Recordings) -> Counter[tuple[str, str, str]]:
        known: Counter = Counter()
        for archive in self.archives:
            for group, n in archive.clips.items():
                split, machine_id = group.split("/")[0], group.rsplit("_", 1)[1]
                share = 0.5 if group.split("/")[1][:4] in ("norm", "anom") and split == "test" else 1
                known[archive.machine_type, split, machine_id] += round(share * UNKNOWN[split]) if n is None else n
        return known

    def inputs(self, machine_type: str, split: str) -> list[str]:
        """Manifests and labels."""
        folder, wanted = Path(self.data_folder), set(self.machine_ids)
        parts = [
            part
            for part in self._parts_with(split)
            if not wanted or wanted & set(self.challenge.expected_ids(machine_type, part))
        ]
        labels = [self.challenge.labels_path(folder)] if self.ground_truth and "eval" in parts else []
        manifests = [archive.manifest(folder) for archive in self.challenge.archives([machine_type], parts)]
        return [str(path) for path in [*manifests, *labels]]

    def needed(self, split: str) -> dict[str, object]:
        return super().needed(split) | {"parts": self._parts_with(split)}

    def fetched(self) -> list[Fetched]:
        folder, challenge = Path(self.data_folder), self.challenge
        files = [
            Fetched(archive.path(folder), archive.md5, len(read_manifest(archive.manifest(folder))))
            for archive in self.archives
        ]
        if self.ground_truth and "eval" in self.parts:
            files.append(Fetched(challenge.labels_path(folder), challenge.labels.md5))
        return files

    def published_clips(self, machine_type: str, machine_id: str, split: str, label: int | None) -> int | None:
        """Evaluation clips got their label later, and are counted without."""
        group = f"{split}/{'' if label is None else ('normal_', 'anomaly_')[label]}id_{machine_id}"
        counts = (a.clips[group] for a in self.archives if a.machine_type == machine_type and group in a.clips)
        return next((count for count in counts if count is not None), None)

    def published_checksums(self) -> dict[str, str]:
        manifests = (read_manifest(archive.manifest(Path(self.data_folder))) for archive in self.archives)
        return {clip: crc32 for manifest in manifests for clip, crc32 in manifest.items()}

    def _parts_with(self, split: str) -> list[str]:
        return [part for part in self.parts if split in self.challenge.splits(part)]


def read_manifest(manifest: Path) -> dict[str, str]:
    """The clips of a manifest, as paths under the data folder, and their CRC-32; none where there is no manifest."""
    if not manifest.exists():
        return {}
    try:
        return {clip["clip"]: clip["crc32"] for clip in json.loads(manifest.read_text())["clips"]}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"{manifest}: not a whole manifest ({error}), so delete it and run again.") from error


def evaluation_labels(csv_path: Path, machine_types: Collection[str]) -> dict[tuple[str, str], int]:
    """Read the labels of the evaluation set: {(machine type, file name): 0 normal or 1 anomaly}, to be joined by name.

    A line is a machine type alone, or `id_01_00000000.wav,anomaly_id_01_00000035.wav,1`: name, name with label, label.
    """
    labels: dict[tuple[str, str], int] = {}
    machine_type = None
    try:
        with open(csv_path, newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.reader(file), 1):
                where = f"{csv_path}, line {number}"
                if len(row) == 1 and row[0] in machine_types:
                    machine_type = row[0]
                elif len(row) != 3 or row[2] not in ("0", "1") or not re.fullmatch(r"id_\d\d_\d+\.wav", row[0]):
                    if row:
                        raise InputError(
                            f"{where}: {','.join(row)!r} is neither a machine type nor `name,labelled name,label`; "
                            "fetch it again."
                        )
                elif machine_type is None:
                    raise InputError(f"{where}: {row[0]} comes before any machine type, so fetch the file again.")
                elif (machine_type, row[0]) in labels:
                    raise InputError(f"{where}: {machine_type} {row[0]} is listed twice, so fetch the file again.")
                else:
                    labels[machine_type, row[0]] = int(row[2])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{csv_path}: cannot be read as a list of labels ({error}), so fetch it again.") from error
    return labels
