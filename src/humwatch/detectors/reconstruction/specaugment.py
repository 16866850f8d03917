"""SpecAugment as a table of masks: kilobytes for any number of masked copies, applied while batches are gathered.

Park et al. 2019, "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition" (arXiv 1904.08779): runs of
consecutive mel bins and of consecutive frames, widths uniform in [0, maximum], replaced by the clip's mean.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from humwatch.errors import InputError

COLUMNS = ["clip", "copy", "axis", "start", "width"]


@dataclass(frozen=True)
class SpecAugment:
    """How many masked copies of clips there are, and how they are masked.

    Attributes
    ----------
    copies
        Masked copies of every clip, beside the clip itself.
    frequency_masks, time_masks
        Masks per copy.
    frequency_width
        The largest width in bins.
    time_width
        The largest width in frames.
    target
        What a masked window is reconstructed to, the "masked" window itself or the "clean" one (denoising).
    seed
        Of all draws.
    """

    copies: int = 1
    frequency_masks: int = 1
    frequency_width: int = 16
    time_masks: int = 1
    time_width: int = 32
    target: str = "masked"
    seed: int = 0


def draw(clips: list[str], frames: np.ndarray, bins: int, settings: SpecAugment) -> pd.DataFrame:
    """Draw the masks of all copies.

    A clip's masks depend on its name and the seed, not on the other clips.

    Parameters
    ----------
    frames : (clips,) int
        Number of frames of each clip.

    Returns
    -------
    DataFrame
        A row per mask: clip, copy (from 1), axis ("frequency" or "time"), start, width.

    Raises
    ------
    InputError
        A mask may be wider than the spectrogram.
    """
    for key, size, what in (
        ("frequency_width", bins, f"{bins} bins"),
        ("time_width", frames.min(), f"{frames.min()} frames in its shortest clip"),
    ):
        if getattr(settings, key) > size:
            raise InputError(f"config: {key} is {getattr(settings, key)}, the spectrogram has only {what}: lower it")
    rows = []
    for clip, length in zip(clips, frames, strict=True):
        digest = hashlib.sha256(clip.encode()).digest()
        rng = np.random.default_rng([settings.seed, int.from_bytes(digest[:8], "big")])
        for copy in range(1, settings.copies + 1):
            for axis, count, largest, size in (
                ("frequency", settings.frequency_masks, settings.frequency_width, bins),
                ("time", settings.time_masks, settings.time_width, int(length)),
            ):
                for _ in range(count):
                    width = int(rng.integers(0, largest + 1))
                    rows.append((clip, copy, axis, int(rng.integers(0, size - width + 1)), width))
    return pd.DataFrame(rows, columns=COLUMNS)


def apply(frames: np.ndarray, masks: pd.DataFrame) -> np.ndarray:
    """One clip's spectrogram under the masks of one of its copies: the masked values are the clip's mean.

    Parameters
    ----------
    frames : (frames, bins)

    Returns
    -------
    (frames, bins)
    """
    masked = frames.copy()
    for mask in masks.itertuples():
        span = slice(mask.start, mask.start + mask.width)
        masked[(slice(None), span) if mask.axis == "frequency" else span] = frames.mean()
    return masked


def bounds(masks: pd.DataFrame, clips: list[str], axis: str) -> np.ndarray:
    """The first masked index of each mask, and the one after its last.

    Returns
    -------
    (copies + 1, clips, masks, 2) int64
        Copy 0 is the clip itself, unmasked.
    """
    found = masks[(masks["axis"] == axis) & masks["clip"].isin(clips)]
    copies = int(masks["copy"].max()) if len(masks) else 0
    number = found.groupby(["clip", "copy"]).cumcount()
    table = np.zeros((copies + 1, len(clips), int(number.max()) + 1 if len(found) else 0, 2), np.int64)
    place = found["clip"].map({clip: i for i, clip in enumerate(clips)})
    table[found["copy"], place, number, 0] = found["start"]
    table[found["copy"], place, number, 1] = found["start"] + found["width"]
    return table
