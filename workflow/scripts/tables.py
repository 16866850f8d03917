"""Measure all trials' scores against the test labels and write the AUC tables."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
import json
from pathlib import Path

import pandas as pd
import yaml

from humwatch.evaluation.auc_table import measure, summary_table
from humwatch.evaluation.comparison import comparison_table
from humwatch.evaluation.official import Definition, official_table, with_figures
from humwatch.evaluation.sweep_tables import report_table, selected_table, sweep_table, times_table
from humwatch.files import replacing, write_checksums
from humwatch.study import trials
from humwatch.study.layout import CHECKSUMS, TIMES, Layout, Scope

REFERENCE_COLUMNS = ["machine_type", "machine_ids", "method", "auc", "pauc", "source"]


def main(args: argparse.Namespace) -> None:
    schema = yaml.safe_load(args.schema.read_text())
    definition = json.loads(args.definition)
    sweeps = trials.sweeps(definition, schema)
    every = trials.unique(trial for sweep in sweeps.values() for trial in sweep)
    scopes = {kind: [Scope(*scope) for scope in listed] for kind, listed in json.loads(args.scopes).items()}
    layout, scores, models = Layout(str(args.results)), {}, {}
    several = json.loads(args.several_ids)
    judges = trials.judges(every, definition, schema) if several else {}
    judged: dict[str, dict[str, list[Path]]] = {}
    for t in every:
        folders = {s: Path(layout.model(s.name, t.name, t.epochs)) for s in scopes[t.parameters["scope"]]}
        key = f"{t.name}/{t.epochs}"
        scores[key] = [Path(layout.scores(s.name, t.name, t.epochs)) for s in folders]
        models[key] = {
            machine_type: [folder for scope, folder in folders.items() if scope.hears(machine_type)]
            for machine_type in json.loads(args.machine_types)
        }
        models_of = [(scope, judge) for judge in judges.get(t.key, ()) for scope in scopes[judge.parameters["scope"]]]
        judged[key] = {
            machine_type: [
                Path(layout.leave_id_out(scope.name, judge.name, judge.epochs))
                for scope, judge in models_of
                if scope.hears(machine_type)
            ]
            for machine_type in several
        }
    auc, trained, decided = measure(
        every,
        scores,
        models,
        args.bootstrap_samples,
        args.bootstrap_seed,
        args.false_alarm_rate,
        judged if judges else None,
    )
    official = None
    if args.challenge:
        year, sets = json.loads(args.challenge)
        official = official_table(every, scores, Definition(year, sets), args.bootstrap_samples, args.bootstrap_seed)
    references = pd.read_csv(args.references, dtype=str) if args.references else pd.DataFrame(columns=REFERENCE_COLUMNS)
    files = {
        "auc.csv": auc,
        "summary.csv": summary_table(auc, official),
        TIMES: times_table(trained),
        "decisions.csv": decided,
    }
    if official is not None:
        files["official.csv"] = official
    by_sweep = {
        name: with_figures(sweep_table(name, sweep, auc, trained, references), official)
        for name, sweep in sweeps.items()
    }
    for name, table in by_sweep.items():
        grid = definition["sweeps"].get(name, {"trial": sweeps[name]})
        varied = [key for key, values in grid.items() if len(values) > 1]
        files |= {f"sweeps/{name}.csv": table, f"sweeps/{name}_report.csv": report_table(table, auc, varied)}
    files["selected.csv"] = selected = selected_table(by_sweep.values())
    if args.references:
        columns = ["selected_trial", "selected_epochs", "selected_score"]
        chosen = selected[columns].dropna().drop_duplicates().itertuples(index=False, name=None)
        files["comparison.csv"] = comparison_table(auc, list(chosen), references)
    for name, table in files.items():
        with replacing(args.out / name) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
    write_checksums(args.out / CHECKSUMS, [args.out / name for name in files])


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--definition", required=True, help="JSON: trial, detectors, features, sweeps of the config")
    parser.add_argument(
        "--scopes", required=True, help="JSON: scope -> [machine type, machine id] of each model; null: all"
    )
    parser.add_argument("--schema", type=Path, required=True, help="the configuration's schema")
    parser.add_argument("--results", type=Path, required=True, help="folder of models and scores")
    parser.add_argument("--machine-types", required=True, help="JSON: machine types that were scored")
    parser.add_argument("--several-ids", required=True, help="JSON: machine types with several ids to train on")
    parser.add_argument("--references", type=Path, help="CSV of published figures to stand beside ours")
    parser.add_argument("--challenge", help="JSON: its year or null, and the machines of its sets: write official.csv")
    parser.add_argument("--false-alarm-rate", type=float, default=0.01, help="that thresholds are to promise")
    parser.add_argument("--bootstrap-samples", type=int, default=1000)
    parser.add_argument("--bootstrap-seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    cli.run(main, parser.parse_args())
