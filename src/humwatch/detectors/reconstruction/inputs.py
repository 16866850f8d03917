"""The windows that a trained network scores, by numpy: scaled a few clips at a time, gathered by the batch."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from humwatch.detectors.inference import Weights
from humwatch.errors import InputError
from humwatch.features.store import Features

LIMIT = 5.0  # standard deviations from the mean that become 0 and 1
BATCH = 256  # windows; as fast as larger ones, whose temporary arrays leave larger holes in the heap


def first_frames(features: Features, window: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the windows of clips begin.

    Parameters
    ----------
    window
        Frames of one.
    hop
        Frames from one to the next.

    Returns
    -------
    first : (windows of all clips,)
        The number of each window's first frame among those of all clips.
    per_clip : (clips,)
        The number of windows of each clip.

    Raises
    ------
    InputError
        Clips are shorter than one window: a sentence for each of them.
    """
    lengths = np.diff(features.starts)
    if (short := lengths < window).any():
        raise InputError(
            "\n".join(
                f"{clip} has {length} frame(s), fewer than one window of {window}: remove it or choose a smaller window"
                for clip, length in zip(features.clips["clip"][short], lengths[short], strict=True)
            )
        )
    per_clip = (lengths - window) // hop + 1
    before = np.concatenate([[0], np.cumsum(per_clip)[:-1]])
    first = hop * np.arange(per_clip.sum()) + np.repeat(features.starts[:-1] - hop * before, per_clip)
    return first, per_clip


def scaled(features: Features, hyperparameters: Any, weights: Weights, hop: int) -> Iterator[np.ndarray]:
    """Windows, `hop` frames apart, in [0, 1] as `scaling` does it for training, a batch at a time.

    Frames are scaled before windows are made of them, since each frame is in several.

    Yields
    ------
    (batch, window * bins) float32
    """
    p, bins = hyperparameters, features.values.shape[1]
    first, per_clip = first_frames(features, p.window, hop)
    for clips in np.split(np.arange(len(per_clip)), np.flatnonzero(np.diff(np.cumsum(per_clip) // BATCH)) + 1):
        begin, end = features.starts[clips[0]], features.starts[clips[-1] + 1]
        frames = np.ascontiguousarray(_scaled_frames(features.values[begin:end], p, weights))
        view = np.lib.stride_tricks.as_strided(
            frames, (len(frames) - p.window + 1, p.window * bins), (frames.strides[0], frames.itemsize), writeable=False
        )
        rows = first[(first >= begin) & (first < end)] - begin
        for batch in np.split(rows, range(BATCH, len(rows), BATCH)):
            yield _scaled_windows(view[batch], p, weights)


def standardised(windows: np.ndarray, weights: Weights) -> np.ndarray:
    """Windows standardised as `scaling.Standardise` does it, where the training did, else as they are.

    Parameters
    ----------
    windows : (batch, window * bins)

    Returns
    -------
    (batch, window * bins)
    """
    if "standardise.mean" not in weights:
        return windows
    return (windows - weights["standardise.mean"]) / weights["standardise.std"]


def _scaled_frames(frames: np.ndarray, p: Any, weights: Weights) -> np.ndarray:
    if p.transform == "log":
        return np.log(np.maximum(frames, 0) + weights["scale.floor"][: frames.shape[1]])
    return ((frames - np.float32(p.clip_low)) / np.float32(p.clip_high - p.clip_low)).clip(0, 1)


def _scaled_windows(windows: np.ndarray, p: Any, weights: Weights) -> np.ndarray:
    if p.transform != "log":
        return windows
    return ((windows - weights["scale.mean"]) / weights["scale.std"] / np.float32(2 * LIMIT) + np.float32(0.5)).clip(
        0, 1
    )
