"""Send alarms to a command, a webhook, an MQTT topic. None of them can hold up the scoring.

Each has a thread and a short queue of its own, a time-out and retries; what it cannot deliver is logged and counted.
"""

import contextlib
import json
import logging
import os
import queue
import shlex
import shutil
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

from humwatch.errors import InputError

log = logging.getLogger("humwatch")

Event = dict[str, Any]  # kind ("alarm", "microphone", "drift"), machine, sentence, time, and the record's own columns
TIMEOUT = 10.0  # seconds, of one try
PAUSES = (1.0, 5.0)  # seconds before the second and the third try
WAITING = 100  # events, beyond which the oldest is given up
LAST_SECONDS = 10.0  # to deliver what still waits when the process is to end


class Way:
    """A way to send events: `send` is called with each of them, in a thread of its own.

    Attributes
    ----------
    name
        The option that asked for it.
    lost
        How many events it has given up.
    """

    def __init__(self, name: str, send: Callable[[Event], None]) -> None:
        self.name, self.lost = name, 0
        self._send = send
        self._events: queue.Queue[Event | None] = queue.Queue(WAITING)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Take an event to send; never waits."""
        while True:
            try:
                return self._events.put_nowait(event)
            except queue.Full:
                with contextlib.suppress(queue.Empty):  # it has been sent meanwhile
                    self._give_up(self._events.get_nowait(), f"{WAITING} alarms wait for it")

    def close(self) -> None:
        """Wait at most LAST_SECONDS for the events that are still to be sent."""
        self._ending.set()
        end = time.monotonic() + LAST_SECONDS
        with contextlib.suppress(queue.Full):
            self._events.put(None, timeout=LAST_SECONDS)
        self._thread.join(max(0.0, end - time.monotonic()))
        if self._thread.is_alive():
            left = 1 + sum(event is not None for event in self._events.queue)
            log.warning("%s: %d alarms are not delivered, and will not be", self.name, left)

    def _run(self) -> None:
        while (event := self._events.get()) is not None:
            for pause in (*PAUSES, None):
                try:
                    self._send(event)
                    break
                except Exception as error:  # whatever a library raises, the next event has its chance
                    if pause is None:
                        self._give_up(event, error)
                    else:
                        log.warning("%s: %s: it is tried again", self.name, _short(error))
                        self._ending.wait(pause)

    def _give_up(self, event: Event | None, why: object) -> None:
        assert event  # None, which ends the queue, is put last
        self.lost += 1
        log.error("%s: not delivered (%s), %d so far: %s", self.name, _short(why), self.lost, event["sentence"])


def ways(command: str | None, webhook: str | None, mqtt: str | None) -> list[Way]:
    """The ways to send events that are asked for by `--on-alarm`, `--webhook` and `--mqtt`.

    Raises
    ------
    InputError
        One of them cannot work.
    """
    found = []
    if command:
        found.append(Way("--on-alarm", _command(command)))
    if webhook:
        found.append(Way("--webhook", _webhook(webhook)))
    if mqtt:
        found.append(Way("--mqtt", _mqtt(mqtt)))
    return found


def _command(command: str) -> Callable[[Event], None]:
    """Run a program, without a shell: kind, machine, file and sentence follow its own arguments; the event is its input."""
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise InputError(f"--on-alarm {command!r} cannot be split into arguments ({error}): correct it") from None
    if not arguments or shutil.which(arguments[0]) is None:
        raise InputError(f"--on-alarm {command!r}: there is no such program: give one that can be run")

    def send(event: Event) -> None:
        text = json.dumps(event)
        about = [str(event.get(name, "")) for name in ("kind", "machine", "file", "sentence")]
        with subprocess.Popen(
            [*arguments, *about],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        ) as process:
            try:
                process.communicate(text, TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)  # its children too: they hold its standard input
                raise TimeoutError(f"it did not end within {TIMEOUT:g} s") from None
            if process.returncode:
                raise RuntimeError(f"it ended with exit code {process.returncode}")

    return send


def _webhook(url: str) -> Callable[[Event], None]:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https") or not urllib.parse.urlsplit(url).hostname:
        raise InputError(f"--webhook {url} is no address: give one that begins with http:// or https://")

    def send(event: Event) -> None:
        import requests  # here, because it takes time to load

        try:
            requests.post(url, json=event, timeout=TIMEOUT).raise_for_status()
        except requests.HTTPError as error:
            raise RuntimeError(f"the answer is {error.response.status_code} {error.response.reason}") from None
        except requests.Timeout:
            raise TimeoutError(f"no answer within {TIMEOUT:g} s") from None
        except requests.ConnectionError:  # its text may hold the whole address, with a password
            raise ConnectionError("no connection") from None

    return send


def _mqtt(place: str) -> Callable[[Event], None]:
    """Publish with quality of service 1, which the broker confirms; user and password are in MQTT_USERNAME, MQTT_PASSWORD."""
    host, _, topic = place.partition("/")
    name, _, port = host.partition(":")
    if not name or not topic or (port and not port.isdigit()) or any(sign in topic for sign in "+#"):
        raise InputError(f"--mqtt {place} is no place to publish to: give HOST/TOPIC or HOST:PORT/TOPIC")
    try:
        from paho.mqtt import client as paho
    except ImportError:
        raise InputError("--mqtt needs paho-mqtt: pip install 'humwatch[mqtt]'") from None

    def send(event: Event) -> None:
        connected = threading.Event()
        refused: list[str] = []

        def on_connect(client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
            if reason.is_failure:
                refused.append(str(reason))
            connected.set()

        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.on_connect = on_connect
        client.connect_timeout = TIMEOUT
        if user := os.environ.get("MQTT_USERNAME"):
            client.username_pw_set(user, os.environ.get("MQTT_PASSWORD"))
        client.connect(name, int(port or 1883))
        client.loop_start()
        try:
            if not connected.wait(TIMEOUT):
                raise TimeoutError(f"no answer within {TIMEOUT:g} s")
            if refused:
                raise ConnectionError(refused[0])
            sent = client.publish(topic, json.dumps(event), qos=1)
            end = time.monotonic() + TIMEOUT
            sent.wait_for_publish(TIMEOUT)
            if not sent.is_published() or time.monotonic() > end:
                raise TimeoutError(f"no answer within {TIMEOUT:g} s")
        finally:
            client.disconnect()
            client.loop_stop()

    return send


def _short(error: object) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
