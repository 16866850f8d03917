"""Where an anomaly is to be heard: the AUC of knn, of each machine id, within each part of the clip's statistics alone.

By test labels, to understand results; nothing is chosen by it.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from common import parser, write

from humwatch.detectors import base
from humwatch.detectors.knn import Detector
from humwatch.detectors.machines import machines
from humwatch.evaluation.metrics import auc
from humwatch.features import store


def main(args: argparse.Namespace) -> None:
    rows = []
    for path in args.features:
        features = store.read([path], foreign=True)
        for machine, index in machines(features.clips):
            own = features.select(index)
            is_train = (own.clips["split"] == "train").to_numpy()
            train, test = own.select(is_train), own.select(~is_train)
            if not len(test):
                continue
            labels = test.clips["label"].to_numpy(int)
            row = {"machine": machine}
            for parts, count in (("both", 1), ("bands", args.bands), ("groups", args.groups)):
                for part in range(count):
                    detector = base.make("knn", {"parts": parts, "groups": args.groups, "top": 1 if count > 1 else 3})
                    if count > 1:
                        keep_one(detector, parts, part)
                    detector.fit(train, train.select(np.arange(0)), base.FitContext())
                    row[f"{parts} {part}" if count > 1 else "score"] = auc(labels, detector.score(test)["score"])
            rows.append(row)
    write(pd.DataFrame(rows), args.out, "parts", 3)


def keep_one(detector: Detector, parts: str, part: int) -> None:
    every = detector._parts
    detector._parts = lambda vectors: {parts: every(vectors)[parts][part : part + 1]}  # type: ignore[method-assign]


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("features", type=Path, nargs="+", help="feature files with both splits")
    arguments.add_argument("--bands", type=int, default=8, help="modulation bands, or statistics over time")
    arguments.add_argument("--groups", type=int, default=6)
    main(arguments.parse_args())
