"""From clips to the feature store."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from humwatch.datasets.clips import read_samples
from humwatch.errors import InputError
from humwatch.features import store
from humwatch.features.base import BaseFeature
from humwatch.progress import Progress


def extract(
    folder: Path,
    clips: pd.DataFrame,
    feature: BaseFeature,
    channel: int | str | list[int],
    path: Path,
    progress: Progress,
    code: str = "",
) -> None:
    """Compute `feature` of every clip of the table and write the store file `path`.

    Memory is that of one row group of clips, whatever their number.

    Parameters
    ----------
    channel
        As in `datasets.clips.read_samples`.
    code
        Checksum of the source code that computes the feature.

    Raises
    ------
    InputError
        It cannot be computed of some clips: a sentence for each of them.
    """
    parameters = feature.parameters(int(clips["sample_rate"].iloc[0])) | {"channel": channel}
    frames = _frames(folder, clips, feature, channel, progress)
    store.write(path, clips, frames, feature.bins, parameters, sources(clips), code)


def sources(clips: pd.DataFrame) -> str:
    """One checksum over the names and checksums of all clips."""
    lines = (clips["clip"] + " " + clips["sha256"] + "\n").str.cat()
    return hashlib.sha256(lines.encode()).hexdigest()


def _frames(
    folder: Path, clips: pd.DataFrame, feature: BaseFeature, channel: int | str | list[int], progress: Progress
) -> Iterator[np.ndarray]:
    problems = []
    for number, clip in enumerate(clips["clip"], 1):
        try:
            frames = _frames_of(folder / clip, feature, channel)
        except InputError as error:
            problems.append(str(error))
            frames = np.zeros((1, feature.bins), np.float32)  # keeps the rows in step until all are listed
        yield frames
        progress.update(number)
    if problems:
        raise InputError("\n".join(problems))


def _frames_of(path: Path, feature: BaseFeature, channel: int | str | list[int]) -> np.ndarray:
    samples, sample_rate = read_samples(path, channel)
    try:
        frames = feature(samples, sample_rate)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if not np.isfinite(frames).all():
        raise InputError(
            f"{path}: its features are NaN or infinite somewhere: check its samples and the feature's parameters"
        )
    return frames
