"""What the jobs that train models are told, and the clips that they hear: arguments of their command lines, read back."""

import argparse
import functools
import json
from pathlib import Path

import numpy as np
import pandas as pd

from humwatch import parquet
from humwatch.detectors import base
from humwatch.errors import InputError
from humwatch.features import store
from humwatch.features.held_out import every_other, split_validation
from humwatch.features.store import Features
from humwatch.locking import claim_gpu


def add_arguments(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument("--validation-fraction", type=float, default=0.1, help="share of each id's clips held out")
    parser.add_argument("--validation-seed", type=int, default=0)
    parser.add_argument("--calibration-fraction", type=float, default=0.0, help="share that serves calibration alone")
    parser.add_argument("--calibration-group", help="regular expression of what names a recording session")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")


def new_detector(args: argparse.Namespace) -> base.BaseDetector:
    return base.make(args.detector, json.loads(args.hyperparameters))


def read_parts(
    args: argparse.Namespace, detector: base.BaseDetector, machine_id: str | None
) -> tuple[Features, Features, Features]:
    """The clips to train on, those held out of training, and those that serve calibration alone.

    The last are the share that was asked for, else, where cross-conformal scores would take too long, half of those held out.

    Parameters
    ----------
    machine_id
        Of the only machine whose clips are read; None: of all.
    """
    split = functools.partial(split_validation, seed=args.validation_seed)
    held_out = functools.partial(split, fraction=args.validation_fraction + args.calibration_fraction)
    train, rest = store.read_split(args.features, held_out, machine_id)
    if args.calibration_fraction:
        clips = pd.concat([train.clips, rest.clips], ignore_index=True)
        first = split(clips, args.validation_fraction)[len(train) :]  # of those that are drawn
    else:
        first = (
            np.ones(len(rest), bool) if detector.is_cross_conformal else ~every_other(rest.clips, args.validation_seed)
        )
    return train, rest if first.all() else rest.select(first), rest.select(~first)


def context_of(args: argparse.Namespace, device: str) -> base.FitContext:
    masks = pd.concat([parquet.read(path) for path in args.masks]) if args.masks else None
    return base.FitContext(args.seed, args.epochs, device, masks=masks, clean_targets=args.mask_target == "clean")


def claimed_device(args: argparse.Namespace, detector: base.BaseDetector) -> str:
    """The device to train on, a GPU being claimed for this process; InputError where there is no GPU that was asked for."""
    if args.device == "cpu" or not detector.on_device:
        return "cpu"
    claim_gpu()  # before CUDA starts
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError("device is cuda and this machine has no GPU that torch can use: set device to auto or cpu")
    return "cuda" if torch.cuda.is_available() else "cpu"
