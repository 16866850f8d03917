"""What the benchmarks share: sides timed in turn, tables printed and written, generated clips."""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from humwatch.datasets import clips
from humwatch.datasets.directory import parse

ROOT = Path(__file__).parents[1]
RESULTS = Path("results/benchmarks")


def parser(description: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--out", type=Path, default=RESULTS, help="folder for the CSV")
    return made


def in_turn(sides: dict[str, Callable[[], float]], repeats: int) -> pd.DataFrame:
    """Call every side in turn, `repeats` times over: a row per side, its median, smallest and largest value."""
    found: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side, measure in sides.items():
            found[side].append(measure())
    rows = [[side, statistics.median(v), min(v), max(v)] for side, v in found.items()]
    return pd.DataFrame(rows, columns=["side", "median", "min", "max"])


def per_clip(
    sides: dict[str, tuple[Callable[[], object], int]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> pd.DataFrame:
    """Time calls that each work on so many clips, in turn: milliseconds per clip and clips per second, a row per side.

    clock: time.perf_counter, or time.process_time, which suffers less from other work on the machine.
    """

    def milliseconds(call: Callable[[], object], count: int) -> float:
        begun = clock()
        call()
        return 1e3 * (clock() - begun) / count

    for call, _ in sides.values():
        call()  # fills caches and imports
    result = in_turn({side: partial(milliseconds, *timed) for side, timed in sides.items()}, repeats)
    return result.rename(columns={"median": "ms_per_clip"}).assign(clips_per_second=1e3 / result["median"])


def recordings(folder: Path, count: int, suffix: str) -> pd.DataFrame:
    """The clip table of so many ten-second files of generated noise, at 16 kHz and 16 bits."""
    (folder / "fan/train").mkdir(parents=True)
    names = [f"fan/train/normal_id_00_{i:08d}.{suffix}" for i in range(count)]
    rng = np.random.default_rng(0)
    for name in names:
        soundfile.write(folder / name, rng.normal(0, 0.01, 160_000), 16000, "PCM_16")
    return clips.table(folder, [parse(name) for name in names], None)


def write(table: pd.DataFrame, out: Path, name: str, digits: int = 2) -> None:
    print(table.round(digits).to_string(index=False, na_rep=""), flush=True)
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
