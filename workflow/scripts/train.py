"""Fit a detector on normal clips, up to a number of epochs; write the model, its log and its held-out scores."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
import dataclasses
import hashlib
import json
import math
import os
import shutil
import signal
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from humwatch import __version__, parquet
from humwatch.detectors import base, models
from humwatch.detectors.pseudo_anomalies import pseudo_anomalies
from humwatch.detectors.scoring import score_table, scores_beside
from humwatch.errors import InputError
from humwatch.evaluation.calibration_clips import HELD_OUT, OWN, cross_conformal, described
from humwatch.features import store
from humwatch.features.store import Features
from humwatch.files import sha256
from humwatch.locking import alone
from humwatch.progress import Progress
from humwatch.study.imports import code_checksum
from humwatch.study.training import add_arguments, claimed_device, context_of, new_detector, read_parts


def main(args: argparse.Namespace) -> None:
    with alone(args.out.with_name(f".{args.out.name}.lock"), f"training {args.out}") as waited:
        train(args, waited)


def train(args: argparse.Namespace, waited: bool) -> None:
    """Train a model, or go on with it, and write its folder.

    Parameters
    ----------
    waited
        Whether another process has worked on the same model until now: what it finished is not trained again.
    """
    detector = new_detector(args)
    device = claimed_device(args, detector)
    train, validation, apart = read_parts(args, detector, args.machine_id)
    made_from = json.loads(json.dumps(made_of(args, detector, [train.clips, validation.clips, apart.clips], device)))
    if waited and is_whole(args.out, made_from | {"epoch": args.epochs}):
        cli.log.info("the other process has trained it")
        return

    gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
    cli.log.info("training %s%s", position(args.out), f", GPU {gpu}" if gpu else "")
    detector, rows = start(args, detector, made_from)
    progress = Progress("epochs", args.epochs)
    saved = time.monotonic()
    stopping = False

    def stop(*_: object) -> None:
        """A scheduler that takes the machine back says so some 30 s before: time for a short epoch; long ones are all saved."""
        nonlocal stopping
        stopping = True
        if not args.interim or not rows or rows[-1]["seconds"] > args.save_every:
            sys.exit(143)

    signal.signal(signal.SIGTERM, stop)

    def save_interim(epoch: int) -> None:
        detector.save(args.interim / str(epoch), rows, **made_from)
        remove(args.interim, but=str(epoch))

    def on_epoch(epoch: int, row: dict[str, float]) -> None:
        nonlocal saved
        rows.append({"epoch": epoch, **row})
        progress.update(epoch, f"training loss {row['train_loss']:.4g}, validation loss {row['val_loss']:.4g}")
        due = stopping or time.monotonic() - saved > args.save_every
        due = due and math.isfinite(row["train_loss"])  # what has diverged ends now
        if args.interim and epoch < args.epochs and due:
            save_interim(epoch)
            saved = time.monotonic()
            if stopping:
                cli.log.warning("stopped after epoch %d: the next run goes on from there", epoch)
                sys.exit(143)

    context = dataclasses.replace(context_of(args, device), on_epoch=on_epoch)
    if not 0 < detector.epoch == args.epochs:  # else an interrupted one that ended after its last epoch
        detector.fit(train, validation, context)
    if detector.diverged:
        cli.log.warning("the loss is no longer finite: recorded as diverged, its scores are left empty")
    try:
        cross = cross_conformal(detector, train, validation, context, args.calibration_group)
        del train  # scoring needs memory too
        scores = scores_beside(detector, validation, pseudo_anomalies(validation))
        calibration = calibration_scores(detector, scores, cross, apart, args.calibration_group)
    except BaseException:  # whatever ends it: the fit is not lost
        if args.interim and detector.epoch:
            save_interim(detector.epoch)
        raise
    parquet.write(scores, args.out / "validation.parquet")
    parquet.write(calibration, args.out / "calibration.parquet")
    detector.save(args.out, rows, **made_from)
    if args.interim:
        shutil.rmtree(args.interim, ignore_errors=True)


def calibration_scores(
    detector: base.BaseDetector,
    held_out: pd.DataFrame,
    cross: pd.DataFrame | None,
    apart: Features,
    session: str | None,
) -> pd.DataFrame:
    """The calibration table: of clips set apart for it, else, cross-conformal, of the training clips.

    Machine types of which no clip could be set apart, as so few are held out, have those that are.
    """
    if cross is not None and not len(apart):
        return cross
    normal = held_out[~held_out["pseudo"]].drop(columns="pseudo") if len(held_out) else held_out
    if not len(apart):
        return described(normal.reset_index(drop=True), HELD_OUT, session)
    own = described(score_table(detector, [apart]), OWN, session)
    others = normal[~normal["machine_type"].isin(own["machine_type"])].reset_index(drop=True)
    return pd.concat([own, described(others, HELD_OUT, session)], ignore_index=True) if len(others) else own


def made_of(args: argparse.Namespace, detector: base.BaseDetector, clips: list[pd.DataFrame], device: str) -> dict:
    """All that shapes a training but its end.

    An interrupted training goes on only where it is the same, and model.json states it.

    Parameters
    ----------
    clips
        Of training, of those held out, and of those of calibration, in their order.
    """
    own = [detector.name, *detector.made_of(vars(detector.hyperparameters))]
    code = [base.detector_class(name).__module__ for name in own]
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    described = [table[["clip", "machine_type", "machine_id"]].to_csv(index=False) for table in clips]
    return {
        "hyperparameters": dataclasses.asdict(detector.hyperparameters),
        "seed": args.seed,
        "validation": {"fraction": args.validation_fraction, "seed": args.validation_seed},
        "calibration": {"fraction": args.calibration_fraction, "group": args.calibration_group},
        "clips_sha256": [hashlib.sha256(text.encode()).hexdigest() for text in described],
        "features_sha256": [store.identity(path) for path in args.features],
        "machines": sorted({*zip(clips[0]["machine_type"], clips[0]["machine_id"], strict=True)}),
        "masks": {"sha256": [sha256(path) for path in args.masks], "target": args.mask_target} if args.masks else None,
        "continued_from": models.description(args.continue_from)["sha256"] if args.continue_from else None,
        "device": {"kind": device, "precision": detector.precision(device), "threads": threads},
        "code_sha256": code_checksum(__file__, *code),
        "versions": {"humwatch": __version__, **{name: version(name) for name in ("torch", "numpy")}},
    }


def is_made_from(folder: Path, made_from: dict) -> bool:
    """Whether the folder holds a model that was made from this."""
    made = models.description(folder)
    return all(made.get(key) == value for key, value in made_from.items())


def is_whole(folder: Path, made_from: dict) -> bool:
    """Whether it holds one with all its files."""
    try:
        made = is_made_from(folder, made_from)
        base.load(folder, to_train=True)
        read_log(folder)
        for name in ("validation.parquet", "calibration.parquet"):
            parquet.read(folder / name)
    except InputError:
        return False
    return made


def position(out: Path) -> str:
    """Which training of how many this is; the workflow tells the number in the environment, the finished ones are counted."""
    total = os.environ.get("HUMWATCH_TRAININGS")
    found = out.parents[2].glob("*/*/epochs-*/model.json") if total else ()
    finished = sum(not model.parts[-3].startswith("ensemble-") for model in found)
    return f"{finished + 1} of {total}" if total else f"{out.name}"


def start(
    args: argparse.Namespace, new: base.BaseDetector, made_from: dict
) -> tuple[base.BaseDetector, list[dict[str, Any]]]:
    """The detector to fit and its log so far: from a killed run's last state, else the previous milestone, else the new one."""
    for state in sorted(args.interim.glob("*")) if args.interim else []:
        try:
            if not is_made_from(state, made_from):
                continue
            detector, rows = base.load(state, to_train=True), read_log(state)
        except InputError as error:
            cli.log.warning("%s: training starts afresh", str(error).rsplit(": ", 1)[0])
            continue
        if detector.epoch <= args.epochs:
            cli.log.info("going on from epoch %d of an interrupted training", detector.epoch)
            return detector, rows
    if args.continue_from:
        return base.load(args.continue_from, to_train=True), read_log(args.continue_from)
    return new, []


def remove(folder: Path, but: str) -> None:
    for old in folder.iterdir():
        if old.name != but:
            shutil.rmtree(old, ignore_errors=True)


def read_log(folder: Path) -> list[dict[str, Any]]:
    return models.log(folder).to_dict("records")


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    add_arguments(parser)
    parser.add_argument("--continue-from", type=Path, help="model folder of an earlier milestone")
    parser.add_argument("--interim", type=Path, help="folder that keeps the last state of a training that is killed")
    every = float(os.environ.get("HUMWATCH_SAVE_EVERY", "10"))
    parser.add_argument("--save-every", type=float, default=every, help="seconds between such states")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    cli.run(main, parser.parse_args())
