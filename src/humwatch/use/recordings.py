"""Run `humwatch score`: find recordings by name, and score them."""

import argparse
import glob
import logging
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from humwatch.datasets.formats import AUDIO_SUFFIXES
from humwatch.errors import InputError
from humwatch.progress import Progress
from humwatch.use import pictures, rows
from humwatch.use.detector import Detector, load

log = logging.getLogger("humwatch")

REASONS = 3
ALARM = 3  # exit code


def score_recordings(args: argparse.Namespace) -> None:
    """Run `humwatch score`; ends the process with its exit code."""
    detector = load(args.detector, args.false_alarm_rate)
    check_windows(detector, args.machine, args.hop)
    paths = [*named(args.inputs)]
    progress = Progress("recordings", len(paths))
    windows = alarms = broken = 0
    reasons = REASONS if args.why else 1
    with rows.writers(args.csv, args.json) as writers:
        for i, path in enumerate(paths, 1):
            try:
                decisions = detector.score(
                    path, machine=args.machine, hop=args.hop, resample=args.resample, why=reasons
                )
                if args.map and any(decision.alarm for decision in decisions):
                    pictures.save(detector, path, decisions, args.map, args.hop, args.resample)
            except InputError as error:
                broken += 1
                log.error("%s", error)
                continue
            for decision in decisions:
                for write in writers:
                    write(decision)
            windows, alarms = windows + len(decisions), alarms + sum(decision.alarm for decision in decisions)
            progress.update(i)
    for sentence in [f"{alarms} of {windows} windows are alarms", *rows.promise(detector)]:
        print(sentence, file=sys.stderr)
    if broken and not args.skip_broken:
        raise InputError(f"{broken} of {len(paths)} recordings could not be scored: replace them, or add --skip-broken")
    if alarms:
        sys.exit(ALARM)


def check_windows(detector: Detector, machine: str | None, hop: float | None) -> None:
    """Raise InputError where the detector does not know the machine, or windows cannot be `hop` seconds apart."""
    if machine:
        detector.known(machine)
    if hop is not None and not hop > 0:
        raise InputError(f"--hop is {hop:g}: give seconds above 0")


def named(names: Iterable[str]) -> Iterator[str]:
    """The recordings that names mean: a file, all in a folder, all that match a pattern; -, the names on standard input.

    Raises
    ------
    InputError
        A folder or a pattern has no recordings.
    """
    for name in names:
        if name == "-":
            yield from named(line for line in sys.stdin.read().splitlines() if line)
        elif Path(name).is_dir():
            found = sorted(str(path) for path in Path(name).rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
            if not found:
                raise InputError(f"{name} holds no recordings: name another folder")
            yield from found
        elif glob.has_magic(name) and not Path(name).exists():
            found = sorted(glob.glob(name, recursive=True))
            if not found:
                raise InputError(f"{name} matches no file: correct the pattern")
            yield from named(found)
        else:
            yield name
