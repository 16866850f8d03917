"""What the page shows of a machine: follows from its records and the monitor's events, so that a restart loses nothing."""

import time
from datetime import datetime
from typing import Any

from humwatch.use.alarms import Event
from humwatch.use.history import Record

DAY = 86400  # seconds
PART = 300  # seconds of a day that share a point


class Machine:
    """A machine, record by record.

    Parameters
    ----------
    name
        "type/id", or "" for all clips that are of no machine that is known.

    Attributes
    ----------
    heard
        When its last clip was judged, in seconds since 1970; 0 where there was none.
    silent
        Whether there has been none for too long.
    """

    def __init__(self, name: str) -> None:
        self.name, self.heard, self.silent = name, 0.0, False
        self._last: tuple[int, Record] | None = None
        self._day: dict[
            int, tuple[float, bool]
        ] = {}  # seconds since 1970 -> lowest p-value, whether there was an alarm

    def update(self, row: int, record: Record) -> None:
        """Take a record, and the number of its row."""
        self.heard, self._last = seconds_of(record.time), (row, record)
        if record.p_value is None:
            return
        part = int(self.heard) // PART * PART
        lowest, alarm = self._day.get(part, (1.0, False))
        self._day[part] = min(lowest, record.p_value), alarm or record.alarm
        if next(iter(self._day)) <= part - DAY:
            self._day = {start: point for start, point in self._day.items() if start > part - DAY}

    def summary(self, standing: dict[str, Event], parts: int | None = None) -> dict[str, Any]:
        """The machine's state, for JSON.

        Parameters
        ----------
        standing
            Events of the monitor that stand, by their kind.
        parts
            How many parts of the day are wanted, the last ones; None for all.
        """
        states: list[str] = [kind for kind in ("alarm", "microphone", "drift") if kind in standing]
        if self.silent:
            states.append("silent")
        if not states or states == ["drift"]:
            states.insert(0, "normal" if self._last else "unheard")
        start = time.time() - DAY
        points = sorted(list(self._day.items()))  # at once, as another thread may add to them
        day = [[begun, p, alarm] for begun, (p, alarm) in points if begun >= start]
        return {
            "machine": self.name,
            "states": states,
            "sentences": [standing[kind]["sentence"] for kind in states if kind in standing],
            "last": summary_of(*self._last) if self._last else None,
            "day": day if parts is None else day[-parts:],
        }


def summary_of(row: int, record: Record) -> dict[str, Any]:
    """A record for JSON, with the number of its row."""
    names = ("file", "time", "machine", "nearest", "start_s", "score", "p_value", "threshold", "alarm", "extrapolated")
    found = {"row": row} | {name: getattr(record, name) for name in names}
    found |= {"why": [part for part in record.why.split("; ") if part], "microphone": record.microphone}
    return found | {"scores": [float(score) for score in record.scores.split()], "sha256": record.sha256}


def seconds_of(stamp: str) -> float:
    """A moment as text in seconds since 1970."""
    return datetime.fromisoformat(stamp).timestamp()
