"""Is the promised false-alarm rate kept? Thresholds from normal training clips, false alarms among normal test clips, per id.

The features of real recordings in HUMWATCH_DATA (dcase2020_dev_modspec: every machine type whose test clips are there). Methods:
cross-conformal (all training clips, 5 folds), the held-out clips alone, and the empirical quantile of those, which is what one
would write first. Rows: mean over ids of the observed rate and of the recall; kept: share of ids whose promised rate lies in
the 95 % interval of the observed one.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from common import parser, write

from humwatch.detectors import base
from humwatch.detectors.scoring import score_table
from humwatch.evaluation.calibration_clips import CROSS, HELD_OUT, cross_conformal
from humwatch.evaluation.thresholds import Calibration, clopper_pearson
from humwatch.features import store
from humwatch.features.held_out import split_validation

DETECTORS = ("mahalanobis", "knn", "gmm")
RATES = (0.01, 0.05, 0.1)


def main(args: argparse.Namespace) -> None:
    folder = Path(os.environ["HUMWATCH_DATA"], "dcase2020_dev_modspec")
    rows = [row for path in sorted(folder.glob("*.parquet")) for name in args.detectors for row in of_type(path, name)]
    table = pd.DataFrame(rows)
    args.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(args.out / "alarms_by_id.csv", index=False)
    keys = ["detector", "method", "promised"]
    measures = ["clips", "extrapolated", "observed", "kept", "recall"]
    write(table.groupby(keys, sort=False)[measures].mean().reset_index(), args.out, "alarms", 3)


def of_type(path: Path, name: str) -> list[dict]:
    """A row per id, method and rate; none where a machine type has no test clips."""
    every = store.read([path], foreign=True)
    train = every.select((every.clips["split"] == "train").to_numpy())
    test = every.select((every.clips["split"] == "test").to_numpy())
    if not len(test):
        return []
    held_out = split_validation(train.clips, 0.1, 0)
    train, validation = train.select(~held_out), train.select(held_out)
    detector, context = base.make(name, {}), base.FitContext()
    detector.fit(train, validation, context)
    tables = {
        CROSS: cross_conformal(detector, train, validation, context),
        HELD_OUT: score_table(detector, [validation]),
    }
    scores, rows = score_table(detector, [test]), []
    for machine_id, own in scores.groupby("machine_id"):
        labels, values = own["label"].to_numpy(int), own["score"].to_numpy()
        for method, table in tables.items():
            normal = table["score"][table["machine_id"] == machine_id].to_numpy()
            for rate in RATES:
                calibration = Calibration(normal, rate)
                thresholds = {method: (calibration.threshold, calibration.extrapolated)}
                if method == HELD_OUT:
                    thresholds["empirical quantile of held-out clips"] = np.quantile(normal, 1 - rate), False
                for how, (threshold, extrapolated) in thresholds.items():
                    alarms = values > threshold
                    low, high = clopper_pearson(int(alarms[labels == 0].sum()), int((labels == 0).sum()))
                    rows.append(
                        {
                            "detector": name,
                            "method": how,
                            "promised": rate,
                            "machine_type": path.stem,
                            "machine_id": machine_id,
                            "clips": len(normal),
                            "extrapolated": extrapolated,
                            "observed": alarms[labels == 0].mean(),
                            "kept": low <= rate <= high,
                            "recall": alarms[labels == 1].mean(),
                        }
                    )
    return rows


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--detectors", nargs="+", default=DETECTORS)
    main(arguments.parse_args())
