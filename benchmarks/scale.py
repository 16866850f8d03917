"""A data set of 100,000 generated clips, 20 frames of 16 bins each: seconds and peak memory to write, stream, read and train.

Each step runs in a process of its own, so that its peak memory is its own; `data_mb` is what the frames alone take.
Noise stands for clips: what is measured depends on sizes alone.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from humwatch.features import store

FRAMES, BINS, IDS = 20, 16, 50


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
    """As training does: all frames in one array."""
    assert len(store.read([path])) == clips


def train(path: Path, clips: int) -> None:
    """One epoch of the default VAE, as workflow/scripts/train.py does it."""
    from humwatch.detectors import base
    from humwatch.training import split_validation

    features = store.read([path])
    held_out = split_validation(features.clips, 0.1, 0)
    parts = features.select(~held_out), features.select(held_out)
    del features
    base.detector_class("vae")(batch_size=1000, hidden=[32], latent=4).fit(*parts, base.FitContext(epochs=1))


def measured(step, path: Path, clips: int, results) -> None:
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
            for step in (write, stream, read, train):
                results = context.Queue()
                process = context.Process(target=measured, args=(step, path, clips, results))
                process.start()
                seconds, cpu, before, peak = results.get()
                process.join()
                rows.append([clips, step.__name__, data, path.stat().st_size / 1e6, seconds, cpu, before, peak])
    columns = ["clips", "step", "data_mb", "file_mb", "seconds", "cpu_seconds", "rss_before_mb", "peak_rss_mb"]
    table = pd.DataFrame(rows, columns=columns)
    print(table.round(1).to_string(index=False))
    args.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(args.out / "scale.csv", index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--clips", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder for the CSV")
    main(parser.parse_args())
