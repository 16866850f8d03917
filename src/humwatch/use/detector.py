"""A detector from its file: recordings in, decisions out."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from humwatch.datasets.clips import near, read_samples
from humwatch.detectors import base as detectors
from humwatch.detectors import models
from humwatch.errors import InputError
from humwatch.evaluation.thresholds import Calibration, calibration_for
from humwatch.features import base as features
from humwatch.features.store import Features
from humwatch.use import explain, pack

Machine = tuple[str, str]  # type, id


@dataclass(frozen=True)
class Decision:
    """What a detector makes of one window of a recording.

    Attributes
    ----------
    file
        As it was given.
    start_s
        Where the window begins in it, in seconds.
    machine
        The "type/id" that it was compared with.
    score
        Higher is more anomalous.
    p_value
        The share of this machine's normal clips that score as high.
    threshold
        The score above which a clip is an alarm.
    alarm
        Whether it is one.
    extrapolated
        Whether there are too few normal clips to promise the false-alarm rate.
    why
        Of an alarm, the deviations from the machine's normal sound, strongest first.
    """

    file: str
    start_s: float
    machine: str
    score: float
    p_value: float
    threshold: float
    alarm: bool
    extrapolated: bool
    why: tuple[str, ...] = ()


class Detector:
    """A detector that is ready to use: what `humwatch.load` returns.

    Attributes
    ----------
    machines
        The "type/id" of each machine that it knows.
    sample_rate
        In Hz.
    seconds, samples
        Length of a training clip, and so of a window of longer recordings.
    longest
        Samples of the longest training clip.
    false_alarm_rate
        The one that it promises.
    description
        All that its file states.
    """

    def __init__(
        self, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray], rate: float | None = None
    ) -> None:
        """Make a detector of what `pack.read` returns; `rate` replaces the false-alarm rate in the description."""
        self.description, self._arrays = description, arrays
        self._machines: list[Machine] = [(t, i) for t, i in description["machines"]]
        self.machines = ["/".join(machine) for machine in self._machines]
        self.sample_rate: int = description["sample_rate"]
        self.samples: int = description["samples"]
        self.longest: int = description["longest_samples"]  # of the training clips
        self.seconds = self.samples / self.sample_rate
        self.false_alarm_rate: float = description["false_alarm_rate"] if rate is None else rate
        self.members = [
            Member(member, models.under(f"members.{i}.", arrays)) for i, member in enumerate(description["members"])
        ]

    def score(
        self,
        recording: str | Path | np.ndarray,
        sample_rate: int | None = None,
        *,
        machine: str | None = None,
        file: str | None = None,
        hop: float | None = None,
        resample: bool = False,
        why: int = 1,
    ) -> list[Decision]:
        """A decision for each window of a recording; one for a recording no longer than the training clips.

        Parameters
        ----------
        recording : path, or (samples,) or (samples, channels)
            Samples are at full scale 1.
        sample_rate
            Of samples, in Hz.
        machine
            "type/id". Unless given, the one that the path names, else the one that the recording is most normal for.
        file
            How decisions and errors name the recording; its path unless given.
        hop
            Seconds from one window to the next; the length of a window unless given.
        resample
            Whether another sample rate than the detector's is allowed.
        why
            Reasons to give for each alarm, at most.

        Raises
        ------
        InputError
            The recording cannot be read or scored, or the machine is unknown.
        """
        if isinstance(recording, np.ndarray):
            name = file or "the samples"
            samples = self.at_own_rate(name, one_channel(name, recording, self.channel), sample_rate, resample)
        else:
            name = file or str(recording)
            samples = self.read(recording, resample)
            machine = machine or self.machine_of(recording)
        return [
            self.judge(window, machine=machine, file=name, start_s=start, why=why)
            for start, window in self.windows(samples, hop)
        ]

    def judge(
        self, window: np.ndarray, *, machine: str | None = None, file: str = "", start_s: float = 0.0, why: int = 1
    ) -> Decision:
        """The decision for one window, which does not depend on others.

        Parameters
        ----------
        window : (samples,) float32
            At the detector's own rate.
        machine
            "type/id"; unless given, the one that the window is most normal for.
        file, start_s
            Where it is from.
        why
            Reasons to give for an alarm, at most.

        Raises
        ------
        InputError
            The window cannot be scored, or the machine is unknown.
        """
        clips = {member.stated: member.features(window, self.sample_rate, file) for member in self.members}
        found = []
        for candidate in [self.known(machine)] if machine else self._machines:
            score = float(np.mean([member.score(clips[member.stated], candidate, file) for member in self.members]))
            calibration = self.calibration(candidate)
            p = float(calibration.p_values(np.array([score]))[0])
            found.append((p, calibration.threshold - score, candidate, score))
        p, _, nearest, score = max(found, key=lambda one: one[:2])
        calibration = self.calibration(nearest)
        alarm = score > calibration.threshold
        reasons = self.reasons(window, "/".join(nearest))[:why] if alarm and why else []
        return Decision(
            file=file,
            start_s=start_s,
            machine="/".join(nearest),
            score=score,
            p_value=p,
            threshold=calibration.threshold,
            alarm=alarm,
            extrapolated=calibration.extrapolated,
            why=tuple(map(str, reasons)),
        )

    def windows(self, samples: np.ndarray, hop: float | None = None) -> Iterator[tuple[float, np.ndarray]]:
        """Cut a recording into windows of the training length, the last of which ends where the recording does.

        A recording no longer than the longest training clip is one window.

        Parameters
        ----------
        samples : (samples,)
            At the detector's own rate.
        hop
            Seconds from one window to the next; the length of a window unless given.

        Yields
        ------
        start, samples : float, (samples,)
            Where the window begins, in seconds, and its samples.
        """
        if len(samples) <= self.longest:
            yield 0.0, samples
            return
        step = self.samples if hop is None else max(1, round(hop * self.sample_rate))
        last = len(samples) - self.samples
        for first in [*range(0, last, step), last]:
            yield first / self.sample_rate, samples[first : first + self.samples]

    def reasons(self, window: np.ndarray, machine: str) -> list[explain.Deviation]:
        """Where a window, (samples,), deviates most from the machine's normal sound, strongest first."""
        return explain.deviations(window, self.sample_rate, self.reference(self.known(machine)))

    def error_curves(self, window: np.ndarray, machine: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """The errors over time of a window, (samples,), for each member whose detector has them.

        Returns
        -------
        name, seconds, errors : str, (windows,), (windows,)
            Of each such member.
        """
        found = []
        for member in self.members:
            frames = member.features(window, self.sample_rate, "")
            if (errors := member.errors(frames, self.known(machine))) is not None:
                seconds = np.linspace(0, len(window) / self.sample_rate, len(errors))
                found.append((member.detector, seconds, errors))
        return found

    def reference(self, machine: Machine) -> explain.Reference:
        """The normal levels of a machine's sound."""
        i = self._machines.index(machine)
        return explain.Reference(self._arrays[f"reference.{i}.median"], self._arrays[f"reference.{i}.spread"])

    def calibration(self, machine: Machine) -> Calibration:
        """The normal clips that the machine's threshold is taken from."""
        return self._thresholds[machine]

    def known(self, machine: str) -> Machine:
        """Type and id of the machine "type/id".

        Raises
        ------
        InputError
            The detector does not know it.
        """
        if machine not in self.machines:
            raise InputError(
                f"the detector does not know the machine {machine}: give one of {', '.join(self.machines)}"
            )
        return self._machines[self.machines.index(machine)]

    def machine_of(self, path: str | Path) -> str | None:
        """The machine that a path names: type and id as folders, or the id in the file's name as in DCASE; None without one."""
        if len(self.machines) == 1:
            return self.machines[0]
        *folders, name = PurePath(path).parts
        types = {machine_type for machine_type, _ in self._machines}
        found = [
            "/".join(machine)
            for machine in self._machines
            if (len(types) == 1 or machine[0] in folders)
            and (machine[1] in folders or f"_id_{machine[1]}_" in f"_{name}" or f"section_{machine[1]}_" in name)
        ]
        return found[0] if len(found) == 1 else None

    @property
    def short_name(self) -> str:
        """The beginning of its file's checksum, which tells one calibration from the next."""
        return self.description["sha256"][:16]

    @property
    def channel(self) -> int | str | list[int]:
        return self.description["channel"]

    def read(self, path: str | Path, resample: bool = False) -> np.ndarray:
        """The channel of a recording that the detector hears, (samples,) float32 at its own rate."""
        return self.at_own_rate(str(path), *read_samples(Path(path), self.channel), resample)

    def at_own_rate(self, name: str, samples: np.ndarray, rate: int | None, resample: bool = False) -> np.ndarray:
        """The samples (samples,) at the detector's own rate.

        Raises
        ------
        InputError
            They have another rate, and may not be resampled.
        """
        if rate == self.sample_rate:
            return samples
        if rate is None:
            raise InputError("score of samples needs their sample_rate in Hz: give it")
        if not resample:
            raise InputError(
                f"{name} has {rate} Hz, the detector hears {self.sample_rate} Hz: resample it (--resample)"
            )
        import librosa  # here, because it takes a second to load

        return librosa.resample(samples, orig_sr=rate, target_sr=self.sample_rate, res_type="soxr_hq", axis=0)

    @cached_property
    def _thresholds(self) -> dict[Machine, Calibration]:
        return self.calibrations(self.false_alarm_rate)

    def calibrations(self, rate: float) -> dict[Machine, Calibration]:
        """The normal clips that each machine's threshold for a false-alarm rate is taken from."""
        scores, machine = self._arrays["calibration.scores"], self._arrays["calibration.machine"]
        groups = self._arrays.get("calibration.group")
        own = {
            known: Calibration(
                scores[machine == i],
                rate,
                None if groups is None else groups[machine == i],
                self.description["calibration"]["method"],
            )
            for i, known in enumerate(self._machines)
            if (machine == i).any()
        }
        found = {known: calibration_for(known, own, rate) for known in self._machines}
        return {known: calibration for known, calibration in found.items() if calibration}


def load(path: str | Path, false_alarm_rate: float | None = None) -> Detector:
    """Load a detector from its file.

    Parameters
    ----------
    path
        A .humwatch file.
    false_alarm_rate
        To promise in place of the one that it was packed with.

    Raises
    ------
    InputError
        The file is missing or damaged, or the rate is not between 0 and 1.
    """
    if false_alarm_rate is not None and not 0 < false_alarm_rate < 1:
        raise InputError(f"the false-alarm rate is {false_alarm_rate:g}: it must lie between 0 and 1")
    return Detector(*pack.read(Path(path)), false_alarm_rate)


class Member:
    """A trial: its models, one for each scope, and how its scores are standardised where it is a member of an ensemble."""

    def __init__(self, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self.detector: str = description["detector"]
        self.score_name: str = description["score"]
        self.parameters: dict[str, Any] = description["feature"]  # that its features are made with
        self.stated = json.dumps(self.parameters, sort_keys=True)
        self.feature = features.made_with(self.parameters)
        self.models: dict[Machine, detectors.BaseDetector] = {}
        for i, made in enumerate(description["models"]):
            model = detectors.make(description["detector"], description["hyperparameters"])
            model.feature, model.epoch = made["feature"], made["epoch"]
            model.set_state(models.under(f"models.{i}.", arrays))
            self.models |= {(t, m): model for t, m in made["machines"]}
        self.scales = {(t, m): (mean, deviation) for t, m, mean, deviation in description.get("scales", [])}

    def features(self, window: np.ndarray, sample_rate: int, file: str) -> np.ndarray:
        """The frames of a window, (frames, bins) float32."""
        try:
            frames = self.feature(window if self.feature.hears_far else near(window), sample_rate)
        except InputError as error:
            raise InputError(f"{file or 'the window'}: {error}") from None
        if not np.isfinite(frames).all():
            raise InputError(f"{file or 'the window'}: its features are NaN or infinite somewhere: check its samples")
        return frames

    def score(self, frames: np.ndarray, machine: Machine, file: str) -> float:
        try:
            value = float(self.models[machine].score(self._clip(frames, machine, file))[self.score_name][0])
        except InputError as error:  # of a network, which knows no names
            raise InputError(str(error) if file in str(error) else f"{file}: {error}") from None
        mean, deviation = self.scales.get(machine, (0.0, 1.0))
        return (value - mean) / deviation

    def errors(self, frames: np.ndarray, machine: Machine) -> np.ndarray | None:
        """The errors of a clip's windows of frames, (windows,); None for detectors without window errors."""
        window_errors = getattr(self.models[machine], "window_errors", None)
        return window_errors(self._clip(frames, machine, ""))[0] if window_errors else None

    def _clip(self, frames: np.ndarray, machine: Machine, file: str) -> Features:
        row = {"clip": file, "machine_type": machine[0], "machine_id": machine[1], "split": "test", "label": None}
        return Features.of([frames], pd.DataFrame([row], dtype=object), self.parameters)


def one_channel(name: str, samples: np.ndarray, channel: int | str | list[int]) -> np.ndarray:
    """The channel that a detector hears, or several; samples of one channel are taken whatever channel that is.

    Parameters
    ----------
    name
        For errors.
    samples : (samples,) or (samples, channels)
        At full scale 1.
    channel
        Its number, or "mix" for the mean of all; a list for several, which must all be there.

    Returns
    -------
    (samples,) or (samples, channels) float32

    Raises
    ------
    InputError
        There is no such channel.
    """
    samples = np.asarray(samples, np.float32)
    if isinstance(channel, list):
        if samples.ndim != 2 or max(channel) >= samples.shape[1]:
            raise InputError(
                f"{name} has {samples.shape[1] if samples.ndim == 2 else 1} channel(s): the detector hears channels "
                f"{' and '.join(map(str, channel))}"
            )
        return np.ascontiguousarray(samples[:, channel])
    if samples.ndim == 1:
        return samples
    if samples.ndim != 2:
        raise InputError(f"{name} has {samples.ndim} dimensions: give (samples,) or (samples, channels)")
    if channel == "mix":
        return samples.mean(axis=1)
    if int(channel) >= samples.shape[1]:
        raise InputError(f"{name} has {samples.shape[1]} channel(s): the detector hears channel {channel}")
    return np.ascontiguousarray(samples[:, int(channel)])
