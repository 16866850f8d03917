"""The studies of config/report.yaml on generated slide rails: projected for the full size, measured at a part of it.

Projected: windows to train and score, all milestones, over this machine's throughput, measured first (training.py), on all
cores; plus a start-up per job. Measured: the workflow run with the same sweeps and `--share` of the clips, with recipe fast
(or --recipe report, which takes five times as long).
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import pandas as pd
import yaml
from common import ROOT, parser, run, write
from training import measure

from humwatch.study.config import read_schema, validate
from humwatch.study.plan import Plan
from humwatch.study.study import Study

FULL = {
    "train": 790,
    "test_normal": 100,
    "test_anomaly": 267,
}  # per machine id, of 3: the 2370 and 1101 of the real set


def study(share: float, recipe: str) -> dict:
    """config/report.yaml, with the demo instead of the recordings."""
    config = yaml.safe_load((ROOT / "config/report.yaml").read_text())
    size = {key: max(round(share * n), 2) for key, n in FULL.items()}
    config["dataset"] = {"name": "study", "source": "demo", "size": size}
    config["trial"] |= {"recipe": recipe}
    return config


def training_windows(config: dict) -> tuple[int, int]:
    """Windows that are trained in all, and the number of jobs."""
    schema = read_schema()
    planned = Plan(Study(validate(config, schema), schema))
    steps = [training for chain in planned.chains for training in chain]
    part = 5 if config["trial"]["recipe"] == "fast" else 1
    return sum(t.windows * t.epochs // part for t in steps), int(planned.table()["jobs"][:-1].sum())


def main(args: argparse.Namespace) -> None:
    cores = len(os.sched_getaffinity(0))
    rows = []
    sides = {"humwatch, report, fp32": "report", "humwatch, fast": "fast"}
    rates = {sides[side]: median(found) for side, found in measure(sides, 200, args.rounds, 1).items()}
    for share in (1.0, args.share):
        for recipe, rate in rates.items():
            windows, jobs = training_windows(study(share, recipe))
            hours = (windows / rate + jobs * args.start_up) / cores / 3600
            rows.append(["projected", share, recipe, jobs, windows, hours * 60])
    with tempfile.TemporaryDirectory() as folder:
        config = study(args.share, args.recipe)
        Path(folder, "config.yaml").write_text(yaml.safe_dump(config))
        snakemake = ["-m", "snakemake", "-s", ROOT / "Snakefile", "--configfile", "config.yaml"]
        begun = time.perf_counter()
        run([*snakemake, "--profile", ROOT / "profiles/default", "--cores", cores], Path(folder))
        minutes = (time.perf_counter() - begun) / 60
    windows, jobs = training_windows(config)
    rows.append(["measured", args.share, args.recipe, jobs, windows, minutes])
    columns = ["how", "share_of_clips", "recipe", "jobs", "training_windows", "minutes"]
    write(pd.DataFrame(rows, columns=columns), args.out, "study")


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--share", type=float, default=0.1, help="of the full size, to be measured")
    arguments.add_argument("--recipe", choices=["report", "fast"], default="fast", help="of the measured run")
    arguments.add_argument("--start-up", type=float, default=3.0, help="seconds per job")
    arguments.add_argument("--rounds", type=int, default=25, help="to learn the throughput")
    main(arguments.parse_args())
