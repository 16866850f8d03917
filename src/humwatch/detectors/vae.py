"""Variational autoencoder over windows of log-mel frames.

Kingma & Welling 2014, "Auto-Encoding Variational Bayes" (arXiv 1312.6114). Sizes, loss, input range and optimiser are those
of a course's baseline for DCASE 2020 Task 2, whose faults are mended. Scores use the mean of the latent vector, so that they
are not random.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from humwatch.detectors.base import LEARNING_RATE
from humwatch.detectors.inference import Weights, linear, relu, sequential, sigmoid
from humwatch.detectors.reconstruction import base
from humwatch.detectors.reconstruction.inputs import standardised
from humwatch.parameters import parameter

if TYPE_CHECKING:
    from humwatch.detectors.networks.vae import VAE


@dataclass
class Hyperparameters:
    """What the network is, how windows come into the range of its sigmoid (transform), and how it is trained."""

    learning_rate: float = parameter(**LEARNING_RATE)
    batch_size: int = parameter(**base.BATCH_SIZE | {"default": 200})
    window: int = parameter(**base.WINDOW)
    hidden: list[int] = parameter([400, 400], "Sizes of the hidden layers.", **base.LAYERS)
    latent: int = parameter(20, "Size of the latent vector.", minimum=1, maximum=1_000_000)
    kl_weight: float = parameter(0.01, "Weight of the KL divergence in the loss.", minimum=0, maximum=1_000_000)
    transform: str = parameter(**base.TRANSFORM)
    clip_low: float = parameter(**base.CLIP_LOW)
    clip_high: float = parameter(**base.CLIP_HIGH)
    recipe: str = parameter(**base.RECIPE)
    precision: str = parameter(**base.PRECISION)
    patience: int = parameter(**base.PATIENCE)


class Detector(base.ReconstructionDetector):
    """VAE whose score is the mean squared reconstruction error."""

    Hyperparameters = Hyperparameters

    @classmethod
    def layers(cls, parameters: Mapping[str, Any], bins: int) -> list[int]:
        inputs, hidden = parameters["window"] * bins, parameters["hidden"]
        return [inputs, *hidden, parameters["latent"], *hidden[::-1], inputs]

    def build(self, bins: int) -> "VAE":
        from humwatch.detectors.networks.vae import VAE

        hp = self.hyperparameters
        return VAE(hp.window * bins, hp.hidden, hp.latent, hp.kl_weight)

    def latent(self, weights: Weights, windows: np.ndarray) -> np.ndarray:
        return linear(weights, "mu", relu(sequential(weights, "encoder", standardised(windows, weights))))

    def errors(self, weights: Weights, windows: np.ndarray) -> np.ndarray:
        reconstruction = sigmoid(sequential(weights, "decoder", self.latent(weights, windows)))
        return np.square(reconstruction - windows).mean(axis=1)
