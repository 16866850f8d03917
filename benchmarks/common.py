"""What the benchmarks share: sides timed in turn, tables printed and written, generated clips."""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from humwatch import clips
from humwatch.datasets.directory import parse

ROOT = Path(__file__).parents[1]
RESULTS = Path("results/benchmarks")


def parser(description: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--out", type=Path, default=RESULTS, help="folder for the CSV")
    return made


def in_turn(sides: dict[str, Callable[[], float]], repeats: int, warm: bool = False) -> pd.DataFrame:
    """Call every side in turn, `repeats` times over: a row per side, its median, smallest and largest value.

    warm: a first round is left out, that fills caches and imports.
    """
    found: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(repeats + warm):
        for side, measure in sides.items():
            found[side].append(measure())
    found = {side: values[warm:] for side, values in found.items()}
    rows = [[side, statistics.median(v), min(v), max(v)] for side, v in found.items()]
    return pd.DataFrame(rows, columns=["side", "median", "min", "max"])


def seconds(call: Callable[[], None], clips: int, cpu: bool = False) -> float:
    """Seconds per clip of a call, on the clock or of the processor."""
    clock = time.process_time if cpu else time.perf_counter
    begun = clock()
    call()
    return (clock() - begun) / clips


def recordings(folder: Path, count: int, suffix: str) -> pd.DataFrame:
    """The clip table of so many ten-second files of generated noise, at 16 kHz and 16 bits."""
    (folder / "fan/train").mkdir(parents=True)
    names = [f"fan/train/normal_id_00_{i:08d}.{suffix}" for i in range(count)]
    rng = np.random.default_rng(0)
    for name in names:
        soundfile.write(folder / name, rng.normal(0, 0.01, 160_000), 16000, "PCM_16")
    return clips.table(folder, [parse(name) for name in names], None)


def write(table: pd.DataFrame, out: Path, name: str, digits: int = 2) -> None:
    print(table.round(digits).to_string(index=False), flush=True)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / f"{name}.csv", index=False)


def run(command: list, folder: Path) -> tuple[float, float, float]:
    """Run a Python command in `folder`: its seconds, its CPU seconds, its peak memory in MB, children left out."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    messages = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    if status:
        raise SystemExit(f"{command}\n{messages.decode()}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
