"""Alarms by MQTT, to a broker on this machine; and that no way out holds anything up."""

import json
import shutil
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from humwatch.errors import InputError
from humwatch.use import alarms
from humwatch.use.alarms import Way, ways

EVENT = {"kind": "alarm", "machine": "fan/00", "file": "ü.wav", "sentence": "it sounds wrong"}
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


class Broker:
    """The part of MQTT 3.1.1 that one publisher needs. silent: it takes connections and says nothing."""

    def __init__(self, silent=False, refuse=0):
        self.silent, self.refuse, self.got, self.users = silent, refuse, [], []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=[connection], daemon=True).start()

    def talk(self, connection):
        with connection, connection.makefile("rb") as file:
            while head := file.read(1):
                length = shift = 0
                while True:
                    byte = file.read(1)[0]
                    length |= (byte & 127) << shift
                    shift += 7
                    if byte < 128:
                        break
                body = file.read(length)
                kind, quality = head[0] >> 4, head[0] >> 1 & 3
                if self.silent:
                    continue
                if kind == 1:  # CONNECT
                    self.users.append(body[-len(b"\0\6secret") - len(b"\0\3joe") :] if body[7] & 0x80 else None)
                    connection.sendall(bytes([0x20, 2, 0, self.refuse]))
                elif kind == 3:  # PUBLISH
                    size = struct.unpack_from(">H", body)[0]
                    assert quality == 1
                    self.got.append((body[2 : 2 + size].decode(), json.loads(body[4 + size :])))
                    connection.sendall(b"\x40\2" + body[2 + size : 4 + size])
                elif kind == 14:  # DISCONNECT
                    return

    def close(self):
        self.server.close()


def send(port, topic="plant/fan"):
    (way,) = ways(None, None, f"127.0.0.1:{port}/{topic}")
    begun = time.monotonic()
    way.put(EVENT)
    assert time.monotonic() - begun < 0.5
    return way


def wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_mqtt(monkeypatch):
    broker = Broker()
    monkeypatch.setenv("MQTT_USERNAME", "joe")
    monkeypatch.setenv("MQTT_PASSWORD", "secret")
    way = send(broker.port)
    way.close()
    broker.close()
    assert broker.got == [("plant/fan", EVENT)] and broker.users == [b"\0\3joe\0\6secret"] and way.lost == 0


@pytest.mark.skipif(not MOSQUITTO, reason="mosquitto is not installed")
def test_mqtt_with_mosquitto(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    Path(tmp_path / "m.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    broker = subprocess.Popen([MOSQUITTO, "-c", tmp_path / "m.conf"], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: _answers(port))
        from paho.mqtt import client as paho

        got = []
        listener = paho.Client(paho.CallbackAPIVersion.VERSION2)
        listener.on_connect = lambda client, *_: client.subscribe("plant/#", qos=1)
        listener.on_message = lambda _, __, message: got.append((message.topic, json.loads(message.payload)))
        ready = threading.Event()
        listener.on_subscribe = lambda *_: ready.set()
        listener.connect("127.0.0.1", port)
        listener.loop_start()
        assert ready.wait(20)
        send(port).close()
        wait_for(lambda: got)
        listener.disconnect()
        listener.loop_stop()
        assert got == [("plant/fan", EVENT)]
    finally:
        broker.terminate()
        broker.wait()


def _answers(port):
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def test_brokers_that_refuse_or_say_nothing_or_are_not_there(monkeypatch, caplog):
    monkeypatch.setattr(alarms, "TIMEOUT", 0.5)
    monkeypatch.setattr(alarms, "PAUSES", (0.05, 0.05))
    for broker, why in ((Broker(silent=True), "no answer within 0.5 s"), (Broker(refuse=5), "Not authorized")):
        way = send(broker.port)
        wait_for(lambda way=way: way.lost == 1)
        assert why in caplog.text
        way.close()
        broker.close()
    way = send(broker.port)  # nobody listens there any more
    wait_for(lambda: way.lost == 1)
    assert "it sounds wrong" in caplog.text


def test_tries_again(monkeypatch):
    monkeypatch.setattr(alarms, "PAUSES", (0.01, 0.01))
    tries = []

    def send(event):
        tries.append(event)
        if len(tries) < 3:
            raise OSError("not now")

    way = Way("it", send)
    way.put(EVENT)
    way.close()
    assert tries == [EVENT] * 3 and way.lost == 0


def test_one_that_hangs_holds_nothing_up(caplog, monkeypatch):
    monkeypatch.setattr(alarms, "LAST_SECONDS", 0.2)
    hang = threading.Event()
    way = Way("it", lambda event: hang.wait())
    begun = time.monotonic()
    way.put({**EVENT, "sentence": "alarm 0"})
    wait_for(way._events.empty)  # it is on its way
    for i in range(1, alarms.WAITING + 11):
        way.put({**EVENT, "sentence": f"alarm {i}"})
    assert time.monotonic() - begun < 2
    assert way.lost == 10
    assert "alarm 1" in caplog.text and "alarms wait for it" in caplog.text
    begun = time.monotonic()
    way.close()
    assert time.monotonic() - begun < 2 and "101 alarms are not delivered" in caplog.text
    hang.set()


@pytest.mark.parametrize("place", ["host", "/topic", "host:x/topic", "host/a/#"])
def test_no_place(place):
    with pytest.raises(InputError, match="is no place to publish to"):
        ways(None, None, place)
