"""Choosing a detector's parameters and score without an anomaly: ids that training never heard stand in for anomalies.

The mean AUC of humwatch.detectors.leave_id_out over pairs of ids, then over rounds and machine types, ranks the candidates. Where
it is near 1 for all, --added makes it harder: then the strange id sounds together with the machine itself.
Training clips alone are read; test clips, labelled or not, never are.

    python benchmarks/leave_id_out.py fan.parquet pump.parquet --detector knn --vary neighbours 3 5 8 --vary top 2 3 4
    python benchmarks/leave_id_out.py fan.parquet pump.parquet --detector id_classifier --combine --added 0 -6
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from humwatch.detectors import base
from humwatch.detectors.leave_id_out import COLUMNS, as_siblings, left_out, mean_auc
from humwatch.features import store
from humwatch.features.held_out import split_validation
from humwatch.features.store import Features


def candidates(scores: list[str], combine: bool) -> Iterator[tuple[str, ...]]:
    """Each score, or all sets of them."""
    names = [name for name in scores if name != "score"] if combine else scores
    if combine and "score" in scores:
        yield ("score",)
    for size in range(1, len(names) + 1 if combine else 2):
        yield from itertools.combinations(names, size)


def settings(vary: list[list[str]]) -> Iterator[dict[str, Any]]:
    """The product of [name, value, value, ...]."""
    names, values = [name for name, *_ in vary], [map(yaml.safe_load, texts) for _, *texts in vary]
    for chosen in itertools.product(*values):
        yield dict(zip(names, chosen, strict=True))


def judged(detector: base.BaseDetector, strange: Features, normal: Features, decibels: float | None) -> pd.DataFrame:
    """As `as_siblings`; with decibels, of energies: strange clips sound beside the machine's own, as much louder than these."""
    if decibels is None:
        return as_siblings(detector, strange, normal)
    tables = []
    for (machine_type, _), rows in normal.clips.groupby(["machine_type", "machine_id"]).indices.items():
        own = normal.select(rows)
        both = strange.select((strange.clips["machine_type"] == machine_type).to_numpy())
        for i in range(len(both)):
            beside = own.clip(i % len(own))
            level = 10 ** (decibels / 10) * beside.mean() / both.clip(i).mean()
            both.clip(i)[:] = beside + level * both.clip(i)
        tables.append(as_siblings(detector, both, own))
    return pd.concat(tables, ignore_index=True)


def main(args: argparse.Namespace) -> None:
    features = store.read(args.features, foreign=True)
    features = features.select((features.clips["split"] == "train").to_numpy())
    rows = []
    for seed, out in itertools.product(args.seeds, left_out(features.clips, args.rounds)):
        strange = (features.clips["machine_type"].map(out) == features.clips["machine_id"]).to_numpy()
        held_out = split_validation(features.clips, 0.1, seed)
        train, normal = features.select(~strange & ~held_out), features.select(~strange & held_out)
        for hyperparameters in settings(args.vary):
            detector = base.make(args.detector, hyperparameters)
            for epochs in args.epochs:
                detector.fit(train, normal, base.FitContext(seed, epochs))
                for added in (None, *args.added):
                    table = judged(detector, features.select(strange), normal, added)
                    about = {"seed": seed, "epochs": detector.epoch, "added": "-" if added is None else f"{added:g} dB"}
                    for names in candidates([*table.columns[len(COLUMNS) :]], args.combine):
                        scores = table.assign(mean=table[[*names]].mean(axis=1))
                        aucs = {machine_type: mean_auc([scores], machine_type, "mean") for machine_type in out}
                        rows.append(about | hyperparameters | {"score": " + ".join(names)} | aucs)
        print(f"seed {seed}, without {out}: done", flush=True)
    table = pd.DataFrame(rows)
    args.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(args.out / "leave_id_out.csv", index=False)
    keys = ["epochs", "added", *(name for name, *_ in args.vary), "score"]
    by_type = table.drop(columns="seed").groupby(keys).mean()
    by_type.insert(0, "mean", by_type.mean(axis=1))
    print(by_type.sort_values(["added", "mean"], ascending=False).round(4).to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path, nargs="+", help="feature files: of a run, or published ones")
    parser.add_argument("--detector", default="id_classifier")
    parser.add_argument("--vary", nargs="+", action="append", default=[], metavar="NAME", help="NAME VALUE ...")
    parser.add_argument("--combine", action="store_true", help="every mean of several of its scores")
    parser.add_argument(
        "--added",
        type=float,
        nargs="+",
        default=[],
        metavar="DB",
        help="also strange clips beside own ones of energies, so much louder",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--epochs", type=int, nargs="+", default=[40])
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder for the CSV")
    main(parser.parse_args())
