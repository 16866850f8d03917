"""A trained detector at work on one core: from WAV files to a score per clip, log-mel frames included, nothing written between.

Every detector of log-mel frames is fitted on generated noise for an epoch, then all are timed in turn on the same files. Seconds
are CPU time, which suffers least from other work on the machine. `times_real_time`: a clip's ten seconds over its cost.
`stages.py` measures the same as a chain of processes with Parquet files between.
"""

import argparse
import os
import tempfile
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # per core

import numpy as np
import pandas as pd
import torch
from common import parser, per_clip, recordings, write

from humwatch.datasets.clips import read_samples
from humwatch.detectors import base
from humwatch.features.logmel import Feature as LogMel
from humwatch.features.store import ROWS_PER_GROUP, Features

DETECTORS = {
    "vae, fast": ("vae", {"recipe": "fast"}),
    "vae, report": ("vae", {"recipe": "report"}),
    "autoencoder": ("autoencoder", {}),
    "idnn": ("idnn", {}),
    "gmm": ("gmm", {}),
    "mahalanobis": ("mahalanobis", {}),
    "knn": ("knn", {}),
}
SECONDS = 10.0  # of a clip


def hear(folder: Path, table: pd.DataFrame) -> Features:
    logmel = LogMel()
    frames = [logmel(*read_samples(folder / clip)) for clip in table["clip"]]
    return Features.of(frames, table.reset_index(drop=True), logmel.parameters(16000))


def score(folder: Path, table: pd.DataFrame, detector: base.BaseDetector | None) -> None:
    for first in range(0, len(table), ROWS_PER_GROUP):
        heard = hear(folder, table.iloc[first : first + ROWS_PER_GROUP])
        if detector:
            detector.score(heard)


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        table = recordings(Path(name), args.clips, "wav")
        heard = hear(Path(name), table)
        sides: dict[str, base.BaseDetector | None] = {"log-mel frames alone": None}
        for side, (detector, hyperparameters) in DETECTORS.items():
            made = base.detector_class(detector)(**hyperparameters)
            made.fit(heard, heard.select(np.arange(len(heard)) < 2), base.FitContext(seed=0, epochs=1))
            sides[side] = made
        timed = {side: (partial(score, Path(name), table, made), args.clips) for side, made in sides.items()}
        result = per_clip(timed, args.repeats, time.process_time)
    write(result.assign(times_real_time=SECONDS * result["clips_per_second"]), args.out, "scoring")


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--clips", type=int, default=128, help="ten-second clips")
    arguments.add_argument("--repeats", type=int, default=9)
    main(arguments.parse_args())
