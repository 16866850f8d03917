"""Score test clips with a trained model: every pooling, and the challenge's CSV per machine id, and one of all."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
import itertools
from pathlib import Path

import numpy as np

from humwatch import parquet
from humwatch.detectors import base, models
from humwatch.detectors.scoring import score_table
from humwatch.errors import InputError
from humwatch.evaluation import submission
from humwatch.features import store


def main(args: argparse.Namespace) -> None:
    made = models.description(args.model)
    detector = base.load(args.model)
    groups = (store.groups(path, machine_id=args.machine_id) for path in args.features)
    scores = score_table(detector, itertools.chain.from_iterable(groups))
    poolings = [column for column in scores if column not in [*store.CLIP_COLUMNS, *store.OPTIONAL_COLUMNS]]
    if detector.diverged:
        scores[poolings] = np.nan
    if missing := sorted({*args.score} - {*poolings}):
        raise InputError(
            f"detectors/{detector.name}.py makes the scores {', '.join(poolings)}, not {missing[0]}: set trial.score"
        )
    if "score" not in poolings and len(args.score) == 1:
        scores["score"] = scores[args.score[0]]  # the one that is meant; of several, each trial says which
    machines = {tuple(machine) for machine in made["machines"]}
    scores["heard"] = [m in machines for m in zip(scores["machine_type"], scores["machine_id"], strict=True)]
    parquet.write(scores, args.out)
    for score in args.score:
        folder = args.submission / (score if score != args.score[0] else "")
        submission.write(scores, score, folder, args.model, args.year, args.false_alarm_rate)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--features", type=Path, nargs="+", required=True, help="feature files of the test clips")
    parser.add_argument("--machine-id", help="score this machine's clips only")
    parser.add_argument(
        "--score",
        nargs="+",
        required=True,
        help="which of the detector's scores to submit; further ones go to folders of their name",
    )
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    submission.add_options(parser)
    cli.run(main, parser.parse_args())
