"""Score test clips with a trained model: every pooling, and the challenge's CSV per machine id, and one of all."""

import argparse
import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from humwatch import cli
from humwatch.detectors import base
from humwatch.features import store
from humwatch.files import replacing
from humwatch.scoring import score_table


def main(args: argparse.Namespace) -> None:
    made = base.description(args.model)
    detector = base.load(args.model)
    groups = (store.groups(path, machine_id=args.machine_id) for path in args.features)
    scores = score_table(detector, itertools.chain.from_iterable(groups))
    poolings = [column for column in scores if column not in [*store.CLIP_COLUMNS, *store.OPTIONAL_COLUMNS]]
    if detector.diverged:
        scores[poolings] = np.nan
    scores["score"] = scores[args.score]
    machines = {tuple(machine) for machine in made["machines"]}
    scores["heard"] = [m in machines for m in zip(scores["machine_type"], scores["machine_id"], strict=True)]
    with replacing(args.out) as temporary:
        scores.to_parquet(temporary, index=False)
    for (machine_type, machine_id), clips in scores.groupby(["machine_type", "machine_id"]):
        submit(clips, args.submission / f"anomaly_score_{machine_type}_id_{machine_id}.csv", header=False)
    submit(scores, args.submission / "submission.csv", header=["file_name", "anomaly_score"])


def submit(clips: pd.DataFrame, path: Path, header: bool | list[str]) -> None:
    rows = clips[["clip", "score"]].assign(clip=clips["clip"].str.rsplit("/", n=1).str[-1])
    with replacing(path) as temporary:
        rows.to_csv(temporary, header=header, index=False)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--features", type=Path, nargs="+", required=True, help="feature files of the test clips")
    parser.add_argument("--machine-id", help="score this machine's clips only")
    parser.add_argument("--score", required=True, help="which of the detector's scores becomes the column `score`")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    parser.add_argument("--submission", type=Path, required=True, help="folder for the challenge's CSV files")
    cli.run(main, parser.parse_args())
