"""Interpolation DNN: predicts the middle frame of a window from its neighbours.

Suefusa et al. 2020, "Anomalous Sound Detection Based on Interpolation Deep Neural Network" (ICASSP 2020). A frame that its
neighbours do not foretell is anomalous, while noise that nothing foretells costs normal and anomalous clips the same.
"""

import itertools
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional

from humwatch.detectors.reconstruction.base import ReconstructionDetector
from humwatch.errors import InputError


@dataclass
class Hyperparameters:
    """window: frames, an odd number; its middle one is predicted. hidden: layer sizes.

    transform, clip_low, clip_high, recipe, precision, patience: as of the VAE.
    """

    learning_rate: float = 0.001
    batch_size: int = 512
    window: int = 5
    hidden: list[int] = field(default_factory=lambda: [64, 32, 16, 32, 64])
    transform: str = "decibel"
    clip_low: float = -90.0
    clip_high: float = 24.0
    recipe: str = "fast"
    precision: str = "auto"
    patience: int = 0


class Interpolation(nn.Module):
    """(window - 1) * bins - hidden - bins, with ReLU between."""

    def __init__(self, window: int, bins: int, hidden: list[int]) -> None:
        super().__init__()
        self.standardise: nn.Module = nn.Identity()
        before = window // 2 * bins
        self.middle = slice(before, before + bins)
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise([(window - 1) * bins, *hidden]):
            layers += [nn.Linear(a, b), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden[-1], bins))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (batch, window * bins), of which the middle frame is not looked at. Returns (batch, bins)."""
        return self.layers(self.around(x))

    def around(self, x: torch.Tensor) -> torch.Tensor:
        """All frames but the middle one, standardised: (batch, (window - 1) * bins)."""
        x = self.standardise(x)
        return torch.cat([x[:, : self.middle.start], x[:, self.middle.stop :]], dim=1)


class Detector(ReconstructionDetector):
    """IDNN whose score is the mean squared error of the predicted middle frames."""

    Hyperparameters = Hyperparameters
    fast_hop = 1  # a window's error is that of its middle frame alone

    def build(self, bins: int) -> Interpolation:
        hp = self.hyperparameters
        if hp.window % 2 == 0 or hp.window < 3:
            raise InputError(f"config: window is {hp.window}, idnn needs an odd number of frames, 3 or more")
        return Interpolation(hp.window, bins, hp.hidden)

    def loss(self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        return functional.mse_loss(self.forward(inputs).float(), targets[:, self.network.middle], reduction="sum")

    def code(self, windows: torch.Tensor) -> torch.Tensor:
        hidden = self.hyperparameters.hidden
        return self.network.layers[: 2 * (hidden.index(min(hidden)) + 1)](self.network.around(windows))

    def errors(self, windows: torch.Tensor) -> torch.Tensor:
        return (self.network(windows) - windows[:, self.network.middle]).square().mean(dim=1)
