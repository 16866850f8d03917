"""What the DCASE Challenge has published of its Task 2: archives, machines, clips, labels. A year is an entry of `CHALLENGES`.

2020: Koizumi et al. (https://arxiv.org/abs/2006.05822), CC BY-NC-SA 4.0. The MD5 sums are those of soundata's loader
(https://github.com/soundata/soundata); the clip counts of the development set were counted in the features that Tiwari et al.
published.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from humwatch.errors import InputError


class Part(NamedTuple):
    """A part of a challenge's data: its Zenodo record, the name of an archive, the groups of clips in it."""

    record: str
    archive: str
    groups: tuple[str, ...]


class Labels(NamedTuple):
    """The file with the labels of the evaluation set: Zenodo record, name, MD5, bytes."""

    record: str
    name: str
    md5: str
    size: int


@dataclass(frozen=True)
class Archive:
    """A zip file: one machine type in one part of the data set.

    md5 None, a clip count None, or no clips: not known, not checked.
    """

    challenge: str
    machine_type: str
    part: str
    record: str
    name: str
    md5: str | None = None
    clips: dict[str, int | None] = field(default_factory=dict)  # as from `Challenge.expected_clips`

    def root(self, data_folder: Path) -> Path:
        """The folder of the challenge."""
        return Path(data_folder) / self.challenge

    def path(self, data_folder: Path) -> Path:
        """The zip file, once fetched."""
        return self.root(data_folder) / "archives" / self.name

    def folder(self, data_folder: Path) -> Path:
        """The folder that holds train/ and test/, once unpacked."""
        return self.root(data_folder) / self.part / self.machine_type

    def manifest(self, data_folder: Path) -> Path:
        """The JSON file that says that the folder is whole."""
        return self.root(data_folder) / f"{self.part}_{self.machine_type}.json"


@dataclass(frozen=True)
class Challenge:
    """Task 2 of one year.

    clips: part -> machine type -> machine id -> clips per group of the part, None: not known, not checked. md5: of each archive.
    """

    name: str
    title: str
    parts: Mapping[str, Part]
    clips: Mapping[str, Mapping[str, Mapping[str, tuple[int | None, ...]]]]
    md5: Mapping[str, str]
    labels: Labels

    @property
    def machine_types(self) -> tuple[str, ...]:
        return tuple(next(iter(self.clips.values())))

    def archives(self, machine_types: Iterable[str], parts: Iterable[str], pinned: bool = True) -> list[Archive]:
        """The archives that hold these machine types and parts.

        pinned: expect the published MD5 sums and clip counts. Without, a server's own MD5 sums are believed: for tests with
        small archives.
        """
        chosen = []
        for part in dict.fromkeys(parts):
            for machine_type in dict.fromkeys(machine_types):
                clips = self.expected_clips(machine_type, part)
                name = self.parts[part].archive.format(machine_type)
                known = (self.md5[name], clips) if pinned else (None, {})
                chosen.append(Archive(self.name, machine_type, part, self.parts[part].record, name, *known))
        return chosen

    def archive_named(self, name: str) -> Archive:
        """The archive with this published name."""
        return next(one for one in self.archives(self.machine_types, self.parts) if one.name == name)

    def labels_path(self, data_folder: Path) -> Path:
        """Where the labels of the evaluation set are, once fetched."""
        return Path(data_folder) / self.name / self.labels.name

    def expected_ids(self, machine_type: str, part: str) -> list[str]:
        """Machine ids of a machine type in a part: of 2020, those of dev differ from those of additional, which eval shares."""
        for key, named, known in (
            ("machine_types", machine_type, self.machine_types),
            ("parts", part, self.parts),
        ):
            if named not in known:
                raise InputError(f"dataset.{key}: {self.title} has no {named!r}, so choose from {', '.join(known)}.")
        return list(self.clips[part][machine_type])

    def expected_clips(self, machine_type: str, part: str) -> dict[str, int | None]:
        """Number of clips per split, label and id, by the start of their names: {"train/normal_id_00": 968}. None: not known."""
        return {
            group + machine_id: count
            for machine_id in self.expected_ids(machine_type, part)
            for group, count in zip(self.parts[part].groups, self.clips[part][machine_type][machine_id], strict=True)
        }

    def splits(self, part: str) -> set[str]:
        """The splits that a part has: of 2020, dev has both, additional train, eval test."""
        return {group.split("/")[0] for group in self.parts[part].groups}


DCASE2020 = Challenge(
    name="dcase2020",
    title="DCASE 2020",
    parts={
        "dev": Part("3678171", "dev_data_{}.zip", ("train/normal_id_", "test/normal_id_", "test/anomaly_id_")),
        "additional": Part("3727685", "eval_data_train_{}.zip", ("train/normal_id_",)),
        "eval": Part("3841772", "eval_data_test_{}.zip", ("test/id_",)),
    },
    clips={
        "dev": {
            "fan": {"00": (911, 100, 407), "02": (916, 100, 359), "04": (933, 100, 348), "06": (915, 100, 361)},
            "pump": {"00": (906, 100, 143), "02": (905, 100, 111), "04": (602, 100, 100), "06": (936, 100, 102)},
            "slider": {"00": (968, 100, 356), "02": (968, 100, 267), "04": (434, 100, 178), "06": (434, 100, 89)},
            "valve": {"00": (891, 100, 119), "02": (608, 100, 120), "04": (900, 100, 120), "06": (892, 100, 120)},
            "ToyCar": {machine_id: (1000, None, None) for machine_id in ("01", "02", "03", "04")},
            "ToyConveyor": {machine_id: (1000, None, None) for machine_id in ("01", "02", "03")},
        },
        "additional": {
            "fan": {"01": (None,), "03": (None,), "05": (None,)},
            "pump": {"01": (None,), "03": (None,), "05": (None,)},
            "slider": {"01": (968,), "03": (968,), "05": (434,)},
            "valve": {"01": (None,), "03": (None,), "05": (None,)},
            "ToyCar": {"05": (None,), "06": (None,), "07": (None,)},
            "ToyConveyor": {"04": (None,), "05": (None,), "06": (None,)},
        },
        "eval": {
            "fan": {"01": (None,), "03": (None,), "05": (None,)},
            "pump": {"01": (None,), "03": (None,), "05": (None,)},
            "slider": {"01": (278,), "03": (278,), "05": (278,)},
            "valve": {"01": (None,), "03": (None,), "05": (None,)},
            "ToyCar": {"05": (None,), "06": (None,), "07": (None,)},
            "ToyConveyor": {"04": (None,), "05": (None,), "06": (None,)},
        },
    },
    md5={
        "dev_data_fan.zip": "649bdfc06263ae7a838963f43b6641e6",
        "dev_data_pump.zip": "90e7091ef722b7238a7f1009365779cd",
        "dev_data_slider.zip": "da24a757719f0d94d5aa2d646bbfdc86",
        "dev_data_valve.zip": "34d2672f55bb041589ef79c10dc89934",
        "dev_data_ToyCar.zip": "4dec75ca8d9f666aa9e4c1894a740501",
        "dev_data_ToyConveyor.zip": "03b6aa1bfd09a39d53af0ba39f71fa91",
        "eval_data_train_fan.zip": "567798854130c8019df8b664c095ed1e",
        "eval_data_train_pump.zip": "4e33ae9c0db5cc88437675f5e317caee",
        "eval_data_train_slider.zip": "f84f186f4295fc23754abcdd1b0580a7",
        "eval_data_train_valve.zip": "057cdd560caffb8305449541afd28c6d",
        "eval_data_train_ToyCar.zip": "a5d4ccd498af70b04dd74b644b820006",
        "eval_data_train_ToyConveyor.zip": "0e808ac0b761e9fb13d5e0c65caff00d",
        "eval_data_test_fan.zip": "1eb9356a768cadfd0f2e59a5c57e578b",
        "eval_data_test_pump.zip": "23a8f8f924be218c69df67fe07360348",
        "eval_data_test_slider.zip": "0193c769073840332ce3aad84b1ccaa2",
        "eval_data_test_valve.zip": "f69c551d2088691050d20cccca9d631c",
        "eval_data_test_ToyCar.zip": "bea2bdd612f616be8f2b8eb087b32c7c",
        "eval_data_test_ToyConveyor.zip": "ccfcc9847c7d3404d7ee9d6d9e0b2ba2",
    },
    labels=Labels("3951620", "eval_data_list.csv", "f16aaa185df9906e588864aaf7cb58ea", 338_426),
)
CHALLENGES = {challenge.name: challenge for challenge in (DCASE2020,)}
