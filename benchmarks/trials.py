"""A sweep of 1,000 trials: seconds to plan it (snakemake --dry-run) and to make its tables (from generated scores).

plan_s: `snakemake --dry-run --quiet rules progress`, which counts the jobs; list_s: `snakemake --dry-run`, which also prepares
what it would say of each; cpu_s: CPU time of the first.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from humwatch import parquet
from humwatch.detectors import models
from humwatch.study import trials
from humwatch.study.config import SCHEMA, read_schema, validate

ROOT = Path(__file__).parents[1]
IDS, CLIPS = ("00", "02", "04"), 40


def configuration(count: int) -> dict:
    return {
        "dataset": {"name": "many", "source": "demo"},
        "sweeps": {"many": {"seed": list(range(count // 10)), "learning_rate": [0.001 * (i + 1) for i in range(10)]}},
    }


def scores(rng: np.random.Generator, columns: dict) -> pd.DataFrame:
    table = pd.DataFrame({"machine_type": "slider", "machine_id": np.repeat(IDS, CLIPS)} | columns)
    table["clip"] = [f"slider/test/{i}.wav" for i in range(len(table))]
    for pooling in ("mean", "median", "std", "max", "top_k"):
        table[pooling] = rng.normal(size=len(table))
    return table


def main(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = configuration(args.trials)
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--configfile", "config.yaml"]
        command += ["--profile", ROOT / "profiles/default", "--cores", "2", "--dry-run"]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        seconds = []
        for quiet in (["--quiet", "rules", "progress"], []):
            begun = time.perf_counter()
            subprocess.run([*command, *quiet], cwd=folder, check=True, env=environment, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - begun)
            if quiet:
                used = resource.getrusage(resource.RUSAGE_CHILDREN)

        schema = read_schema()
        checked = validate(config, schema)
        rng = np.random.default_rng(0)
        for trial in trials.sweeps(checked, schema)["many"]:
            model = folder / "models/slider" / trial.name / f"epochs-{trial.epochs}"
            model.mkdir(parents=True)
            scored = folder / "scores/slider" / trial.name / f"epochs-{trial.epochs}.parquet"
            scored.parent.mkdir(parents=True)
            labels = pd.array(np.tile(np.repeat([0, 1], CLIPS // 2), len(IDS)), "Int8")
            parquet.write(scores(rng, {"label": labels, "heard": True}), scored)
            held_out = scores(rng, {"label": 0, "pseudo": np.tile([True, False], CLIPS * len(IDS) // 2)})
            parquet.write(held_out, model / "validation.parquet")
            parquet.write(held_out.assign(method="held-out clips"), model / "calibration.parquet")
            models.write(model, {}, [dict.fromkeys(models.LOG_COLUMNS, 1.0)], {"diverged": False})
        definition = {
            key: checked[key] for key in ("trial", "detectors", "features", "augmentations", "sweeps", "ensembles")
        }
        command = [sys.executable, ROOT / "workflow/scripts/tables.py", "--definition", json.dumps(definition)]
        command += ["--scopes", '{"machine_type": [["slider", null]]}', "--schema", SCHEMA, "--results", folder]
        command += ["--machine-types", '["slider"]', "--out", folder / "tables"]
        begun = time.perf_counter()
        subprocess.run(command, check=True)
        tables = time.perf_counter() - begun
    result = pd.DataFrame(
        [[args.trials, *seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, tables]],
        columns=["trials", "plan_s", "list_s", "cpu_s", "plan_mb", "tables_s"],
    )
    print(result.round(1).to_string(index=False))
    args.out.mkdir(parents=True, exist_ok=True)
    result.to_csv(args.out / "trials.csv", index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder for the CSV")
    main(parser.parse_args())
