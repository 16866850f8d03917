"""What networks on windows have in common while they are trained: scaled inputs, a loss."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from humwatch.detectors.gradient_descent import autocast, initialisation
from humwatch.detectors.reconstruction.scaling import Decibel, LogEnergy, Standardise


class WindowNetwork(nn.Module, ABC):
    """A network that is trained to reconstruct windows, and errs where they are unlike those that it was trained on.

    `forward` takes windows, (batch, window * bins), that `scale` has scaled, and passes them through `standardise` first.
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
        """What `forward` takes beside the windows; without chance where the generator is None."""
        return ()

    @abstractmethod
    def loss(self, outputs: Any, targets: Tensor) -> Tensor:
        """Summed loss of what `forward` returned for a batch.

        Parameters
        ----------
        targets : (batch, window * bins)
        """

    def raw_loss(
        self,
        inputs: Tensor,
        targets: Tensor,
        generator: torch.Generator | None,
        forward: Callable[..., Any] | None = None,
    ) -> Tensor:
        """The `loss` of windows as they are stored.

        Parameters
        ----------
        inputs, targets : (batch, window * bins)
        forward
            The same network, compiled; None: as it is.
        """
        x = self.scale(inputs)
        with autocast(self.precision, self.device):
            outputs = (forward or self)(x, *self.noise(x, generator))
            return self.loss(outputs, x if targets is inputs else self.scale(targets))


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
