"""Decisions as rows: for a person on a screen, as CSV, as JSON lines."""

import contextlib
import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from humwatch.errors import InputError
from humwatch.evaluation.thresholds import Calibration, clips_needed
from humwatch.use.detector import Decision, Detector

COLUMNS = ["file", "start_s", "machine", "score", "p_value", "threshold", "alarm", "extrapolated", "why"]
HEADER = f"{'alarm':<7}{'p':>8}{'score':>12}{'threshold':>12}{'start_s':>9}  {'machine':<14} file"


def row(decision: Decision) -> dict[str, Any]:
    """A decision as a dictionary with the keys COLUMNS; the reasons are a list."""
    return {name: getattr(decision, name) for name in COLUMNS} | {"why": list(decision.why)}


def line(decision: Decision) -> str:
    """A decision as the screen shows it, under HEADER; reasons on lines of their own."""
    p = f"{decision.p_value:.2g}" + ("~" if decision.extrapolated else " ")
    first = f"{'ALARM' if decision.alarm else 'ok':<7}{p:>9}{decision.score:>11.5g}{decision.threshold:>12.5g}"
    first += f"{decision.start_s:>9.1f}  {decision.machine:<14} {decision.file}"
    return "\n".join([first, *(f"{'':<15}{reason}" for reason in decision.why)])


@contextlib.contextmanager
def writers(csv_file: str | None, json_file: str | None) -> Iterator[list[Callable[[Decision], None]]]:
    """Open what decisions are written to.

    Parameters
    ----------
    csv_file, json_file
        Names of files, or - for standard output; None for no such file.

    Yields
    ------
    list
        Functions that write one decision each, at once: to the files, and, unless one is standard output, to the screen.

    Raises
    ------
    InputError
        A file cannot be written.
    """
    with contextlib.ExitStack() as stack:
        found: list[Callable[[Decision], None]] = []
        if csv_file:
            found.append(_csv_writer(stack.enter_context(_opened(csv_file))))
        if json_file:
            out = stack.enter_context(_opened(json_file))
            found.append(lambda decision: print(json.dumps(row(decision)), file=out, flush=True))
        if "-" not in (csv_file, json_file):
            print(HEADER)
            found.append(lambda decision: print(line(decision), flush=True))
        yield found


def promise(detector: Detector) -> list[str]:
    """Sentences on what the detector promises: its false-alarm rate, how many that are a day, and from which clips."""
    rate = detector.false_alarm_rate
    per_day = rate * 86400 / detector.seconds
    found = [
        f"promised: {_percent(rate)} of windows ({detector.seconds:g} s) of normal sound are alarms, "
        f"{_often(per_day)} of listening"
    ]
    by_calibration: dict[object, tuple[Calibration, list[str]]] = {}
    for name in detector.machines:
        calibration = detector.calibration(detector.known(name))
        key = calibration.method, calibration.sessions, calibration.threshold
        by_calibration.setdefault(key, (calibration, []))[1].append(name)
    for calibration, names in by_calibration.values():
        n = f"{calibration.sessions} normal {'clips' if calibration.groups is None else 'sessions'} ({calibration.method})"
        if calibration.extrapolated:
            found.append(
                f"{', '.join(names)}: extrapolated from {n}, which promises nothing: {clips_needed(rate)} are needed"
            )
        else:
            low, high = calibration.rate_interval
            found.append(f"{', '.join(names)}: {n}, with which the true rate is {_percent(low)} to {_percent(high)}")
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _often(per_day: float) -> str:
    return f"{per_day / 24:.2g} an hour" if per_day >= 24 else f"{per_day:.2g} a day"


def _csv_writer(out: TextIO) -> Callable[[Decision], None]:
    table = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    table.writeheader()

    def write(decision: Decision) -> None:
        table.writerow(row(decision) | {"why": "; ".join(decision.why)})
        out.flush()

    return write


@contextlib.contextmanager
def _opened(name: str) -> Iterator[TextIO]:
    if name == "-":
        yield sys.stdout
        return
    try:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        file = open(name, "w", encoding="utf-8", errors="surrogateescape", newline="")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{name} cannot be written ({error.strerror}): correct the path") from None
    with file:
        yield file
