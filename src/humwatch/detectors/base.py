"""What a detector is: `fit` on normal clips, `score` any clip, `save`, `load`; a higher score is more anomalous.

A detector lives in a file of its own, `detectors/<name>.py`, as the class `Detector`: that file name is its registration.
"""

import dataclasses
import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from humwatch.detectors import models
from humwatch.errors import InputError
from humwatch.features.store import Features


@dataclasses.dataclass
class FitContext:
    """What a training is told besides its data.

    seed: every random draw follows from it. epochs: train until this epoch (detectors without epochs ignore it).
    device: "cpu" or "cuda". report: called with (epoch, {"train_loss": ..., "val_loss": ..., "seconds": ...}) after each epoch.
    masks: the table of masks (detectors.reconstruction.specaugment), or None. clean_targets: masked windows are to become
    clean ones.
    """

    seed: int = 0
    epochs: int = 0
    device: str = "cpu"
    report: Callable[[int, dict[str, float]], None] = lambda epoch, row: None
    masks: pd.DataFrame | None = None
    clean_targets: bool = False


class BaseDetector(ABC):
    """Base of all detectors.

    Hyperparameters: a dataclass with a default for each; the same names and defaults stand in the config schema.
    default_score: the name, among those that `score` returns, of the score to use unless the config says otherwise.
    """

    Hyperparameters: ClassVar[type]
    default_score: ClassVar[str]

    def __init__(self, **hyperparameters: Any) -> None:
        self.hyperparameters = self.Hyperparameters(**hyperparameters)
        self.feature: dict[str, Any] = {}  # parameters of the features that it was fitted on
        self.epoch = 0  # epochs trained so far
        self.diverged = False  # whether training ended in a loss that is not finite

    @property
    def name(self) -> str:
        """The name of its file."""
        return type(self).__module__.rsplit(".", 1)[-1]

    @abstractmethod
    def fit(self, train: Features, validation: Features, context: FitContext) -> None:
        """Learn what is normal. validation: held-out normal clips, for monitoring, stopping and calibration only."""

    @abstractmethod
    def score(self, features: Features) -> dict[str, np.ndarray]:
        """Anomaly scores of clips: name -> (clips,) float64. Several names are several poolings of the same errors."""

    def embed(self, features: Features) -> np.ndarray | None:
        """What the detector makes of each clip before it scores it, (clips, size); None where there is no such thing."""
        return None

    def out_of_fold(
        self, train: Features, validation: Features, folds: np.ndarray, context: FitContext
    ) -> dict[str, np.ndarray] | None:
        """Scores of the clips that it was fitted on, each by a copy that was fitted without the clip's fold, for calibration.

        folds: (clips,) the number of each clip's. NaN where no other fold has a clip of its machine. None, as here, where
        that would take too long.
        """
        return None

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Everything learnt, as named arrays."""

    @abstractmethod
    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Take back what `state` returned."""

    def training_state(self) -> dict[str, np.ndarray]:
        """What a later `fit` needs, beyond `state`, to go on as if it had never stopped. Detectors without epochs: nothing."""
        return {}

    def set_training_state(self, state: dict[str, np.ndarray]) -> None:  # noqa: B027
        """Take back what `training_state` returned."""

    def save(self, folder: Path, log: Iterable[dict[str, Any]] = (), **made_from: Any) -> None:
        """Write the model with the log of its training, a row per epoch; `model.json` carries all it was made from."""
        for method in ("state", "training_state"):
            found = getattr(self, method)()
            if not (isinstance(found, dict) and all(isinstance(array, np.ndarray) for array in found.values())):
                raise InputError(
                    f"detectors/{self.name}.py: {method} must return a dict of numpy arrays by their names"
                )
        description = {
            "detector": self.name,
            "hyperparameters": dataclasses.asdict(self.hyperparameters),
            "feature": self.feature,
            "epoch": self.epoch,
            "diverged": self.diverged,
            **made_from,
        }
        models.write(folder, {"model": self.state(), "training": self.training_state()}, [*log], description)


def detector_class(name: str) -> type[BaseDetector]:
    """The class in detectors/<name>.py."""
    found = importlib.util.find_spec(f"humwatch.detectors.{name}")
    if not found:
        raise InputError(f"trial.detector is {name!r}: there is no src/humwatch/detectors/{name}.py")
    try:
        return importlib.import_module(f"humwatch.detectors.{name}").Detector
    except (SyntaxError, ImportError, AttributeError) as error:
        raise InputError(f"{found.origin} cannot be imported ({error}): correct it") from None


def make(name: str, hyperparameters: Mapping[str, Any]) -> BaseDetector:
    """A new detector; InputError where its class does not take these hyper-parameters, or lacks a method."""
    made = detector_class(name)
    try:
        return made(**hyperparameters)
    except TypeError as error:
        raise InputError(
            f"detectors/{name}.py: {error}: its Hyperparameters and the schema must have the same names"
        ) from None


def load(folder: Path, to_train: bool = False) -> BaseDetector:
    """A detector that was saved in `folder`, ready to score; `to_train`: ready to be fitted further as well."""
    made = models.description(folder)
    detector = make(made["detector"], made["hyperparameters"])
    detector.feature, detector.epoch, detector.diverged = made["feature"], made["epoch"], made["diverged"]
    detector.set_state(models.arrays(folder, "model"))
    if to_train:
        detector.set_training_state(models.arrays(folder, "training"))
    return detector
