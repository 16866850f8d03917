"""Judge posted clips, in as many threads as there are; one history, one monitor for each detector, one state for each machine."""

import hashlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from humwatch.datasets import audio
from humwatch.datasets.audio import Recording
from humwatch.errors import InputError
from humwatch.use.alarms import Event, Way
from humwatch.use.detector import Detector
from humwatch.use.folder import Clip
from humwatch.use.history import Record, SqliteHistory, search
from humwatch.use.judge import decision_of, judge_clip
from humwatch.use.monitor import Monitor
from humwatch.use.serve.machines import Machine, summary_of
from humwatch.use.serve.sounds import Sounds
from humwatch.use.watch import announce

log = logging.getLogger("humwatch")

SHOWN = 20  # alarms on the page


class NotWritten(Exception):
    """The history cannot be written: nothing is accepted."""


@dataclass(frozen=True)
class Taken:
    """A clip that is in the history.

    Attributes
    ----------
    row
        Its number there.
    record
        How it was judged.
    repeated
        Whether it was there before.
    events
        What the monitor has raised.
    """

    row: int
    record: Record
    repeated: bool
    events: list[Event]


class Service:
    """What the requests have in common.

    Parameters
    ----------
    detectors
        No machine is known to two of them.
    history
        Open.
    monitors
        One for each detector.
    sounds
        Of alarms.
    ways
        By which events leave.
    hop, resample
        As of `Detector.score`.
    most_samples
        That a clip may have, at its own sample rate and at the detector's.
    silent_after
        Seconds without a clip after which a machine is silent for too long.

    Attributes
    ----------
    machines
        By name; clips of no known machine are those of the machine "".
    changed
        Called with a machine's name whenever something about it has changed, from any thread.
    broken
        Why the last clip could not be written to the history; empty where it could.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        history: SqliteHistory,
        monitors: Sequence[Monitor],
        sounds: Sounds,
        ways: list[Way],
        hop: float | None,
        resample: bool,
        most_samples: int,
        silent_after: float,
    ) -> None:
        self.detectors, self.history, self.sounds, self.ways = detectors, history, sounds, ways
        self.hop, self.resample, self.most_samples, self.silent_after = hop, resample, most_samples, silent_after
        self.machines: dict[str, Machine] = {}
        self.changed: Callable[[str], None] = lambda name: None
        self.broken = ""
        self._detector_of = {name: detector for detector in detectors for name in detector.machines}
        self._monitor_of = {id(monitor.detector): monitor for monitor in monitors}
        self._lock = threading.Lock()
        for name in self._detector_of:
            self.machines[name] = Machine(name)
        history.index()
        self._replay(monitors)
        self._alarms = deque(search(history.path, alarm=True, limit=SHOWN), SHOWN)  # newest first

    def detector_of(self, machine: str | None) -> Detector:
        """The detector that knows a machine; without a machine, the only one.

        Raises
        ------
        InputError
            None does, or there are several.
        """
        if machine is None and len(self.detectors) == 1:
            return self.detectors[0]
        if machine is None:
            raise InputError("several detectors are served: post to /v1/machines/TYPE/ID/score")
        if machine not in self._detector_of:
            names = ", ".join(self._detector_of)
            raise InputError(f"the service does not know the machine {machine}: give one of {names}")
        return self._detector_of[machine]

    def take(self, data: bytes, file: str, machine: str | None = None) -> Taken:
        """Judge a clip; it is in the history afterwards, once.

        Parameters
        ----------
        data
            The bytes of a recording.
        file
            Its name. A clip of the same name and bytes is the same clip.
        machine
            "type/id"; unless given, the one that the name says, or for which it is most normal.

        Raises
        ------
        InputError
            The clip cannot be judged.
        NotWritten
            The history cannot be written.
        """
        detector = self.detector_of(machine)
        sha256 = hashlib.sha256(data).hexdigest()
        with self._lock:
            if found := self.history.find(file, sha256):
                return self._repeated(*found)
        clip = Clip(Path(file), file, len(data), 0, sha256, self._decoded(detector, file, data))
        record, window = judge_clip(detector, clip, machine, self.hop, self.resample)
        if record.problem:
            raise InputError(record.problem)
        with self._lock:
            row = self._add(record)
            if isinstance(row, Taken):
                return row
            if record.alarm and window is not None:
                self._keep(row, window, detector)
                self._alarms.appendleft((row, record))
            events = self._monitor_of[id(detector)].update(record)
            self._note(row, record)
            for event in events:
                announce(event, self.ways)
        self.changed(_name(record))
        return Taken(row, record, False, events)

    def look(self) -> None:
        """Raise the event of machines that have been heard, and then not for too long."""
        for name, machine in list(self.machines.items()):
            silent = 0 < machine.heard < time.time() - self.silent_after
            if silent != machine.silent:
                machine.silent = silent
                if silent:
                    event = self._monitors(name)[0].silent(self.silent_after, "clip", name)
                    announce(event, self.ways)
                self.changed(name)

    def summary(self, name: str, parts: int | None = None) -> dict[str, Any]:
        """The state of a machine, for JSON; `parts`: of its day, the last ones."""
        standing: dict[str, Event] = {}
        for monitor in self._monitors(name):
            standing |= monitor.standing(name)
        return self.machines[name].summary(standing, parts)

    def alarms(self) -> list[dict[str, Any]]:
        """The last alarms for JSON, newest first."""
        return [
            summary_of(row, record) | {"sound": self.sounds.sound(row) is not None}
            for row, record in list(self._alarms)
        ]

    def drift_capital(self, name: str) -> float:
        """Of `drift.Drift`, 1 where nothing speaks for one."""
        return self._monitors(name)[0].drift_capital(name)

    def picture(self, row: int) -> Path | None:
        """The picture of an alarm; None where its sound is not kept."""
        for number, record in search(self.history.path, before=row + 1, limit=1):
            if number == row and record.score is not None and record.machine in self._detector_of:
                return self.sounds.picture(row, self._detector_of[record.machine], decision_of(record))
        return None

    def _replay(self, monitors: Sequence[Monitor]) -> None:
        for row, record in self.history.numbered():
            for monitor in monitors:
                monitor.update(record)
            if not record.problem and (record.machine in self._detector_of or record.nearest):
                self._note(row, record)
        for monitor in monitors:
            for event in monitor.replay([]):
                announce(event | {"repeated": True}, self.ways)

    def _decoded(self, detector: Detector, file: str, data: bytes) -> Recording | str:
        """What is in the bytes, or the sentence that says what is wrong with them."""
        try:
            recording = audio.decode(Path(file), data, self.most_samples)
            samples = recording.samples.size * detector.sample_rate / recording.sample_rate
            if self.resample and samples > self.most_samples:
                raise InputError(f"{file} has more than {self.most_samples} samples when resampled: split it")
        except InputError as error:
            return str(error)
        return recording

    def _add(self, record: Record) -> int | Taken:
        """Commit a record: the number of its row; or the clip that is there, as the same one was posted twice at a time."""
        try:
            if found := self.history.find(record.file, record.sha256):
                return self._repeated(*found)
            self.history.add(record)
            found = self.history.find(record.file, record.sha256)
        except sqlite3.Error as error:
            self.broken = f"the history cannot be written ({error})"
            log.error("%s: %s", self.history.path, self.broken)
            raise NotWritten(self.broken) from None
        assert found
        self.broken = ""
        return found[0]

    def _repeated(self, row: int, record: Record) -> Taken:
        if (machine := self.machines.get(_name(record))) and machine.heard:
            machine.heard = time.time()
        return Taken(row, record, True, [])

    def _keep(self, row: int, window: np.ndarray, detector: Detector) -> None:
        try:
            self.sounds.keep(row, window, detector.sample_rate)
        except OSError as error:
            log.error("%s: the sound of an alarm cannot be kept (%s)", self.sounds.folder, error)

    def _note(self, row: int, record: Record) -> None:
        self.machines.setdefault(_name(record), Machine(_name(record))).update(row, record)

    def _monitors(self, name: str) -> list[Monitor]:
        """Those that know a machine; for the machine "", all."""
        if name in self._detector_of:
            return [self._monitor_of[id(self._detector_of[name])]]
        return list(self._monitor_of.values())


def _name(record: Record) -> str:
    """The machine that a record counts for."""
    return "" if record.nearest else record.machine
