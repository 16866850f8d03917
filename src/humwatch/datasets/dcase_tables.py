"""What the DCASE Challenge has published of its Task 2: archives, machines, clips, labels.

A year is an entry of `CHALLENGES`.

2020: Koizumi et al. (https://arxiv.org/abs/2006.05822), CC BY-NC-SA 4.0. The MD5 sums are those of soundata's loader
(https://github.com/soundata/soundata); the clip counts of the development set were counted in the features that Tiwari et al.
published. 2021 to 2026: Zenodo records, machine types and the lists of labels (with their SHA-256) as the official baseline has
them (https://github.com/nttcslab/dcase2023_task2_baseline_ae). The MD5 sums of their archives are those of the records' lists of
files, kept in `checksums.json` from the first sight on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from humwatch.errors import InputError

LISTS = "https://raw.githubusercontent.com/nttcslab/dcase2023_task2_baseline_ae/9b64dc42276a64f65b7cbf2761d3c9ec525cff94/datasets"
SECTIONS = ("00", "01", "02", "03", "04", "05")
EXPECTED = {"train": 1000, "test": 200}  # clips of a group whose number is not published, for planning


class Part(NamedTuple):
    """A part of a challenge's data.

    Attributes
    ----------
    record
        Of Zenodo.
    archive
        The name of an archive, {} standing for the machine type.
    groups
        How the clips' names begin, the machine id following: split, and label or section.
    clips
        Machine type -> machine id -> clips of each group, None: not known, not checked.
    """

    record: str
    archive: str
    groups: tuple[str, ...]
    clips: Mapping[str, Mapping[str, tuple[int | None, ...]]]

    @property
    def splits(self) -> set[str]:
        """The splits that it has: of 2020, dev has both, additional train, eval test."""
        return {split_of(group) for group in self.groups}


class Labels(NamedTuple):
    """The list of an evaluation set's labels: of a Zenodo record, with its MD5 and bytes, or at an address, with its SHA-256."""

    name: str
    record: str = ""
    md5: str = ""
    size: int = 0
    url: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Archive:
    """A zip file: one machine type in one part of the data set.

    Attributes
    ----------
    challenge
        Its name, such as "dcase2020", which is that of its folder.
    record
        Of Zenodo.
    md5
        None: what the record's list of files says.
    clips
        Number of clips by group, as from `Challenge.expected_clips`; None, or no group: not known, not checked.
    """

    challenge: str
    machine_type: str
    part: str
    record: str
    name: str
    md5: str | None = None
    clips: dict[str, int | None] = field(default_factory=dict)

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

    Attributes
    ----------
    labels
        None where none are published.
    md5
        Of each archive, as far as it is known.
    replaced
        Archives that were published anew, as `<name>_r2.zip`.
    """

    year: int
    parts: Mapping[str, Part]
    labels: Labels | None
    md5: Mapping[str, str] = field(default_factory=dict)
    replaced: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Its folder below the data folder."""
        return f"dcase{self.year}"

    @property
    def title(self) -> str:
        return f"DCASE {self.year}"

    @property
    def machine_types(self) -> tuple[str, ...]:
        return self.types_of(self.parts)

    def types_of(self, parts: Iterable[str]) -> tuple[str, ...]:
        """The machine types that any of these parts has."""
        return tuple(dict.fromkeys(machine_type for part in parts for machine_type in self._part(part).clips))

    def archives(self, machine_types: Iterable[str], parts: Iterable[str], pinned: bool = True) -> list[Archive]:
        """The archives that hold these machine types and parts.

        Parameters
        ----------
        pinned
            Expect the published MD5 sums and clip counts. Without, a server's own MD5 sums are believed: for tests with
            small archives.
        """
        parts, machine_types = [*dict.fromkeys(parts)], [*dict.fromkeys(machine_types)]
        known = self.types_of(parts)
        for machine_type in machine_types:
            if machine_type not in known:
                where = f" in its part(s) {', '.join(parts)}" if machine_type in self.machine_types else ""
                raise InputError(
                    f"dataset.machine_types: {self.title} has no {machine_type!r}{where}, so choose from {', '.join(known)}."
                )
        chosen = []
        for part in parts:
            for machine_type in machine_types:
                if machine_type in self.parts[part].clips:
                    name = self.parts[part].archive.format(machine_type)
                    name = f"{name[:-4]}_r2.zip" if name in self.replaced else name
                    clips = self.expected_clips(machine_type, part)
                    known_of_it = (self.md5.get(name), clips) if pinned else (None, {})
                    chosen.append(Archive(self.name, machine_type, part, self.parts[part].record, name, *known_of_it))
        return chosen

    def archive_named(self, name: str) -> Archive:
        """The archive with this published name."""
        return next(one for one in self.archives(self.machine_types, self.parts) if one.name == name)

    def expected_ids(self, machine_type: str, part: str) -> list[str]:
        """Machine ids of a machine type in a part, none where it does not have it.

        Of 2020 to 2022, those of dev differ from those of additional, which eval shares.
        """
        return list(self._part(part).clips.get(machine_type, ()))

    def expected_clips(self, machine_type: str, part: str) -> dict[str, int | None]:
        """Number of clips by the start of their names, {"train/normal_id_00": 968}; None where it is not known."""
        return {
            group + machine_id: count
            for machine_id in self.expected_ids(machine_type, part)
            for group, count in zip(
                self.parts[part].groups, self.parts[part].clips[machine_type][machine_id], strict=True
            )
        }

    def _part(self, name: str) -> Part:
        if name not in self.parts:
            raise InputError(f"dataset.parts: {self.title} has no {name!r}, so choose from {', '.join(self.parts)}.")
        return self.parts[name]


def split_of(group: str) -> str:
    """The split of a group of clips, of which test/, source_test/ and target_test/ are one."""
    return group.split("/")[0].split("_")[-1]


DCASE2020 = Challenge(
    year=2020,
    parts={
        "dev": Part(
            "3678171",
            "dev_data_{}.zip",
            ("train/normal_id_", "test/normal_id_", "test/anomaly_id_"),
            {
                "fan": {"00": (911, 100, 407), "02": (916, 100, 359), "04": (933, 100, 348), "06": (915, 100, 361)},
                "pump": {"00": (906, 100, 143), "02": (905, 100, 111), "04": (602, 100, 100), "06": (936, 100, 102)},
                "slider": {"00": (968, 100, 356), "02": (968, 100, 267), "04": (434, 100, 178), "06": (434, 100, 89)},
                "valve": {"00": (891, 100, 119), "02": (608, 100, 120), "04": (900, 100, 120), "06": (892, 100, 120)},
                "ToyCar": {machine_id: (1000, None, None) for machine_id in ("01", "02", "03", "04")},
                "ToyConveyor": {machine_id: (1000, None, None) for machine_id in ("01", "02", "03")},
            },
        ),
        "additional": Part(
            "3727685",
            "eval_data_train_{}.zip",
            ("train/normal_id_",),
            {
                "fan": {"01": (None,), "03": (None,), "05": (None,)},
                "pump": {"01": (None,), "03": (None,), "05": (None,)},
                "slider": {"01": (968,), "03": (968,), "05": (434,)},
                "valve": {"01": (None,), "03": (None,), "05": (None,)},
                "ToyCar": {"05": (None,), "06": (None,), "07": (None,)},
                "ToyConveyor": {"04": (None,), "05": (None,), "06": (None,)},
            },
        ),
        "eval": Part(
            "3841772",
            "eval_data_test_{}.zip",
            ("test/id_",),
            {
                "fan": {"01": (None,), "03": (None,), "05": (None,)},
                "pump": {"01": (None,), "03": (None,), "05": (None,)},
                "slider": {"01": (278,), "03": (278,), "05": (278,)},
                "valve": {"01": (None,), "03": (None,), "05": (None,)},
                "ToyCar": {"05": (None,), "06": (None,), "07": (None,)},
                "ToyConveyor": {"04": (None,), "05": (None,), "06": (None,)},
            },
        ),
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
    labels=Labels("eval_data_list.csv", "3951620", "f16aaa185df9906e588864aaf7cb58ea", 338_426),
)


def _sections(
    year: int,
    records: tuple[str, str, str],
    dev: str,
    evaluated: str = "",
    *,
    sections: Sequence[str] = SECTIONS[:1],
    evaluated_sections: Sequence[str] = SECTIONS[:1],
    tests: Sequence[str] = ("test",),
    dev_archive: str = "dev_{}.zip",
    labels_sha256: str = "",
    replaced: Sequence[str] = (),
) -> Challenge:
    """A year of 2021 on: machines have sections, with clips of two domains.

    dev, evaluated: machine types, separated by spaces; without the latter, those of dev have further sections. records: of
    dev, additional and eval. tests: folders of test clips.
    """
    groups = {split: f"{split}/section_" for split in ("train", *tests)}

    def part(i: int, archive: str, machine_types: str, ids: Sequence[str], *splits: str) -> Part:
        clips = {machine_type: dict.fromkeys(ids, (None,) * len(splits)) for machine_type in machine_types.split()}
        return Part(records[i], archive, tuple(groups[split] for split in splits), clips)

    labels = Labels("eval_data_list.csv", url=f"{LISTS}/eval_data_list_{year}.csv", sha256=labels_sha256)
    return Challenge(
        year=year,
        parts={
            "dev": part(0, dev_archive, dev, sections, *groups),
            "additional": part(1, "eval_data_{}_train.zip", evaluated or dev, evaluated_sections, "train"),
            "eval": part(2, "eval_data_{}_test.zip", evaluated or dev, evaluated_sections, *tests),
        },
        labels=labels if labels_sha256 else None,
        replaced=replaced,
    )


DEV_2022_TO_2025 = "bearing fan gearbox slider ToyCar ToyTrain valve"
CHALLENGES = {
    2020: DCASE2020,
    2021: _sections(
        2021,
        ("4562016", "4660992", "4884786"),
        "fan gearbox pump slider ToyCar ToyTrain valve",
        sections=SECTIONS[:3],
        evaluated_sections=SECTIONS[3:],
        tests=("source_test", "target_test"),
        dev_archive="dev_data_{}.zip",
        labels_sha256="137b25ef444295e7626642957a5e9325176fe9f96be1bda53e2be080906ce2a6",
    ),
    2022: _sections(
        2022,
        ("6355122", "6462969", "6586456"),
        DEV_2022_TO_2025,
        sections=SECTIONS[:3],
        evaluated_sections=SECTIONS[3:],
        labels_sha256="9e4510f2ab8a2f53bec0968e0b16b1d99f0e2c77f76c986e59735e9ed2276c4a",
    ),
    2023: _sections(
        2023,
        ("7882613", "7830345", "7860847"),
        DEV_2022_TO_2025,
        "bandsaw grinder shaker ToyDrone ToyNscale ToyTank Vacuum",
        labels_sha256="705f2d2a8b7afa4e518b29c6ca751e3dfe552c6de35edd28cd85a67b610586ec",
    ),
    2024: _sections(
        2024,
        ("10902294", "11259435", "11363076"),
        DEV_2022_TO_2025,
        "3DPrinter AirCompressor BrushlessMotor HairDryer HoveringDrone RoboticArm Scanner ToothBrush ToyCircuit",
        replaced=("eval_data_3DPrinter_train.zip", "eval_data_RoboticArm_train.zip"),
        labels_sha256="af0d0826eb50c7769fe3bd33f16ba6c62c9b87548b1181eecf6f03bc4c72da93",
    ),
    2025: _sections(
        2025,
        ("15097779", "15392814", "15519362"),
        DEV_2022_TO_2025,
        "AutoTrash BandSealer CoffeeGrinder HomeCamera Polisher ScrewFeeder ToyPet ToyRCCar",
        labels_sha256="013aa59905d9b2c4bac64d88a7fd6166fa6458f0ffea408b57a761ef886cf265",
    ),
    2026: _sections(
        2026,
        ("19336329", "20151556", "20437238"),
        "ToyCar ToyCarEmu bearingEmu fan gearboxEmu sliderEmu valveEmu",
        "BlowerDustCollector Sander SewingMachine ToothBrush ToyDrone",
        replaced=("dev_ToyCar.zip",),
    ),
}
