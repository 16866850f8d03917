"""Few training clips of a target domain, without an anomaly: another id of the type stands for the domain, a third for anomalies.

A machine has all clips of one id for its source domain, and ten of the next id for its target domain: as they are ("another
id"), or its own clips moved by a share of the difference between the ids' mean log energies ("0.1", "0.3"). Clips of the
other ids, half of them moved as well, stand in for anomalies. Training clips of flat features (modspec) alone are read.

    python benchmarks/domains.py fan.parquet pump.parquet --detectors knn mahalanobis
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from humwatch.detectors import base
from humwatch.detectors.clip_statistics import ClipStatistics
from humwatch.evaluation.metrics import auc
from humwatch.features import store
from humwatch.features.held_out import split_validation
from humwatch.features.store import Features

TARGETS = 10
HEARD = 100  # normal clips of the target domain that are scored
STRANGE = 150  # clips of each other id


def machines(path: Path, share: float | None, rng: np.random.Generator) -> Iterator[list[np.ndarray]]:
    """Source and target clips for training, those of both to score, and strange ones, (clips, frames, bins) logarithms each."""
    features = store.read([path], foreign=True)
    features = features.select((features.clips["split"] == "train").to_numpy())
    vectors = (
        ClipStatistics("auto", "flatten").fit(features)(features).reshape(len(features), -1, features.values.shape[1])
    )
    held_out = split_validation(features.clips, 0.1, 0)
    names = features.clips["machine_id"].to_numpy()
    ids = sorted(set(names))
    for own, other in zip(ids, ids[1:] + ids[:1], strict=True):
        source, normal = vectors[(names == own) & ~held_out], vectors[(names == own) & held_out]
        strange = [rng.permutation(vectors[names == name])[:STRANGE] for name in ids if name not in (own, other)]
        if share is None:
            moved = rng.permutation(vectors[names == other])
            yield [source, moved[:TARGETS], normal, moved[TARGETS : TARGETS + HEARD], np.concatenate(strange)]
        else:
            shift = share * (vectors[names == other].mean(axis=0) - source.mean(axis=0))
            source = rng.permutation(source)
            target, source = source[: TARGETS + HEARD] + shift, source[TARGETS + HEARD :]
            mixed = np.concatenate(strange)
            mixed[rng.random(len(mixed)) < 0.5] += shift
            yield [source, target[:TARGETS], normal, target[TARGETS:], mixed]


def as_features(*parts: tuple[np.ndarray, str]) -> Features:
    """Clips of one machine; each part has a domain."""
    frames = np.concatenate([part for part, _ in parts]).astype(np.float32)
    domains = np.repeat([domain for _, domain in parts], [len(part) for part, _ in parts])
    about = {"machine_type": "machine", "machine_id": "00", "split": "train", "label": 0, "domain": domains}
    return Features.of(list(frames), pd.DataFrame({"clip": np.arange(len(frames)).astype(str)} | about), {})


def main(args: argparse.Namespace) -> None:
    rows = []
    for name in args.detectors:
        for share, path in ((share, path) for share in (None, 0.1, 0.3) for path in args.features):
            for source, target, normal, normal_target, strange in machines(path, share, np.random.default_rng(0)):
                train = as_features((source, "source"), (target, "target"))
                for domains in ("joint", "apart"):
                    detector = base.make(name, {"transform": "none", "domains": domains})
                    detector.fit(train, as_features((normal, "source")), base.FitContext())
                    ours, theirs, others = (
                        detector.score(as_features((part, "")))["score"] for part in (normal, normal_target, strange)
                    )
                    aucs = [
                        auc(np.repeat([0, 1], [len(own), len(others)]), np.concatenate([own, others]))
                        for own in (ours, theirs)
                    ]
                    gap = (np.median(theirs) - np.median(ours)) / ours.std()
                    shift = "another id" if share is None else str(share)
                    rows.append([name, shift, domains, path.stem, *aucs, 2 / sum(1 / each for each in aucs), gap])
    columns = ["detector", "shift", "domains", "machine_type", "auc_source", "auc_target", "harmonic_mean", "gap"]
    table = pd.DataFrame(rows, columns=columns)
    args.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(args.out / "domains.csv", index=False)
    by_type = table.groupby([*columns[:4]])[columns[4:]].mean()
    print(by_type.groupby(columns[:3]).mean().round(3).to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path, nargs="+", help="published feature files, one per machine type")
    parser.add_argument("--detectors", nargs="+", default=["knn", "mahalanobis", "gmm"])
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder for the CSV")
    main(parser.parse_args())
