"""Task 2 of the DCASE Challenge, fetched from Zenodo (`dcase_fetch`): the unpacked clips, from their manifests, and their labels.

<data_folder>/dcase2020/dev/slider/{train,test}/*.wav    the recordings; dev, additional and eval are a root each
<data_folder>/dcase2020/dev_slider.json                  the manifest: written last, so where it is, all is
<data_folder>/dcase2020/eval_data_list.csv               the labels of the evaluation set
"""

import csv
import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from humwatch.datasets import directory, sections
from humwatch.datasets.clip_name import ClipName
from humwatch.datasets.dcase_tables import CHALLENGES, EXPECTED, Archive, Challenge, Labels, split_of
from humwatch.datasets.names import ClipError
from humwatch.datasets.source import SAMPLE_RATE, SECONDS, Fetched, Known, MadeSource, Recordings
from humwatch.errors import InputError
from humwatch.parameters import REQUIRED, parameter

UNLABELLED_2020 = 500  # test clips of a machine id whose number is not published
TEN_SECONDS = (2020, 2021, 2022)  # years whose clips are so long, ToyCar's of 2020 (11 s) apart
NAMES_2020 = r"id_\d\d_\d+\.wav"
Said = tuple[int, str | None, str | None]  # label, domain, attributes


@dataclass(frozen=True, kw_only=True)
class Source(MadeSource):
    """One year's data, or parts of it, in a folder that studies share."""

    year: int | None = parameter(
        REQUIRED,
        "The challenge's year; of source dcase2020 it is 2020.",
        type="integer",
        minimum=min(CHALLENGES),
        maximum=max(CHALLENGES),
    )
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
    ground_truth: bool | str = parameter(
        True,
        "Labels of the evaluation clips: true fetches the challenge's list (2020 to 2025), a file or an address is such a list; "
        "without them those clips are scored, not measured.",
        anyOf=[{"type": "boolean"}, {"type": "string", "minLength": 1}],
    )

    summary = "DCASE Task 2, fetched from Zenodo: of a `year`, or of 2020."
    place = 2
    names = ("dcase", "dcase2020")
    not_needed = MadeSource.not_needed | {"data_folder", "base_url"}

    @property
    def challenge(self) -> Challenge:
        year = 2020 if self.source == "dcase2020" and self.year is None else self.year
        if year not in CHALLENGES:
            said = "lacks year" if year is None else f"has the year {year}"
            raise InputError(f"config: dataset {said}: give one of {', '.join(map(str, CHALLENGES))}")
        if self.source == "dcase2020" and year != 2020:
            raise InputError(
                f"config: dataset.source is dcase2020 and dataset.year is {year}: set dataset.source to dcase"
            )
        return CHALLENGES[year]

    @property
    def is_published(self) -> bool:
        """Clips and figures of other years are not counted here, or not published by id."""
        return self.challenge.year == 2020

    @property
    def archives(self) -> list[Archive]:
        """Those that hold the wanted machine types."""
        return self.challenge.archives(self._types, self.parts)

    @property
    def labels(self) -> Labels | None:
        """The list of labels to fetch; None where none is wanted, none is known, or it is a file that is there."""
        if self.ground_truth is True:
            return self.challenge.labels
        if self.ground_truth and re.match("https?://", str(self.ground_truth)):
            of_address = hashlib.sha256(str(self.ground_truth).encode()).hexdigest()[:8]
            return Labels(f"eval_data_list_{of_address}.csv", url=str(self.ground_truth))
        return None

    def labels_path(self, folder: Path) -> Path | None:
        """The list of labels; None where none is wanted, or known."""
        if self.labels:
            return folder / self.challenge.name / self.labels.name
        return Path(self.ground_truth) if isinstance(self.ground_truth, str) else None

    def folder(self) -> str:
        if set("{}<>") & set(self.data_folder):  # rules write there: the path is part of Snakemake's patterns
            raise InputError(f"config: dataset.data_folder is {self.data_folder!r}: choose one without {{ }} < >")
        return self.data_folder

    def find(self, folder: Path) -> list[ClipName]:
        """The unpacked clips; evaluation clips get their label from the ground truth, where it is there, by name."""
        path, said = self.labels_path(folder), {}
        if path and path.exists() and "eval" in self.parts:
            said = evaluation_labels(path, self.challenge)
        parse = directory.parse if self.challenge.year == 2020 else sections.parse
        clips = []
        for archive in self.archives:
            for name in read_manifest(archive.manifest(folder)):
                clip = parse(name.split("/", 2)[2])._replace(clip=name)
                if said and archive.part == "eval":
                    key = archive.machine_type, Path(name).name
                    if key not in said:
                        raise InputError(
                            f"{path}: it has no label of {name}, so fetch it again or set dataset.ground_truth to false."
                        )
                    label, domain, attributes = said[key]
                    clip = clip._replace(label=label, domain=domain, attributes=attributes)
                clips.append(clip)
        return clips

    def known_machines(self, found: Recordings) -> Known:
        if isinstance(self.ground_truth, str) and not self.labels and not Path(self.ground_truth).is_file():
            raise InputError(
                f"dataset.ground_truth: {self.ground_truth} is not there: correct the path, or give an address (https://)"
            )
        known: dict[tuple[str, str], set[str]] = {}
        for archive in self.archives:
            ids = self.challenge.expected_ids(archive.machine_type, archive.part)
            for split in self.challenge.parts[archive.part].splits:
                known.setdefault((archive.machine_type, split), set()).update(ids)
        return known

    def known_counts(self, found: Recordings) -> Counter[tuple[str, str, str]]:
        known: Counter = Counter()
        for archive in self.archives:
            for group, n in archive.clips.items():
                split, machine_id = split_of(group), group.rsplit("_", 1)[1]
                expected = EXPECTED[split]
                if self.challenge.year == 2020 and split == "test":
                    expected = UNLABELLED_2020 // (1 if group.startswith("test/id") else 2)
                known[archive.machine_type, split, machine_id] += expected if n is None else n
        return known

    def known_clips(self) -> tuple[int | None, float | None]:
        return SAMPLE_RATE, SECONDS if self.challenge.year in TEN_SECONDS else None

    def inputs(self, machine_type: str, split: str) -> list[str]:
        """Manifests and labels."""
        folder, wanted = Path(self.data_folder), set(self.machine_ids)
        parts = [
            part
            for part in self._parts_with(split)
            if (ids := self.challenge.expected_ids(machine_type, part)) and (not wanted or wanted & set(ids))
        ]
        path = self.labels_path(folder) if "eval" in parts else None
        manifests = [archive.manifest(folder) for archive in self.challenge.archives([machine_type], parts)]
        return [str(path) for path in [*manifests, *([path] if path else [])]]

    def needed(self, split: str) -> dict[str, object]:
        return super().needed(split) | {"parts": self._parts_with(split)}

    def fetched(self) -> list[Fetched]:
        folder = Path(self.data_folder)
        seen = _seen_first(folder / self.challenge.name / "checksums.json")
        files = []
        for archive in self.archives:
            md5 = archive.md5 or seen.get(archive.record, {}).get(archive.name, {}).get("md5")
            files.append(Fetched(archive.path(folder), md5, len(read_manifest(archive.manifest(folder)))))
        if self.labels and "eval" in self.parts:
            path = folder / self.challenge.name / self.labels.name
            files.append(
                Fetched(path, self.labels.md5 or self.labels.sha256 or seen.get(self.labels.url, {}).get("sha256"))
            )
        return files

    def published_clips(self, machine_type: str, machine_id: str, split: str, label: int | None) -> int | None:
        """Evaluation clips got their label later, and are counted without."""
        group = f"{split}/{'' if label is None else ('normal_', 'anomaly_')[label]}id_{machine_id}"
        counts = (a.clips[group] for a in self.archives if a.machine_type == machine_type and group in a.clips)
        return next((count for count in counts if count is not None), None)

    def published_checksums(self) -> dict[str, str]:
        manifests = (read_manifest(archive.manifest(Path(self.data_folder))) for archive in self.archives)
        return {clip: crc32 for manifest in manifests for clip, crc32 in manifest.items()}

    def challenge_sets(self) -> tuple[int, dict[str, list[tuple[str, str]]]]:
        ids = {
            part: [(t, i) for t in self.challenge.types_of([part]) for i in self.challenge.expected_ids(t, part)]
            for part in ("dev", "eval")
        }
        return self.challenge.year, {"development": ids["dev"], "evaluation": ids["eval"]}

    @property
    def _types(self) -> list[str]:
        """Machine types that are wanted, in the parts that are."""
        return self.machine_types or [*self.challenge.types_of(self.parts)]

    def _parts_with(self, split: str) -> list[str]:
        return [part for part in self.parts if split in self.challenge.parts[part].splits]


def _seen_first(checksums: Path) -> dict:
    """Of each record or address, what `dcase_fetch` saw first; nothing of a damaged file, which fetching refuses."""
    try:
        return json.loads(checksums.read_text())
    except (OSError, ValueError):
        return {}


def read_manifest(manifest: Path) -> dict[str, str]:
    """The clips of a manifest, as paths under the data folder, and their CRC-32; none where there is no manifest."""
    if not manifest.exists():
        return {}
    try:
        return {clip["clip"]: clip["crc32"] for clip in json.loads(manifest.read_text())["clips"]}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"{manifest}: not a whole manifest ({error}), so delete it and run again.") from error


def evaluation_labels(path: Path, challenge: Challenge) -> dict[tuple[str, str], Said]:
    """Read the labels of a year's evaluation set.

    A line is a machine type alone, or a clip: its name, its name with label (from 2021 on with domain and attributes as well),
    and of 2020 the label, 0 normal or 1 anomaly: `id_01_00000000.wav,anomaly_id_01_00000035.wav,1`,
    `section_03_0001.wav,section_03_target_test_anomaly_0001_vel_25.wav`.

    Returns
    -------
    dict
        From machine type and file name to label, domain and attributes.
    """
    said: dict[tuple[str, str], Said] = {}
    machine_type, machine_types = None, challenge.types_of(["eval"])
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.reader(file), 1):
                where = f"{path}, line {number}"
                if len(row) == 1 and row[0] in machine_types:
                    machine_type = row[0]
                    continue
                if not row:
                    continue
                found = _said(row, challenge)
                if found is None:
                    raise InputError(
                        f"{where}: {','.join(row)!r} is neither a machine type nor a labelled clip of {challenge.title}'s "
                        "evaluation set; take that year's list."
                    )
                if machine_type is None:
                    raise InputError(f"{where}: {row[0]} comes before any machine type, so fetch the file again.")
                if (machine_type, row[0]) in said:
                    raise InputError(f"{where}: {machine_type} {row[0]} is listed twice, so fetch the file again.")
                said[machine_type, row[0]] = found
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a list of labels ({error}), so fetch it again.") from error
    return said


def _said(row: list[str], challenge: Challenge) -> Said | None:
    """What a row says of a clip; None where it is no such row."""
    if challenge.year == 2020:
        fits = len(row) == 3 and row[2] in ("0", "1") and re.fullmatch(NAMES_2020, row[0])
        return (int(row[2]), None, None) if fits else None
    if len(row) != 2 or not sections.is_section(row[0]):
        return None
    try:
        unlabelled, labelled = (sections.parse(f"machine/test/{name}") for name in row)
    except ClipError:
        return None
    if labelled.label is None or labelled.machine_id != unlabelled.machine_id:
        return None
    return labelled.label, labelled.domain or unlabelled.domain, labelled.attributes
