"""The folder of a model: named arrays, the log of its training, and last `model.json`, the mark of a whole one.

`model.json` says what the model was made from, and carries the SHA-256 of every other file and of itself: a folder that was cut,
flipped or mixed with another is refused.
"""

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.numpy

from humwatch.errors import InputError, damaged
from humwatch.files import replacing

DESCRIPTION = "model.json"
LOG = "log.csv"
LOG_COLUMNS = ["epoch", "train_loss", "val_loss", "seconds"]


def write(
    folder: Path, arrays: Mapping[str, Mapping[str, np.ndarray]], log: list[dict], description: Mapping[str, Any]
) -> None:
    """Write a model: its arrays, its log and its description.

    Parameters
    ----------
    arrays
        By the name of the safetensors file that they go to, then by their own.
    log
        A row per epoch, with the keys LOG_COLUMNS.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DESCRIPTION).unlink(missing_ok=True)
    # Python writes all bytes: its errors name the file and the cause (a full disk).
    files = {f"{name}.safetensors": safetensors.numpy.save(dict(named)) for name, named in arrays.items()}
    files[LOG] = pd.DataFrame(log, columns=LOG_COLUMNS).to_csv(index=False).encode()
    for name, data in files.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(data)
    sealed = {**description, "files_sha256": {name: _checksum(name, data) for name, data in files.items()}}
    sealed["sha256"] = _own_checksum(sealed)
    with replacing(folder / DESCRIPTION) as temporary:
        temporary.write_text(json.dumps(sealed, indent=1, sort_keys=True) + "\n")


def description(folder: Path) -> dict[str, Any]:
    """What `model.json` says of the model in `folder`.

    Raises
    ------
    InputError
        There is none, or it is damaged.
    """
    try:
        found = json.loads((folder / DESCRIPTION).read_text())
        said = found.pop("sha256")
    except FileNotFoundError:
        raise InputError(f"{folder} holds no whole model: run `snakemake` to make it") from None
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError):
        raise InputError(_damaged(folder / DESCRIPTION, folder)) from None
    if said != _own_checksum(found):
        raise InputError(_damaged(folder / DESCRIPTION, folder))
    return found | {"sha256": said}


def arrays(folder: Path, name: str) -> dict[str, np.ndarray]:
    """The named arrays of `<name>.safetensors`.

    Raises
    ------
    InputError
        The file is missing or damaged.
    """
    data = _checked(folder, f"{name}.safetensors")
    return safetensors.numpy.load(data)


def log(folder: Path) -> pd.DataFrame:
    """The log of the training.

    Returns
    -------
    DataFrame
        A row per epoch, none for detectors without: epoch, train_loss, val_loss, seconds.

    Raises
    ------
    InputError
        The file is missing or damaged.
    """
    text = _checked(folder, LOG).decode(errors="replace")
    table = pd.read_csv(io.StringIO(text), quoting=csv.QUOTE_NONE)  # seconds may hold anything: they have no checksum
    return table.assign(seconds=pd.to_numeric(table["seconds"], errors="coerce"))


def _checked(folder: Path, name: str) -> bytes:
    """The bytes of one of the model's files."""
    said = description(folder)["files_sha256"].get(name)
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise InputError(damaged(folder / name, error.strerror, f"the folder {folder}")) from None
    if _checksum(name, data) != said:
        raise InputError(_damaged(folder / name, folder))
    return data


def _checksum(name: str, data: bytes) -> str:
    """Of a file; of a log without its last column, the seconds, which differ from run to run."""
    if name == LOG:
        header, *rows = data.split(b"\n")
        data = b"\n".join([header, *(row.rpartition(b",")[0] for row in rows)])
    return hashlib.sha256(data).hexdigest()


def _own_checksum(description: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def _damaged(path: Path, folder: Path) -> str:
    what = "it is empty" if path.exists() and not path.stat().st_size else "its checksum does not match"
    return damaged(path, what, f"the folder {folder}")
