"""Raise alarms from records: for k of the last n windows, for a dead microphone, and for a normal sound that has moved.

The state follows from the records alone: after a restart, replaying the history restores it.
"""

import math
from collections import defaultdict, deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from humwatch.datasets import clips
from humwatch.datasets.audio import Recording
from humwatch.errors import InputError
from humwatch.use.alarms import Event
from humwatch.use.detector import Detector
from humwatch.use.drift import LIMIT, Drift
from humwatch.use.history import Record

DEAD = {"silent", "constant", "ends in silence"}  # not scored, as a score would mean nothing
CLIPPED = "clipped"  # scored, as a fault may make the machine so loud
STEPS = 4 / 32768  # range of the samples that a converter without a microphone gives, at most


class Monitor:
    """The state of each machine, record by record.

    Parameters
    ----------
    detector
        That judges the records.
    rule
        k and n: an alarm is raised at k alarms among the last n windows.
    hop
        Seconds from one window to the next; None for the length of a window.
    continuous
        Whether records are successive windows of one sound: an alarm is raised when k is reached. Otherwise records are
        clips, and an alarm is raised for each clip with an alarming window while k are reached.

    Attributes
    ----------
    heard
        Records so far.
    alarms
        How many of them are above the detector's threshold.
    """

    def __init__(self, detector: Detector, rule: tuple[int, int], hop: float | None, continuous: bool) -> None:
        self.detector, (self.k, self.n), self.continuous = detector, rule, continuous
        self.every = 1 if hop is None else max(1, math.ceil(detector.seconds / hop))  # windows that do not overlap
        self.heard = self.alarms = 0
        self._last: dict[str, deque[bool]] = defaultdict(lambda: deque(maxlen=self.n))
        self._dead: dict[str, str] = {}
        self._drifts: dict[str, Drift] = {}
        self._standing: dict[tuple[str, str], Event] = {}
        self._windows: dict[str, int] = defaultdict(int)

    def replay(self, records: Iterable[Record]) -> list[Event]:
        """Take the records of earlier processes; the events that still stand, as they may not have been delivered."""
        for record in records:
            self.update(record)
        return list(self._standing.values())

    def update(self, record: Record) -> list[Event]:
        """Take a record; the events that it causes."""
        self.heard += 1
        self.alarms += record.alarm
        if record.detector != self.detector.short_name:  # another one, or an earlier calibration
            return []
        machine = "" if record.nearest else record.machine
        found = []
        if not record.problem and (event := self._microphone(machine, record)):
            found.append(event)
        if record.threshold is None:
            return found
        scores = [float(score) for score in record.scores.split()]
        if event := self._alarm(machine, record, [score > record.threshold for score in scores]):
            found.append(event)
        if not record.nearest and (event := self._drift(machine, record, scores)):
            found.append(event)
        return found

    def standing(self, machine: str) -> dict[str, Event]:
        """The events of a machine that stand, by their kind; "" is the machine of clips that are of none that is known."""
        standing = list(self._standing.items())  # at once, as another thread may add to them
        return {kind: event for (kind, name), event in standing if name == machine}

    def drift_capital(self, machine: str) -> float:
        """What bets against the machine's normal sound being as it was have made of 1 (`drift.Drift`)."""
        return self._drifts[machine].capital if machine in self._drifts else 1.0

    def silent(self, seconds: float, what: str, machine: str = "") -> Event:
        """The event that nothing has come for so many seconds; of a machine, or of all."""
        of = f" of {machine}" if machine else ""
        return {
            "kind": "microphone",
            "machine": machine,
            "sentence": f"no {what}{of} for {seconds:.0f} s: is the microphone alive?",
        }

    def _microphone(self, machine: str, record: Record) -> Event | None:
        before, self._dead[machine] = self._dead.get(machine, ""), record.microphone
        if not record.microphone:
            self._standing.pop(("microphone", machine), None)
            return None
        event = self._event(
            "microphone", record, f"the microphone of {_named(record)} is {record.microphone}: check it"
        )
        return event if record.microphone != before else None

    def _alarm(self, machine: str, record: Record, flags: list[bool]) -> Event | None:
        last = self._last[machine]
        stood = sum(last) >= self.k
        last.extend(flags)
        if sum(last) < self.k:
            self._standing.pop(("alarm", machine), None)
            return None
        if not any(flags) or (self.continuous and stood):
            return None
        how = "" if self.n == 1 else f" ({sum(last)} of the last {len(last)} windows)"
        why = f": {record.why}" if record.why else ""
        return self._event("alarm", record, f"{_named(record)} sounds wrong{how} in {record.file}{why}")

    def _drift(self, machine: str, record: Record, scores: list[float]) -> Event | None:
        calibration = self.detector.calibration(self.detector.known(machine))
        if record.threshold != calibration.threshold:  # of another false-alarm rate
            return None
        if machine not in self._drifts:
            self._drifts[machine] = Drift(calibration.scores, calibration.threshold)
        drift = self._drifts[machine]
        if self.continuous:
            self._windows[machine] += 1
            scores = scores if self._windows[machine] % self.every == 0 else []
        elif len(scores) > 1:  # the last one, at the end of the clip, overlaps
            scores = scores[: -1 : self.every]
        if not any([drift.update(score) for score in scores]):
            return None
        return self._event(
            "drift",
            record,
            f"the normal sound of {_named(record)} has moved away from the recordings that its threshold was taken from, and "
            f"the promised false-alarm rate no longer holds: calibrate it with new normal recordings (humwatch calibrate). "
            f"This is said wrongly of one machine in {LIMIT:.0f} at most, however long it is listened to",
        )

    def _event(self, kind: str, record: Record, sentence: str) -> Event:
        names = ("machine", "file", "start_s", "score", "p_value", "threshold", "extrapolated", "why", "time")
        event = {"kind": kind, "sentence": sentence} | {name: getattr(record, name) for name in names}
        self._standing[kind, "" if record.nearest else record.machine] = event
        return event


def microphone_fault(samples: np.ndarray, sample_rate: int, name: str = "the window") -> str:
    """What is wrong with a microphone that gives these samples, (samples,); empty where nothing is.

    Parameters
    ----------
    name
        Of the sound, for errors.

    Raises
    ------
    InputError
        The samples are not finite.
    """
    recording = Recording(samples.reshape(len(samples), -1), sample_rate, True, [])
    words = {remark.word for remark in clips.quality_remarks(Path(name), recording)}
    found = next((word for word in (*sorted(DEAD), CLIPPED) if word in words), "")
    if not found and np.ptp(samples) <= STEPS:
        return "silent" if abs(samples.mean()) < 0.01 else "constant"
    return found


def rule(text: str) -> tuple[int, int]:
    """The k and n of --alarm-after.

    Raises
    ------
    InputError
        The text is not of the form k/n.
    """
    k, _, n = text.partition("/")
    if not (k.isdigit() and n.isdigit() and 1 <= int(k) <= int(n)):
        raise InputError(f"--alarm-after {text} is no rule: give k/n, k alarms among the last n windows, as in 3/5")
    return int(k), int(n)


def _named(record: Record) -> str:
    return f"the machine nearest to {record.machine}" if record.nearest else (record.machine or "the machine")
