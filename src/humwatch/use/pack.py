"""The file of a detector, `<name>.humwatch`: a safetensors file of arrays, with a description of them as JSON in its metadata.

It holds no program code, and reading it runs none. It carries a SHA-256 of itself, taken with zeros in the checksum's own place:
a file that is cut, has a flipped bit or is of another program is refused. The same description and arrays make the same bytes.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.numpy

from humwatch.errors import InputError
from humwatch.files import replacing

FORMAT = 1  # of description and arrays; a reader refuses higher ones
KEY = "humwatch"  # of the description in safetensors' metadata
BLANK = "0" * 64
SEAL = re.compile(rb'\\"sha256\\": \\"([0-9a-f]{64})\\"')  # JSON within JSON
LONGEST_HEADER = 100_000_000  # bytes, safetensors' own limit


def write(path: Path, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a detector, whole or not at all."""
    sealed = {**description, "format": FORMAT, "sha256": BLANK}
    contiguous = {name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in arrays.items()}
    data = bytearray(safetensors.numpy.save(contiguous, {KEY: json.dumps(sealed, sort_keys=True)}))
    place = _seal(data)
    assert place is not None
    data[place] = hashlib.sha256(data).hexdigest().encode()
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The description and the arrays of a detector.

    Raises
    ------
    InputError
        The file is missing, damaged, or not a detector.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give the path of a .humwatch file") from None
    header = _header(path, data)
    if KEY not in header.get("__metadata__", {}):
        raise InputError(f"{path} is no detector of humwatch: give a .humwatch file, as `humwatch pack` writes it")
    place = _seal(data)
    if (
        place is None
        or hashlib.sha256(data[: place.start] + BLANK.encode() + data[place.stop :]).hexdigest().encode()
        != (data[place])
    ):
        raise InputError(f"{path} is damaged (its checksum does not match): copy or pack it again")
    description = json.loads(header["__metadata__"][KEY])
    if description["format"] > FORMAT:
        raise InputError(
            f"{path} is in format {description['format']}, and this humwatch reads up to {FORMAT}: install humwatch "
            f"{description.get('versions', {}).get('humwatch', '')} or newer".replace("  ", " ")
        )
    return description, safetensors.numpy.load(data)


def from_texts(texts: Iterable[str]) -> np.ndarray:
    """The texts as the bytes of a JSON list, (bytes,) uint8."""
    return np.frombuffer(json.dumps(list(texts)).encode(), np.uint8)


def to_texts(array: np.ndarray) -> list[str]:
    """The texts that `from_texts` was given."""
    return json.loads(array.tobytes())


def calibration_arrays(table: pd.DataFrame, grouped: bool) -> dict[str, np.ndarray]:
    """The arrays that a detector's file has of its calibration.

    Parameters
    ----------
    table
        Columns score, machine (its number), clip, and session where clips are grouped.
    grouped
        Whether they are grouped by session.
    """
    arrays = {
        "calibration.scores": table["score"].to_numpy(np.float64),
        "calibration.machine": table["machine"].to_numpy(np.int32),
        "calibration.clips": from_texts(table["clip"]),
    }
    if grouped:
        numbers, names = pd.factorize(table["session"])
        arrays |= {"calibration.group": numbers.astype(np.int32), "calibration.sessions": from_texts(names)}
    return arrays


def _header(path: Path, data: bytes) -> dict[str, Any]:
    """The header of a safetensors file; InputError where the file is cut or of another kind."""
    foreign = f"{path} is no detector of humwatch: give a .humwatch file, as `humwatch pack` writes it"
    length = int.from_bytes(data[:8], "little")
    if not data:
        raise InputError(f"{path} is empty: copy or pack it again")
    if not 2 <= length <= LONGEST_HEADER or data[8:9] not in (b"{", b""):
        raise InputError(foreign)
    cut = InputError(f"{path} is cut: it ends before its last byte: copy or pack it again")
    if len(data) < 8 + length:
        raise cut
    try:
        header = json.loads(data[8 : 8 + length])
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise InputError(foreign) from None
    if len(data) < 8 + length + max(ends, default=0):
        raise cut
    return header


def _seal(data: bytes | bytearray) -> slice | None:
    """Where the checksum stands."""
    length = int.from_bytes(data[:8], "little")
    places = [*SEAL.finditer(data, 8, 8 + length)]
    return slice(*places[-1].span(1)) if places else None
