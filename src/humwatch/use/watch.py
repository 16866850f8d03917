"""Run `humwatch watch`: judge each recording that arrives in a folder once, and raise alarms."""

import argparse
import logging
import sys
import time

from humwatch.errors import InputError
from humwatch.use import rows
from humwatch.use.alarms import Event, Way, ways
from humwatch.use.detector import Detector, load
from humwatch.use.folder import Folder
from humwatch.use.history import Record, open_history
from humwatch.use.judge import decision_of, judge_clip, now
from humwatch.use.monitor import Monitor, rule
from humwatch.use.recordings import check_windows

log = logging.getLogger("humwatch")


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
            record, _ = judge_clip(detector, clip, args.machine, args.hop, args.resample)
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


def show(record: Record) -> None:
    """Print a record as a line."""
    if record.threshold is None:
        print(f"{'-':<7}{'':>8}{'':>12}{'':>12}{'':>9}  {record.machine:<14} {record.file}", end="", flush=True)
        print(f"  ({record.problem or record.microphone})", flush=True)
        return
    print(rows.line(decision_of(record)), flush=True)


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
