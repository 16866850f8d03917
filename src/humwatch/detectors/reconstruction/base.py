"""What detectors that reconstruct windows share: training, checkpoints, errors, scores."""

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch

from humwatch.detectors.base import BaseDetector, FitContext
from humwatch.detectors.reconstruction.pooling import pool
from humwatch.detectors.reconstruction.scaling import Standardise, scale_for
from humwatch.detectors.reconstruction.training import (
    COMPILED_STEPS,
    Optimizer,
    autocast,
    compiled,
    generator_for,
    on_gpu,
    run_epochs,
)
from humwatch.detectors.reconstruction.windows import Windows
from humwatch.features.store import Features

SCORING_BATCH = 256  # as fast as larger ones, whose temporary arrays leave larger holes in the heap


class ReconstructionDetector(BaseDetector):
    """A network that is trained on windows and whose reconstruction error is the anomaly score.

    Subclasses say what the network is, its loss on a batch, and the error of each window.
    """

    default_score: ClassVar[str] = "mean"
    # Frames from one window that recipe "fast" scores to the next. With 2, normal clips keep their order (rank correlation .999).
    fast_hop: ClassVar[int] = 2

    def __init__(self, **hyperparameters: Any) -> None:
        super().__init__(**hyperparameters)
        self.network: Any = None  # torch.nn.Module, once the number of bins is known
        self.compiled: Any = None  # the same for batches of batch_size, on a GPU
        self.optimizer: Optimizer | None = None
        self.saved: dict[str, np.ndarray] = {}  # the optimiser's state, until a training goes on
        self.best = np.array([np.inf, 0])  # the lowest validation loss, and its epoch
        self.device = "cpu"

    @abstractmethod
    def build(self, bins: int) -> torch.nn.Module:
        """A freshly initialised network for frames of `bins` values; what it is given passes its `standardise` first."""

    @abstractmethod
    def loss(self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Summed loss of scaled windows, each (batch, window * bins); generator None: deterministic, without noise."""

    @abstractmethod
    def errors(self, windows: torch.Tensor) -> torch.Tensor:
        """Anomaly score of each scaled window: (batch, window * bins) -> (batch,)."""

    @abstractmethod
    def code(self, windows: torch.Tensor) -> torch.Tensor:
        """What the network's narrowest layer makes of scaled windows: (batch, window * bins) -> (batch, size)."""

    def example(self, windows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What a training step calls the network with, for so many windows."""
        return (self.network.scale(windows),)

    def forward(self, *inputs: Any) -> Any:
        """The network's outputs."""
        whole = self.network.training and len(inputs[0]) == self.hyperparameters.batch_size
        return (self.compiled if self.compiled and whole else self.network)(*inputs)

    def fit(self, train: Features, validation: Features, context: FitContext) -> None:
        """Train up to `context.epochs`, going on from `self.epoch` where this detector was trained before."""
        hp = self.hyperparameters
        self.device = context.device
        self.feature = train.parameters | {"bins": train.values.shape[1]}
        if self.network is None:
            self.network = self._initialised(context.seed)
            self.network.scale.fit(train)
            if hp.recipe == "fast" and len(train):
                self.network.standardise.fit(Windows(train, hp.window), self.network.scale)
        self.network.to(self.device)
        if self.optimizer is None:
            self.optimizer = Optimizer(self.network, hp.learning_rate, averaged=hp.recipe == "fast")
            self.optimizer.set_state(self.saved)
        windows = Windows(train, hp.window, self.device, context.masks, context.clean_targets)
        self.compiled = None
        if on_gpu(self.device) and len(windows) >= COMPILED_STEPS * hp.batch_size:
            with autocast(hp.precision, self.device):
                batch, _ = windows.gather(torch.arange(hp.batch_size, device=self.device))
                self.compiled = compiled(self.network.train(), *self.example(batch))
        self.diverged = not run_epochs(
            self.network,
            self.optimizer,
            self._loss,
            windows,
            Windows(validation, hp.window, self.device),
            hp.batch_size,
            self.epoch + 1,
            self._count_epochs(context),
            hp.recipe,
            lambda: 0 < hp.patience <= self.epoch - self.best[1],
        )

    @property
    def hop(self) -> int:
        """Frames from one scored window to the next: inner frames are in at least two."""
        hp = self.hyperparameters
        return max(1, min(self.fast_hop, hp.window // 2)) if hp.recipe == "fast" else 1

    def window_errors(self, features: Features, hop: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Error of a window every `hop` frames, (windows of all clips,) float32, and the number of windows per clip."""
        errors, per_clip = self._of_windows(self.errors, features, hop)
        return errors.numpy(), per_clip

    def embed(self, features: Features) -> np.ndarray:
        """The mean code of each clip's windows, (clips, size)."""
        codes, per_clip = self._of_windows(self.code, features, self.hop)
        return np.array([clip.mean(dim=0).numpy() for clip in codes.split(per_clip.tolist())])

    def score(self, features: Features) -> dict[str, np.ndarray]:
        return pool(*self.window_errors(features, self.hop))

    def state(self) -> dict[str, np.ndarray]:
        return {name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        self.network = self._initialised(0)
        self.network.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
        self.network.eval()

    def training_state(self) -> dict[str, np.ndarray]:
        """The optimiser's state, and the epoch that early stopping counts from."""
        optimizer = self.optimizer.state() if self.optimizer else self.saved
        return optimizer | {"best": self.best}

    def set_training_state(self, state: dict[str, np.ndarray]) -> None:
        self.saved = dict(state)
        self.best = self.saved.pop("best")

    @torch.no_grad()
    def _of_windows(
        self, function: Callable[[torch.Tensor], torch.Tensor], features: Features, hop: int
    ) -> tuple[torch.Tensor, np.ndarray]:
        """A function of scaled windows, one every `hop` frames: (windows of all clips, ...) float32; and the windows per clip."""
        windows = Windows(features, self.hyperparameters.window, self.device, hop=hop)
        numbers = torch.arange(len(windows), device=self.device)
        found = torch.empty(0)
        with autocast(self.hyperparameters.precision, self.device):
            for batch in numbers.split(SCORING_BATCH):
                values = function(self.network.scale(windows.gather(batch)[0])).float()
                # One array from the start: small ones, kept between large ones, leave holes in the heap.
                if not len(found):
                    found = torch.empty((len(windows), *values.shape[1:]), device=self.device)
                found[batch] = values
        return found.cpu(), windows.per_clip

    def _initialised(self, seed: int) -> torch.nn.Module:
        hp, bins = self.hyperparameters, self.feature["bins"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator_for(seed, 0).initial_seed())
            network: Any = self.build(bins)
        network.scale = scale_for(hp, bins)
        if hp.recipe == "fast":
            network.standardise = Standardise(hp.window * bins)
        return network

    def _loss(self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """`loss` of raw windows, in the precision that was asked for."""
        x = self.network.scale(inputs)
        with autocast(self.hyperparameters.precision, self.device):
            return self.loss(x, x if targets is inputs else self.network.scale(targets), generator)

    def _count_epochs(self, context: FitContext) -> FitContext:
        def report(epoch: int, row: dict[str, float]) -> None:
            self.epoch = epoch
            if not row["val_loss"] >= self.best[0]:  # without held-out clips it is NaN: training never ends early
                self.best = np.array([row["val_loss"], epoch])
            context.report(epoch, row)

        return dataclasses.replace(context, report=report)
