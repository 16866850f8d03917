"""Every trial of a finished run's sweeps in one table: AUC, pAUC, seconds to train and to score, parameters, megabytes.

Seeds are averaged; intervals are the bootstrap's, averaged likewise. Rows `mean` are over machine types. Seconds are CPU seconds
of the jobs on the machine that
ran them: of training with its start (some 2 s), of scoring without it and without features; of models that hear all
machine types, the whole.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # seconds of one core

import numpy as np
import pandas as pd
import safetensors.numpy
from common import parser, write

from humwatch.detectors import base
from humwatch.features import store
from humwatch.report.results import Results

MEASURES = ["auc", "auc_low", "auc_high", "pauc", "train_s", "score_1000_s", "parameters", "mb"]


def costs(results: Results, row: pd.Series) -> dict[str, float]:
    """Of the models of one trial and machine type. An ensemble has none of its own."""
    if not isinstance(row["feature"], str):
        return {}
    folders = {results.model(row, machine_id) for machine_id in results.scores(row)["machine_id"].unique()}
    places = [folder.relative_to(results.folder / "models") for folder in folders]
    arrays = [safetensors.numpy.load_file(folder / "model.safetensors") for folder in folders]
    return {
        "train_s": sum(training_seconds(results, row, place) for place in places),
        "score_1000_s": 1000 * scoring_seconds(results, row, next(iter(folders))),
        "parameters": sum(array.size for model in arrays for array in model.values()),
        "mb": sum((folder / "model.safetensors").stat().st_size for folder in folders) / 1e6,
    }


def training_seconds(results: Results, row: pd.Series, place: Path) -> float:
    """Of all milestones up to the row's."""
    folder = (results.folder / "benchmarks/train" / place).parent
    files = [path for path in folder.glob("*.tsv") if int(path.stem[7:]) <= int(place.name[7:])]
    return sum(pd.read_csv(path, sep="\t")["cpu_time"].iloc[0] for path in files)


def scoring_seconds(results: Results, row: pd.Series, folder: Path) -> float:
    """Of one clip."""
    features = store.read([results.folder / "features" / row["feature"] / row["machine_type"] / "test.parquet"])
    detector = base.load(folder)
    detector.score(features.select(np.arange(len(features)) < 2))
    begun = time.process_time()
    detector.score(features)
    return (time.process_time() - begun) / len(features)


def main(args: argparse.Namespace) -> None:
    results, rows = Results(args.results), []
    for name in args.sweeps:
        sweep = results.sweep(name)
        varied = [c for c in sweep.columns[sweep.columns.get_loc("diverged") + 1 : -1] if sweep[c].nunique() > 1]
        keys = [c for c in dict.fromkeys(["detector", "feature", *varied]) if c in sweep and c != "seed"]
        for _, row in sweep.iterrows():
            rows.append({"sweep": name, **row[[*keys, "machine_type", *MEASURES[:4]]], **costs(results, row)})
    table = pd.DataFrame(rows)
    keys = [c for c in table if c not in MEASURES]
    table = table.groupby(keys, dropna=False, sort=False)[[m for m in MEASURES if m in table]].mean().reset_index()
    if table["machine_type"].nunique() > 1:
        over = [c for c in keys if c != "machine_type"]
        means = table.groupby(over, dropna=False, sort=False)[["auc", "pauc"]].mean().reset_index()
        table = pd.concat([table, means.assign(machine_type="mean")], ignore_index=True)
    write(table, args.out, "detectors", 3)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("results", type=Path, help="results/<name> of a finished run")
    arguments.add_argument("--sweeps", nargs="+", default=["detectors"])
    main(arguments.parse_args())
