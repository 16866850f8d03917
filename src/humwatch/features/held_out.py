"""Which normal training clips are held out of training, and for what: the same ones for every trial."""

import hashlib

import numpy as np
import pandas as pd


def split_validation(clips: pd.DataFrame, fraction: float, seed: int) -> np.ndarray:
    """Which training clips are held out: `fraction` of every machine id's, at least one where it has two.

    A clip's place in the draw is a hash of its name, so that new clips move few of the old ones.

    Returns
    -------
    (clips,) bool
    """
    draw = _draw(clips, seed)
    held_out = np.zeros(len(clips), bool)
    for rows in clips.groupby(["machine_type", "machine_id"]).indices.values():
        count = max(round(fraction * len(rows)), 1 if len(rows) > 1 else 0)
        held_out[sorted(rows, key=lambda row: draw[row])[:count]] = True
    return held_out


def every_other(clips: pd.DataFrame, seed: int) -> np.ndarray:
    """Half of each machine id's clips, rounded down, drawn by their names as `split_validation` does.

    Returns
    -------
    (clips,) bool
    """
    draw = _draw(clips, seed)
    half = np.zeros(len(clips), bool)
    for rows in clips.groupby(["machine_type", "machine_id"]).indices.values():
        half[sorted(rows, key=lambda row: draw[row])[1::2]] = True
    return half


def _draw(clips: pd.DataFrame, seed: int) -> list[bytes]:
    return [hashlib.sha256(f"{seed} {clip}".encode()).digest() for clip in clips["clip"]]
