"""What detectors that reconstruct windows share: their parameters, training, checkpoints, errors, scores, costs.

Networks are trained by torch (`networks/`) and score by numpy (`latent` and `errors` of each detector's file): a test of each
holds the two together, and depth and sizes of the second follow from the arrays that the first saves.
"""

import dataclasses
import itertools
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from humwatch.detectors.base import WEIGHT_BYTES, BaseDetector, FitContext, Rules
from humwatch.detectors.inference import Weights
from humwatch.detectors.reconstruction.inputs import first_frames, scaled
from humwatch.detectors.reconstruction.pooling import pool
from humwatch.features.store import Features

if TYPE_CHECKING:
    from humwatch.detectors.reconstruction.network import WindowNetwork
    from humwatch.features.base import BaseFeature

BATCH_SIZE: Rules = {"default": 512, "description": "Windows per step.", "minimum": 1, "maximum": 1_000_000}
WINDOW: Rules = {"default": 5, "description": "Frames per window.", "minimum": 1, "maximum": 10_000}
LAYERS: Rules = {"minItems": 1, "maxItems": 100, "items": {"type": "integer", "minimum": 1, "maximum": 1_000_000}}
TRANSFORM: Rules = {
    "default": "decibel",
    "description": "decibel: features are dB, clipped; log: features are energies, their logarithm is standardised.",
    "enum": ["decibel", "log"],
}
CLIP_LOW: Rules = {
    "default": -90.0,
    "description": "dB that becomes 0, below clip_high.",
    "minimum": -10_000,
    "maximum": 10_000,
}
CLIP_HIGH: Rules = {"default": 24.0, "description": "dB that becomes 1.", "minimum": -10_000, "maximum": 10_000}
RECIPE: Rules = {
    "default": "fast",
    "description": (
        "report: all windows in each epoch, constant learning rate. fast: a fifth of the work (a window-th), windows that do "
        "not overlap, others in each epoch; standardised inputs; the running average of the weights; every other window scored."
    ),
    "enum": ["report", "fast"],
}
PRECISION: Rules = {
    "default": "auto",
    "description": "Of matrix products: fp32, bf16, or auto, bf16 where the processor has instructions for it.",
    "enum": ["auto", "fp32", "bf16"],
}
PATIENCE: Rules = {
    "default": 0,
    "description": (
        "Training ends after so many epochs without a lower loss of the held-out normal clips. 0 trains all epochs."
    ),
    "minimum": 0,
    "maximum": 100_000,
}

BATCH = 2048  # windows that are validated, or scaled, at once


class ReconstructionDetector(BaseDetector):
    """A network that is trained on windows and whose reconstruction error is the anomaly score.

    Subclasses say what the network is, and how large.
    """

    epochs = 20
    default_score = "mean"
    scores: ClassVar[dict[str, Any]] = {
        "description": "How the errors of a clip's windows become its score.",
        "enum": ["mean", "median", "std", "max", "top_k"],
    }
    # Frames from one window that recipe "fast" scores to the next. With 2, normal clips keep their order (rank correlation .999).
    fast_hop: ClassVar[int] = 2

    def __init__(self, **hyperparameters: Any) -> None:
        super().__init__(**hyperparameters)
        self.network: Any = None  # WindowNetwork, while it is trained
        self.weights_saved: dict[str, np.ndarray] = {}  # of a network that is not
        self.optimizer: Any = None  # gradient_descent.Optimizer
        self.saved: dict[str, np.ndarray] = {}  # the optimiser's state, until a training goes on
        self.best = np.array([np.inf, 0])  # the lowest validation loss, and its epoch

    @abstractmethod
    def build(self, bins: int) -> "WindowNetwork":
        """A freshly initialised network for frames of `bins` values."""

    @abstractmethod
    def latent(self, weights: Weights, windows: np.ndarray) -> np.ndarray:
        """The latent vector of each window: the output of the narrowest layer.

        Parameters
        ----------
        windows : (batch, window * bins) float32
            Scaled.

        Returns
        -------
        (batch, size) float32
        """

    @abstractmethod
    def errors(self, weights: Weights, windows: np.ndarray) -> np.ndarray:
        """The reconstruction error of each window.

        Parameters
        ----------
        windows : (batch, window * bins) float32
            Scaled.

        Returns
        -------
        (batch,) float32
        """

    @classmethod
    @abstractmethod
    def layers(cls, parameters: Mapping[str, Any], bins: int) -> list[int]:
        """Sizes of the network's layers, its inputs first."""

    @classmethod
    def problems(
        cls, parameters: Mapping[str, Any], feature: "BaseFeature", frames: int | None
    ) -> Iterator[tuple[str, str]]:
        low, high, window = parameters["clip_low"], parameters["clip_high"], parameters["window"]
        if parameters["transform"] == "decibel" and low >= high:
            yield "clip_low", f"is {low:g}, it must be below clip_high, {high:g}: correct it"
        yield from super().problems(parameters, feature, frames)
        if frames is not None and window > frames:
            yield (
                "window",
                f"is {window}, longer than the {frames} frames of a clip ({parameters['feature']}): lower it",
            )

    @classmethod
    def weights(cls, parameters: Mapping[str, Any], bins: int) -> int:
        return sum(a * b for a, b in itertools.pairwise(cls.layers(parameters, bins)))

    @classmethod
    def hops(cls, parameters: Mapping[str, Any]) -> tuple[int, int]:
        """Frames from one window to the next, in training and in scoring.

        By recipe "fast", training windows stand side by side, and every other one is scored, so that inner frames are in at
        least two.
        """
        window = parameters["window"]
        return (window, max(1, min(cls.fast_hop, window // 2))) if parameters["recipe"] == "fast" else (1, 1)

    @classmethod
    def scores_by_torch(cls, parameters: Mapping[str, Any]) -> bool:
        return False

    @classmethod
    def training_bytes(cls, parameters: Mapping[str, Any], frames: int, bins: int) -> float:
        layers = cls.layers(parameters, bins)
        windows = max(parameters["batch_size"], BATCH)
        return WEIGHT_BYTES * cls.weights(parameters, bins) + windows * (16 * layers[0] + 12 * sum(layers))

    def precision(self, device: str) -> str:
        from humwatch.detectors.gradient_descent import resolved

        return resolved(self.hyperparameters.precision, device)

    def fit(self, train: Features, validation: Features, context: FitContext) -> None:
        """Train up to `context.epochs`, going on from `self.epoch` where this detector was trained before."""
        from humwatch.detectors.gradient_descent import Optimizer
        from humwatch.detectors.reconstruction.training import run_epochs
        from humwatch.detectors.reconstruction.windows import Windows

        hp = self.hyperparameters
        self.feature = train.parameters | {"bins": train.values.shape[1]}
        if self.network is None:
            self.network = self._network(context.seed)
        if self.epoch == 0:
            self.network.scale.fit(train)
            if hp.recipe == "fast" and len(train):
                self.network.standardise.fit(Windows(train, hp.window), self.network.scale)
        self.network.to(context.device)
        if self.optimizer is None:
            self.optimizer = Optimizer(self.network, hp.learning_rate, averaged=hp.recipe == "fast")
            self.optimizer.set_state(self.saved)
        self.diverged = not run_epochs(
            self.network,
            self.optimizer,
            Windows(train, hp.window, context.device, context.masks, context.clean_targets),
            Windows(validation, hp.window, context.device),
            hp.batch_size,
            self.epoch + 1,
            self._count_epochs(context),
            hp.recipe,
            lambda: 0 < hp.patience <= self.epoch - self.best[1],
        )

    @property
    def hop(self) -> int:
        """Frames from one scored window to the next."""
        return self.hops(vars(self.hyperparameters))[1]

    def window_errors(self, features: Features, hop: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Error of a window every `hop` frames.

        Returns
        -------
        errors : (windows of all clips,) float32
        per_clip : (clips,)
            Number of windows of each clip.
        """
        return self._each(self.errors, features, hop)

    def embed(self, features: Features) -> np.ndarray:
        """The mean of the latent vectors of each clip's windows.

        Returns
        -------
        (clips, size)
        """
        found, per_clip = self._each(self.latent, features, self.hop)
        return np.array([clip.mean(axis=0) for clip in np.split(found, np.cumsum(per_clip)[:-1])])

    def score(self, features: Features) -> dict[str, np.ndarray]:
        return pool(*self.window_errors(features, self.hop))

    def state(self) -> dict[str, np.ndarray]:
        if self.network is None:
            return self.weights_saved
        return {name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        self.network, self.weights_saved = None, dict(state)

    def training_state(self) -> dict[str, np.ndarray]:
        """The optimiser's state, and the epoch that early stopping counts from."""
        optimizer = self.optimizer.state() if self.optimizer else self.saved
        return optimizer | {"best": self.best}

    def set_training_state(self, state: dict[str, np.ndarray]) -> None:
        self.saved = dict(state)
        self.best = self.saved.pop("best")

    def _each(
        self, function: Callable[[Weights, np.ndarray], np.ndarray], features: Features, hop: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """`errors` or `latent` of a window every `hop` frames, (windows of all clips, ...); and the windows per clip."""
        weights = self.state()
        first, per_clip = first_frames(features, self.hyperparameters.window, hop)
        batches = scaled(features, first, per_clip, self.hyperparameters, weights)
        return np.concatenate([function(weights, windows) for windows in batches]), per_clip

    def _network(self, seed: int) -> "WindowNetwork":
        """As it was saved, or, if it was not, with weights that follow from the seed."""
        from humwatch.detectors.gradient_descent import tensors
        from humwatch.detectors.reconstruction.network import initialised

        network = initialised(self.build, self.hyperparameters, self.feature["bins"], seed)
        if self.weights_saved:
            network.load_state_dict(tensors(self.weights_saved))
        return network

    def _count_epochs(self, context: FitContext) -> FitContext:
        def on_epoch(epoch: int, row: dict[str, float]) -> None:
            self.epoch = epoch
            if not row["val_loss"] >= self.best[0]:  # without held-out clips it is NaN: training never ends early
                self.best = np.array([row["val_loss"], epoch])
            context.on_epoch(epoch, row)

        return dataclasses.replace(context, on_epoch=on_epoch)
