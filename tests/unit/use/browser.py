"""A real Chromium, spoken to by its DevTools protocol through pipes: no package, no port."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--remote-debugging-pipe"),
]
# Chromium reads from file 3 and writes to file 4.
EXEC = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
SECONDS = 30.0  # that anything may take


class Browser:
    """One tab.

    Attributes
    ----------
    errors
        What the page has complained of: exceptions, and what its content policy forbids.
    """

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._bytes, self._number = write, read, b"", 0
        self._session = None
        self.errors: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters) -> dict:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._message()).get("id") != self._number:
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(json.dumps(answer["params"]))
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, address: str, width: int = 1280, height: int = 1600, dark: bool = False) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=address)

    def evaluate(self, script: str):
        """The value of an expression, or of the promise that it is."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, script: str):
        """The value of an expression as soon as it is true; it may be wrong while a page loads."""
        end, found = time.monotonic() + SECONDS, None
        while not found:
            assert time.monotonic() < end, f"{script}: {self.evaluate('document.body.innerText')}"
            with contextlib.suppress(AssertionError):
                found = self.evaluate(script)
            time.sleep(0.05)
        return found

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def _message(self) -> dict:
        while b"\0" not in self._bytes:
            assert select.select([self._read], [], [], SECONDS)[0], "Chromium does not answer"
            more = os.read(self._read, 2**20)
            assert more, "Chromium has ended"
            self._bytes += more
        message, _, self._bytes = self._bytes.partition(b"\0")
        return json.loads(message)


@contextlib.contextmanager
def chromium(folder: Path):
    """A Chromium whose profile is in `folder`; skips the test where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed to open the page with")
    ends = [*os.pipe(), *os.pipe()]
    read_there, write, read, write_there = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    command = [sys.executable, "-c", EXEC, str(read_there), str(write_there), CHROMIUM, *FLAGS]
    process = subprocess.Popen(
        [*command, f"--user-data-dir={folder}"],
        pass_fds=(read_there, write_there),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read_there)
    os.close(write_there)
    try:
        browser = Browser(write, read)
        yield browser
        browser._session = None
        browser.call("Browser.close")
        process.wait(SECONDS)
    finally:
        process.kill()
        process.wait()
        os.close(write)
        os.close(read)
