"""Clips per second of feature extraction against a loop over librosa: reading WAV and writing Parquet included on both sides.

All sides are timed in turn on one core, several times in one run; the ratio is that of the medians. The clips are noise.
"""

import argparse
import os
import tempfile
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # per core

import librosa
import numpy as np
import pandas as pd
from common import parser, per_clip, recordings, write

from humwatch.features import store
from humwatch.features.extract import extract
from humwatch.features.logmel import Feature as LogMel
from humwatch.progress import Progress


def librosa_loop(folder: Path, table: pd.DataFrame, out: Path) -> None:
    """What users write today."""
    frames = []
    for clip in table["clip"]:
        samples, rate = librosa.load(folder / clip, sr=None, mono=True)
        mel = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=1024, hop_length=512, n_mels=128, power=2.0)
        frames.append((10 * np.log10(mel + np.finfo(float).eps)).T)
    store.write(out, table, frames, 128, {}, "")


def ours(folder: Path, table: pd.DataFrame, out: Path) -> None:
    extract(folder, table, LogMel(), 0, out, Progress("clips", len(table)))


def main(args: argparse.Namespace) -> None:
    found = []
    with tempfile.TemporaryDirectory() as name:
        for suffix in ("wav", "flac"):
            folder = Path(name, suffix)
            table = recordings(folder, args.clips, suffix)
            sides = {
                "librosa": partial(librosa_loop, folder, table, folder / "a.parquet"),
                "humwatch": partial(ours, folder, table, folder / "b.parquet"),
            }
            result = per_clip({side: (call, args.clips) for side, call in sides.items()}, args.repeats)
            result.insert(0, "format", suffix)
            found.append(result.assign(times_librosa=result["ms_per_clip"].iloc[0] / result["ms_per_clip"]))
    write(pd.concat(found), args.out, "features")


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--clips", type=int, default=100, help="ten-second clips")
    arguments.add_argument("--repeats", type=int, default=5)
    main(arguments.parse_args())
