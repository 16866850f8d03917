"""Average the standardised scores of several trials; write them as one more trial's scores, held-out scores and submission."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
import json
from pathlib import Path

import pandas as pd

from humwatch import parquet
from humwatch.detectors import models
from humwatch.detectors.leave_id_out import COLUMNS, combined
from humwatch.errors import InputError
from humwatch.evaluation import submission
from humwatch.evaluation.calibration import Member, combine, combined_calibration, in_common
from humwatch.study.layout import Layout


def main(args: argparse.Namespace) -> None:
    layout, members, judged = Layout(str(args.results)), [], []
    for member in json.loads(args.members):
        models_of = [(scope, member["trial"], member["epochs"]) for scope in member["scopes"]]
        scores = [Path(layout.scores(*model)) for model in models_of]
        held_out = [Path(layout.model(*model), "validation.parquet") for model in models_of]
        calibration = [path.with_name("calibration.parquet") for path in held_out]
        tables = [of_type(paths, args.machine_type) for paths in (scores, held_out, calibration)]
        if tables[1].empty:
            raise InputError(
                f"no clip of {args.machine_type} is held out of the training of {member['trial']}, by which the members of an "
                "ensemble are standardised: add training clips (two of each machine or more), or remove the ensemble"
            )
        members.append(Member(*tables, member["score"]))
        if args.judged:
            judged.append(
                (
                    of_type([path.with_name("leave_id_out.parquet") for path in held_out], args.machine_type),
                    member["score"],
                )
            )
    members = in_common(members)
    if members[0].normal.empty:
        raise InputError(
            f"the members of the ensemble hold out no clip of {args.machine_type} in common, by which they are standardised: add "
            "training clips, or remove the ensemble"
        )
    scores, held_out = combine(members)
    parquet.write(scores, args.out)
    parquet.write(held_out, args.model / "validation.parquet")
    parquet.write(combined_calibration(members), args.model / "calibration.parquet")
    submission.write(scores, "score", args.submission, args.model, args.year, args.false_alarm_rate)
    if args.judged is not None:
        table = combined(judged) if judged else pd.DataFrame(columns=COLUMNS)
        parquet.write(table, args.model / "leave_id_out.parquet")
    description = {
        "detector": "ensemble",
        "members": json.loads(args.members),
        "diverged": bool(scores["score"].isna().any()),
    }
    models.write(args.model, {}, [], description)


def of_type(paths: list[Path], machine_type: str) -> pd.DataFrame:
    """The rows of one machine type of several tables."""
    rows = pd.concat([parquet.read(path) for path in paths], ignore_index=True)
    return rows if rows.empty else rows[rows["machine_type"] == machine_type].reset_index(drop=True)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--members", required=True, help="JSON: list of trial, epochs, scopes, score")
    parser.add_argument("--machine-type", required=True)
    parser.add_argument("--results", type=Path, required=True, help="folder of models and scores")
    parser.add_argument("--model", type=Path, required=True, help="model folder to write")
    parser.add_argument("--judged", nargs="*", help="what the members make of ids left out: to be combined as well")
    parser.add_argument("--out", type=Path, required=True, help="score file to write")
    submission.add_options(parser)
    cli.run(main, parser.parse_args())
