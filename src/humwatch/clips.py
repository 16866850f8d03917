"""The clip table: every recording opened, checked and checksummed before anything is computed from it.

Columns: clip (path under the data folder), machine_type, machine_id, split (train, test), label (0 normal, 1 anomaly,
missing), sample_rate (Hz), channels, seconds, sha256, and domain and attributes (DCASE 2021 to 2025, else missing).
"""

import hashlib
import io
import logging
import struct
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from humwatch.datasets.directory import ClipName
from humwatch.errors import InputError

log = logging.getLogger("humwatch")

CLIP_COLUMNS = ["clip", "machine_type", "machine_id", "split", "label"]
COLUMNS = [*CLIP_COLUMNS, "sample_rate", "channels", "seconds", "sha256", "domain", "attributes"]
UNKNOWN_SIZES = {0, 0xFFFFFFFF}  # what a program that writes to a pipe leaves in the header


def table(folder: Path, names: Iterable[ClipName], sample_rate: int | None, threads: int = 1) -> pd.DataFrame:
    """Open and check every clip of `names` under `folder`; one row each, in their order.

    sample_rate: Hz that every clip must have; None takes the first clip's. Raises one InputError that lists all broken
    clips, a sentence each. A clip of zeros is kept, with a warning.
    """
    names = list(names)
    with ThreadPoolExecutor(threads) as pool:
        checked = list(pool.map(lambda name: _check(folder, name), names))
    rows, problems = [], []
    for row in checked:
        if isinstance(row, str):
            problems.append(row)
            continue
        sample_rate = sample_rate or row["sample_rate"]
        if row["sample_rate"] != sample_rate:
            problems.append(
                f"{folder / row['clip']} has {row['sample_rate']} Hz, the data set has {sample_rate} Hz: "
                "resample it or remove it"
            )
        rows.append(row)
    if problems:
        raise InputError("\n".join(problems))
    return frame_of(rows)


def frame_of(rows: list[dict]) -> pd.DataFrame:
    """Rows of a clip table as one; what a row lacks is missing."""
    frame = pd.DataFrame(rows, columns=COLUMNS)
    numbers = {"label": "Int8", "sample_rate": "Int32", "channels": "Int16", "seconds": "float64"}
    # Said for every column, so that the tables of all machine types have one schema, also where a column is empty.
    return frame.astype({name: numbers.get(name, "string") for name in COLUMNS})


def read_samples(path: Path, channel: int | str = 0) -> tuple[np.ndarray, int]:
    """Samples of one channel, (samples,) float32 at full scale 1, and the sample rate in Hz.

    channel: its number, or "mix" for the mean of all. Raises InputError when the file cannot be read as audio.
    """
    try:
        with soundfile.SoundFile(path) as file:
            sample_rate, integers = file.samplerate, file.subtype == "PCM_16"
            samples = file.read(dtype="int16" if integers else "float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{path} cannot be read as WAV or FLAC ({error}): replace or remove it") from None
    if integers:  # the same values as libsndfile's own conversion, three times faster
        samples = np.multiply(samples, np.float32(1 / 32768), dtype=np.float32)
    return _one_channel(path, samples, channel), sample_rate


def sample_rate_of(path: Path) -> int | None:
    """Sample rate of a file in Hz, None where it cannot be read (its own check says why)."""
    try:
        return soundfile.info(path).samplerate
    except (soundfile.LibsndfileError, OSError):
        return None


def _check(folder: Path, name: ClipName) -> dict | str:
    """The clip's row, or the sentence that says what is wrong with it."""
    path = folder / name.clip
    try:
        data = path.read_bytes()
        if not data:
            return f"{path} is empty (0 bytes): replace or remove it"
        if shortfall := _missing_bytes(data):
            return f"{path} is truncated ({shortfall} bytes are missing at its end): replace or remove it"
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            samples = file.read(dtype="float32", always_2d=True)
            if len(samples) < file.frames:
                return f"{path} is truncated ({len(samples)} of {file.frames} samples): replace or remove it"
            row = name._asdict() | {"sample_rate": file.samplerate, "channels": file.channels}
    except (soundfile.LibsndfileError, OSError) as error:
        return f"{path} cannot be read as WAV or FLAC ({error}): replace or remove it"
    if len(samples) == 0:
        return f"{path} has no samples: replace or remove it"
    if not np.isfinite(samples).all():
        return f"{path} has samples that are NaN or infinite: replace or remove it"
    if not samples.any():
        log.warning("%s is silent: all its samples are zero", path)
    return row | {"seconds": len(samples) / row["sample_rate"], "sha256": hashlib.sha256(data).hexdigest()}


def _missing_bytes(data: bytes) -> int:
    """How many bytes the last chunk of a RIFF file lacks; libsndfile itself reads a truncated file without a word."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return 0
    for start, size in _riff_chunks(data):
        if size not in UNKNOWN_SIZES and start + size > len(data):
            return start + size - len(data)
    return 0


def _riff_chunks(data: bytes) -> Iterator[tuple[int, int]]:
    start = 12
    while start + 8 <= len(data):
        size = struct.unpack_from("<I", data, start + 4)[0]
        yield start + 8, size
        start += 8 + size + size % 2


def _one_channel(path: Path, samples: np.ndarray, channel: int | str) -> np.ndarray:
    if channel == "mix":
        return samples.mean(axis=1)
    if int(channel) >= samples.shape[1]:
        raise InputError(f"{path} has {samples.shape[1]} channel(s): dataset.channel {channel} is not there")
    return np.ascontiguousarray(samples[:, int(channel)])
