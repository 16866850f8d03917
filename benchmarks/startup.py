"""Where the time of jobs goes before they work: the start of each stage, what it imports, and its share in a whole run.

`startup`, a row per stage on a tiny study of a few detectors and clips, in which next to no work is done: seconds to the first
line that it prints (where it prints none, to its end), to its end, CPU seconds, modules. `imports`: the ten packages that take
most of it, by the time of their own modules (python -X importtime, which itself slows imports down). `whole_run`: the demo, or
the study of --configfile, as `make run` runs it: seconds, CPU seconds, seconds of its jobs, those in which epochs were trained
(log.csv of each model), those that the start of its jobs takes, by the first table; `overhead` is the share of all that is no
epoch. Other work on the machine slows seconds down, CPU seconds by half as well where it fills all cores.

Several --root, folders of checkouts, are measured in turn: what a change has gained.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import yaml
from common import ROOT, parser, write

DETECTORS = ["vae", "id_classifier", "gmm", "knn", "auto"]
MOST = 10
# A script, which takes its arguments from the command line, four times over.
FOUR_TIMES = "import runpy, sys; sys.argv.pop(0); [runpy.run_path(sys.argv[0], run_name='__main__') for _ in range(4)]"


def main(args: argparse.Namespace) -> None:
    roots = {root.resolve().name: root.resolve() for root in args.root}
    with tempfile.TemporaryDirectory() as name:
        started = {key: stages(root, Path(name, key)) for key, root in roots.items()}
        rows, imports = [], []
        for stage in max(started.values(), key=len):
            sides = {key: commands[stage] for key, commands in started.items() if stage in commands}
            found = {key: [] for key in sides}
            for _ in range(args.repeats):
                for key, command in sides.items():
                    found[key].append(timed(roots[key], Path(name, key), command))
            for key, command in sides.items():
                of_modules = imported(roots[key], Path(name, key), command)
                medians = [statistics.median(values) for values in zip(*found[key], strict=True)]
                rows.append([stage, key, *medians, len(of_modules)])
                packages = Counter()
                for module, seconds in of_modules:
                    packages[package(module)] += seconds
                said = ", ".join(f"{name} {seconds:.2f}" for name, seconds in packages.most_common(MOST))
                imports.append([stage, key, said])
        startup = pd.DataFrame(rows, columns=["stage", "root", "first_line_s", "seconds", "cpu_s", "modules"])
        write(startup, args.out, "startup")
        write(pd.DataFrame(imports, columns=["stage", "root", "seconds_by_package"]), args.out, "imports")
        if not args.runs:
            return
        config = yaml.safe_load(args.configfile.read_text())
        runs = [
            whole_run(root, Path(name, f"{key}-{i}"), config, args.cores, startup[startup["root"] == key])
            for i in range(args.runs)
            for key, root in roots.items()
        ]
        write(pd.DataFrame(runs).groupby("root", sort=False).median().reset_index(), args.out, "whole_run")


def stages(root: Path, folder: Path) -> dict[str, list[str]]:
    """Run the tiny study: the command of each of its stages, by the stage's name, and of what uses its results."""
    there = [name for name in DETECTORS if (root / f"src/humwatch/detectors/{name}.py").exists()]
    own = {"vae": {"epochs": 1}, "id_classifier": {"epochs": 1}, "auto": {"candidates": ["knn", "mahalanobis"]}}
    config = {
        "dataset": {"name": "tiny", "source": "demo", "size": "small", "machine_ids": ["00", "02"]},
        "detectors": {name: own[name] for name in there if name in own},
        "sweeps": {"detectors": {"detector": there}},
        "bootstrap": {"samples": 50},
    }
    snakemake(root, folder, config, 1)
    found = {"snakemake, nothing to do": command(root, 1)}  # before outputs are made again
    found |= {stage_of(job): shlex.split(job["shellcmd"]) for job in jobs(folder)}
    found["train vae, four times in one process"] = ["python", "-c", FOUR_TIMES, *found["train vae"][1:]]
    recording = next((folder / "results/tiny/recordings/slider/test").glob("anomaly*.wav"))
    found["humwatch score"] = ["python", "-m", "humwatch", "score", "results/tiny/detectors/slider.humwatch", recording]
    return found


def whole_run(root: Path, folder: Path, config: dict, cores: int, startup: pd.DataFrame) -> dict:
    seconds, cpu = snakemake(root, folder, config, cores)
    ran = jobs(folder)
    start = startup.set_index("stage")["seconds"]
    starts = sum(start[stage_of(job)] for job in ran)
    trained = sum(epochs(folder, log) for log in (folder / "results").glob("*/models/*/*/*/log.csv"))
    in_jobs = sum(job["endtime"] - job["starttime"] for job in ran)
    return {
        "root": root.name,
        "seconds": seconds,
        "cpu_s": cpu,
        "jobs": len(ran),
        "job_s": in_jobs,
        "epochs_s": trained,
        "starts_s": starts,
        "overhead": 1 - trained / in_jobs,
    }


def epochs(folder: Path, log: Path) -> float:
    """Seconds of the epochs between a model's milestone and the one before."""
    table = pd.read_csv(log)
    last = int(log.parent.name.removeprefix("epochs-"))
    before = [int(other.name.removeprefix("epochs-")) for other in log.parent.parent.iterdir()]
    return table["seconds"][table["epoch"] > max((other for other in before if other < last), default=0)].sum()


def snakemake(root: Path, folder: Path, config: dict, cores: int) -> tuple[float, float]:
    """Run a study in `folder`: its seconds, and its CPU seconds."""
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return timed(root, folder, command(root, cores))[1:]


def command(root: Path, cores: int) -> list:
    options = ["--configfile", "config.yaml", "--profile", root / "profiles/default", "--cores", cores]
    return ["python", "-m", "snakemake", "-s", root / "Snakefile", *options]


def jobs(folder: Path) -> list[dict]:
    """What Snakemake recorded of each job that made files in `folder`."""
    records = [json.loads(path.read_text()) for path in (folder / ".snakemake/metadata").iterdir()]
    return [*{record["shellcmd"]: record for record in records if record["shellcmd"]}.values()]


def stage_of(job: dict) -> str:
    """The rule, and the detector where it has one."""
    detectors = [name for name in DETECTORS if any(f"/{name}_" in path for path in job["log"])]
    return " ".join([job["rule"], *detectors])


def timed(root: Path, folder: Path, command: list) -> tuple[float, float, float]:
    """Seconds to the first line that a command prints, its seconds, its CPU seconds."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *map(str, command[1:])],
        cwd=folder,
        env=environment(root),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said = process.stdout.readline()
    first = time.perf_counter() - begun
    said += process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 3):  # 3: an alarm
        raise SystemExit(f"{command}\n{said.decode()}")
    return first, time.perf_counter() - begun, usage.ru_utime + usage.ru_stime


def imported(root: Path, folder: Path, command: list) -> list[tuple[str, float]]:
    """The modules that a command imports, and the seconds that each takes without those that it imports itself."""
    arguments = [sys.executable, "-X", "importtime", *map(str, command[1:])]
    run = subprocess.run(arguments, cwd=folder, env=environment(root), capture_output=True, text=True)
    lines = [line.removeprefix("import time:").split("|") for line in run.stderr.splitlines() if line.count("|") == 2]
    return [(name.strip(), int(own) / 1e6) for own, _, name in lines if own.strip().isdigit()]


def environment(root: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}


def package(module: str) -> str:
    top = module.split(".")[0]
    return "standard library" if top in sys.stdlib_module_names else top


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--root", type=Path, nargs="+", default=[ROOT], help="checkouts to compare")
    arguments.add_argument("--configfile", type=Path, default=ROOT / "config/config.yaml", help="of the whole run")
    arguments.add_argument("--repeats", type=int, default=3, help="of each stage")
    arguments.add_argument("--runs", type=int, default=1, help="whole runs of each checkout; 0: none")
    arguments.add_argument("--cores", type=int, default=os.cpu_count(), help="of whole runs")
    main(arguments.parse_args())
