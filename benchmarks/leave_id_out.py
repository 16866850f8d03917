"""Choosing a detector's parameters and score without an anomaly: ids that training never heard stand in for anomalies.

In each round one id of every machine type is left out of training altogether. Its clips are then scored as if they came from
each of its siblings, against the siblings' own held-out normal clips: the mean AUC over pairs, then over types, ranks the
candidates. Training clips alone are read; test clips, labelled or not, never are.

    python benchmarks/leave_id_out.py fan.parquet pump.parquet --detector knn --vary neighbours 3 5 8 --vary top 2 3 4
    python benchmarks/leave_id_out.py fan.parquet pump.parquet --detector id_classifier --combine
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from humwatch.detectors import base
from humwatch.evaluation.metrics import auc
from humwatch.features import store
from humwatch.features.held_out import split_validation
from humwatch.features.store import Features


def left_out(clips: pd.DataFrame, round_number: int) -> dict[str, str]:
    """Machine type -> the id that this round leaves out."""
    ids = clips.groupby("machine_type")["machine_id"].unique().map(sorted)
    return {machine_type: found[round_number % len(found)] for machine_type, found in ids.items()}


def measure(detector: base.BaseDetector, held_out: Features, strange: Features, combine: bool) -> Iterator[dict]:
    """A row per sibling and score, or mean of several scores."""
    normal = pd.DataFrame(detector.score(held_out))
    names = [name for name in normal if name != "score"] if combine else [*normal]
    sizes = range(1, len(names) + 1) if combine else [1]
    candidates = [found for size in sizes for found in itertools.combinations(names, size)]
    for (machine_type, sibling), rows in held_out.clips.groupby(["machine_type", "machine_id"]).indices.items():
        as_sibling = strange.select((strange.clips["machine_type"] == machine_type).to_numpy())
        out = as_sibling.clips["machine_id"].iloc[0]
        as_sibling.clips["machine_id"] = sibling
        own, other = normal.iloc[rows], pd.DataFrame(detector.score(as_sibling))
        labels = np.repeat([0, 1], [len(own), len(other)])
        for found in candidates:
            scores = pd.concat([table[[*found]].mean(axis=1) for table in (own, other)]).to_numpy()
            row = {"machine_type": machine_type, "left_out": out, "sibling": sibling, "score": " + ".join(found)}
            yield row | {"auc": auc(labels, scores)}


def settings(vary: list[list[str]]) -> Iterator[dict[str, Any]]:
    """The product of [name, value, value, ...]."""
    names, values = [name for name, *_ in vary], [map(yaml.safe_load, texts) for _, *texts in vary]
    for chosen in itertools.product(*values):
        yield dict(zip(names, chosen, strict=True))


def main(args: argparse.Namespace) -> None:
    features = store.read(args.features, foreign=True)
    features = features.select((features.clips["split"] == "train").to_numpy())
    rows = []
    for seed, round_number in itertools.product(args.seeds, range(args.rounds)):
        out = left_out(features.clips, round_number)
        strange = (features.clips["machine_type"].map(out) == features.clips["machine_id"]).to_numpy()
        held_out = split_validation(features.clips, 0.1, seed)
        train, normal = features.select(~strange & ~held_out), features.select(~strange & held_out)
        for hyperparameters in settings(args.vary):
            detector = base.make(args.detector, hyperparameters)
            for epochs in args.epochs:
                detector.fit(train, normal, base.FitContext(seed, epochs))
                about = {"seed": seed, "epochs": detector.epoch, **hyperparameters}
                rows += [about | row for row in measure(detector, normal, features.select(strange), args.combine)]
        print(f"seed {seed}, round {round_number} done", flush=True)
    table = pd.DataFrame(rows)
    args.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(args.out / "leave_id_out.csv", index=False)
    keys = ["epochs", *(name for name, *_ in args.vary), "score"]
    by_type = table.groupby([*keys, "machine_type"])["auc"].mean().unstack()
    by_type.insert(0, "mean", by_type.mean(axis=1))
    print(by_type.sort_values("mean", ascending=False).round(4).to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path, nargs="+", help="feature files: of a run, or published ones")
    parser.add_argument("--detector", default="id_classifier")
    parser.add_argument("--vary", nargs="+", action="append", default=[], metavar="NAME", help="NAME VALUE ...")
    parser.add_argument("--combine", action="store_true", help="every mean of several of its scores")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--epochs", type=int, nargs="+", default=[40])
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder for the CSV")
    main(parser.parse_args())
