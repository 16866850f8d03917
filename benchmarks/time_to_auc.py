"""Seconds of training until the test AUC of the course procedure after 100 epochs is reached: ours against theirs.

Theirs: all windows in each epoch, batch 1000, Adam 0.001, 100 epochs, AUC of the last. Its curve is that of recipe report,
which is the same arithmetic; its seconds are its windows over the throughput of the course loop (training.py), measured in the
same run with as many threads as suit it best: a projection, as the loop itself would take hours. `course_first_s`: until its own
curve, looked at every ten epochs, was for the first time where it ended.
Ours: the defaults, recipe fast, on one core; CPU seconds of training until its AUC after an epoch is for the first time at least
theirs. Scoring is on neither side. Test labels only measure here. Seeds run side by side, one
to a core. Recordings are the demo's, generated; size "full", that of the real set, takes 80 minutes per seed.
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

from humwatch.datasets import clips, slide_rails
from humwatch.datasets.directory import parse
from humwatch.datasets.source import SAMPLE_RATE
from humwatch.detectors import base
from humwatch.evaluation.metrics import auc
from humwatch.features import store
from humwatch.features.extract import extract
from humwatch.features.held_out import split_validation
from humwatch.features.logmel import Feature as LogMel
from humwatch.progress import Progress

COURSE = {"batch_size": 1000, "learning_rate": 0.001, "recipe": "report"}
COURSE_LOOKS = 10  # epochs from one look at its AUC to the next


class Reached(Exception):
    """The AUC is there: nothing more to train."""


def make_features(folder: Path, size: str | dict) -> None:
    for split in ("train", "test"):
        names = [parse(name) for name in slide_rails.write(folder, size, split)]
        table = clips.table(folder, names, SAMPLE_RATE)
        extract(folder, table, LogMel(), 0, folder / f"{split}.parquet", Progress("clips", len(table)))


def read_train(folder: Path) -> tuple[store.Features, store.Features]:
    """The clips to train with, and those held out."""
    return store.read_split([folder / "train.parquet"], lambda clips: split_validation(clips, 0.1, 0))


def mean_auc(detector: base.BaseDetector, test: store.Features) -> float:
    scores, labels = detector.score(test)["mean"], test.clips["label"].to_numpy(int)
    of_id = [rows for rows in test.clips.groupby("machine_id").indices.values()]
    return float(np.mean([auc(labels[rows], scores[rows]) for rows in of_id]))


def curve(folder: Path, seed: int, epochs: int, every: int, target: float, **hyperparameters) -> list[list[float]]:
    """[epoch, CPU seconds of training so far, test AUC] every so many epochs, until `target` is reached."""
    torch.set_num_threads(1)
    train, validation = read_train(folder)
    test = store.read([folder / "test.parquet"])
    detector = base.detector_class("vae")(**hyperparameters)
    rows: list[list[float]] = []
    seconds, begun = 0.0, time.process_time()

    def on_epoch(epoch: int, row: dict[str, float]) -> None:
        nonlocal seconds, begun
        seconds += time.process_time() - begun
        if epoch % every == 0:
            rows.append([epoch, seconds, mean_auc(detector, test)])
            print(f"seed {seed}, {hyperparameters or 'fast'}: epoch {epoch}, AUC {rows[-1][2]:.4f}", file=sys.stderr)
            if rows[-1][2] >= target:
                raise Reached
        begun = time.process_time()

    try:
        context = base.FitContext(seed=seed, epochs=epochs, on_epoch=on_epoch)
        detector.fit(train, validation, context)
    except Reached:
        pass
    return rows


def one_seed(folder: str, seed: int, epochs: int) -> list:
    """Their curve, and the last look at ours."""
    theirs = curve(Path(folder), seed, epochs, min(COURSE_LOOKS, epochs), 2.0, **COURSE)
    return [theirs, curve(Path(folder), seed, epochs, 1, theirs[-1][2])[-1]]


def main(args: argparse.Namespace) -> None:
    cores = len(os.sched_getaffinity(0))
    rows = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(cores) as pool:
        make_features(Path(folder), args.size)
        train, _ = read_train(Path(folder))
        windows = int((np.diff(train.starts) - 4).sum())
        batch = COURSE["batch_size"]
        rates = [median(measure(["course loop"], batch, args.rounds, threads)["course loop"]) for threads in (1, cores)]
        epoch_s = windows / max(rates)

        def started(seed: int) -> list:
            command = [sys.executable, __file__, "--one", json.dumps([folder, seed, args.epochs])]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)

        for seed, (theirs, ours) in zip(args.seeds, pool.map(started, args.seeds), strict=True):
            target = theirs[-1][2]
            course_s = args.epochs * epoch_s
            first_s = next(epoch for epoch, _, reached in theirs if reached >= target) * epoch_s
            rows.append([seed, len(train), target, course_s, first_s, *ours])
    columns = ["seed", "train_clips", "course_auc", "course_s", "course_first_s", "epochs", "fast_s", "fast_auc"]
    table = pd.DataFrame(rows, columns=columns)
    seconds = table["fast_s"].where(table["fast_auc"] >= table["course_auc"])
    table["times_faster"], table["times_faster_first"] = table["course_s"] / seconds, table["course_first_s"] / seconds
    write(table, args.out, "time_to_auc", 3)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument(
        "--size", type=json.loads, default='"default"', help='JSON: "default", "full" or the demo\'s counts'
    )
    arguments.add_argument("--epochs", type=int, default=100, help="of the course procedure")
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--rounds", type=int, default=25, help="of the course loop, to learn its throughput")
    arguments.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.one:
        print(json.dumps(one_seed(*given.one)))
    else:
        main(given)
