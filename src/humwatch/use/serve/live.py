"""Tell every open page what changes, as server-sent events.

A page that is slow gets the latest state of what has changed meanwhile, not every step: nothing grows.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from humwatch.use.serve.service import Service

MOST = 100  # open pages
PAUSE = 0.5  # seconds between messages, at least
ALIVE = 15.0  # seconds, after which an empty message shows that the connection is alive
RECENT = 2  # parts of the day that a change is told with


class Live:
    """The pages that are open.

    Attributes
    ----------
    ending
        Whether the service ends, and streams with it.
    """

    def __init__(self, service: Service) -> None:
        self.ending = False
        self._service = service
        self._pages: list[_Page] = []

    @property
    def full(self) -> bool:
        return len(self._pages) >= MOST

    def start(self) -> None:
        """To be called in the event loop that streams run in."""
        loop = asyncio.get_running_loop()

        def changed(name: str) -> None:
            loop.call_soon_threadsafe(self._mark, name)

        self._service.changed = changed

    async def stream(self) -> AsyncIterator[str]:
        """All that a page shows, then what changes."""
        page = _Page()
        self._pages.append(page)
        try:
            yield "retry: 2000\n\n" + self._message("all", page, list(self._service.machines))
            said = time.monotonic()
            while not self.ending:
                try:
                    await asyncio.wait_for(page.woken.wait(), 1.0)
                except TimeoutError:
                    if time.monotonic() - said > ALIVE:
                        said = time.monotonic()
                        yield ": alive\n\n"
                    continue
                names = list(page.changed)
                page.changed.clear()
                page.woken.clear()
                said = time.monotonic()
                yield self._message("change", page, names, RECENT)
                await asyncio.sleep(PAUSE)
        finally:
            self._pages.remove(page)

    def _mark(self, name: str) -> None:
        for page in self._pages:
            page.changed.add(name)
            page.woken.set()

    def _message(self, kind: str, page: "_Page", names: list[str], parts: int | None = None) -> str:
        found: dict[str, Any] = {"now": time.time(), "machines": [self._service.summary(name, parts) for name in names]}
        alarms = self._service.alarms()
        if parts is None:
            found["rates"] = {
                m: detector.false_alarm_rate for detector in self._service.detectors for m in detector.machines
            }
        if parts is None or alarms != page.alarms:
            found["alarms"] = page.alarms = alarms
        return f"event: {kind}\ndata: {json.dumps(found)}\n\n"


class _Page:
    def __init__(self) -> None:
        self.changed: set[str] = set()
        self.alarms: list[dict[str, Any]] = []  # that it shows
        self.woken = asyncio.Event()
