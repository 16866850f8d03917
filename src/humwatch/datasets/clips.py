"""The clip table: every recording opened, checked and checksummed before anything is computed from it.

Columns: clip (path under the data folder), machine_type, machine_id, split (train, test), label (0 normal, 1 anomaly,
missing), sample_rate (Hz), channels, seconds, sha256, quality (what a person should know of the recording, in short, joined
by "; "; missing where all is well), and domain and attributes (DCASE 2021 to 2026, else missing).
"""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from humwatch.datasets import audio
from humwatch.datasets.audio import Recording, Remark
from humwatch.datasets.clip_name import CLIP_COLUMNS, OPTIONAL_COLUMNS, ClipName
from humwatch.errors import InputError

log = logging.getLogger("humwatch")

COLUMNS = [*CLIP_COLUMNS, "sample_rate", "channels", "seconds", "sha256", "quality", *OPTIONAL_COLUMNS]
FEW = 3  # clips that have a sentence each; more of them share one
CLIPPED = 0.1  # share of a channel's samples
CLIPPED_RUN = 3  # samples in a row
LEVELS = 1e-3  # of the range between a channel's extremes that count as the extreme
QUIET_RANGE = 0.02  # of full scale between a channel's extremes: the few steps of a quiet recording are no clipping
BEYOND = 10.0  # times full scale
ABSURD = 1e12  # times full scale: energies of 2^16 such samples are still finite in float32


def table(folder: Path, names: Iterable[ClipName], sample_rate: int | None, threads: int = 1) -> pd.DataFrame:
    """Open and check every clip of `names` under `folder`; one row each, in their order.

    What is odd but can be worked with is kept, told in the column `quality`, and warned of once per kind.

    Parameters
    ----------
    sample_rate
        In Hz, that every clip must have; None: what most have.

    Raises
    ------
    InputError
        Clips are broken: a sentence for each of them.
    """
    names = list(names)
    with ThreadPoolExecutor(threads) as pool:
        checked = list(pool.map(lambda name: _check(folder, name), names))
    rows, problems = [], []
    remarks: dict[str, list[str]] = {}
    for found in checked:
        if isinstance(found, str):
            problems.append(found)
            continue
        row, said = found
        rows.append(row | {"quality": "; ".join(remark.word for remark in said) or None})
        for remark in said:
            remarks.setdefault(remark.word, []).append(f"{folder / row['clip']} {remark.sentence}")
    problems += _other_rates(folder, rows, sample_rate or audio.most_common(row["sample_rate"] for row in rows))
    if problems:
        raise InputError("\n".join(problems))
    for word, sentences in remarks.items():
        others = f" (and so {len(sentences) - 1} more of these {len(rows)} clips: column quality of the clip table, {word!r})"
        log.warning("%s%s", sentences[0], others if len(sentences) > 1 else "")
    return frame_of(rows)


def frame_of(rows: list[dict]) -> pd.DataFrame:
    """Rows of a clip table as one; what a row lacks is missing."""
    frame = pd.DataFrame(rows, columns=COLUMNS)
    numbers = {"label": "Int8", "sample_rate": "Int32", "channels": "Int16", "seconds": "float64"}
    # A type for every column, so that the tables of all machine types have one schema, also where a column is empty.
    return frame.astype({name: numbers.get(name, "string") for name in COLUMNS})


def read_samples(path: Path, channel: int | str | list[int] = 0) -> tuple[np.ndarray, int]:
    """Samples of one channel or of several, and the sample rate.

    Parameters
    ----------
    channel
        Its number, or "mix" for the mean of all; a list for several.

    Returns
    -------
    samples : (samples,) or, for a list, (samples, channels) float32
        Full scale is 1.
    sample_rate
        In Hz.

    Raises
    ------
    InputError
        The file cannot be read as audio, or lacks the channel.
    """
    recording = audio.decode(path, audio.load(path))
    if isinstance(channel, list):
        heard = np.stack([_one_channel(path, recording.samples, one) for one in channel], axis=1)
    else:
        heard = _one_channel(path, recording.samples, channel)
    return heard, recording.sample_rate


def near(samples: np.ndarray) -> np.ndarray:
    """The first channel, near the machine, of samples as from `read_samples`.

    Parameters
    ----------
    samples : (samples,) or (samples, channels)

    Returns
    -------
    (samples,)
    """
    return samples if samples.ndim == 1 else np.ascontiguousarray(samples[:, 0])


def _check(folder: Path, name: ClipName) -> tuple[dict, list[Remark]] | str:
    """The clip's row and what is to be said of it, or the sentence that says what is wrong with it."""
    path = folder / name.clip
    try:
        data = audio.load(path)
        recording = audio.decode(path, data)
        remarks = recording.remarks + quality_remarks(path, recording)
    except InputError as error:
        return str(error)
    samples, channels = recording.samples.shape
    row = name._asdict() | {"sample_rate": recording.sample_rate, "channels": channels}
    row |= {"seconds": samples / recording.sample_rate, "sha256": hashlib.sha256(data).hexdigest()}
    return row, remarks


def quality_remarks(path: Path, recording: Recording) -> list[Remark]:
    """What a person should know of the samples.

    Raises
    ------
    InputError
        No detector could work with them.
    """
    channels = recording.samples.T
    high, low = channels.max(axis=1), channels.min(axis=1)
    if not (np.isfinite(high).all() and np.isfinite(low).all()):
        raise InputError(f"{path} has samples that are NaN or infinite as 32-bit numbers: replace or remove it")
    peak = max(high.max(), -low.min())
    if peak > ABSURD:
        raise InputError(
            f"{path} has samples up to {peak:.3g} times full scale, damaged or never divided: replace or remove it"
        )
    found = []
    constant = high == low
    silent = constant & (high == 0)
    if silent.any():
        found.append(_of_channels(silent, "silent", "is silent: all its samples are zero"))
    samples = recording.samples
    end = max(len(samples) // 2 + 1, recording.sample_rate)  # more than half, and a second
    if peak and len(samples) > end and not samples[-1].any() and not samples[-end:].any():
        sentence = "is zero from some point of its first half on, as what an interrupted copy leaves"
        found.append(Remark("ends in silence", sentence))
    if (constant & ~silent).any():
        found.append(_of_channels(constant & ~silent, "constant", "is constant: all its samples are equal (DC alone)"))
    clipped = np.array([_clipped(channel, *ends) for channel, *ends in zip(channels, high, low, strict=True)])
    if clipped.any():
        sentence = f"is clipped: more than {CLIPPED:.0%} of its samples lie in runs at its largest or smallest value"
        found.append(_of_channels(clipped, "clipped", sentence))
    if peak > BEYOND and not recording.integers:
        sentence = (
            f"has samples up to {peak:.3g} times full scale: they look like integers, not divided, or are damaged"
        )
        found.append(Remark("beyond full scale", sentence))
    return found


def _of_channels(which: np.ndarray, word: str, sentence: str) -> Remark:
    """Of the whole clip, or of those of its channels that are marked."""
    if which.all():
        return Remark(word, sentence)
    numbers = ", ".join(map(str, np.flatnonzero(which)))
    return Remark(f"channel {numbers} {word}", f"{sentence}, in channel {numbers}")


def _clipped(channel: np.ndarray, high: float, low: float) -> bool:
    """Whether more than a tenth of the samples (samples,) lie in runs of three or more at one of the extremes."""
    span = float(high) - float(low)
    if span < QUIET_RANGE:
        return False
    extremes = channel >= high - LEVELS * span, channel <= low + LEVELS * span
    if sum(np.count_nonzero(at) for at in extremes) <= CLIPPED * len(channel):
        return False
    in_runs = 0
    for at in extremes:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], at.view(np.int8), [0]])))
        lengths = edges[1::2] - edges[::2]
        in_runs += lengths[lengths >= CLIPPED_RUN].sum()
    return in_runs > CLIPPED * len(channel)


def _other_rates(folder: Path, rows: Sequence[dict], sample_rate: int | None) -> list[str]:
    """Sentences about clips whose sample rate is another, few of them one by one."""
    others: dict[int, list[Path]] = {}
    for row in rows:
        if row["sample_rate"] != sample_rate:
            others.setdefault(row["sample_rate"], []).append(folder / row["clip"])
    problems = []
    for rate, paths in others.items():
        has = f"has {rate} Hz, the data set has {sample_rate} Hz: resample it or remove it"
        if len(paths) <= FEW:
            problems += [f"{path} {has}" for path in paths]
        else:
            problems.append(
                f"{paths[0]} and {len(paths) - 1} more have {rate} Hz, the data set has {sample_rate} Hz: resample or remove them"
            )
    return problems


def _one_channel(path: Path, samples: np.ndarray, channel: int | str) -> np.ndarray:
    if channel == "mix":
        return samples.mean(axis=1)
    if int(channel) >= samples.shape[1]:
        raise InputError(f"{path} has {samples.shape[1]} channel(s): dataset.channel {channel} is not there")
    return np.ascontiguousarray(samples[:, int(channel)])
