"""What detectors that reconstruct windows share: training, checkpoints, errors, scores."""

import dataclasses
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch

from humwatch.detectors.base import BaseDetector, FitContext
from humwatch.features.store import Features
from humwatch.scoring import pool
from humwatch.training import generator_for, make_optimizer, run_epochs
from humwatch.windows import Windows

SCORING_BATCH = 1024


class ReconstructionDetector(BaseDetector):
    """A network that is trained on windows and whose reconstruction error is the anomaly score.

    Subclasses say what the network is, its loss on a batch, and the error of each window.
    """

    default_score: ClassVar[str] = "mean"

    def __init__(self, **hyperparameters: Any) -> None:
        super().__init__(**hyperparameters)
        self.network: Any = None  # torch.nn.Module, once the number of bins is known
        self.optimizer: Any = None
        self.device = "cpu"

    @abstractmethod
    def build(self, bins: int) -> torch.nn.Module:
        """A freshly initialised network for frames of `bins` values; its `scale` is one of detectors.scaling."""

    @abstractmethod
    def loss(self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Summed loss of raw windows, each (batch, window * bins); generator None: deterministic, without noise."""

    @abstractmethod
    def errors(self, windows: torch.Tensor) -> torch.Tensor:
        """Anomaly score of each raw window: (batch, window * bins) -> (batch,)."""

    def fit(self, train: Features, validation: Features, context: FitContext) -> None:
        """Train up to `context.epochs`, going on from `self.epoch` where this detector was trained before."""
        hp = self.hyperparameters
        self.device = context.device
        self.feature = train.parameters | {"bins": train.values.shape[1]}
        if self.network is None:
            self.network = self._initialised(context.seed)
            self.network.scale.fit(train)
        self.network.to(self.device)
        if self.optimizer is None:
            self.optimizer = make_optimizer(self.network, hp.learning_rate)
        self.diverged = not run_epochs(
            self.network,
            self.optimizer,
            self.loss,
            Windows(train, hp.window, self.device, context.masks, context.clean_targets),
            Windows(validation, hp.window, self.device),
            hp.batch_size,
            self.epoch + 1,
            self._count_epochs(context),
        )

    @torch.no_grad()
    def window_errors(self, features: Features) -> tuple[np.ndarray, np.ndarray]:
        """Error of every window, (windows of all clips,) float32, and the number of windows per clip."""
        windows = Windows(features, self.hyperparameters.window, self.device)
        numbers = torch.arange(len(windows), device=self.device)
        errors = [self.errors(windows.gather(batch)[0]).cpu() for batch in numbers.split(SCORING_BATCH)]
        return torch.cat(errors).numpy(), windows.per_clip

    def score(self, features: Features) -> dict[str, np.ndarray]:
        return pool(*self.window_errors(features))

    def state(self) -> dict[str, np.ndarray]:
        return {name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        self.network = self._initialised(0)
        self.network.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
        self.network.eval()

    def training_state(self) -> dict[str, np.ndarray]:
        """The optimiser's moments and step counts."""
        return {
            f"{i}.{name}": tensor.cpu().numpy()
            for i, moments in self.optimizer.state_dict()["state"].items()
            for name, tensor in moments.items()
        }

    def set_training_state(self, state: dict[str, np.ndarray]) -> None:
        self.optimizer = make_optimizer(self.network, self.hyperparameters.learning_rate)
        whole = self.optimizer.state_dict()
        for key, array in state.items():
            i, name = key.split(".", 1)
            whole["state"].setdefault(int(i), {})[name] = torch.from_numpy(array)
        self.optimizer.load_state_dict(whole)

    def _initialised(self, seed: int) -> torch.nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator_for(seed, 0).initial_seed())
            return self.build(self.feature["bins"])

    def _count_epochs(self, context: FitContext) -> FitContext:
        def report(epoch: int, row: dict[str, float]) -> None:
            self.epoch = epoch
            context.report(epoch, row)

        return dataclasses.replace(context, report=report)
