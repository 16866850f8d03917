"""Fit a detector on normal clips, up to a number of epochs; write the model, its log and its held-out scores."""

import argparse
import dataclasses
import functools
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from humwatch import __version__, cli
from humwatch.detectors import base
from humwatch.features import store
from humwatch.files import replacing
from humwatch.locking import claim_gpu
from humwatch.progress import Progress
from humwatch.scoring import score_table
from humwatch.selection import cut_paste
from humwatch.training import split_validation

LOG_COLUMNS = ["epoch", "train_loss", "val_loss", "seconds"]


def main(args: argparse.Namespace) -> None:
    if args.device != "cpu":
        claim_gpu()
    split = functools.partial(split_validation, fraction=args.validation_fraction, seed=args.validation_seed)
    train, validation = store.read_split(args.features, split, args.machine_id)
    made_from = {
        "seed": args.seed,
        "validation": {"fraction": args.validation_fraction, "seed": args.validation_seed},
        "sources_sha256": store.sources(args.features),
        "feature_parameters": train.parameters,
        "machines": sorted({*zip(train.clips["machine_type"], train.clips["machine_id"], strict=True)}),
        "code_sha256": cli.code_checksum(),
        "versions": {"humwatch": __version__, "torch": torch.__version__},
    }

    gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
    cli.log.info("training %s%s", position(args.out), f", GPU {gpu}" if gpu else "")
    detector, rows = start(args, json.loads(json.dumps(made_from)))
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

    def report(epoch: int, row: dict[str, float]) -> None:
        nonlocal saved
        rows.append({"epoch": epoch, **row})
        progress.update(epoch, f"training loss {row['train_loss']:.4g}, validation loss {row['val_loss']:.4g}")
        due = stopping or time.monotonic() - saved > args.save_every
        if args.interim and epoch < args.epochs and due:
            save(args.interim / str(epoch), detector, rows, made_from)
            remove(args.interim, but=str(epoch))
            saved = time.monotonic()
            if stopping:
                cli.log.warning("stopped after epoch %d: the next run goes on from there", epoch)
                sys.exit(143)

    device = {"auto": "cuda" if torch.cuda.is_available() else "cpu"}.get(args.device, args.device)
    masks = pd.concat([pd.read_parquet(path) for path in args.masks]) if args.masks else None
    clean = args.mask_target == "clean"
    context = base.FitContext(args.seed, args.epochs, device, report=report, masks=masks, clean_targets=clean)
    detector.fit(train, validation, context)
    del train  # scoring needs memory too
    if detector.diverged:
        cli.log.warning("the loss is no longer finite: recorded as diverged, its scores are left empty")
    scores = pd.DataFrame()
    if len(validation):
        scores = score_table(detector, [validation, cut_paste(validation)])
        scores["pseudo"] = np.arange(len(scores)) >= len(validation)
    with replacing(args.out / "validation.parquet") as temporary:
        scores.to_parquet(temporary, index=False)
    save(args.out, detector, rows, made_from)
    if args.interim:
        shutil.rmtree(args.interim, ignore_errors=True)


def position(out: Path) -> str:
    """Which training of how many this is; the workflow tells the number in the environment, the finished ones are counted."""
    total = os.environ.get("HUMWATCH_TRAININGS")
    finished = sum(1 for _ in out.parents[2].glob("*/*/epochs-*/model.json")) if total else 0
    return f"{finished + 1} of {total}" if total else f"{out.name}"


def start(args: argparse.Namespace, made_from: dict) -> tuple[base.BaseDetector, list[dict]]:
    """The detector to fit and its log so far: from a killed run's last state, else the previous milestone, else new."""
    detector = base.detector_class(args.detector)(**json.loads(args.hyperparameters))
    made_from = made_from | {"hyperparameters": dataclasses.asdict(detector.hyperparameters)}
    for whole in args.interim.glob("*/model.json") if args.interim else []:
        made = base.description(whole.parent)
        if all(made.get(key) == value for key, value in made_from.items()) and made["epoch"] < args.epochs:
            cli.log.info("going on from epoch %d of an interrupted training", made["epoch"])
            return base.load(whole.parent, to_train=True), read_log(whole.parent)
    if args.continue_from:
        return base.load(args.continue_from, to_train=True), read_log(args.continue_from)
    return detector, []


def remove(folder: Path, but: str) -> None:
    for old in folder.iterdir():
        if old.name != but:
            shutil.rmtree(old)


def read_log(folder: Path) -> list[dict]:
    return pd.read_csv(folder / "log.csv").to_dict("records")


def save(folder: Path, detector: base.BaseDetector, rows: list[dict], made_from: dict) -> None:
    """The log first: base's model.json is the mark of a whole model."""
    with replacing(folder / "log.csv") as temporary:
        pd.DataFrame(rows, columns=LOG_COLUMNS).to_csv(temporary, index=False)
    detector.save(folder, **made_from)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--detector", required=True, help="a file of src/humwatch/detectors, by name")
    parser.add_argument("--hyperparameters", default="{}", help="JSON: the detector's own parameters")
    parser.add_argument("--features", type=Path, nargs="+", required=True, help="feature files of the training clips")
    parser.add_argument("--masks", type=Path, nargs="*", default=[], help="mask tables of the training clips")
    parser.add_argument(
        "--mask-target", choices=["masked", "clean"], default="masked", help="what masked windows become"
    )
    parser.add_argument("--machine-id", help="train on this machine's clips only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=0, help="train until this epoch")
    parser.add_argument("--continue-from", type=Path, help="model folder of an earlier milestone")
    parser.add_argument("--validation-fraction", type=float, default=0.1, help="share of each id's clips held out")
    parser.add_argument("--validation-seed", type=int, default=0)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--interim", type=Path, help="folder that keeps the last state of a training that is killed")
    parser.add_argument("--save-every", type=float, default=10.0, help="seconds between such states")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    cli.run(main, parser.parse_args())
