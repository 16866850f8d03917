"""The training loop of networks on windows."""

import copy
import logging
import math
import time
from collections.abc import Callable
from typing import Any

import torch

from humwatch.detectors.base import FitContext
from humwatch.detectors.gradient_descent import Optimizer, autocast, generator_for
from humwatch.detectors.reconstruction.base import BATCH
from humwatch.detectors.reconstruction.network import WindowNetwork
from humwatch.detectors.reconstruction.windows import Windows

COMPILED_STEPS = 1000  # steps of an epoch from which compiling pays

log = logging.getLogger("humwatch")


def run_epochs(
    network: WindowNetwork,
    optimizer: Optimizer,
    train: Windows,
    validation: Windows,
    batch_size: int,
    first_epoch: int,
    context: FitContext,
    recipe: str = "report",
    stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Train from `first_epoch` to `context.epochs`.

    Parameters
    ----------
    recipe
        "report": all windows in each epoch. "fast": windows that do not overlap, others in each epoch, and the average of the
        optimiser's weights is what is validated (inputs are standardised besides: `WindowNetwork`).
    stopped
        Asked before each epoch whether training ends there.

    Returns
    -------
    bool
        Whether the loss stayed finite.
    """
    forward: Callable[..., Any] = network
    if on_gpu(context.device) and len(train) >= COMPILED_STEPS * batch_size:
        forward = compiled(network.train(), train.gather(torch.arange(batch_size, device=context.device))[0])
    for epoch in range(first_epoch, context.epochs + 1):
        if stopped():
            break
        begun = time.perf_counter()
        generator = generator_for(context.seed, epoch, context.device)
        order = train.apart(generator) if recipe == "fast" else train.all(generator)
        network.train()
        total = torch.zeros((), dtype=torch.float64, device=context.device)
        optimizer.swap()
        for batch in order.split(batch_size):
            if len(batch) == 1 < batch_size:
                continue  # batch normalisation cannot learn from one window
            # What is compiled is compiled for whole batches.
            batch_loss = network.raw_loss(
                *train.gather(batch), generator, forward if len(batch) == batch_size else network
            )
            batch_loss.backward()
            optimizer.step()
            total += batch_loss.detach()
        optimizer.swap()
        network.eval()
        row = {
            "train_loss": total.item() / len(order),
            "val_loss": mean_loss(network, validation),
            "seconds": time.perf_counter() - begun,
        }
        context.on_epoch(epoch, row)
        if not math.isfinite(row["train_loss"]):
            return False
    return True


@torch.no_grad()
def mean_loss(network: WindowNetwork, windows: Windows) -> float:
    """Loss per window without noise; NaN where there are no windows."""
    total = torch.zeros((), dtype=torch.float64, device=windows.first.device)
    for batch in torch.arange(len(windows), device=windows.first.device).split(BATCH):
        total += network.raw_loss(*windows.gather(batch), None)
    return total.item() / len(windows) if len(windows) else math.nan


def on_gpu(device: str) -> bool:
    """Whether the host only launches what the device computes."""
    return device != "cpu"


def compiled(network: WindowNetwork, windows: torch.Tensor) -> Callable[..., Any]:
    """The network as one compiled step without launches from the host (CUDA graphs); as it is where that cannot be made.

    Parameters
    ----------
    windows : (batch, window * bins)
        A batch as later ones will be.
    """
    before = copy.deepcopy(network.state_dict())
    made: Callable[..., Any] = network
    try:
        made = torch.compile(network, mode="reduce-overhead")
        with autocast(network.precision, network.device):
            x = network.scale(windows)
            outputs = made(x, *network.noise(x, torch.Generator(x.device)))
            sum(o.float().sum() for o in (outputs if isinstance(outputs, tuple) else (outputs,))).backward()
    except Exception as error:  # whatever the compiler lacks: a C compiler, a driver, the GPU's generation
        log.warning(
            "training goes on uncompiled, as the network cannot be compiled here: %s", str(error).split("\n")[0]
        )
        made = network
    network.load_state_dict(before)  # batch normalisation has learnt from the example
    network.zero_grad()
    return made
