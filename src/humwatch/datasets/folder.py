"""One's own recordings, machine by machine, and DCASE 2021 to 2025.

    <machine>/normal/*.wav                  they train; any names
    <machine>/test/{normal,anomaly}/*.wav   they are tested
    <machine>/test/*.wav                    they are scored: nobody said what they are
    <machine>/**/section_<id>[_<source|target>][_<train|test>][_<normal|anomaly>]_<index>[_<attributes>].wav
                                            the names of DCASE 2021 to 2025, in its folders (train, test, source_test, ...)

Or a CSV file (dataset.csv) with the columns file, machine, split, label and, if wanted, machine_id, domain, attributes.
"""

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from humwatch.datasets.directory import AUDIO_SUFFIXES, SPLITS, ClipName, audio_files, checked, read_names
from humwatch.errors import InputError

ONLY_ID = "00"  # of a machine that has no ids
FOLDERS = {  # folders within a machine's: split, label
    "normal": ("train", 0),
    "train": ("train", 0),
    "train/normal": ("train", 0),
    "test": ("test", None),
    "test/normal": ("test", 0),
    "test/anomaly": ("test", 1),
}
SECTION = re.compile(
    r"section_(?P<id>[^_]+)(?:_(?P<domain>source|target))?(?:_(?P<split>train|test))?(?:_(?P<label>normal|anomaly))?"
    r"_\d+(?:_(?P<attributes>.+))?"
)
COLUMNS = ("file", "machine", "split", "label")
LABELS = {"normal": 0, "0": 0, "anomaly": 1, "1": 1, "": None}


def find(folder: Path, dataset: Mapping[str, Any]) -> list[ClipName]:
    """The clips of the CSV file, if dataset.csv names one, else of the folder."""
    if dataset.get("csv"):
        return _read_csv(Path(dataset["csv"]), folder)
    files = audio_files(folder, dataset.get("machine_types"))
    # DCASE 2025 adds recordings of the machine or the noise alone: neither trained nor tested here.
    return read_names((file for file in files if "/supplemental/" not in file), parse)


def parse(clip: str) -> ClipName:
    """Read a clip's path relative to the data folder; InputError where it fits no layout."""
    machine, *middle = clip.split("/")[:-1]
    if match := SECTION.fullmatch(Path(clip).stem):
        named = match["split"] or next((s for s in SPLITS if any(s in part.split("_") for part in middle)), "test")
        label = {"normal": 0, "anomaly": 1}.get(match["label"], 0 if named == "train" else None)
        return checked(ClipName(clip, machine, match["id"], named, label, match["domain"], match["attributes"]))
    if "/".join(middle) not in FOLDERS:
        raise InputError(
            f"{clip} does not fit <machine>/normal/, <machine>/test/normal/, <machine>/test/anomaly/ or <machine>/test/, nor "
            "the names of DCASE 2021 to 2025 (section_00_source_train_normal_0000.wav): move or remove it"
        )
    split, label = FOLDERS["/".join(middle)]
    return ClipName(clip, machine, ONLY_ID, split, label)


def _read_csv(path: Path, folder: Path) -> list[ClipName]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]
            columns = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"dataset.csv: {path} cannot be read ({error}): correct the path or save it as UTF-8 CSV"
        ) from None
    if missing := [name for name in COLUMNS if name not in columns]:
        raise InputError(
            f"dataset.csv: {path} lacks the column(s) {', '.join(missing)}: its first line must name {', '.join(COLUMNS)}"
        )
    seen: set[str] = set()

    def parse_row(numbered: tuple[int, dict[str, str]]) -> ClipName:
        number, row = numbered
        where = f"dataset.csv: {path}, row {number}"
        if row["split"] not in SPLITS:
            raise InputError(f"{where}: split is {row['split']!r}, it must be train or test: correct it")
        if row["label"] not in LABELS:
            raise InputError(f"{where}: label is {row['label']!r}, it must be normal, anomaly or empty: correct it")
        if not row["machine"] or "/" in row["machine"]:
            raise InputError(f"{where}: machine is {row['machine']!r}, it must be a name without slash: correct it")
        if Path(row["file"]).suffix.lower() not in AUDIO_SUFFIXES or not (folder / row["file"]).is_file():
            raise InputError(f"{where}: {folder / row['file']} is no WAV or FLAC file: correct the row or remove it")
        if row["file"] in seen:
            raise InputError(f"{where}: {row['file']} is listed twice: remove one of the rows")
        seen.add(row["file"])
        label = 0 if row["split"] == "train" and not row["label"] else LABELS[row["label"]]
        extra = (row.get("domain") or None, row.get("attributes") or None)
        return checked(
            ClipName(row["file"], row["machine"], row.get("machine_id") or ONLY_ID, row["split"], label, *extra)
        )

    return read_names(enumerate(rows, 2), parse_row)
