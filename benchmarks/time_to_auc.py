"""Seconds of training until the test AUC of the course procedure after 100 epochs is reached: ours against theirs.

Theirs: all windows in each epoch, batch 200 (the report's), Adam 0.001, 100 epochs, AUC of the last. Its curve is that of
recipe report, which is the same arithmetic; its seconds are its windows over the throughput of the course loop (training.py),
measured in the same run with as many threads as suit it best: a projection, as the loop itself would take hours.
Ours: recipe fast on one core, with the learning rate chosen by the validation loss of normal clips; CPU seconds of training,
until its AUC, looked at every five epochs, is for the first time at least theirs. Scoring is on neither side. Test labels only
measure here. Seeds run side by side, one to a core. Sizes: the demo's; "full" takes hours.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from common import parser, write
from training import measure

from humwatch import clips
from humwatch.datasets import demo
from humwatch.datasets.directory import parse
from humwatch.detectors import base
from humwatch.features import store
from humwatch.features.extract import extract
from humwatch.features.logmel import LogMel
from humwatch.metrics import auc
from humwatch.progress import Progress
from humwatch.training import split_validation

BATCH = 200
EVERY = 5  # epochs from one look at our AUC to the next: looking takes longer than training


class Reached(Exception):
    """The AUC is there: nothing more to train."""


def make_features(folder: Path, size: str | dict) -> None:
    for split in ("train", "test"):
        names = [parse(name) for name in demo.write(folder, size, split)]
        table = clips.table(folder, names, demo.SAMPLE_RATE)
        extract(folder, table, LogMel(), 0, folder / f"{split}.parquet", Progress("clips", len(table)))


def mean_auc(detector: base.BaseDetector, test: store.Features) -> float:
    scores, labels = detector.score(test)["mean"], test.clips["label"].to_numpy(int)
    of_id = [rows for rows in test.clips.groupby("machine_id").indices.values()]
    return float(np.mean([auc(labels[rows], scores[rows]) for rows in of_id]))


def curve(folder: Path, seed: int, epochs: int, target: float, **hyperparameters) -> list[list[float]]:
    """[epoch, CPU seconds of training so far, validation loss, test AUC] of every epoch, until `target` is reached."""
    torch.set_num_threads(1)
    features, test = store.read([folder / "train.parquet"]), store.read([folder / "test.parquet"])
    held_out = split_validation(features.clips, 0.1, 0)
    detector = base.detector_class("vae")(batch_size=BATCH, **hyperparameters)
    rows: list[list[float]] = []
    seconds, begun = 0.0, time.process_time()

    def report(epoch: int, row: dict[str, float]) -> None:
        nonlocal seconds, begun
        seconds += time.process_time() - begun
        measured = epoch == epochs or (target < 1 and epoch % EVERY == 0)  # the reference needs its last epoch alone
        rows.append([epoch, seconds, row["val_loss"], mean_auc(detector, test) if measured else np.nan])
        if rows[-1][-1] >= target:
            raise Reached
        begun = time.process_time()

    try:
        context = base.FitContext(seed=seed, epochs=epochs, report=report)
        detector.fit(features.select(~held_out), features.select(held_out), context)
    except Reached:
        pass
    return rows


def one_seed(folder: str, seed: int, epochs: int, learning_rate: float) -> list:
    theirs = curve(Path(folder), seed, epochs, 1.0)
    ours = curve(Path(folder), seed, 3 * epochs, theirs[-1][3], recipe="fast", learning_rate=learning_rate)
    return [theirs[-1], ours[-1]]


def main(args: argparse.Namespace) -> None:
    cores = len(os.sched_getaffinity(0))
    rows = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(cores) as pool:
        make_features(Path(folder), args.size)
        train = store.read([Path(folder) / "train.parquet"])
        kept = ~split_validation(train.clips, 0.1, 0)
        windows = int((np.diff(train.starts)[kept] - 4).sum())
        theirs_per_s = max(median(measure(["course loop"], BATCH, args.rounds, t)["course loop"]) for t in (1, cores))
        course_seconds = args.epochs * windows / theirs_per_s

        def started(seed: int) -> list:
            command = [sys.executable, __file__, "--one", json.dumps([folder, seed, args.epochs, args.learning_rate])]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)

        for seed, (theirs, ours) in zip(args.seeds, pool.map(started, args.seeds), strict=True):
            reached = ours[3] >= theirs[3]
            ratio = course_seconds / ours[1] if reached else np.nan
            rows.append([seed, int(kept.sum()), theirs[3], course_seconds, theirs[1], ours[0], ours[1], ours[3], ratio])
    columns = [
        "seed",
        "train_clips",
        "course_auc",
        "course_s",
        "report_s",
        "epochs",
        "fast_s",
        "fast_auc",
        "times_faster",
    ]
    write(pd.DataFrame(rows, columns=columns), args.out, "time_to_auc", 3)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument(
        "--size", type=json.loads, default='"default"', help='JSON: "default", "full" or the demo\'s counts'
    )
    arguments.add_argument("--epochs", type=int, default=100, help="of the course procedure")
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--learning-rate", type=float, default=0.002, help="of recipe fast")
    arguments.add_argument("--rounds", type=int, default=25, help="of the course loop, to learn its throughput")
    arguments.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.one:
        print(json.dumps(one_seed(*given.one)))
    else:
        main(given)
