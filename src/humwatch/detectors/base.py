"""What a detector is: `fit` on normal clips, `score` any clip, `save`, `load`; a higher score is more anomalous.

A detector lives in a file of its own, `detectors/<name>.py`, as the class `Detector`: that file name is its registration, and
`make schema` enters its parameters into the configuration's schema.
"""

import dataclasses
import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from humwatch import detectors
from humwatch.detectors import models
from humwatch.errors import InputError
from humwatch.features.store import Features

if TYPE_CHECKING:
    from humwatch.features.base import BaseFeature

Rules = dict[str, Any]  # of a parameter that several detectors have: what `parameter` takes, the default included
LEARNING_RATE: Rules = {"default": 0.001, "description": "Of Adam.", "exclusiveMinimum": 0, "maximum": 1000}

# What estimates of memory go by.
CLIPS = 1000  # of a training, where memory grows with them
WEIGHT_BYTES = 32  # a weight, its gradient, two moments, their average, and copies while they are saved


@dataclasses.dataclass
class FitContext:
    """What a training is told besides its data.

    Attributes
    ----------
    seed
        Every random draw follows from it.
    epochs
        Train until this epoch; detectors without epochs ignore it.
    device
        "cpu" or "cuda".
    on_epoch
        Called after each epoch with its number and {"train_loss": ..., "val_loss": ..., "seconds": ...}.
    masks
        The table of masks (detectors.reconstruction.specaugment), or None.
    clean_targets
        Whether masked windows are to become clean ones.
    """

    seed: int = 0
    epochs: int = 0
    device: str = "cpu"
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, row: None
    masks: pd.DataFrame | None = None
    clean_targets: bool = False


class BaseDetector(ABC):
    """Base of all detectors.

    The class methods are asked while a study is planned, with the trial's parameters by name. So that this takes no time, a
    detector's file imports torch and scikit-learn where it needs them, inside its functions. The class attributes are what
    the configuration's schema is made of (`make schema`).

    Attributes
    ----------
    Hyperparameters
        A dataclass with a `parameter` for each, in the order in which trial names state them.
    epochs
        The default number of passes over the training clips; 0 where a detector does not learn in epochs.
    default_score
        The name, among those that `score` returns, of the score to use unless the config says otherwise.
    scores
        JSON Schema of the names that a trial may choose, with a description; empty where there is no choice.
    on_device
        Whether torch trains it, on a GPU where there is one; where not, its training loads no torch.
    """

    Hyperparameters: ClassVar[type]
    epochs: ClassVar[int] = 0
    default_score: ClassVar[str] = "score"
    scores: ClassVar[dict[str, Any]] = {}
    on_device: bool = True

    def __init__(self, **hyperparameters: Any) -> None:
        self.hyperparameters = self.Hyperparameters(**hyperparameters)
        for field in dataclasses.fields(self.hyperparameters):
            value, allowed = getattr(self.hyperparameters, field.name), field.metadata.get("enum")
            if allowed and value not in allowed:
                raise InputError(f"{field.name} is {value!r}, it must be one of {', '.join(map(str, allowed))}")
        self.feature: dict[str, Any] = {}  # parameters of the features that it was fitted on
        self.epoch = 0  # epochs trained so far
        self.diverged = False  # whether training ended in a loss that is not finite

    @classmethod
    def problems(
        cls, parameters: Mapping[str, Any], feature: "BaseFeature", frames: int | None
    ) -> Iterator[tuple[str, str]]:
        """Parameters that are allowed by themselves, but not together.

        Parameters
        ----------
        frames
            Of a clip, where they are known beforehand.

        Yields
        ------
        name, sentence
            The parameter, and what is wrong with it and what to do.
        """
        if parameters.get("transform") == "log" and feature.is_negative:
            yield (
                "transform",
                f"is log, for energies, but the feature {parameters['feature']} (source {feature.name}) has negative values: set "
                "another transform or feature",
            )

    @classmethod
    def made_of(cls, parameters: Mapping[str, Any]) -> list[str]:
        """The names of other detectors that it fits, whose program code a training depends on as well."""
        return []

    @classmethod
    def weights(cls, parameters: Mapping[str, Any], bins: int) -> int | None:
        """Number of weights of a network that is trained on windows, biases left out; None where there is no such network.

        Its run time follows from them.

        Parameters
        ----------
        bins
            Values per frame.
        """
        return None

    @classmethod
    def hops(cls, parameters: Mapping[str, Any]) -> tuple[int, int]:
        """Frames from one window to the next, in training and in scoring."""
        return 1, 1

    @classmethod
    def scores_by_torch(cls, parameters: Mapping[str, Any]) -> bool:
        """Whether scoring loads torch, for the estimates of memory and time."""
        return True

    @classmethod
    def training_bytes(cls, parameters: Mapping[str, Any], frames: int, bins: int) -> float:
        """Bytes that a training needs beside its clips' frames; 0 where nobody knows.

        Parameters
        ----------
        frames
            Of a clip.
        bins
            Values per frame.
        """
        return 0

    @property
    def name(self) -> str:
        """The name of its file."""
        return type(self).__module__.rsplit(".", 1)[-1]

    def precision(self, device: str) -> str:
        """The precision of its matrix products on a device, "cpu" or "cuda": "fp32" or "bf16"."""
        return "fp32"

    @abstractmethod
    def fit(self, train: Features, validation: Features, context: FitContext) -> None:
        """Learn what is normal.

        Parameters
        ----------
        validation
            Held-out normal clips, for monitoring, stopping and calibration only.
        """

    @abstractmethod
    def score(self, features: Features) -> dict[str, np.ndarray]:
        """Anomaly scores of clips, higher where a clip is more anomalous.

        Returns
        -------
        dict of (clips,) float64
            By name; several names are several poolings of the same errors.
        """

    def checked_scores(self, features: Features) -> dict[str, np.ndarray]:
        """As `score`; InputError where it returns something else, as a detector of one's own may."""
        scores = self.score(features)
        if not isinstance(scores, dict) or any(np.shape(values) != (len(features),) for values in scores.values()):
            raise InputError(
                f"detectors/{self.name}.py: score must return name -> one score per clip, arrays of {len(features)} values here"
            )
        return scores

    def embed(self, features: Features) -> np.ndarray | None:
        """What the detector makes of each clip before it scores it; None where there is no such thing.

        Returns
        -------
        (clips, size)
        """
        return None

    def out_of_fold(
        self, train: Features, validation: Features, folds: np.ndarray, context: FitContext
    ) -> dict[str, np.ndarray] | None:
        """Scores of the clips that it was fitted on, each by a copy that was fitted without the clip's fold, for calibration.

        Parameters
        ----------
        folds : (clips,) int
            The number of each clip's fold.

        Returns
        -------
        dict of (clips,) float64
            By name; NaN where no other fold has a clip of its machine. None, as here, where that would take too long.
        """
        return None

    @property
    def is_cross_conformal(self) -> bool:
        """Whether it has an `out_of_fold` of its own."""
        return type(self).out_of_fold is not BaseDetector.out_of_fold

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Everything learnt, as named arrays."""

    @abstractmethod
    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Take back what `state` returned."""

    def remarks(self) -> dict[str, Any]:
        """What `model.json` is to say of what was learnt, in words and numbers."""
        return {}

    def training_state(self) -> dict[str, np.ndarray]:
        """What a later `fit` needs, beyond `state`, to go on as if it had never stopped; nothing without epochs."""
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
            **self.remarks(),
            **made_from,
        }
        models.write(folder, {"model": self.state(), "training": self.training_state()}, [*log], description)


def names() -> list[str]:
    """The detectors that there are, sorted."""
    paths = (path for folder in detectors.__path__ for path in Path(folder).glob("*.py"))
    return sorted(path.stem for path in paths if "\nclass Detector" in f"\n{path.read_text(encoding='utf-8')}")


def detector_class(name: str) -> type[BaseDetector]:
    """The class in detectors/<name>.py.

    Raises
    ------
    InputError
        There is no such file, it cannot be imported, or its Detector is no BaseDetector.
    """
    found = importlib.util.find_spec(f"humwatch.detectors.{name}")
    if not found:
        raise InputError(f"trial.detector is {name!r}: there is no src/humwatch/detectors/{name}.py")
    try:
        detector = importlib.import_module(f"humwatch.detectors.{name}").Detector
    except (SyntaxError, ImportError, AttributeError) as error:
        raise InputError(f"{found.origin} cannot be imported ({error}): correct it") from None
    if not (isinstance(detector, type) and issubclass(detector, BaseDetector)):
        raise InputError(f"{found.origin}: Detector must be a BaseDetector: write class Detector(BaseDetector)")
    return detector


def make(name: str, hyperparameters: Mapping[str, Any]) -> BaseDetector:
    """A new detector.

    Raises
    ------
    InputError
        Its class does not take these hyper-parameters, or lacks a method.
    """
    made = detector_class(name)
    try:
        return made(**hyperparameters)
    except TypeError as error:
        raise InputError(
            f"detectors/{name}.py: {error}: its Hyperparameters and the schema must have the same names"
        ) from None


def load(folder: Path, to_train: bool = False) -> BaseDetector:
    """A detector that was saved in `folder`, ready to score.

    Parameters
    ----------
    to_train
        Make it ready to be fitted further as well.
    """
    made = models.description(folder)
    detector = make(made["detector"], made["hyperparameters"])
    detector.feature, detector.epoch, detector.diverged = made["feature"], made["epoch"], made["diverged"]
    detector.set_state(models.arrays(folder, "model"))
    if to_train:
        detector.set_training_state(models.arrays(folder, "training"))
    return detector
