"""Clips per second of feature extraction against a loop over librosa: reading WAV and writing Parquet included on both sides.

Both sides are timed in turn, several times in one run; the ratio is that of the medians. The clips are generated.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # per core

import librosa
import numpy as np
import pandas as pd
import soundfile

from humwatch import clips
from humwatch.datasets.directory import parse
from humwatch.features import store
from humwatch.features.extract import extract
from humwatch.features.logmel import LogMel
from humwatch.progress import Progress


def librosa_loop(folder: Path, table: pd.DataFrame, out: Path) -> None:
    """What users write today."""
    frames = []
    for clip in table["clip"]:
        samples, rate = librosa.load(folder / clip, sr=None, mono=True)
        mel = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=1024, hop_length=512, n_mels=128, power=2.0)
        frames.append((10 * np.log10(mel + np.finfo(float).eps)).T)
    store.write(out, table, frames, 128, {}, "")


def ours(folder: Path, table: pd.DataFrame, out: Path, threads: int) -> None:
    extract(folder, table, LogMel(), 0, out, Progress("clips", len(table)), threads)


def main(args: argparse.Namespace) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for suffix in ("wav", "flac"):
            (folder / suffix / "fan/train").mkdir(parents=True)
            rng = np.random.default_rng(0)
            for i in range(args.clips):
                samples = rng.normal(0, 0.01, 160_000)
                soundfile.write(folder / suffix / f"fan/train/normal_id_00_{i:08d}.{suffix}", samples, 16000, "PCM_16")
            names = [parse(f"fan/train/normal_id_00_{i:08d}.{suffix}") for i in range(args.clips)]
            table = clips.table(folder / suffix, names, None)
            cores = len(os.sched_getaffinity(0))
            sides = {
                "librosa, one core": lambda f=folder / suffix, t=table: librosa_loop(f, t, folder / "a.parquet"),
                "humwatch, one core": lambda f=folder / suffix, t=table: ours(f, t, folder / "b.parquet", 1),
                f"humwatch, {cores} cores": lambda f=folder / suffix, t=table, n=cores: ours(
                    f, t, folder / "b.parquet", n
                ),
            }
            times: dict[str, list[float]] = {side: [] for side in sides}
            for repeat in range(args.repeats + 1):
                for side, run in sides.items():
                    begun = time.perf_counter()
                    run()
                    if repeat:  # the first round warms caches and imports
                        times[side].append((time.perf_counter() - begun) / args.clips * 1e3)
            base = statistics.median(times["librosa, one core"])
            for side, values in times.items():
                middle = statistics.median(values)
                rows.append([suffix, side, middle, min(values), max(values), 1e3 / middle, base / middle])
    result = pd.DataFrame(
        rows, columns=["format", "side", "ms_per_clip", "min", "max", "clips_per_second", "times_librosa"]
    )
    print(result.round(2).to_string(index=False))
    args.out.mkdir(parents=True, exist_ok=True)
    result.to_csv(args.out / "features.csv", index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--clips", type=int, default=100, help="ten-second clips")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder for the CSV")
    main(parser.parse_args())
