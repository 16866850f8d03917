"""Measure all trials' scores against the test labels and write the AUC tables."""

import argparse
import json
from pathlib import Path

import pandas as pd
import yaml

from humwatch import cli, tables, trials
from humwatch.comparison import comparison_table
from humwatch.files import replacing

REFERENCE_COLUMNS = ["machine_type", "machine_ids", "method", "auc", "pauc", "source"]


def main(args: argparse.Namespace) -> None:
    schema = yaml.safe_load(args.schema.read_text())
    definition = json.loads(args.definition)
    sweeps = trials.sweeps(definition, schema)
    every = trials.unique(trial for sweep in sweeps.values() for trial in sweep)
    scopes, scores, models = json.loads(args.scopes), {}, {}
    for t in every:
        folders = {
            s: args.results / "models" / s / t.name / f"epochs-{t.epochs}" for s in scopes[t.parameters["scope"]]
        }
        key = f"{t.name}/{t.epochs}"
        scores[key] = [args.results / "scores" / s / t.name / f"epochs-{t.epochs}.parquet" for s in folders]
        models[key] = {
            machine_type: [
                folder for scope, folder in folders.items() if scope == "all" or scope.split("_id_")[0] == machine_type
            ]
            for machine_type in args.machine_types
        }
    auc, trained = tables.measure(every, scores, models, args.bootstrap_samples, args.bootstrap_seed)
    references = pd.read_csv(args.references, dtype=str) if args.references else pd.DataFrame(columns=REFERENCE_COLUMNS)
    write(auc, args.out / "auc.csv")
    write(tables.summary_table(auc), args.out / "summary.csv")
    by_sweep = {}
    for name, sweep in sweeps.items():
        by_sweep[name] = tables.sweep_table(name, sweep, auc, trained, references)
        write(by_sweep[name], args.out / "sweeps" / f"{name}.csv")
        grid = definition["sweeps"].get(name, {"trial": sweep})
        varied = [key for key, values in grid.items() if len(values) > 1]
        write(tables.report_table(by_sweep[name], auc, varied), args.out / "sweeps" / f"{name}_report.csv")
    selected = tables.selected_table(by_sweep.values())
    write(selected, args.out / "selected.csv")
    if args.references:
        columns = ["selected_trial", "selected_epochs", "selected_score"]
        chosen = selected[columns].dropna().drop_duplicates().itertuples(index=False, name=None)
        write(comparison_table(auc, list(chosen), references), args.out / "comparison.csv")


def write(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--definition", required=True, help="JSON: trial, detectors, features, sweeps of the config")
    parser.add_argument("--scopes", required=True, help="JSON: scope -> the models of that scope")
    parser.add_argument("--schema", type=Path, required=True, help="the configuration's schema")
    parser.add_argument("--results", type=Path, required=True, help="folder of models and scores")
    parser.add_argument("--machine-types", nargs="+", required=True, help="machine types that were scored")
    parser.add_argument("--references", type=Path, help="CSV of published figures to stand beside ours")
    parser.add_argument("--bootstrap-samples", type=int, default=1000)
    parser.add_argument("--bootstrap-seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    cli.run(main, parser.parse_args())
