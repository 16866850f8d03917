"""humwatch serve under load: clips per second, and how long a client waits for an answer.

Detectors of default size, trained for an epoch on the generated demo; ten-second clips on the loopback, each client with a
connection of its own, the next clip as soon as the last one is answered. As many threads as cores judge; the clients share the
cores with them. No clip is an alarm: those cost an explanation each.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads judge side by side

import numpy as np
import pandas as pd
import requests
import yaml
from common import ROOT, parser, run, write

from humwatch.study.config import read_schema, validate
from humwatch.study.study import Study
from humwatch.use.assemble import Finished, assemble

CONFIG = {
    "dataset": {"name": "service", "source": "demo", "size": {"train": 40, "test_normal": 2, "test_anomaly": 2}},
    "trial": {"epochs": 1},
    "sweeps": {"all": {"detector": ["mahalanobis", "vae"]}},
    "device": "cpu",
}


def main(args: argparse.Namespace) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
        snakemake = ["-m", "snakemake", "-s", ROOT / "Snakefile", "--configfile", "config.yaml"]
        run([*snakemake, "--profile", ROOT / "profiles/default", "--cores", 1, "--quiet", "all"], folder)
        out = args.out.absolute()
        os.chdir(folder)
        clips = [path.read_bytes() for path in sorted(Path("results/service/recordings/slider/train").iterdir())]
        schema = read_schema()
        finished = Finished(Study(validate(CONFIG, schema), schema))
        for trial in finished.study.trials:
            assemble(finished, trial, finished.heard(None), folder / "d.humwatch")
            for clients in args.clients:
                seconds, waits = load(clips, clients, args.clips)
                rows.append(
                    {
                        "trial": trial.name.removesuffix("_seed-0"),
                        "clients": clients,
                        "clips_per_second": args.clips / seconds,
                        "median_ms": 1e3 * np.median(waits),
                        "p99_ms": 1e3 * np.quantile(waits, 0.99),
                    }
                )
    write(pd.DataFrame(rows), out, "service")


def load(clips: list[bytes], clients: int, count: int) -> tuple[float, list[float]]:
    """The seconds for all clips, and those for each, of a service with an empty history."""
    for path in Path().glob("history.sqlite*"):
        path.unlink()
    command = [sys.executable, "-m", "humwatch", "serve", "d.humwatch", "--port", "0", "--false-alarm-rate", "1e-6"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    silent = {"stderr": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, **silent)
    try:
        address = process.stdout.readline().split()[-1]

        def client(k: int) -> list[float]:
            waits = []
            with requests.Session() as session:
                for n in range(k, count, clients):
                    begun = time.perf_counter()
                    session.post(f"{address}v1/score?name=id_00_{n}.wav", clips[n % len(clips)]).raise_for_status()
                    waits.append(time.perf_counter() - begun)
            return waits

        begun = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            waits = [wait for found in pool.map(client, range(clients)) for wait in found]
        return time.perf_counter() - begun, waits
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--clips", type=int, default=400)
    arguments.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    main(arguments.parse_args())
