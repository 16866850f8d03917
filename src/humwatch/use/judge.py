"""Judge a clip as a whole: its most anomalous window, and whether its microphone is alive."""

import logging
from datetime import UTC, datetime
from typing import Any

import numpy as np

from humwatch.datasets.names import shown
from humwatch.errors import InputError
from humwatch.use.detector import Decision, Detector, one_channel
from humwatch.use.folder import Clip
from humwatch.use.history import Record
from humwatch.use.monitor import DEAD, microphone_fault
from humwatch.use.recordings import REASONS

log = logging.getLogger("humwatch")

DECIDED = (
    "start_s",
    "machine",
    "score",
    "p_value",
    "threshold",
    "alarm",
    "extrapolated",
)  # that records say of decisions too
LEFT_OUT = "left out: too many recordings were waiting"


def judge_clip(
    detector: Detector,
    clip: Clip,
    machine: str | None = None,
    hop: float | None = None,
    resample: bool = False,
) -> tuple[Record, np.ndarray | None]:
    """Judge a clip by its most anomalous window.

    Parameters
    ----------
    detector
        That judges it.
    clip
        What is judged.
    machine, hop, resample
        As of `Detector.score`.

    Returns
    -------
    record, window : Record, (samples,) or (samples, channels) float32
        The record of the clip, and that window; no window where there is no score.
    """
    about: dict[str, Any] = {
        "file": clip.file,
        "time": now(),
        "sha256": clip.sha256,
        "bytes": clip.size,
        "modified_ns": clip.modified_ns,
        "detector": detector.short_name,
    }
    if not clip.recording:
        return Record(**about, problem=LEFT_OUT), None
    try:
        if isinstance(clip.recording, str):
            raise InputError(clip.recording)
        heard = one_channel(str(clip.path), clip.recording.samples, detector.channel)
        samples = detector.at_own_rate(str(clip.path), heard, clip.recording.sample_rate, resample)
        machine = machine or detector.machine_of(clip.path)
        finite = np.isfinite(samples).all()  # what is not is refused below
        fault = microphone_fault(samples, detector.sample_rate, clip.file) if finite else ""
        if fault in DEAD:
            return Record(**about, microphone=fault, machine=machine or "", nearest=machine is None), None
        windows = [*detector.windows(samples, hop)]
        decisions = [detector.judge(w, machine=machine, file=clip.file, start_s=start, why=0) for start, w in windows]
    except InputError as error:
        log.error("%s", error)
        return Record(**about, problem=shown(error)), None
    strangest = max(range(len(windows)), key=lambda i: decisions[i].score - decisions[i].threshold)
    about |= {"scores": " ".join(repr(decision.score) for decision in decisions)}
    about |= {"nearest": machine is None, "microphone": fault}
    window = windows[strangest][1]
    return record_of(detector, decisions[strangest], window, about), window


def record_of(detector: Detector, decision: Decision, window: np.ndarray, about: dict[str, Any]) -> Record:
    """The record of a decision on a window, with reasons where it is an alarm."""
    reasons = detector.reasons(window, decision.machine)[:REASONS] if decision.alarm else []
    return Record(**about, **{name: getattr(decision, name) for name in DECIDED}, why="; ".join(map(str, reasons)))


def decision_of(record: Record) -> Decision:
    """The decision that a record with a score holds."""
    why = tuple(part for part in record.why.split("; ") if part)
    return Decision(file=record.file, **{name: getattr(record, name) for name in DECIDED}, why=why)


def now() -> str:
    """The present moment, UTC, as records have it."""
    return stamp(datetime.now(UTC))


def stamp(moment: datetime) -> str:
    """A moment in UTC as text."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
