"""Variational autoencoder (Kingma & Welling 2014, "Auto-Encoding Variational Bayes", arXiv 1312.6114)."""

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from humwatch.detectors.reconstruction.network import WindowNetwork

LOG_VAR_RANGE = (-30.0, 20.0)  # a large learning rate would overflow its exponential: a bad score instead of none


class VAE(WindowNetwork):
    """inputs - hidden - (mu, log var) - hidden reversed - inputs; ReLU, sigmoid at the end.

    858,280 parameters for 640 inputs, hidden [400, 400], latent 20.

    Parameters
    ----------
    kl_weight
        Of the KL divergence in the loss.
    """

    def __init__(self, inputs: int, hidden: list[int], latent: int, kl_weight: float) -> None:
        super().__init__()
        self.latent, self.kl_weight = latent, kl_weight
        self.encoder = _dense([inputs, *hidden])
        self.mu = nn.Linear(hidden[-1], latent)
        self.log_var = nn.Linear(hidden[-1], latent)
        self.decoder = nn.Sequential(*_dense([latent, *hidden[::-1]]), nn.Linear(hidden[0], inputs), nn.Sigmoid())

    def forward(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The reconstruction of windows, from a latent vector that is drawn, or from its mean.

        Parameters
        ----------
        x : (batch, inputs)
        noise : (batch, latent)
            Standard normal; None for the mean of the latent vector.

        Returns
        -------
        reconstruction : (batch, inputs)
        mu, log_var : (batch, latent)
        """
        h = self.encoder(self.standardise(x))
        mu, log_var = self.mu(h).float(), self.log_var(h).float().clamp(*LOG_VAR_RANGE)
        z = mu if noise is None else mu + noise * torch.exp(0.5 * log_var)
        return self.decoder(z), mu, log_var

    def noise(self, windows: Tensor, generator: torch.Generator | None) -> tuple[Any, ...]:
        if generator is None:
            return (None,)
        return (torch.randn((len(windows), self.latent), generator=generator, device=windows.device),)

    def loss(self, outputs: tuple[Tensor, Tensor, Tensor], targets: Tensor) -> Tensor:
        """Sum of squared errors plus kl_weight times the sum of KL(q(z|x) || N(0, 1)) (Kingma & Welling, appendix B)."""
        reconstruction, mu, log_var = outputs
        squared = functional.mse_loss(reconstruction.float(), targets, reduction="sum")
        kl = -0.5 * (1 + log_var - mu.square() - log_var.exp()).sum()
        return squared + self.kl_weight * kl


def _dense(sizes: list[int]) -> nn.Sequential:
    layers = [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU(inplace=True))]
    return nn.Sequential(*layers)
