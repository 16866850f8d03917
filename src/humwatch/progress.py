"""Progress of one job as plain lines: readable in a terminal beside other jobs' lines, and in a log file."""

import logging
import time

log = logging.getLogger("humwatch")


class Progress:
    """Log how far a job is, at most every `interval` seconds, and when it should end.

    Parameters
    ----------
    title
        What is counted.
    total
        How many there are.
    interval
        In seconds.
    """

    def __init__(self, title: str, total: float, interval: float = 5.0) -> None:
        self.title, self.total, self.interval = title, total, interval
        self.first: float | None = None
        self.begun = self.said = time.monotonic()

    def update(self, done: float, detail: str = "") -> None:
        """Take note that `done` of `total` are finished; `detail` is for the line."""
        now = time.monotonic()
        if self.first is None:
            self.first = done - 1
        if now - self.said < self.interval and done != self.total:
            return
        self.said = now
        rate = (done - self.first) / max(now - self.begun, 1e-9)
        left = "" if done >= self.total else f", {_duration((self.total - done) / rate)} left"
        log.info("%s: %d of %d%s%s", self.title, done, self.total, f", {detail}" if detail else "", left)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
