"""Gradient descent that gives the same bytes again: the random numbers of an epoch, Adam, the precision of matrix products.

All random draws of an epoch follow from (seed, epoch) alone: a training that stops after any epoch and goes on from its saved
state ends in the same bytes as one that never stopped.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch.optim.adam import adam

RECENT = 0.1  # share of all steps so far that the weights' average spans


def generator_for(seed: int, epoch: int, device: str = "cpu") -> torch.Generator:
    """The random numbers of one epoch; epoch 0 is the initialisation."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state))


@contextlib.contextmanager
def initialisation(seed: int) -> Iterator[None]:
    """Draw a network's first weights within this context, so that they follow from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator_for(seed, 0).initial_seed())
        yield


class Optimizer:
    """Adam, or AdamW, and a running average of the weights.

    The average after step t gains 1 / (RECENT * t) of the step's weights, so that it spans the last tenth of the training
    however long that is: what a falling learning rate would do, but without knowing the last epoch.

    This is torch's functional form of Adam: its class imports all of torch.compile, more than a second in every job.

    Parameters
    ----------
    averaged
        Keep a running average of the weights beside those that are trained.
    weight_decay
        Of AdamW; 0 is Adam.

    References
    ----------
    Kingma & Ba 2015, "Adam: A Method for Stochastic Optimization".
    Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization".
    Polyak & Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging".
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
    """A context in which matrix products are computed in bfloat16, or as they are."""
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


def tensors(arrays: dict[str, np.ndarray], prefix: str = "") -> dict[str, torch.Tensor]:
    """The arrays whose names begin with `prefix`, as tensors, without it."""
    return {key.removeprefix(prefix): torch.from_numpy(a) for key, a in arrays.items() if key.startswith(prefix)}
