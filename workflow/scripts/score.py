"""Score test clips with a trained model: every pooling, and the challenge's CSV per machine id, and one of all."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from humwatch import parquet
from humwatch.detectors import base, models
from humwatch.errors import InputError
from humwatch.evaluation.decisions import calibrations
from humwatch.evaluation.scoring import score_table
from humwatch.evaluation.thresholds import calibration_for
from humwatch.features import store
from humwatch.files import replacing
from humwatch.slugs import slug


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
        write_submission(scores, score, folder, args.year)
        if args.year > 2020:
            write_decisions(scores, score, folder, args.year, args.model, args.false_alarm_rate)


def write_submission(scores: pd.DataFrame, score: str, folder: Path, year: int) -> None:
    """The challenge's CSV per machine id, as of the year, and one of all."""
    for name, clips in parts(scores, year):
        submit(clips, score, folder / f"anomaly_score_{name}.csv", header=False)
    submit(scores, score, folder / "submission.csv", header=["file_name", "anomaly_score"])


def write_decisions(scores: pd.DataFrame, score: str, folder: Path, year: int, model: Path, rate: float) -> None:
    """The challenge's CSV of decisions, 1 for an anomaly, by the thresholds of the model's normal calibration clips."""
    found = calibrations([parquet.read(model / "calibration.parquet")], score, rate)
    for name, clips in parts(scores, year):
        machine = clips["machine_type"].iloc[0], clips["machine_id"].iloc[0]
        if calibration := calibration_for(machine, found, rate):
            decided = clips.assign(decision=(clips[score] > calibration.threshold).astype(int))
            submit(decided, "decision", folder / f"decision_result_{name}.csv", header=False)


def parts(scores: pd.DataFrame, year: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """Ends of the names of the challenge's files, and the clips in each."""
    for (machine_type, machine_id), clips in scores.groupby(["machine_type", "machine_id"]):
        if year <= 2020:
            yield f"{slug(machine_type)}_id_{slug(machine_id)}", clips
            continue
        # Of 2021, the domains of test clips are told, and are files of their own.
        domains = [f"{domain}_test" for domain in clips["domain"]] if year == 2021 else ["test"] * len(clips)
        for test, of_domain in clips.groupby(np.array(domains)):
            yield f"{slug(machine_type)}_section_{slug(machine_id)}_{test}", of_domain


def submit(clips: pd.DataFrame, column: str, path: Path, header: bool | list[str]) -> None:
    """Rows of file name and score or decision; of the path below the data folder where a name is there twice."""
    names = clips["clip"].str.rsplit("/", n=1).str[-1]
    rows = pd.DataFrame({"clip": names if names.is_unique else clips["clip"], column: clips[column]})
    with replacing(path) as temporary:
        rows.to_csv(temporary, header=header, index=False)


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
    parser.add_argument("--year", type=int, default=2020, help="of the challenge, whose files are written")
    parser.add_argument(
        "--false-alarm-rate", type=float, default=0.01, help="of the challenge's decisions, from 2021 on"
    )
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    parser.add_argument("--submission", type=Path, required=True, help="folder for the challenge's CSV files")
    cli.run(main, parser.parse_args())
