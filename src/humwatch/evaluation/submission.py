"""Write scores as the challenge wants them: a CSV per machine id, of scores and, from 2021 on, of decisions."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from humwatch import parquet
from humwatch.evaluation.decisions import calibrations
from humwatch.evaluation.thresholds import calibration_for
from humwatch.files import replacing
from humwatch.slugs import slug


def write(scores: pd.DataFrame, score: str, folder: Path, model: Path, year: int, false_alarm_rate: float) -> None:
    """Write the files of a year, and `submission.csv` of all clips.

    Parameters
    ----------
    scores
        A row per test clip.
    score
        The column to submit.
    folder
        To write to.
    model
        The model's folder, whose normal calibration clips decisions are made by.
    year
        Of the challenge.
    false_alarm_rate
        Of decisions.
    """
    decides = year > 2020
    found = calibrations([parquet.read(model / "calibration.parquet")], score, false_alarm_rate) if decides else {}
    for name, clips in _parts(scores, year):
        _write_rows(clips, score, folder / f"anomaly_score_{name}.csv", header=False)
        machine = clips["machine_type"].iloc[0], clips["machine_id"].iloc[0]
        if decides and (calibration := calibration_for(machine, found, false_alarm_rate)):
            decided = clips.assign(decision=(clips[score] > calibration.threshold).astype(int))
            _write_rows(decided, "decision", folder / f"decision_result_{name}.csv", header=False)
    _write_rows(scores, score, folder / "submission.csv", header=["file_name", "anomaly_score"])


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--submission", type=Path, required=True, help="folder for the challenge's CSV files")
    parser.add_argument("--year", type=int, default=2020, help="of the challenge, whose files are written")
    parser.add_argument(
        "--false-alarm-rate", type=float, default=0.01, help="of the challenge's decisions, from 2021 on"
    )


def _parts(scores: pd.DataFrame, year: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """Ends of the names of the challenge's files, and the clips in each."""
    for (machine_type, machine_id), clips in scores.groupby(["machine_type", "machine_id"]):
        if year <= 2020:
            yield f"{slug(machine_type)}_id_{slug(machine_id)}", clips
            continue
        # Of 2021, the domains of test clips are told, and are files of their own.
        domains = [f"{domain}_test" for domain in clips["domain"]] if year == 2021 else ["test"] * len(clips)
        for test, of_domain in clips.groupby(np.array(domains)):
            yield f"{slug(machine_type)}_section_{slug(machine_id)}_{test}", of_domain


def _write_rows(clips: pd.DataFrame, column: str, path: Path, header: bool | list[str]) -> None:
    """Rows of file name and score or decision; of the path below the data folder where a name is there twice."""
    names = clips["clip"].str.rsplit("/", n=1).str[-1]
    rows = pd.DataFrame({"clip": names if names.is_unique else clips["clip"], column: clips[column]})
    with replacing(path) as temporary:
        rows.to_csv(temporary, header=header, index=False)
