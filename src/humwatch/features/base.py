"""What a feature is: frames of values that are computed from a clip's samples, with parameters of its own.

A feature lives in a file of its own, `features/<name>.py`, as the class `Feature`, a frozen dataclass: that file name is its
registration, and the `source` of a configuration's features. Planning imports that file, so that what takes time to load
(scipy, librosa) is imported in the functions that compute with it.
"""

import importlib
import importlib.util
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from humwatch import features
from humwatch.errors import InputError
from humwatch.parameters import schema_of


@dataclass(frozen=True)
class Scale:
    """The axes of a feature's frames; None where they are unknown.

    Attributes
    ----------
    hop_seconds
        Time from one frame to the next.
    frequencies : (bins,)
        Centre of each bin in Hz.
    """

    hop_seconds: float | None = None
    frequencies: np.ndarray | None = None


@dataclass(frozen=True)
class BaseFeature(ABC):
    """Base of all features.

    Fields, each a `humwatch.parameters.parameter`, are what a configuration may state.

    Attributes
    ----------
    seconds_per_clip
        CPU time of a ten-second clip, read and written, for planning; as slow as the slowest unless a feature says otherwise.
    from_recordings
        Whether it is computed from samples, and not brought along.
    is_negative
        Whether values can be below zero, so that they have no logarithm.
    is_waveform
        Whether a clip's frames can be its samples, one frame after the other.
    hears_far
        Whether it takes the samples of several channels, (samples, channels), the one near the machine first, and not those
        of one.
    """

    seconds_per_clip: ClassVar[float] = 0.010
    from_recordings: ClassVar[bool] = True
    is_negative: ClassVar[bool] = False
    is_waveform: ClassVar[bool] = False
    hears_far: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The name of its file."""
        return type(self).__module__.rsplit(".", 1)[-1]

    @property
    @abstractmethod
    def bins(self) -> int:
        """Values per frame."""

    @property
    def files(self) -> list[Path]:
        """Files that it is computed with, besides the recordings: where one changes, it is computed anew."""
        return []

    @abstractmethod
    def shape(self, sample_rate: int, seconds: float) -> tuple[int, int]:
        """Number of frames of a clip, and of values in each.

        Parameters
        ----------
        sample_rate, seconds
            Of the clip, in Hz and in s.

        Returns
        -------
        frames, bins
        """

    @abstractmethod
    def __call__(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """Frames of one clip.

        Parameters
        ----------
        samples : (samples,) float32
            Full scale is 1.
        sample_rate
            In Hz.

        Returns
        -------
        (frames, bins) float32

        Raises
        ------
        InputError
            The clip has no frames; the sentence does not name it.
        """

    def parameters(self, sample_rate: int) -> dict[str, Any]:
        """What a file of these features states about itself.

        Raises
        ------
        InputError
            They cannot be computed at this sample rate.
        """
        return {"source": self.name, "sample_rate": sample_rate, **asdict(self)}

    def problems(self, sample_rate: int | None, seconds: float | None) -> Iterator[str]:
        """What is wrong with the parameters.

        Parameters
        ----------
        sample_rate, seconds
            Of the clips, in Hz and in s; None where they are not known.

        Yields
        ------
        sentence
            It begins with the name of a parameter.
        """
        yield from ()

    def has_known_frames(self, sample_rate: int | None, seconds: float | None) -> bool:
        """Whether the number of a clip's frames follows from what is known of the clips.

        Parameters
        ----------
        sample_rate, seconds
            As in `problems`.
        """
        return bool(sample_rate and seconds)

    def memory(self, clips: int, sample_rate: int, seconds: float) -> float:
        """Memory that computing it takes.

        Parameters
        ----------
        clips
            How many are held until they are written.
        sample_rate, seconds
            Of each clip, in Hz and in s.

        Returns
        -------
        memory
            In bytes.
        """
        frames, bins = self.shape(sample_rate, seconds)
        return 12 * clips * frames * bins

    @classmethod
    def scale(cls, stated: Mapping[str, Any], bins: int) -> Scale:
        """The axes of the frames in a file, as far as its stated parameters tell.

        Parameters
        ----------
        stated
            The file's parameters, as from `parameters`.
        bins
            Values per frame.
        """
        hop, rate = stated.get("hop_length"), stated.get("sample_rate")
        return Scale(hop / rate if hop and rate else None)


def feature_class(name: str) -> type[BaseFeature]:
    """The class in features/<name>.py.

    Raises
    ------
    InputError
        There is no such file, or it cannot be imported.
    """
    found = importlib.util.find_spec(f"humwatch.features.{name}")
    if not found:
        raise InputError(f"a feature has the source {name!r}: there is no src/humwatch/features/{name}.py")
    try:
        return importlib.import_module(f"humwatch.features.{name}").Feature
    except (SyntaxError, ImportError, AttributeError) as error:
        raise InputError(f"{found.origin} cannot be imported ({error}): correct it") from None


def make(stated: Mapping[str, Any]) -> BaseFeature:
    """The feature that is stated as in a configuration.

    Parameters
    ----------
    stated
        Its `source`, and parameters unless they have their defaults.

    Raises
    ------
    InputError
        There is no such feature, or it has no such parameter.
    """
    name = stated["source"]
    made = feature_class(name)
    optional = {field.name: None for field in fields(made) if field.default is MISSING}
    try:
        return made(**optional | {key: value for key, value in stated.items() if key != "source"})
    except TypeError as error:
        raise InputError(f"features/{name}.py: {error}: correct it, or the parameters") from None


def made_with(parameters: Mapping[str, Any]) -> BaseFeature:
    """The feature that made what states these parameters, as from `BaseFeature.parameters`.

    Raises
    ------
    InputError
        It cannot be made here.
    """
    own = {field.name for field in fields(feature_class(parameters["source"]))}
    of_clips = {"sample_rate", "channel"} - own
    feature = make({key: value for key, value in parameters.items() if key not in of_clips})
    for problem in feature.problems(None, None):
        raise InputError(f"the feature {feature.name}: {problem}")
    return feature


def schemas() -> dict[str, dict[str, dict[str, Any]]]:
    """JSON Schema of each parameter of every feature, by the feature's name: those computed from recordings first."""
    files = (path for folder in features.__path__ for path in Path(folder).glob("*.py"))
    names = sorted(path.stem for path in files if "\nclass Feature(" in path.read_text(encoding="utf-8"))
    found = sorted(((name, feature_class(name)) for name in names), key=lambda item: not item[1].from_recordings)
    return {name: schema_of(feature) for name, feature in found}


def energies(spectrum: np.ndarray) -> np.ndarray:
    """|x|**2 of each value, float32 of complex64."""
    energy = np.square(spectrum.real)
    energy += np.square(spectrum.imag)
    return energy


def band_problems(fmin: float, fmax: float | None, sample_rate: int | None) -> Iterator[str]:
    """What is wrong with a band of frequencies.

    Parameters
    ----------
    fmin, fmax
        In Hz; fmax None: half the sample rate.
    sample_rate
        In Hz; None where it is not known.

    Yields
    ------
    sentence
        As in `BaseFeature.problems`.
    """
    half = sample_rate / 2 if sample_rate else math.inf
    if fmax is not None and fmax > half:
        yield f"fmax is {fmax:g} Hz, above half the sample rate, {half:g} Hz: lower it"
    elif fmin >= (half if fmax is None else fmax):
        upper = f"half the sample rate, {half:g} Hz" if fmax is None else f"fmax, {fmax:g} Hz"
        yield f"fmin is {fmin:g} Hz, it must be below {upper}: correct it"


def check_band(name: str, fmin: float, fmax: float | None, sample_rate: int) -> None:
    """Check that a feature's band of frequencies can be computed.

    Parameters
    ----------
    name
        Of the feature, for the sentence.
    fmin, fmax, sample_rate
        As in `band_problems`.

    Raises
    ------
    InputError
        It is empty, or ends above half the sample rate.
    """
    fmax = fmax or sample_rate / 2
    if not fmin < fmax <= sample_rate / 2:
        raise InputError(
            f"{name}: fmin {fmin:g} Hz and fmax {fmax:g} Hz must rise, up to {sample_rate / 2:g} Hz, half the sample "
            "rate: correct them"
        )
