"""Tables as Parquet files that notice damage: one that is cut or has a flipped bit is refused, never read as another table.

A file carries a SHA-256 of itself in its metadata, taken with zeros in the checksum's own place: of the whole file, or, where
that would take too long (the feature store), of its footer, and the pages carry checksums of their own.
"""

import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from humwatch.errors import InputError, damaged
from humwatch.files import replacing

KEY = b"humwatch_sha256"
BLANK = b"0" * 64
SEALED = re.compile(KEY + rb".{1,4}?([0-9a-f]{64})", re.DOTALL)
END = 8  # bytes after the footer: its length, and PAR1


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write a small table, whole or not at all."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(blank(table.schema.metadata)), sink)
    data = bytearray(sink.getvalue())
    _seal(data)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def read(path: Path) -> pd.DataFrame:
    """Read what `write` wrote.

    Raises
    ------
    InputError
        The file is missing or damaged.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(_unreadable(path, error)) from None
    if not _is_sealed(data):
        raise InputError(damaged(path, "it is empty" if not data else "its checksum does not match"))
    return pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False).to_pandas()


def blank(metadata: Mapping[Any, Any] | None) -> dict[Any, Any]:
    """The metadata with an empty place for the checksum."""
    return {**(metadata or {}), KEY: BLANK}


def seal_footer(path: Path) -> None:
    """Fill in the checksum of the footer of a file whose metadata is `blank`."""
    with open(path, "r+b") as file:
        footer = bytearray(_read_footer(file))
        _seal(footer)
        file.seek(-len(footer), io.SEEK_END)
        file.write(footer)


def footer_checksum(path: Path) -> str:
    """The checksum of a file's footer, by which files are told apart.

    Raises
    ------
    InputError
        The file is missing, cut or damaged.
    """
    try:
        with open(path, "rb") as file:
            footer = _read_footer(file)
    except OSError as error:
        raise InputError(_unreadable(path, error)) from None
    if not _is_sealed(footer):
        raise InputError(damaged(path, "it is empty" if not footer else "the checksum of its footer does not match"))
    return SEALED.findall(footer)[-1].decode()


def _unreadable(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path} does not exist: run `snakemake` to make it"
    return damaged(path, error.strerror)


def _read_footer(file: Any) -> bytes:
    """The footer, its length and the mark at the end; as much as there is of a file that has no whole one."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - END, 0))
    length = int.from_bytes(file.read(4), "little") + END
    file.seek(max(size - length, 0))
    return file.read()


def _seal(data: bytearray) -> None:
    *_, place = SEALED.finditer(data)
    data[place.start(1) : place.end(1)] = hashlib.sha256(data).hexdigest().encode()


def _is_sealed(data: bytes) -> bool:
    places = [*SEALED.finditer(data)]
    if not places:
        return False
    start, end = places[-1].span(1)
    digest = hashlib.sha256(data[:start])
    digest.update(BLANK)
    digest.update(data[end:])
    return digest.hexdigest().encode() == data[start:end]
