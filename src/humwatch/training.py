"""The training loop of all detectors that learn by gradient descent over windows, and the split that it validates on.

The order of batches and all noise of an epoch follow from (seed, epoch) alone: a training that stops after any epoch and
goes on from its saved state ends in the same bytes as one that never stopped.
"""

import hashlib
import inspect
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

from humwatch.detectors.base import FitContext
from humwatch.windows import Windows

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Generator | None], torch.Tensor]
VALIDATION_BATCH = 2048


def split_validation(clips: pd.DataFrame, fraction: float, seed: int) -> np.ndarray:
    """Which training clips are held out: (clips,) bool, `fraction` of every machine id's, at least one where it has two.

    A clip's place in the draw is a hash of its name, so that new clips move few of the old ones.
    """
    draw = [hashlib.sha256(f"{seed} {clip}".encode()).digest() for clip in clips["clip"]]
    held_out = np.zeros(len(clips), bool)
    for rows in clips.groupby(["machine_type", "machine_id"]).indices.values():
        count = max(round(fraction * len(rows)), 1 if len(rows) > 1 else 0)
        held_out[sorted(rows, key=lambda row: draw[row])[:count]] = True
    return held_out


def generator_for(seed: int, epoch: int, device: str = "cpu") -> torch.Generator:
    """The random numbers of one epoch; epoch 0 is the initialisation."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state))


def quick_start(optimizer: type[torch.optim.Optimizer]) -> Any:
    """The optimiser without its guards against torch.compile, which import all of that: more than a second in every job."""
    names = ("step", "add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in names}
    methods["step"] = torch.no_grad()(methods["step"])
    return type(optimizer.__name__, (optimizer,), methods)


def make_optimizer(network: torch.nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    return quick_start(torch.optim.Adam)(network.parameters(), lr=learning_rate, fused=True)


def run_epochs(
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    train: Windows,
    validation: Windows,
    batch_size: int,
    first_epoch: int,
    context: FitContext,
) -> bool:
    """Train from `first_epoch` to `context.epochs`, reporting after each. Returns whether the loss stayed finite.

    loss: inputs and targets, each (batch, values), and the noise's generator (None: no noise) -> summed loss of the batch.
    """
    for epoch in range(first_epoch, context.epochs + 1):
        begun = time.perf_counter()
        generator = generator_for(context.seed, epoch, context.device)
        order = torch.randperm(len(train), generator=generator, device=context.device)
        network.train()
        total = torch.zeros((), dtype=torch.float64, device=context.device)
        for batch in order.split(batch_size):
            if len(batch) == 1 < batch_size:
                continue  # batch normalisation cannot learn from one window
            batch_loss = loss(*train.gather(batch), generator)
            optimizer.zero_grad()
            batch_loss.backward()
            optimizer.step()
            total += batch_loss.detach()
        network.eval()
        row = {
            "train_loss": total.item() / len(train),
            "val_loss": mean_loss(loss, validation),
            "seconds": time.perf_counter() - begun,
        }
        context.report(epoch, row)
        if not math.isfinite(row["train_loss"]):
            return False
    return True


@torch.no_grad()
def mean_loss(loss: Loss, windows: Windows) -> float:
    """Loss per window without noise; NaN where there are no windows."""
    total = 0.0
    for batch in torch.arange(len(windows), device=windows.first.device).split(VALIDATION_BATCH):
        total += loss(*windows.gather(batch), None).item()
    return total / len(windows) if len(windows) else math.nan
