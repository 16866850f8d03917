"""What a study will need, before anything has run: jobs, GPU hours and the time until it is done on so many GPUs.

Example: humwatch plan --configfile config/report.yaml --gpus 1 8 64

The figures come from the throughput table at the top of study/plan.py; downloads and waiting for a place in a cluster's queue
are not counted.
"""

import argparse

import pandas as pd

from humwatch.commands._options import add_configuration
from humwatch.errors import InputError
from humwatch.study.config import read_schema, validate
from humwatch.study.plan import Plan
from humwatch.study.reading import read
from humwatch.study.study import Study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_configuration(parser)
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64], help="numbers of GPUs, default: 1 8 64")


def main(args: argparse.Namespace) -> None:
    schema = read_schema()
    config = validate(read(args.configfile), schema)
    if min(args.gpus) < 1:
        raise InputError(f"--gpus is {min(args.gpus)}, it must be at least 1: without GPUs, see the CPU core hours")
    plan = Plan(Study(config, schema))
    name = config["dataset"]["name"]
    print(f"{name}: {len(plan.trials)} trials, {sum(plan.study.clips.values())} clips\n")
    print(plan.table().to_string(index=False), end="\n\n")
    print(pd.DataFrame([plan.on(gpus) for gpus in args.gpus]).to_string(index=False))
