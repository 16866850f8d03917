"""From clips to the feature store."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from humwatch.datasets.clips import read_samples
from humwatch.errors import InputError
from humwatch.features import store
from humwatch.features.logmel import LogMel
from humwatch.features.modspec import ModSpec
from humwatch.features.waveform import Waveform
from humwatch.progress import Progress

# A new feature is a line here, its parameters in the config schema, and a file.
SOURCES = {"logmel": LogMel, "modspec": ModSpec, "waveform": Waveform}
Feature = LogMel | ModSpec | Waveform


def extract(
    folder: Path,
    clips: pd.DataFrame,
    feature: Feature,
    channel: int | str,
    path: Path,
    progress: Progress,
    threads: int = 1,
    code: str = "",
) -> None:
    """Compute `feature` of every clip of the table and write the store file `path`.

    code: checksum of the code that computes it. Memory is that of one row group of clips, whatever their number.
    """
    sample_rate = int(clips["sample_rate"].iloc[0])
    parameters = feature.parameters(sample_rate) | {"channel": channel}
    store.write(
        path,
        clips,
        _frames(folder, clips, feature, channel, progress, threads),
        feature.bins,
        parameters,
        sources(clips),
        code,
    )


def sources(clips: pd.DataFrame) -> str:
    """One checksum over the names and checksums of all clips."""
    lines = (clips["clip"] + " " + clips["sha256"] + "\n").str.cat()
    return hashlib.sha256(lines.encode()).hexdigest()


def _frames(
    folder: Path, clips: pd.DataFrame, feature: Feature, channel: int | str, progress: Progress, threads: int
) -> Iterator[np.ndarray]:
    def one(clip: str) -> np.ndarray | InputError:
        try:
            samples, sample_rate = read_samples(folder / clip, channel)
        except InputError as error:
            return error
        try:
            frames = feature(samples, sample_rate)
        except InputError as error:
            return InputError(f"{folder / clip}: {error}")
        if not np.isfinite(frames).all():
            return InputError(
                f"{folder / clip}: its features are NaN or infinite somewhere: check its samples and the feature's parameters"
            )
        return frames

    problems = []
    with ThreadPoolExecutor(threads) as pool:
        # Threads work on one row group at a time, so that no more than that waits to be written.
        for first in range(0, len(clips), store.ROWS_PER_GROUP):
            for frames in pool.map(one, clips["clip"].iloc[first : first + store.ROWS_PER_GROUP]):
                if isinstance(frames, InputError):
                    problems.append(str(frames))
                    frames = np.zeros((1, feature.bins), np.float32)  # keeps the rows in step until all are listed
                yield frames
            progress.update(min(first + store.ROWS_PER_GROUP, len(clips)))
    if problems:
        raise InputError("\n".join(problems))
