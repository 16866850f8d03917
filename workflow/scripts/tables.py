"""Measure all trials' scores against the test labels and write the AUC tables."""

import argparse
import json
from pathlib import Path

import pandas as pd
import yaml

from humwatch import cli, tables, trials
from humwatch.files import replacing


def main(args: argparse.Namespace) -> None:
    schema = yaml.safe_load(args.schema.read_text())
    sweeps = trials.sweeps(json.loads(args.definition), schema)
    every = trials.unique(trial for sweep in sweeps.values() for trial in sweep)
    scopes = json.loads(args.scopes)
    files = {
        f"{t.name}/{t.epochs}": [
            args.scores / scope / t.name / f"epochs-{t.epochs}.parquet" for scope in scopes[t.parameters["scope"]]
        ]
        for t in every
    }
    auc = tables.auc_table(every, files, args.bootstrap_samples, args.bootstrap_seed)
    write(auc, args.out / "auc.csv")
    write(tables.summary_table(auc), args.out / "summary.csv")


def write(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--definition", required=True, help="JSON: trial, detectors, features, sweeps of the config")
    parser.add_argument("--scopes", required=True, help="JSON: scope -> the models of that scope")
    parser.add_argument("--schema", type=Path, required=True, help="the configuration's schema")
    parser.add_argument("--scores", type=Path, required=True, help="folder of the score files")
    parser.add_argument("--bootstrap-samples", type=int, default=1000)
    parser.add_argument("--bootstrap-seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    cli.run(main, parser.parse_args())
