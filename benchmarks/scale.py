"""A data set of 100,000 generated clips, 20 frames of 128 bins each: seconds and peak memory to write, stream, read and train.

Each step runs in a process of its own, so that its peak memory is its own; `data_mb` is what the frames alone take.
`train_mapped` trains as if the frames were too many for memory: what of the mapped file is in memory counts as peak, but the
system takes it back where others need it (--limit-mb, as root: at most so much memory for the step, by a control group).
Noise stands for clips: what is measured depends on sizes alone.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from common import parser
from common import write as write_table

from humwatch.features import store

FRAMES, BINS, IDS = 20, 128, 50


def write(path: Path, clips: int) -> None:
    table = pd.DataFrame(
        {
            "clip": [f"fan/train/normal_id_{i % IDS:02d}_{i:08d}.wav" for i in range(clips)],
            "machine_type": "fan",
            "machine_id": [f"{i % IDS:02d}" for i in range(clips)],
            "split": "train",
            "label": 0,
            "sha256": "",
        }
    )
    rng = np.random.default_rng(0)
    frames: Iterator[np.ndarray] = (rng.normal(-30, 5, (FRAMES, BINS)).astype(np.float32) for _ in range(clips))
    store.write(path, table, frames, BINS, {}, "")


def stream(path: Path, clips: int) -> None:
    """As scoring does: a row group at a time."""
    assert sum(len(group) for group in store.groups(path)) == clips


def read(path: Path, clips: int) -> None:
    """All frames in one array."""
    assert len(store.read([path])) == clips


def train(path: Path, clips: int) -> None:
    """One epoch of a small VAE, as workflow/scripts/train.py does it."""
    from humwatch.detectors import base
    from humwatch.features.held_out import split_validation

    parts = store.read_split([path], lambda clips: split_validation(clips, 0.1, 0))
    base.detector_class("vae")(batch_size=1000, hidden=[32], latent=4).fit(*parts, base.FitContext(epochs=1))


def train_mapped(path: Path, clips: int) -> None:
    from humwatch.detectors.reconstruction import windows

    store.MAPPED_ABOVE, windows.BLOCK_BYTES = 0, 160_000_000
    train(path, clips)


def limit(megabytes: int) -> None:
    """Put this process into a control group with so much memory."""
    group = Path("/sys/fs/cgroup/memory/humwatch")  # version 1
    name = "memory.limit_in_bytes"
    if not group.parent.is_dir():
        group, name = Path("/sys/fs/cgroup/humwatch"), "memory.max"
    group.mkdir(exist_ok=True)
    (group / name).write_text(str(megabytes * 1_000_000))
    (group / "cgroup.procs").write_text(str(os.getpid()))


def measured(step, path: Path, clips: int, limit_mb: int | None, results) -> None:
    if limit_mb:
        limit(limit_mb)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun, cpu = time.perf_counter(), time.process_time()
    step(path, clips)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results.put((time.perf_counter() - begun, time.process_time() - cpu, before / 1024, peak / 1024))


def main(args: argparse.Namespace) -> None:
    rows = []
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.parquet")
        for clips in args.clips:
            data = clips * FRAMES * BINS * 4 / 1e6
            for step in (write, stream, read, train, train_mapped):
                print(f"{clips} clips: {step.__name__}", file=sys.stderr, flush=True)
                results = context.Queue()
                limited = args.limit_mb if step is train_mapped else None
                process = context.Process(target=measured, args=(step, path, clips, limited, results))
                process.start()
                seconds, cpu, before, peak = results.get()
                process.join()
                rows.append([clips, step.__name__, data, path.stat().st_size / 1e6, seconds, cpu, before, peak])
    columns = ["clips", "step", "data_mb", "file_mb", "seconds", "cpu_seconds", "rss_before_mb", "peak_rss_mb"]
    write_table(pd.DataFrame(rows, columns=columns), args.out, "scale", 1)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--clips", type=int, nargs="+", default=[10_000, 100_000])
    arguments.add_argument("--limit-mb", type=int, help="memory that train_mapped may have")
    main(arguments.parse_args())
