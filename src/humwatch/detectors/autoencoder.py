"""Dense autoencoder over windows of log-mel frames: the official baseline of DCASE 2020 Task 2.

Koizumi et al. 2020, "Description and Discussion on DCASE2020 Challenge Task2: Unsupervised Detection of Anomalous Sounds for
Machine Condition Monitoring" (arXiv 2006.05822). Haunschmid & Praher 2020 score the same network by the standard deviation of
its errors over time: `score: std`.
"""

import itertools
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional

from humwatch.detectors.reconstruction.base import ReconstructionDetector


@dataclass
class Hyperparameters:
    """window: frames per input. hidden: sizes of the encoder's layers, mirrored in the decoder. bottleneck: size of the code.

    transform, clip_low, clip_high, recipe, precision, patience: as of the VAE. The published baseline takes dB
    unscaled; batch normalisation makes up for it.
    """

    learning_rate: float = 0.001
    batch_size: int = 512
    window: int = 5
    hidden: list[int] = field(default_factory=lambda: [128, 128, 128, 128])
    bottleneck: int = 8
    transform: str = "decibel"
    clip_low: float = -90.0
    clip_high: float = 24.0
    recipe: str = "report"
    precision: str = "auto"
    patience: int = 0


class Autoencoder(nn.Module):
    """inputs - 128 x 4 - 8 - 128 x 4 - inputs; batch normalisation and ReLU after every layer but the last.

    momentum: what each step adds to batch normalisation's running averages.
    """

    def __init__(self, inputs: int, hidden: list[int], bottleneck: int, momentum: float = 0.01) -> None:
        super().__init__()
        self.standardise: nn.Module = nn.Identity()
        sizes = [inputs, *hidden, bottleneck, *hidden[::-1]]
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(sizes):
            layers += [nn.Linear(a, b), nn.BatchNorm1d(b, momentum=momentum, eps=1e-3), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], inputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(self.standardise(x))  # (batch, inputs)


class Detector(ReconstructionDetector):
    """Autoencoder whose score is the mean squared reconstruction error."""

    Hyperparameters = Hyperparameters

    def build(self, bins: int) -> Autoencoder:
        hp = self.hyperparameters
        # Keras's 0.99 has hardly begun after the few steps of recipe fast.
        momentum = 0.1 if hp.recipe == "fast" else 0.01
        return Autoencoder(hp.window * bins, hp.hidden, hp.bottleneck, momentum)

    def loss(self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        return functional.mse_loss(self.forward(inputs).float(), targets, reduction="sum")

    def code(self, windows: torch.Tensor) -> torch.Tensor:
        return self.network.layers[: 3 * (len(self.hyperparameters.hidden) + 1)](self.network.standardise(windows))

    def errors(self, windows: torch.Tensor) -> torch.Tensor:
        return (self.network(windows) - windows).square().mean(dim=1)
