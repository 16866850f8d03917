"""Choosing id_classifier's epochs and score without an anomaly: ids that training never heard stand in for anomalies.

In each round one id of every machine type is left out of training altogether. Its clips are then scored as if they came from
each of its siblings, against the siblings' own held-out normal clips: the mean AUC over pairs, then over types, ranks the
candidates. Training clips alone are read; test clips, labelled or not, never are.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from humwatch.detectors import base
from humwatch.detectors.id_classifier import Detector
from humwatch.evaluation.metrics import auc
from humwatch.features import store
from humwatch.features.held_out import split_validation
from humwatch.features.store import Features

EVIDENCE = ("log_probability", "cosine", "mahalanobis", "local_density")
CANDIDATES = [names for size in (1, 2, 3, 4) for names in itertools.combinations(EVIDENCE, size)]


def left_out(clips: pd.DataFrame, round_number: int) -> dict[str, str]:
    """Machine type -> the id that this round leaves out."""
    ids = clips.groupby("machine_type")["machine_id"].unique().map(sorted)
    return {machine_type: found[round_number % len(found)] for machine_type, found in ids.items()}


def measure(detector: Detector, held_out: Features, strange: Features, seed: int, out: dict[str, str]) -> list[dict]:
    rows = []
    normal = pd.concat([held_out.clips, pd.DataFrame(detector.score(held_out))], axis=1)
    for (machine_type, sibling), own in normal.groupby(["machine_type", "machine_id"]):
        as_sibling = strange.select((strange.clips["machine_type"] == machine_type).to_numpy())
        as_sibling.clips["machine_id"] = sibling
        other = pd.DataFrame(detector.score(as_sibling))
        labels = np.repeat([0, 1], [len(own), len(other)])
        for names in CANDIDATES:
            scores = pd.concat([own[[*names]].mean(axis=1), other[[*names]].mean(axis=1)]).to_numpy()
            rows.append(
                {
                    "seed": seed,
                    "epochs": detector.epoch,
                    "machine_type": machine_type,
                    "left_out": out[machine_type],
                    "sibling": sibling,
                    "score": " + ".join(names),
                    "auc": auc(labels, scores),
                }
            )
    return rows


def main(args: argparse.Namespace) -> None:
    features = store.read(args.features, foreign=True)
    hyperparameters = {"members": args.members, "mixup": args.mixup, "subclusters": args.subclusters}
    rows = []
    for seed, round_number in itertools.product(args.seeds, range(args.rounds)):
        out = left_out(features.clips, round_number)
        strange = (features.clips["machine_type"].map(out) == features.clips["machine_id"]).to_numpy()
        held_out = split_validation(features.clips, 0.1, seed)
        detector = Detector(**hyperparameters)
        train, normal = features.select(~strange & ~held_out), features.select(~strange & held_out)
        for epochs in args.epochs:
            detector.fit(train, normal, base.FitContext(seed, epochs))
            rows += measure(detector, normal, features.select(strange), seed, out)
        print(f"seed {seed}, round {round_number} done", flush=True)
    table = pd.DataFrame(rows)
    args.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(args.out / "leave_id_out.csv", index=False)
    by_type = table.groupby(["score", "epochs", "machine_type"])["auc"].mean().unstack()
    by_type.insert(0, "mean", by_type.mean(axis=1))
    print(by_type.sort_values("mean", ascending=False).round(4).to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "features", type=Path, nargs="+", help="a run's feature files of training clips (train.parquet)"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--epochs", type=int, nargs="+", default=[20, 40, 80])
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--mixup", type=float, default=0.5)
    parser.add_argument("--subclusters", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder for the CSV")
    main(parser.parse_args())
