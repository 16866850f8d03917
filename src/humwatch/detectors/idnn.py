"""Interpolation DNN: predicts the middle frame of a window from its neighbours.

Suefusa et al. 2020, "Anomalous Sound Detection Based on Interpolation Deep Neural Network" (ICASSP 2020). A frame that its
neighbours do not foretell is anomalous, while noise that nothing foretells costs normal and anomalous clips the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from humwatch.detectors.base import LEARNING_RATE, Rules
from humwatch.detectors.inference import Weights, relu, sequential
from humwatch.detectors.reconstruction import base
from humwatch.detectors.reconstruction.inputs import standardised
from humwatch.errors import InputError
from humwatch.parameters import parameter

if TYPE_CHECKING:
    from humwatch.detectors.networks.idnn import Interpolation

ODD: Rules = {"minimum": 3, "not": {"multipleOf": 2}, "says": "an odd number"}


@dataclass
class Hyperparameters:
    """As of the VAE."""

    learning_rate: float = parameter(**LEARNING_RATE)
    batch_size: int = parameter(**base.BATCH_SIZE)
    window: int = parameter(**base.WINDOW | ODD | {"description": "Frames per window; the middle one is predicted."})
    hidden: list[int] = parameter([64, 32, 16, 32, 64], "Sizes of the hidden layers.", **base.LAYERS)
    transform: str = parameter(**base.TRANSFORM)
    clip_low: float = parameter(**base.CLIP_LOW)
    clip_high: float = parameter(**base.CLIP_HIGH)
    recipe: str = parameter(**base.RECIPE)
    precision: str = parameter(**base.PRECISION)
    patience: int = parameter(**base.PATIENCE)


class Detector(base.ReconstructionDetector):
    """IDNN whose score is the mean squared error of the predicted middle frames."""

    Hyperparameters = Hyperparameters
    fast_hop = 1  # a window's error is that of its middle frame alone

    @classmethod
    def layers(cls, parameters: Mapping[str, Any], bins: int) -> list[int]:
        return [(parameters["window"] - 1) * bins, *parameters["hidden"], bins]

    def build(self, bins: int) -> "Interpolation":
        from humwatch.detectors.networks.idnn import Interpolation

        hp = self.hyperparameters
        if hp.window % 2 == 0 or hp.window < 3:
            raise InputError(f"config: window is {hp.window}, idnn needs an odd number of frames, 3 or more")
        return Interpolation(hp.window, bins, hp.hidden)

    def latent(self, weights: Weights, windows: np.ndarray) -> np.ndarray:
        hidden = self.hyperparameters.hidden
        narrowest = 2 * hidden.index(min(hidden)) + 1  # linear and ReLU each, the last ReLU apart
        return relu(sequential(weights, "layers", self._around(weights, windows), narrowest))

    def errors(self, weights: Weights, windows: np.ndarray) -> np.ndarray:
        predicted = sequential(weights, "layers", self._around(weights, windows))
        return np.square(predicted - windows[:, self._middle(windows)]).mean(axis=1)

    def _around(self, weights: Weights, windows: np.ndarray) -> np.ndarray:
        """All frames but the middle one, standardised: (batch, (window - 1) * bins)."""
        middle = self._middle(windows)
        x = standardised(windows, weights)
        return np.concatenate([x[:, : middle.start], x[:, middle.stop :]], axis=1)

    def _middle(self, windows: np.ndarray) -> slice:
        bins = windows.shape[1] // self.hyperparameters.window
        before = self.hyperparameters.window // 2 * bins
        return slice(before, before + bins)
