"""What networks on windows have in common: scaled inputs, a loss, the error of a window, a code."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from humwatch.detectors.gradient_descent import autocast, initialisation
from humwatch.detectors.reconstruction.scaling import Decibel, LogEnergy, Standardise
from humwatch.detectors.reconstruction.windows import Windows
from humwatch.features.store import Features

SCORING_BATCH = 256  # as fast as larger ones, whose temporary arrays leave larger holes in the heap


class WindowNetwork(nn.Module, ABC):
    """A network that is trained to reconstruct windows (batch, window * bins), and is wrong where they are unlike the trained.

    `forward` passes its inputs through `standardise` first; it, `errors` and `code` take windows that `scale` has scaled.
    """

    scale: Decibel | LogEnergy
    precision: str

    def __init__(self) -> None:
        super().__init__()
        self.standardise: nn.Module = nn.Identity()

    @property
    def device(self) -> str:
        """The kind of device that its weights are on, "cpu" or "cuda"."""
        return next(self.parameters()).device.type

    def noise(self, windows: Tensor, generator: torch.Generator | None) -> tuple[Any, ...]:
        """What `forward` takes beside the windows; generator None: without chance."""
        return ()

    @abstractmethod
    def loss(self, outputs: Any, targets: Tensor) -> Tensor:
        """Summed loss of what `forward` returned for a batch; targets: (batch, window * bins)."""

    @abstractmethod
    def errors(self, windows: Tensor) -> Tensor:
        """Anomaly score of each window: (batch, window * bins) -> (batch,)."""

    @abstractmethod
    def code(self, windows: Tensor) -> Tensor:
        """What the narrowest layer makes of windows: (batch, window * bins) -> (batch, size)."""

    def raw_loss(
        self,
        inputs: Tensor,
        targets: Tensor,
        generator: torch.Generator | None,
        forward: Callable[..., Any] | None = None,
    ) -> Tensor:
        """`loss` of windows as they are stored, by `forward` where it is given: the same network, compiled."""
        x = self.scale(inputs)
        with autocast(self.precision, self.device):
            outputs = (forward or self)(x, *self.noise(x, generator))
            return self.loss(outputs, x if targets is inputs else self.scale(targets))

    @torch.no_grad()
    def each(
        self, function: Callable[[Tensor], Tensor], features: Features, window: int, hop: int
    ) -> tuple[Tensor, np.ndarray]:
        """`errors` or `code` of a window every `hop` frames, (windows of all clips, ...) float32; and the windows per clip."""
        windows = Windows(features, window, self.device, hop=hop)
        numbers = torch.arange(len(windows), device=self.device)
        found = torch.empty(0)
        with autocast(self.precision, self.device):
            for batch in numbers.split(SCORING_BATCH):
                values = function(self.scale(windows.gather(batch)[0])).float()
                # One array from the start: small ones, kept between large ones, leave holes in the heap.
                if not len(found):
                    found = torch.empty((len(windows), *values.shape[1:]), device=self.device)
                found[batch] = values
        return found.cpu(), windows.per_clip


def initialised(build: Callable[[int], WindowNetwork], hyperparameters: Any, bins: int, seed: int) -> WindowNetwork:
    """A new network whose weights follow from the seed, with the scaling that the detector's hyper-parameters ask for."""
    hp = hyperparameters
    with initialisation(seed):
        network = build(bins)
    network.precision = hp.precision
    network.scale = LogEnergy(hp.window, bins) if hp.transform == "log" else Decibel(hp.clip_low, hp.clip_high)
    if hp.recipe == "fast":
        network.standardise = Standardise(hp.window * bins)
    return network
