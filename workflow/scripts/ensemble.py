"""Average the standardised scores of several trials; write them as one more trial's scores and held-out scores."""

import argparse
import json
from pathlib import Path

import pandas as pd

from humwatch import cli
from humwatch.calibration import combine
from humwatch.files import replacing


def main(args: argparse.Namespace) -> None:
    members = []
    for member in json.loads(args.members):
        both = []
        for path in (
            args.results / "scores" / f"{{}}/{member['trial']}.parquet",
            args.results / "models" / f"{{}}/{member['trial']}/validation.parquet",
        ):
            parts = pd.concat(
                [pd.read_parquet(str(path).format(scope)) for scope in member["scopes"]], ignore_index=True
            )
            both.append(parts[parts["machine_type"] == args.machine_type].reset_index(drop=True))
        members.append((*both, member["score"]))
    scores, held_out = combine(members)
    files = {
        args.out: scores,
        args.model / "validation.parquet": held_out,
    }
    for path, table in files.items():
        with replacing(path) as temporary:
            table.to_parquet(temporary, index=False)
    with replacing(args.model / "log.csv") as temporary:
        temporary.write_text("epoch,train_loss,val_loss,seconds\n")
    description = {
        "detector": "ensemble",
        "members": json.loads(args.members),
        "diverged": bool(scores["score"].isna().any()),
    }
    with replacing(args.model / "model.json") as temporary:
        temporary.write_text(json.dumps(description, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--members", required=True, help="JSON: list of trial (name/epochs-n), scopes, score")
    parser.add_argument("--machine-type", required=True)
    parser.add_argument("--results", type=Path, required=True, help="folder of models and scores")
    parser.add_argument("--model", type=Path, required=True, help="model folder to write")
    parser.add_argument("--out", type=Path, required=True, help="score file to write")
    cli.run(main, parser.parse_args())
