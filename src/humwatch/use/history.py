"""What `watch` or `listen` has judged so far: a record per clip or window, on the disk before an alarm is sent.

It is CSV, or SQLite (by the file's suffix). Either survives a kill at any moment: if the last line of a CSV file is not whole,
its clip is judged again; SQLite commits or does not.
"""

import contextlib
import csv
import dataclasses
import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humwatch.errors import InputError
from humwatch.locking import try_lock

SQLITE_SUFFIXES = {".sqlite", ".sqlite3", ".db"}


@dataclass(frozen=True)
class Record:
    """A clip (of `watch`) or a window (of `listen`), and how it was judged.

    Attributes
    ----------
    file
        Its path below the watched folder, or when it was heard.
    start_s, machine, score, p_value, threshold, alarm, extrapolated, why
        Of its most anomalous window, as `humwatch score` has them.
    nearest
        Whether the machine is not known, and the one that it is most normal for was taken.
    microphone
        What is wrong with the microphone.
    problem
        Why there is no score.
    scores
        Of all windows, joined by spaces.
    time
        When it was judged, UTC.
    sha256, bytes, modified_ns
        Of the file; a file of the same size and time need not be read again.
    detector
        The beginning of its file's checksum.
    """

    file: str
    start_s: float | None = None
    machine: str = ""
    score: float | None = None
    p_value: float | None = None
    threshold: float | None = None
    alarm: bool = False
    extrapolated: bool = False
    why: str = ""
    nearest: bool = False
    microphone: str = ""
    problem: str = ""
    scores: str = ""
    time: str = ""
    sha256: str = ""
    bytes: int = 0
    modified_ns: int = 0
    detector: str = ""


COLUMNS = [field.name for field in dataclasses.fields(Record)]
NUMBERS = {"start_s": float, "score": float, "p_value": float, "threshold": float, "bytes": int, "modified_ns": int}
TRUTHS = {"alarm", "extrapolated", "nearest"}


class History(ABC):
    """Records, oldest first; one process at a time writes them."""

    def __init__(self, path: Path) -> None:
        """Lock the history; InputError where its file is something else, or another process writes it."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not try_lock(path.with_name(f".{path.name}.lock")):
            raise InputError(f"another humwatch writes {path}: stop it, or give another file (--history)")

    @abstractmethod
    def records(self) -> Iterator[Record]:
        """All records, oldest first."""

    @abstractmethod
    def add(self, record: Record) -> None:
        """Write a record; it is on the disk afterwards."""

    @abstractmethod
    def has_file(self, file: str, size: int, modified_ns: int) -> bool:
        """Whether there is a record of a file that has not changed since."""

    @abstractmethod
    def has(self, file: str, sha256: str) -> bool:
        """Whether there is a record of a file with these bytes."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


def open_history(path: Path) -> History:
    """The history in a file, which is made where there is none.

    Raises
    ------
    InputError
        The file is something else, or another process writes it.
    """
    return SqliteHistory(path) if path.suffix.lower() in SQLITE_SUFFIXES else CsvHistory(path)


class CsvHistory(History):
    """A CSV file; which clips it has is kept in memory too, some 200 bytes each."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._file = open(path, "a+", encoding="utf-8", newline="")  # noqa: SIM115
        self._drop_torn_line()
        self._writer = csv.DictWriter(self._file, COLUMNS, lineterminator="\n")
        self._file.seek(0)
        header = self._file.readline().rstrip("\n")
        if not header:
            self._writer.writeheader()
            self._flush()
        elif header != ",".join(COLUMNS):
            raise InputError(f"{path} is no history of humwatch: give another file (--history)")
        self._clips: set[tuple[str, str]] = set()
        self._files: dict[str, tuple[int, int]] = {}
        for record in self.records():
            self._note(record)

    def records(self) -> Iterator[Record]:
        with open(self.path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield _record(row)

    def add(self, record: Record) -> None:
        self._writer.writerow(dataclasses.asdict(record))
        self._flush()
        self._note(record)

    def has_file(self, file: str, size: int, modified_ns: int) -> bool:
        return self._files.get(file) == (size, modified_ns)

    def has(self, file: str, sha256: str) -> bool:
        return (file, sha256) in self._clips

    def close(self) -> None:
        self._file.close()

    def _note(self, record: Record) -> None:
        self._clips.add((record.file, record.sha256))
        self._files[record.file] = record.bytes, record.modified_ns

    def _flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def _drop_torn_line(self) -> None:
        with open(self.path, "rb+") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 2**20))  # longer than any line
            whole = file.read().rfind(b"\n") + 1
            file.truncate(max(0, end - 2**20) + whole)


class SqliteHistory(History):
    """An SQLite table `clips`, which others can query while it is written (write-ahead log)."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        kinds = {float: "REAL", int: "INTEGER"}
        columns = [f"{c} {'INTEGER' if c in TRUTHS else kinds.get(NUMBERS.get(c, str), 'TEXT')}" for c in COLUMNS]
        # Every statement is committed. Several threads may write, one at a time.
        self._base = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        try:
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.execute(f"CREATE TABLE IF NOT EXISTS clips ({', '.join(columns)}, PRIMARY KEY (file, sha256))")
            found = [name for _, name, *_ in self._base.execute("PRAGMA table_info(clips)")]
        except sqlite3.DatabaseError as error:
            raise InputError(f"{path} cannot be used as a history ({error}): give another file (--history)") from None
        if found != COLUMNS:
            raise InputError(f"{path} is no history of humwatch: give another file (--history)")

    def records(self) -> Iterator[Record]:
        return (record for _, record in self.numbered())

    def numbered(self) -> Iterator[tuple[int, Record]]:
        """All records with the numbers of their rows, oldest first."""
        for row, *values in self._base.execute(f"SELECT rowid, {', '.join(COLUMNS)} FROM clips ORDER BY rowid"):
            yield row, _sqlite_record(values)

    def find(self, file: str, sha256: str) -> tuple[int, Record] | None:
        """The number of a clip's row, and its record."""
        select = f"SELECT rowid, {', '.join(COLUMNS)} FROM clips WHERE file = ? AND sha256 = ?"
        found = self._base.execute(select, (file, sha256)).fetchone()
        return (found[0], _sqlite_record(found[1:])) if found else None

    def index(self) -> None:
        """Make `search` quick, however many rows there are."""
        for name, of in (("machine", "machine"), ("time", "time"), ("alarm", "alarm) WHERE (alarm = 1")):
            self._base.execute(f"CREATE INDEX IF NOT EXISTS clips_{name} ON clips ({of})")

    def add(self, record: Record) -> None:
        self._base.execute(f"INSERT INTO clips VALUES ({', '.join('?' * len(COLUMNS))})", dataclasses.astuple(record))

    def has_file(self, file: str, size: int, modified_ns: int) -> bool:
        return self._any("file = ? AND bytes = ? AND modified_ns = ?", file, size, modified_ns)

    def has(self, file: str, sha256: str) -> bool:
        return self._any("file = ? AND sha256 = ?", file, sha256)

    def close(self) -> None:
        self._base.close()

    def _any(self, where: str, *values: Any) -> bool:
        return self._base.execute(f"SELECT 1 FROM clips WHERE {where} LIMIT 1", values).fetchone() is not None


def search(
    path: Path,
    machine: str | None = None,
    since: str = "",
    until: str = "",
    alarm: bool | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[tuple[int, Record]]:
    """Rows of an SQLite history, which another thread or process may be writing.

    Parameters
    ----------
    path
        Of the history.
    machine, alarm
        Only rows of this machine; only those that are, or are not, alarms.
    since, until
        Only rows of this time, and of before that.
    before
        Only rows of a smaller number.
    limit
        How many, at most.

    Returns
    -------
    list
        Of numbers of rows and their records, newest first.
    """
    wanted = {
        "machine = ?": machine,
        "time >= ?": since or None,
        "time < ?": until or None,
        "alarm = 1": alarm or None,
        "alarm = 0": None if alarm is None or alarm else True,
        "rowid < ?": before,
    }
    conditions = [condition for condition, value in wanted.items() if value is not None]
    values = [value for condition, value in wanted.items() if value is not None and "?" in condition]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    select = f"SELECT rowid, {', '.join(COLUMNS)} FROM clips{where} ORDER BY rowid DESC LIMIT ?"
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout=60, uri=True)) as base:
        return [(row[0], _sqlite_record(row[1:])) for row in base.execute(select, [*values, limit])]


def _sqlite_record(values: Sequence[Any]) -> Record:
    found = dict(zip(COLUMNS, values, strict=True))
    return Record(**found | {name: bool(found[name]) for name in TRUTHS})


def _record(row: Mapping[str, str]) -> Record:
    """The record in a row of CSV."""
    found: dict[str, Any] = dict(row)
    for name, number in NUMBERS.items():
        found[name] = number(row[name]) if row[name] else None
    for name in TRUTHS:
        found[name] = row[name] == "True"
    return Record(**found)
