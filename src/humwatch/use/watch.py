"""Run `humwatch watch`: judge each recording that arrives in a folder once, and raise alarms."""

import argparse
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

from humwatch.datasets.names import shown
from humwatch.errors import InputError
from humwatch.use import rows
from humwatch.use.alarms import Event, Way, ways
from humwatch.use.detector import Decision, Detector, load, one_channel
from humwatch.use.folder import Clip, Folder
from humwatch.use.history import Record, open_history
from humwatch.use.monitor import DEAD, Monitor, microphone_fault, rule
from humwatch.use.recordings import REASONS, check_windows

log = logging.getLogger("humwatch")

LEFT_OUT = "left out: too many recordings were waiting"


def watch(args: argparse.Namespace) -> None:
    """Watch until the process is stopped."""
    detector = load(args.detector, args.false_alarm_rate)
    check(detector, args)
    if not args.folder.is_dir():
        raise InputError(f"{args.folder} is no folder: give the one in which recordings arrive")
    monitor = Monitor(detector, rule(args.alarm_after), args.hop, continuous=False)
    out = ways(args.on_alarm, args.webhook, args.mqtt)
    history = open_history(args.history or args.folder / "history.csv")
    folder = Folder(args.folder, history, args.backlog)
    try:
        for sentence in rows.promise(detector):
            print(sentence, file=sys.stderr)
        for event in monitor.replay(history.records()):
            announce(event | {"repeated": True}, out)
        if known := monitor.heard:
            log.info("%s: %d recordings have been judged before", history.path, known)
        print(rows.HEADER, flush=True)
        left_out, silent_since = 0, None
        for clip in folder:
            if clip is None:
                if folder.arrived != silent_since and time.monotonic() - folder.arrived > args.silent_after:
                    silent_since = folder.arrived
                    announce(monitor.silent(args.silent_after, "new recording"), out)
                continue
            record = judge_clip(detector, clip, args)
            history.add(record)
            show(record)
            if clip.recording is None:
                left_out += 1
                log.warning("cannot keep up: %s is left out, %d so far", clip.file, left_out)
            for event in monitor.update(record):
                announce(event, out)
    finally:
        history.close()
        for way in out:
            way.close()


def judge_clip(detector: Detector, clip: Clip, args: argparse.Namespace) -> Record:
    """The record of a clip: its most anomalous window, and the scores of all."""
    about: dict[str, Any] = {
        "file": clip.file,
        "time": now(),
        "sha256": clip.sha256,
        "bytes": clip.size,
        "modified_ns": clip.modified_ns,
        "detector": detector.short_name,
    }
    if not clip.recording:
        return Record(**about, problem=LEFT_OUT)
    try:
        if isinstance(clip.recording, str):
            raise InputError(clip.recording)
        heard = one_channel(str(clip.path), clip.recording.samples, detector.channel)
        samples = detector.at_own_rate(str(clip.path), heard, clip.recording.sample_rate, args.resample)
        machine = args.machine or detector.machine_of(clip.path)
        fault = microphone_fault(samples, detector.sample_rate)
        if fault in DEAD:
            return Record(**about, microphone=fault, machine=machine or "", nearest=machine is None)
        windows = [*detector.windows(samples, args.hop)]
        decisions = [detector.judge(w, machine=machine, file=clip.file, start_s=start) for start, w in windows]
    except InputError as error:
        log.error("%s", error)
        return Record(**about, problem=shown(error))
    strangest = max(range(len(windows)), key=lambda i: decisions[i].score - decisions[i].threshold)
    return record_of(
        detector,
        decisions[strangest],
        windows[strangest][1],
        about
        | {
            "scores": " ".join(repr(decision.score) for decision in decisions),
            "nearest": machine is None,
            "microphone": fault,
        },
    )


def record_of(detector: Detector, decision: Decision, window: Any, about: dict[str, Any]) -> Record:
    """The record of a decision on a window, with reasons where it is an alarm."""
    names = ("start_s", "machine", "score", "p_value", "threshold", "alarm", "extrapolated")
    reasons = detector.reasons(window, decision.machine)[:REASONS] if decision.alarm else []
    return Record(**about, **{name: getattr(decision, name) for name in names}, why="; ".join(map(str, reasons)))


def show(record: Record) -> None:
    """Print a record as a line."""
    if record.threshold is None:
        print(f"{'-':<7}{'':>8}{'':>12}{'':>12}{'':>9}  {record.machine:<14} {record.file}", end="", flush=True)
        print(f"  ({record.problem or record.microphone})", flush=True)
        return
    names = ("file", "start_s", "machine", "score", "p_value", "threshold", "alarm", "extrapolated")
    why = tuple(part for part in record.why.split("; ") if part)
    print(rows.line(Decision(**{name: getattr(record, name) for name in names}, why=why)), flush=True)


def announce(event: Event, out: list[Way]) -> None:
    """Log an event, and send it."""
    event = {"time": now()} | event
    log.warning("%s: %s", event["kind"].upper(), event["sentence"])
    for way in out:
        way.put(event)


def check(detector: Detector, args: argparse.Namespace) -> None:
    """Raise InputError where an option that `watch` and `listen` share is wrong."""
    check_windows(detector, args.machine, args.hop)
    if not args.silent_after > 0:
        raise InputError(f"--silent-after is {args.silent_after:g}: give seconds above 0")
    if args.backlog < 1:
        raise InputError(f"--backlog is {args.backlog}: give 1 or more")


def now() -> str:
    return stamp(datetime.now(UTC))


def stamp(moment: datetime) -> str:
    """A moment in UTC as text."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
