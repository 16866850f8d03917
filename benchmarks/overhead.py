"""What the workflow itself costs: a run in which nothing is to be done, and the start of each kind of job.

A job's overhead is its script on six clips, in which next to no work is done: Python, its libraries (torch where the stage
needs it), reading and writing. Most of it is torch's import, timed beside it.
"""

import argparse
import tempfile
from pathlib import Path

import yaml
from common import ROOT, in_turn, parser, run, write
from stages import stages

CONFIG = {
    "dataset": {"name": "tiny", "source": "demo", "size": "small", "machine_ids": ["00"]},
    "trial": {"hidden": [16], "latent": 2, "epochs": 1},
    "sweeps": {"seeds": {"seed": [0, 1, 2, 3]}},
    "bootstrap": {"samples": 50},
}


def snakemake(folder: Path) -> float:
    command = ["-m", "snakemake", "-s", ROOT / "Snakefile", "--configfile", "config.yaml"]
    return run([*command, "--profile", ROOT / "profiles/default", "--cores", "1"], folder)[0]


def main(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
        first = snakemake(folder)
        sides = {
            "run with nothing to do": lambda: snakemake(folder),
            "import torch alone": lambda: run(["-c", "import torch"], folder)[0],
        }
        work = folder / "work"
        work.mkdir()
        for stage, command in stages(2).items():
            run(command, work)
            sides[stage] = lambda command=command: run(command, work)[0]
        result = in_turn(sides, args.repeats)
    print(f"first run of the tiny demo, 4 trials, one job after the other: {first:.1f} s")
    write(result.rename(columns={"side": "what", "median": "seconds"}), args.out, "overhead")


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=3)
    main(arguments.parse_args())
