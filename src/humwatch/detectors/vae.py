"""Variational autoencoder over windows of log-mel frames: the course report's model, its faults mended.

Kingma & Welling 2014, "Auto-Encoding Variational Bayes" (arXiv 1312.6114). Sizes, loss, input range and optimiser are those
of the course baseline for DCASE 2020 Task 2. Scores use the mean of the latent code, so that they are not random.
"""

import itertools
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional

from humwatch.detectors.reconstruction.base import ReconstructionDetector

LOG_VAR_RANGE = (-30.0, 20.0)  # a large learning rate would overflow its exponential: a bad score instead of none


@dataclass
class Hyperparameters:
    """window: frames per input. hidden: layer sizes.

    transform: how features come into the range of the sigmoid: "decibel", clip_low and clip_high being the dB that become 0
    and 1; or "log", for energies (scaling.LogEnergy). recipe: "report" or "fast" (training.run_epochs). precision: "fp32",
    "bf16" or "auto" (training.autocast). patience: epochs without a lower validation loss after which training ends; 0: never.
    """

    learning_rate: float = 0.001
    batch_size: int = 200
    window: int = 5
    hidden: list[int] = field(default_factory=lambda: [400, 400])
    latent: int = 20
    kl_weight: float = 0.01
    transform: str = "decibel"
    clip_low: float = -90.0
    clip_high: float = 24.0
    recipe: str = "fast"
    precision: str = "auto"
    patience: int = 0


class VAE(nn.Module):
    """inputs - hidden - (mu, log var) - hidden reversed - inputs; ReLU, sigmoid at the end.

    858,280 parameters for 640 inputs, hidden [400, 400], latent 20.
    """

    def __init__(self, inputs: int, hidden: list[int], latent: int) -> None:
        super().__init__()
        self.standardise: nn.Module = nn.Identity()
        self.encoder = _dense([inputs, *hidden])
        self.mu = nn.Linear(hidden[-1], latent)
        self.log_var = nn.Linear(hidden[-1], latent)
        self.decoder = nn.Sequential(*_dense([latent, *hidden[::-1]]), nn.Linear(hidden[0], inputs), nn.Sigmoid())

    def forward(self, x: torch.Tensor, noise: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """x: (batch, inputs); noise: (batch, latent), standard normal, or None for the mean of the latent code.

        Returns reconstruction (batch, inputs), mu and log var (batch, latent).
        """
        h = self.encoder(self.standardise(x))
        mu, log_var = self.mu(h).float(), self.log_var(h).float().clamp(*LOG_VAR_RANGE)
        z = mu if noise is None else mu + noise * torch.exp(0.5 * log_var)
        return self.decoder(z), mu, log_var


class Detector(ReconstructionDetector):
    """VAE whose score is the mean squared reconstruction error."""

    Hyperparameters = Hyperparameters

    def build(self, bins: int) -> VAE:
        hp = self.hyperparameters
        return VAE(hp.window * bins, hp.hidden, hp.latent)

    def example(self, windows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        noise = torch.zeros(len(windows), self.hyperparameters.latent, device=windows.device)
        return *super().example(windows), noise

    def loss(self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Sum of squared errors plus kl_weight times the sum of KL(q(z|x) || N(0, 1)) (Kingma & Welling, appendix B)."""
        noise = None
        if generator is not None:
            shape = len(inputs), self.hyperparameters.latent
            noise = torch.randn(shape, generator=generator, device=inputs.device)
        reconstruction, mu, log_var = self.forward(inputs, noise)
        squared = functional.mse_loss(reconstruction.float(), targets, reduction="sum")
        kl = -0.5 * (1 + log_var - mu.square() - log_var.exp()).sum()
        return squared + self.hyperparameters.kl_weight * kl

    def code(self, windows: torch.Tensor) -> torch.Tensor:
        return self.network.mu(self.network.encoder(self.network.standardise(windows)))

    def errors(self, windows: torch.Tensor) -> torch.Tensor:
        return (self.network.decoder(self.code(windows)) - windows).square_().mean(dim=1)


def _dense(sizes: list[int]) -> nn.Sequential:
    layers = [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU(inplace=True))]
    return nn.Sequential(*layers)
