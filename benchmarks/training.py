"""Windows per second of VAE training: ours, the course baseline's loop, and the bound of the matrix products alone.

The course loop is re-implemented from its description: windows stacked into one float64 array, a Dataset that returns one item
at a time, PyTorch's default collation, a cast to float32 per batch, unfused Adam. All sides train the same network on the same
generated frames, timed in turn in one run; a side by side run starts as many single-thread trials as there are cores.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from humwatch import augment
from humwatch.detectors.vae import Detector
from humwatch.features.store import Features
from humwatch.training import make_optimizer
from humwatch.windows import Windows

FRAMES, BINS, WINDOW = 313, 128, 5


def features(clips: int) -> Features:
    values = np.random.default_rng(0).normal(-40, 10, (clips * FRAMES, BINS)).astype(np.float32)
    table = pd.DataFrame({"clip": [f"{i}.wav" for i in range(clips)], "machine_type": "x", "machine_id": "00"})
    return Features(values, np.arange(clips + 1) * FRAMES, table, {})


class CourseDataset(Dataset):
    """All windows as float64, one at a time."""

    def __init__(self, made: Features) -> None:
        windows = [
            np.lib.stride_tricks.sliding_window_view(made.clip(i), (WINDOW, BINS))[:, 0].reshape(-1, WINDOW * BINS)
            for i in range(len(made))
        ]
        self.windows = ((np.concatenate(windows).astype(np.float64) + 90) / 114).clip(0, 1)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, i: int) -> np.ndarray:
        return self.windows[i]


def course(detector: Detector, made: Features, batch_size: int, steps: int) -> None:
    network, generator = detector.network, torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, foreach=False, fused=False)
    loader = DataLoader(CourseDataset(made), batch_size=batch_size, shuffle=True)
    for step, batch in enumerate(loader):
        x = batch.float()
        reconstruction, mu, log_var = network(x, generator)
        kl = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
        loss = ((reconstruction - x) ** 2).sum() + 0.01 * kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()
        if step + 1 == steps:
            return


def ours(detector: Detector, made: Features, batch_size: int, steps: int, masks: pd.DataFrame | None = None) -> None:
    windows, generator = Windows(made, WINDOW, masks=masks), torch.Generator().manual_seed(0)
    optimizer = make_optimizer(detector.network, 1e-3)
    order = torch.randperm(len(windows), generator=generator)
    for step, batch in enumerate(order.split(batch_size)):
        loss = detector.loss(*windows.gather(batch), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield
        if step + 1 == steps:
            return


def masked(detector: Detector, made: Features, batch_size: int, steps: int) -> None:
    names = made.clips["clip"].tolist()
    table = augment.draw(names, np.diff(made.starts), BINS, augment.SpecAugment(10, 2, 16, 2, 32))
    return ours(detector, made, batch_size, steps, table)


def bound(detector: Detector, made: Features, batch_size: int, steps: int) -> None:
    """The products of forward and backward, nothing else: three per layer, two for the first."""
    layers = [m for m in detector.network.modules() if isinstance(m, torch.nn.Linear)]
    weights = [layer.weight.detach() for layer in layers]
    inputs = [torch.randn(batch_size, w.shape[1]) for w in weights]
    outputs = [torch.randn(batch_size, w.shape[0]) for w in weights]
    for _ in range(steps):
        for i, (w, x, y) in enumerate(zip(weights, inputs, outputs, strict=True)):
            x @ w.T
            y.T @ x
            if i:
                y @ w
        yield


SIDES = {"course loop": course, "humwatch": ours, "humwatch, 10 masked copies": masked, "matrix products alone": bound}


def measure(side: str, batch_size: int, seconds: float, threads: int) -> float:
    """Windows per second over some seconds, after a few warming steps."""
    torch.set_num_threads(threads)
    made = features(max(40, batch_size // 50))
    detector = Detector()
    detector.feature = {"bins": BINS}
    detector.network = detector.build(BINS)
    done, begun = 0, None
    while True:
        for _ in SIDES[side](detector, made, batch_size, 10**9):
            if begun is None and done == 3:
                begun, done = time.perf_counter(), 0
            done += 1
            if begun and time.perf_counter() - begun > seconds:
                return done * batch_size / (time.perf_counter() - begun)


def side_by_side(side: str, batch_size: int, seconds: float, processes: int) -> float:
    command = [sys.executable, __file__, "--one", side, str(batch_size), str(seconds)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        for _ in range(processes)
    ]
    return sum(float(process.communicate()[0]) for process in running)


def main(args: argparse.Namespace) -> None:
    cores = len(os.sched_getaffinity(0))
    rows = []
    for batch_size in args.batch_sizes:
        runs = {
            "1 thread": lambda side, b=batch_size: measure(side, b, args.seconds, 1),
            f"{cores} threads": lambda side, b=batch_size: measure(side, b, args.seconds, cores),
            f"{cores} trials side by side": lambda side, b=batch_size: side_by_side(side, b, args.seconds, cores),
        }
        found: dict[tuple[str, str], list[float]] = {}
        for _ in range(args.repeats):
            for how, run in runs.items():
                for side in SIDES:
                    found.setdefault((how, side), []).append(run(side))
        for (how, side), values in found.items():
            base = statistics.median(found[how, "course loop"])
            middle = statistics.median(values)
            rows.append([batch_size, how, side, middle, min(values), max(values), middle / base])
    result = pd.DataFrame(rows, columns=["batch", "how", "side", "windows_per_second", "min", "max", "times_course"])
    print(result.round(2).to_string(index=False))
    args.out.mkdir(parents=True, exist_ok=True)
    result.to_csv(args.out / "training.csv", index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[100, 200, 1000])
    parser.add_argument("--seconds", type=float, default=3.0, help="per measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder for the CSV")
    arguments = parser.parse_args()
    if arguments.one:
        name, batch, duration = arguments.one
        print(measure(name, int(batch), float(duration), 1))
    else:
        main(arguments)
