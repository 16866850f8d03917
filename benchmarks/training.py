"""Windows per second of VAE training: ours, the course baseline's loop, and the bound of the matrix products alone.

The course loop is re-implemented from its description: windows stacked into one float64 array, a Dataset that returns one item
at a time, PyTorch's default collation, a cast to float32 per batch, unfused Adam. All sides train the same network on the same
generated frames, timed in turn in one run; a side by side run starts as many single-thread trials as there are cores, and its
throughput is that of all of them. Medians over rounds, with quartiles. `times_course`, the median ratio within rounds, compares
with the course loop run in the same way, `times_course_best` with the best that the course loop reaches with one trial on this
machine, whatever its threads.

Clips per second: training clips heard once. Recipe fast hears a clip in a fifth of its windows, all others in all of them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator

import common
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from humwatch.detectors.gradient_descent import Optimizer, autocast, generator_for
from humwatch.detectors.reconstruction import specaugment as augment
from humwatch.detectors.reconstruction.windows import Windows
from humwatch.detectors.vae import Detector
from humwatch.features.store import Features

FRAMES, BINS, WINDOW = 313, 128, 5
COPIES = 10
WINDOWS_PER_ROUND = 2000


def features(clips: int) -> Features:
    values = np.random.default_rng(0).normal(-40, 10, (clips, FRAMES, BINS)).astype(np.float32)
    table = pd.DataFrame({"clip": [f"{i}.wav" for i in range(clips)], "machine_type": "x", "machine_id": "00"})
    return Features.of(values, table, {})


def detector(**hyperparameters) -> Detector:
    made = Detector(**hyperparameters)
    made.feature = {"bins": BINS}
    made.network = made._initialised(0)
    return made


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


def course(made: Features, batch_size: int) -> Iterator[None]:
    """The course baseline's loop, for ever; as the others, it yields after each step."""
    network = detector().network
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, foreach=False, fused=False)
    loader = DataLoader(CourseDataset(made), batch_size=batch_size, shuffle=True, drop_last=True)
    while True:
        for batch in loader:
            x = batch.float()
            reconstruction, mu, log_var = network(x, torch.randn(len(x), 20))
            kl = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
            loss = ((reconstruction - x) ** 2).sum() + 0.01 * kl
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
            yield


def ours(made: Features, batch_size: int, recipe="report", precision="auto", masks=None) -> Iterator[None]:
    """The loop of humwatch.detectors.reconstruction.training.run_epochs."""
    trained = detector(recipe=recipe, precision=precision)
    windows, generator = Windows(made, WINDOW, masks=masks), generator_for(0, 1)
    optimizer = Optimizer(trained.network, 1e-3, averaged=recipe == "fast")
    while True:
        order = windows.apart(generator) if recipe == "fast" else windows.all(generator)
        for batch in order[: len(order) // batch_size * batch_size].split(batch_size):
            trained.network.raw_loss(*windows.gather(batch), generator).backward()
            optimizer.step()
            yield


def masked(made: Features, batch_size: int) -> Iterator[None]:
    names = made.clips["clip"].tolist()
    settings = augment.SpecAugment(COPIES, 1, 16, 1, 32)
    return ours(made, batch_size, masks=augment.draw(names, np.diff(made.starts), BINS, settings))


def bound(made: Features, batch_size: int, dtype: torch.dtype = torch.float32) -> Iterator[None]:
    """The products of forward and backward, nothing else: three per layer, two for the first."""
    layers = [m for m in detector().network.modules() if isinstance(m, torch.nn.Linear)]
    weights = [layer.weight.detach().to(dtype) for layer in layers]
    inputs = [torch.randn(batch_size, w.shape[1]).to(dtype) for w in weights]
    outputs = [torch.randn(batch_size, w.shape[0]).to(dtype) for w in weights]
    while True:
        for i, (w, x, y) in enumerate(zip(weights, inputs, outputs, strict=True)):
            x @ w.T
            y.T @ x
            if i:
                y @ w
        yield


SIDES = {
    "course loop": course,
    "humwatch, report, fp32": lambda made, batch: ours(made, batch, precision="fp32"),
    "humwatch, fast": lambda made, batch: ours(made, batch, recipe="fast"),
    f"humwatch, report, {COPIES} masked copies": masked,
    "matrix products alone, fp32": bound,
}
if autocast("auto", "cpu").__class__ is torch.autocast:
    SIDES["humwatch, report, bf16"] = ours
    SIDES["matrix products alone, bf16"] = lambda made, batch: bound(made, batch, torch.bfloat16)


def measure(sides: Iterable[str], batch_size: int, rounds: int, threads: int) -> dict[str, list[float]]:
    """Windows per second of each side in each round, a few steps of every side in turn.

    Seconds are CPU time where one thread computes, so that other work on the machine disturbs less.
    """
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    made = features(max(40, batch_size // 50))
    loops = {side: SIDES[side](made, batch_size) for side in sides}
    steps = max(2, WINDOWS_PER_ROUND // batch_size)
    found: dict[str, list[float]] = {side: [] for side in loops}
    for n in range(rounds + 1):
        for side, loop in loops.items():
            begun = clock()
            for _ in range(steps):
                next(loop)
            if n:  # the first round warms
                found[side].append(steps * batch_size / (clock() - begun))
    return found


def side_by_side(batch_size: int, rounds: int, processes: int) -> dict[str, list[float]]:
    """The sum over single-thread processes that run at the same time."""
    command = [sys.executable, __file__, "--one", str(batch_size), str(rounds)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(processes)]
    found = [json.loads(process.communicate()[0]) for process in running]
    return {side: [sum(rates) for rates in zip(*(one[side] for one in found), strict=True)] for side in SIDES}


def main(args: argparse.Namespace) -> None:
    cores = len(os.sched_getaffinity(0))
    rows = []
    for batch_size in args.batch_sizes:
        runs = {
            "1 thread": measure(SIDES, batch_size, args.rounds, 1),
            f"{cores} threads": measure(SIDES, batch_size, args.rounds, cores),
            f"{cores} trials side by side": side_by_side(batch_size, args.rounds, cores),
        }
        best = max(statistics.median(found["course loop"]) for found in list(runs.values())[:2])
        for how, found in runs.items():
            for side, rates in found.items():
                low, middle, high = np.quantile(rates, [0.25, 0.5, 0.75])
                clips = middle / (FRAMES - WINDOW + 1) * (WINDOW if "fast" in side else 1)
                ratio = statistics.median(a / b for a, b in zip(rates, found["course loop"], strict=True))
                rows.append([batch_size, how, side, middle, low, high, clips, ratio, middle / best])
    columns = ["batch", "how", "side", "windows_per_second", "quartile_1", "quartile_3", "clips_per_second"]
    result = pd.DataFrame(rows, columns=[*columns, "times_course", "times_course_best"])
    common.write(result, args.out, "training")


if __name__ == "__main__":
    parser = common.parser(__doc__)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[100, 200, 1000])
    parser.add_argument("--rounds", type=int, default=25, help="of a fifth of a second per side")
    parser.add_argument("--one", type=int, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(SIDES, *arguments.one, threads=1)))
    else:
        main(arguments)
