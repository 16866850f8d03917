"""Run `humwatch listen`: judge live sound window by window, and raise alarms."""

import argparse
import hashlib
import logging
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from humwatch.errors import InputError
from humwatch.use import rows
from humwatch.use.alarms import ways
from humwatch.use.detector import Detector, load
from humwatch.use.history import Record, open_history
from humwatch.use.judge import now, record_of, stamp
from humwatch.use.monitor import DEAD, Monitor, microphone_fault, rule
from humwatch.use.recordings import ALARM
from humwatch.use.stream import Window, Windows, check_pcm, microphone, piped
from humwatch.use.watch import announce, check, show

log = logging.getLogger("humwatch")

SAY_EVERY = 60.0  # seconds between warnings that windows are left out


def listen(args: argparse.Namespace) -> None:
    """Listen until the sound ends, or Ctrl-C; end the process with exit code 3 if there was an alarm."""
    detector = load(args.detector, args.false_alarm_rate)
    check(detector, args)
    monitor = Monitor(detector, rule(args.alarm_after), args.hop, continuous=True)
    if args.source == "-":
        check_pcm(args.format, args.rate, args.channels)
        name, source = "standard input", partial(piped, detector, args.format, args.rate, args.channels)
    else:
        name, source = "microphone", partial(microphone, detector)
    out = ways(args.on_alarm, args.webhook, args.mqtt)
    history = open_history(args.history) if args.history else None
    machine = args.machine or (detector.machines[0] if len(detector.machines) == 1 else None)
    raised = False
    try:
        for sentence in rows.promise(detector):
            print(sentence, file=sys.stderr)
        for event in monitor.replay(history.records() if history else []):
            announce(event | {"repeated": True}, out)
        before = monitor.heard, monitor.alarms
        print(rows.HEADER, flush=True)
        begun = datetime.now(UTC)
        windows = Windows(detector, name, source, args.hop, args.backlog, args.resample)
        said, said_at, silent_since = 0, -SAY_EVERY, None
        while True:
            try:
                window = windows.get(1.0)
            except EOFError:
                break
            if windows.left_out > said and time.monotonic() - said_at > SAY_EVERY:
                said, said_at = windows.left_out, time.monotonic()
                log.warning("cannot keep up: %d windows are left out so far", said)
            if window is None:
                if windows.heard != silent_since and time.monotonic() - windows.heard > args.silent_after:
                    silent_since = windows.heard
                    announce(monitor.silent(args.silent_after, "sound"), out)
                continue
            record = judge_window(
                detector, window, machine, f"{name} {stamp(begun + timedelta(seconds=window.start_s))}"
            )
            if history:
                history.add(record)
            show(record)
            for event in monitor.update(record):
                raised = raised or event["kind"] == "alarm"
                announce(event, out)
        if not windows.seconds:
            raise InputError(f"{name} has no sound: check what gives it")
        if windows.seconds < detector.seconds:
            raise InputError(
                f"{name} has {windows.seconds:.1f} s of sound, a window has {detector.seconds:g} s: give more"
            )
        found = monitor.heard - before[0], monitor.alarms - before[1], windows.left_out
        log.info("%d windows, %d of them alarms, %d left out", *found)
    finally:
        if history:
            history.close()
        for way in out:
            way.close()
    if raised:
        sys.exit(ALARM)


def judge_window(detector: Detector, window: Window, machine: str | None, file: str) -> Record:
    """The record of a window."""
    about: dict[str, Any] = {
        "file": file,
        "time": now(),
        "sha256": hashlib.sha256(window.samples.tobytes()).hexdigest(),
        "bytes": window.samples.nbytes,
        "detector": detector.short_name,
        "nearest": machine is None,
    }
    try:
        fault = microphone_fault(window.samples, detector.sample_rate)
        if fault in DEAD:
            return Record(**about, start_s=window.start_s, machine=machine or "", microphone=fault)
        decision = detector.judge(window.samples, machine=machine, file=file, start_s=window.start_s)
    except InputError as error:
        log.error("%s", error)
        return Record(**about, start_s=window.start_s, machine=machine or "", problem=str(error))
    return record_of(detector, decision, window.samples, about | {"microphone": fault, "scores": repr(decision.score)})
