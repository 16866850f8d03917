"""The training loop of all detectors that learn by gradient descent over windows, and the split that it validates on.

The order of batches and all noise of an epoch follow from (seed, epoch) alone: a training that stops after any epoch and
goes on from its saved state ends in the same bytes as one that never stopped.
"""

import contextlib
import copy
import logging
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.optim.adam import adam

from humwatch.detectors.base import FitContext
from humwatch.detectors.reconstruction.windows import Windows

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Generator | None], torch.Tensor]
VALIDATION_BATCH = 2048
RECENT = 0.1  # share of all steps so far that the weights' average spans
COMPILED_STEPS = 1000  # steps of an epoch from which compiling pays

log = logging.getLogger("humwatch")


def generator_for(seed: int, epoch: int, device: str = "cpu") -> torch.Generator:
    """The random numbers of one epoch; epoch 0 is the initialisation."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state))


class Optimizer:
    """Adam (Kingma & Ba 2015), with `weight_decay` AdamW (Loshchilov & Hutter 2019).

    With `averaged`, it keeps a running average of the weights beside those that it trains.

    The average after step t gains 1 / (RECENT * t) of the step's weights, so that it spans the last tenth of the training
    however long that is: what a falling learning rate would do, but without knowing the last epoch (Polyak & Juditsky 1992).

    torch's functional form of Adam: its class imports all of torch.compile, more than a second in every job.
    """

    def __init__(
        self, network: torch.nn.Module, learning_rate: float, averaged: bool = False, weight_decay: float = 0.0
    ) -> None:
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.parameters: list[torch.Tensor] = list(network.parameters())
        self.moments: dict[str, list[torch.Tensor]] = {
            "step": [torch.zeros((), device=p.device) for p in self.parameters],
            "exp_avg": [torch.zeros_like(p) for p in self.parameters],
            "exp_avg_sq": [torch.zeros_like(p) for p in self.parameters],
        }
        self.steps = 0
        self.trained = [t for t in network.state_dict().values() if t.is_floating_point()] if averaged else []
        self.average = [t.clone() for t in self.trained]

    @torch.no_grad()
    def step(self) -> None:
        """Move the weights by their gradients, and forget those."""
        adam(
            self.parameters,
            [p.grad if p.grad is not None else torch.zeros_like(p) for p in self.parameters],
            self.moments["exp_avg"],
            self.moments["exp_avg_sq"],
            [],
            self.moments["step"],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            decoupled_weight_decay=True,
            eps=1e-8,
            maximize=False,
        )
        for p in self.parameters:
            p.grad = None
        self.steps += 1
        if self.average:
            torch._foreach_lerp_(self.average, self.trained, min(1.0, 1 / (RECENT * self.steps)))

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the network's weights and their average: from one to the other, and back."""
        for trained, average in zip(self.trained, self.average, strict=True):
            kept = trained.clone()
            trained.copy_(average)
            average.copy_(kept)

    def state(self) -> dict[str, np.ndarray]:
        """Moments and step counts, and the weights or the average, whichever the network does not hold now."""
        lists = self.moments | {"swapped": self.average}
        return {f"{i}.{name}": t.cpu().numpy() for name, tensors in lists.items() for i, t in enumerate(tensors)}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Take back what `state` returned."""
        lists = self.moments | {"swapped": self.average}
        for key, array in state.items():
            i, name = key.split(".", 1)
            lists[name][int(i)].copy_(torch.from_numpy(array))
        self.steps = int(self.moments["step"][0].item())


def autocast(precision: str, device: str) -> contextlib.AbstractContextManager:
    """Where matrix products are computed, in bfloat16 or as they are."""
    if resolved(precision, device) == "bf16":
        return torch.autocast(device, torch.bfloat16)
    return contextlib.nullcontext()


def resolved(precision: str, device: str) -> str:
    """What a precision means here: "auto" is "bf16" where the processor has instructions for it, else "fp32"."""
    if precision == "auto":
        if device == "cpu":
            has = torch.cpu.get_capabilities()
            fast = has.get("amx_bf16", False) or has.get("avx512_bf16", False)
        else:
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bf16" if fast else "fp32"
    return precision


def on_gpu(device: str) -> bool:
    """Whether the host only launches what the device computes."""
    return device != "cpu"


def compiled(network: torch.nn.Module, *example: Any) -> Callable[..., Any]:
    """The network as one compiled step without launches from the host (CUDA graphs); as it is where that cannot be made.

    example: arguments of one training step, as later ones will be.
    """
    before = copy.deepcopy(network.state_dict())
    made: Callable[..., Any] = network
    try:
        made = torch.compile(network, mode="reduce-overhead")
        outputs = made(*example)
        sum(o.float().sum() for o in (outputs if isinstance(outputs, tuple) else (outputs,))).backward()
    except Exception as error:  # whatever the compiler lacks: a C compiler, a driver, the GPU's generation
        log.warning(
            "training goes on uncompiled, as the network cannot be compiled here: %s", str(error).split("\n")[0]
        )
        made = network
    network.load_state_dict(before)  # batch normalisation has learnt from the example
    network.zero_grad()
    return made


def run_epochs(
    network: torch.nn.Module,
    optimizer: Optimizer,
    loss: Loss,
    train: Windows,
    validation: Windows,
    batch_size: int,
    first_epoch: int,
    context: FitContext,
    recipe: str = "report",
    stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Train from `first_epoch` to `context.epochs`, reporting after each. Returns whether the loss stayed finite.

    It ends before an epoch for which `stopped` says so.

    loss: inputs and targets, each (batch, values), and the noise's generator (None: no noise) -> summed loss of the batch.
    recipe: "report": all windows in each epoch. "fast": windows that do not overlap, others in each epoch, and the average of
    the optimiser's weights is what is validated and reported (inputs are standardised besides: detectors.reconstruction).
    """
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
            batch_loss = loss(*train.gather(batch), generator)
            batch_loss.backward()
            optimizer.step()
            total += batch_loss.detach()
        optimizer.swap()
        network.eval()
        row = {
            "train_loss": total.item() / len(order),
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
    total = torch.zeros((), dtype=torch.float64, device=windows.first.device)
    for batch in torch.arange(len(windows), device=windows.first.device).split(VALIDATION_BATCH):
        total += loss(*windows.gather(batch), None)
    return total.item() / len(windows) if len(windows) else math.nan
