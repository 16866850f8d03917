"""One's own recordings, machine by machine, and DCASE 2021 to 2026.

    <machine>/normal/*.wav                  they train; any names
    <machine>/test/{normal,anomaly}/*.wav   they are tested
    <machine>/test/*.wav                    they are scored: nobody said what they are
    <machine>/**/section_<id>[_<source|target>][_<train|test>][_<normal|anomaly>]_<index>[_<attributes>].wav
                                            the names of DCASE 2021 to 2026, in its folders (train, test, source_test, ...)

Or a CSV file (dataset.csv) with the columns file, machine, split, label and, if wanted, machine_id, domain, attributes.
Capitals do not matter in the names of folders, labels and columns, and abnormal is anomaly. What a clip's name says must not
contradict its folder.
"""

import codecs
import csv
import io
import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from humwatch.datasets import sections
from humwatch.datasets.clip_name import SPLITS, ClipName
from humwatch.datasets.directory import NAME
from humwatch.datasets.formats import AUDIO_SUFFIXES
from humwatch.datasets.names import ClipError, listing, shown
from humwatch.datasets.recordings import (
    LayoutError,
    agreeing,
    audio_files,
    checked,
    label_word,
    read_folder,
    read_names,
    stem,
    suffix,
)
from humwatch.datasets.source import RecordingsSource
from humwatch.errors import InputError
from humwatch.parameters import REQUIRED, parameter

log = logging.getLogger("humwatch")

ONLY_ID = "00"  # of a machine that has no ids
FOLDERS = {  # folders within a machine's: split, label
    "normal": ("train", 0),
    "train": ("train", 0),
    "train/normal": ("train", 0),
    "test": ("test", None),
    "test/normal": ("test", 0),
    "test/anomaly": ("test", 1),
}
LABELS = {"normal": 0, "0": 0, "anomaly": 1, "abnormal": 1, "1": 1, "": None}
LAYOUT = (
    "does not fit <machine>/normal/, <machine>/test/normal/, <machine>/test/anomaly/ or <machine>/test/, nor the names of "
    "DCASE 2021 to 2026 (section_00_source_train_normal_0000.wav): move or remove it"
)
MISPLACED = {
    *SPLITS,
    "normal",
    "anomaly",
    "abnormal",
}  # where a machine's name should stand: the path is a folder too deep
COLUMNS = ("file", "machine", "split", "label")
OPTIONAL = ("machine_id", "domain", "attributes")
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
BLANK = re.compile(r'[\s,;|"]*')  # a line, or a cell, that holds nothing


def parse(clip: str) -> ClipName:
    """Read a clip's path relative to the data folder.

    Raises
    ------
    LayoutError
        It fits no layout.
    ClipError
        Its name contradicts its folder.
    """
    machine, *middle = clip.split("/")[:-1] or [""]
    folders = "/".join(middle).casefold().replace("abnormal", "anomaly")
    name = stem(clip)
    if machine.casefold() in MISPLACED:
        raise LayoutError(clip, LAYOUT)
    if sections.is_section(clip):
        return sections.parse(clip)
    if folders not in FOLDERS:
        raise LayoutError(clip, LAYOUT)
    split, label = FOLDERS[folders]
    if folders in SPLITS and NAME.fullmatch(name):
        raise LayoutError(
            clip,
            "is named as DCASE 2020 names clips, by an id and a label that source folder does not read: set dataset.source to "
            "directory, or rename it",
        )
    parsed = ClipName(clip, machine, ONLY_ID, split, label)
    return agreeing(parsed, f"its folder {'/'.join(middle)}/", "move it to test/{word}/")


@dataclass(frozen=True, kw_only=True)
class Source(RecordingsSource):
    """A folder of one's own, or a list of recordings."""

    csv: str | None = parameter(
        REQUIRED,
        "A list of one's own recordings, with the columns file (under path, or beside the list), machine, "
        "split (train, test), label (normal, anomaly, or empty) and, if wanted, machine_id, domain, attributes.",
        type="string",
        minLength=1,
    )

    summary = (
        "one's own recordings in <machine>/normal and <machine>/test/{normal,anomaly}, the names of DCASE 2021 to 2026, or a "
        "CSV list."
    )
    place = 3
    parse = staticmethod(parse)

    @property
    def from_table(self) -> bool:
        return bool(self.csv)

    def folder(self) -> str:
        return str(Path(self.csv).parent) if self.csv and self.path is None else super().folder()

    def find(self, folder: Path) -> list[ClipName]:
        """The clips of the CSV file, if there is one, else of the folder."""
        if self.csv:
            return _read_csv(Path(self.csv), folder, self.machine_types)
        files = audio_files(folder, self.machine_types)
        # DCASE 2025 adds recordings of the machine or the noise alone: neither trained nor tested here.
        clips = read_folder("folder", folder, [file for file in files if "/supplemental/" not in file], parse)
        _warn_of_ids(clips)
        return clips


def _warn_of_ids(clips: Iterable[ClipName]) -> None:
    """Of ids that names state and this source does not read."""
    ids = defaultdict(set)
    for clip in clips:
        if match := NAME.fullmatch(stem(clip.clip)):
            ids[clip.machine_type].add(match["machine_id"])
    for machine, named in ids.items():
        if len(named) > 1:
            log.warning(
                "%s: its clips are named by several ids (%s), which source folder does not read: they count as one machine",
                *(shown(machine), listing(sorted(named))),
            )


def _read_csv(path: Path, folder: Path, machines: Sequence[str]) -> list[ClipName]:
    try:
        rows = _rows(path)
    except OSError as error:
        problem = f"cannot be read ({error.strerror}): correct the path"
        raise InputError(f"dataset.csv: {shown(path)} {problem}") from None
    except csv.Error as error:
        raise InputError(f"dataset.csv: {shown(path)} cannot be read ({error}): save it as UTF-8 CSV") from None
    where = f"dataset.csv: {shown(path)}, "
    seen: set[str] = set()

    def parse_row(numbered: tuple[int, dict[str, str]]) -> ClipName:
        number, row = numbered
        machine, file = row["machine"], _file(folder, row["file"])
        split, label = row["split"].casefold(), row["label"].casefold()
        problem = None
        if row[""]:
            problem = f"has more cells than the first line has columns ({row['']!r}): quote the cell that has a separator in it"
        elif split not in SPLITS:
            problem = f"split is {row['split']!r}, it must be train or test: correct it"
        elif label not in LABELS:
            problem = f"label is {row['label']!r}, it must be normal, anomaly or empty: correct it"
        elif split == "train" and not label and label_word(stem(row["file"])) == "anomaly":
            problem = f"{row['file']} trains as normal, and its name says anomaly: write its label"
        elif not machine or "/" in machine:
            problem = f"machine is {machine!r}, it must be a name without slash: correct it"
        if problem:
            raise ClipError(f"row {number}:", problem, where)
        if not file:
            wrong = "is no file: correct the row or remove it"
            if suffix(row["file"]) not in AUDIO_SUFFIXES:
                wrong = "is no recording in a format that is read: convert it to WAV or FLAC, or remove the row"
            raise ClipError(f"row {number}: {folder / row['file']}", wrong, where)
        if file in seen:
            raise ClipError(f"row {number}: {file}", "is listed twice: remove one of the rows", where)
        seen.add(file)
        labelled = 0 if split == "train" and not label else LABELS[label]
        extra = (row.get("domain") or None, row.get("attributes") or None)
        return checked(ClipName(file, machine, row.get("machine_id") or ONLY_ID, split, labelled, *extra), where)

    return read_names(((n, row) for n, row in rows if not machines or row["machine"] in machines), parse_row)


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """(number in the file, cells by column; under "" what is beyond the columns) of every row that is not blank."""
    if path.is_dir():
        raise InputError(f"dataset.csv: {shown(path)} is a folder: name the CSV file, or leave dataset.csv out")
    text = _text(path)
    lines = (line for line in re.split("[\r\n]+", text) if not BLANK.fullmatch(line))
    first, header = next(lines, ""), next(lines, "")
    stated = re.fullmatch(r'"?sep=(.)"?[,;\s]*', first, re.IGNORECASE)
    header = header if stated else first

    def names(separator: str) -> list[str]:
        cells = next(csv.reader([header], delimiter=separator), [])
        return [re.sub(r"[\s-]+", "_", cell.strip().casefold()) for cell in cells]

    found = {separator: names(separator) for separator in (stated[1] if stated else SEPARATORS)}
    separator = max(found, key=lambda s: (len({*COLUMNS} & {*found[s]}), len(found[s])))
    columns = found[separator]
    by = SEPARATORS.get(separator, repr(separator))
    if missing := [name for name in COLUMNS if name not in columns]:
        raise InputError(
            f"dataset.csv: {shown(path)} lacks the column(s) {', '.join(missing)}: its first line must name "
            f"{', '.join(COLUMNS)}, and it names, between {by}, {listing(columns) or 'nothing'}"
        )
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise InputError(
            f"dataset.csv: {shown(path)} names the column(s) {listing(twice)} twice: rename one of the two"
        )
    if unread := [name for name in columns if name not in ("", *COLUMNS, *OPTIONAL)]:
        log.warning(
            "dataset.csv: %s has columns that are not read: %s (known are %s)",
            *(shown(path), listing(unread), listing([*COLUMNS, *OPTIONAL])),
        )
    rows = []
    for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=separator), 1):
        cells = [cell.strip() for cell in cells]
        if not all(map(BLANK.fullmatch, cells)):
            padded = cells + [""] * (len(columns) - len(cells))
            beyond = ", ".join(filter(None, cells[len(columns) :]))
            rows.append((number, dict(zip(columns, padded, strict=False)) | {"": beyond}))
    return rows[2 if stated else 1 :]


def _text(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif b"\0" in data[:2]:  # half of a letter of two bytes
        encoding = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    else:
        encoding = "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"dataset.csv: {shown(path)} is not {encoding.upper()[:6].rstrip('-')} (row {row}): save it as CSV UTF-8"
        ) from None


def _file(folder: Path, cell: str) -> str | None:
    """The path under `folder` of the recording that a cell names, None where there is none; backslashes may separate folders."""
    if suffix(cell) not in AUDIO_SUFFIXES:
        return None
    for name in (cell, cell.replace("\\", "/")) if "\\" in cell else (cell,):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            if os.path.isabs(name):
                return os.path.relpath(os.path.realpath(path), os.path.realpath(folder))
            return PurePosixPath(name).as_posix() if "./" in name or "//" in name else name
    return None
