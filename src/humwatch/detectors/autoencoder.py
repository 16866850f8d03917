"""Dense autoencoder over windows of log-mel frames: the official baseline of DCASE 2020 Task 2.

Koizumi et al. 2020, "Description and Discussion on DCASE2020 Challenge Task2: Unsupervised Detection of Anomalous Sounds for
Machine Condition Monitoring" (arXiv 2006.05822). Haunschmid & Praher 2020 score the same network by the standard deviation of
its errors over time: `score: std`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from humwatch.detectors.base import LEARNING_RATE
from humwatch.detectors.inference import Weights, relu, sequential
from humwatch.detectors.reconstruction import base
from humwatch.detectors.reconstruction.inputs import standardised
from humwatch.parameters import parameter

if TYPE_CHECKING:
    from humwatch.detectors.networks.autoencoder import Autoencoder

EPS = 1e-3  # that batch normalisation adds to variances, Keras's


@dataclass
class Hyperparameters:
    """As of the VAE, with batch normalisation.

    The published baseline takes dB unscaled; batch normalisation makes up for it.
    """

    learning_rate: float = parameter(**LEARNING_RATE)
    batch_size: int = parameter(**base.BATCH_SIZE)
    window: int = parameter(**base.WINDOW)
    hidden: list[int] = parameter(
        [128, 128, 128, 128], "Sizes of the encoder's layers, mirrored in the decoder.", **base.LAYERS
    )
    bottleneck: int = parameter(8, "Size of the latent vector.", minimum=1, maximum=1_000_000)
    transform: str = parameter(**base.TRANSFORM)
    clip_low: float = parameter(**base.CLIP_LOW)
    clip_high: float = parameter(**base.CLIP_HIGH)
    recipe: str = parameter(**base.RECIPE | {"default": "report"})
    precision: str = parameter(**base.PRECISION)
    patience: int = parameter(**base.PATIENCE)


class Detector(base.ReconstructionDetector):
    """Autoencoder whose score is the mean squared reconstruction error."""

    Hyperparameters = Hyperparameters

    @classmethod
    def layers(cls, parameters: Mapping[str, Any], bins: int) -> list[int]:
        inputs, hidden = parameters["window"] * bins, parameters["hidden"]
        return [inputs, *hidden, parameters["bottleneck"], *hidden[::-1], inputs]

    def build(self, bins: int) -> "Autoencoder":
        from humwatch.detectors.networks.autoencoder import Autoencoder

        hp = self.hyperparameters
        # Keras's 0.99 has hardly begun after the few steps of recipe fast.
        momentum = 0.1 if hp.recipe == "fast" else 0.01
        return Autoencoder(hp.window * bins, hp.hidden, hp.bottleneck, momentum)

    def latent(self, weights: Weights, windows: np.ndarray) -> np.ndarray:
        encoder = (
            3 * (len(self.hyperparameters.hidden) + 1) - 1
        )  # linear, batch normalisation and ReLU each, the last ReLU apart
        return relu(sequential(weights, "layers", standardised(windows, weights), encoder, EPS))

    def errors(self, weights: Weights, windows: np.ndarray) -> np.ndarray:
        reconstruction = sequential(weights, "layers", standardised(windows, weights), eps=EPS)
        return np.square(reconstruction - windows).mean(axis=1)
