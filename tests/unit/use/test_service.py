"""humwatch serve, as a process on this computer alone."""

import asyncio
import contextlib
import csv
import http.client
import io
import json
import select
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import ClassVar
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
import requests
import soundfile
from browser import CHROMIUM, chromium
from small_detector import RATE, command, environment, make_detector, run, sound, write

import humwatch
from humwatch import __main__
from humwatch.datasets import audio
from humwatch.errors import InputError
from humwatch.use.history import SqliteHistory
from humwatch.use.monitor import Monitor

for package in ("fastapi", "uvicorn", "prometheus_client", "python_multipart"):
    pytest.importorskip(package, reason=f"humwatch[serve] is not installed: {package} is missing")

TOKEN = "a token of the tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
HOSTILE = ("<img src=x onerror=alert(1)>", "<b>&\"'")
PLACES = 4  # of `service`: two threads, and two that wait


@contextlib.contextmanager
def serving(*arguments, cwd, token="", port=0):
    """A running service: its address, and its process, which ends politely."""
    variables = environment() | {"HUMWATCH_TOKEN": token}
    process = subprocess.Popen(
        command("serve", "--port", port, *arguments),
        cwd=cwd,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=open(cwd / "said.txt", "ab"),  # noqa: SIM115
        text=True,
    )
    try:
        assert select.select([process.stdout], [], [], 60)[0], "it does not start"
        line = process.stdout.readline()
        assert line.startswith("humwatch serves at http://"), (cwd / "said.txt").read_text()
        yield SimpleNamespace(address=line.split()[-1], process=process, folder=cwd)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 143
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def service(fan, tmp_path_factory):
    """A service of a fan and of a machine with an odd name, which asks for a token and takes a megabyte."""
    folder = tmp_path_factory.mktemp("service")
    other = make_detector(folder / "other.humwatch", machines=[HOSTILE])
    arguments = ["--body-limit", 1, "--threads", PLACES - 2, "--backlog", 2, "--keep", 2]
    with serving(fan, other, *arguments, cwd=folder, token=TOKEN) as running:
        running.get = lambda path, **kw: requests.get(running.address + path, headers=BEARER, timeout=30, **kw)
        running.post = lambda path, data=None, **kw: requests.post(
            running.address + path, data, headers=BEARER, timeout=30, **kw
        )
        yield running


def wav(samples, rate=RATE, form="WAV", subtype="PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype, format=form)
    return file.getvalue()


def raw(running, request: bytes) -> tuple[int, bytes]:
    """The answer to bytes that no library would send; the connection is kept as long as the service does."""
    where = urlsplit(running.address)
    with socket.create_connection((where.hostname, where.port), 30) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read()


def head(running, path="v1/machines/fan/00/score", **headers) -> bytes:
    given = {"Host": urlsplit(running.address).netloc, **BEARER} | headers
    return (
        f"POST /{path} HTTP/1.1\r\n".encode() + b"".join(f"{k}: {v}\r\n".encode() for k, v in given.items()) + b"\r\n"
    )


def test_a_clip_is_judged_as_by_humwatch_score(service, fan, tmp_path):
    """Whole, longer than a window, as FLAC, in a form; alarms with their reasons."""
    clips = {
        "normal.wav": wav(sound(seed=1)),
        "alarm.wav": wav(sound(seed=2, whistle=0.05)),
        "long.flac": wav(sound(3.5, seed=3, whistle=0.05), form="FLAC"),
    }
    for name, data in clips.items():
        (tmp_path / name).write_bytes(data)
    scored = run("score", fan, ".", "--csv", "-", "--why", cwd=tmp_path, text=True)
    found = {}
    for row in csv.DictReader(io.StringIO(scored.stdout)):
        found.setdefault(row["file"], []).append(row)
    assert {*found} == {*clips}
    for name, data in clips.items():
        answer = service.post(f"v1/machines/fan/00/score?name={name}", data)
        assert answer.status_code == 200, answer.text
        judged = answer.json()
        assert judged["scores"] == [float(row["score"]) for row in found[name]]
        strangest = max(found[name], key=lambda row: float(row["score"]))
        for key in ("start_s", "score", "p_value", "threshold"):
            assert judged[key] == float(strangest[key])
        assert judged["alarm"] == (strangest["alarm"] == "True") == (name != "normal.wav")
        assert "; ".join(judged["why"]) == strangest["why"]
        assert [sentence.startswith("fan/00 sounds wrong in fan/00/") for sentence in judged["events"]] == [
            True
        ] * judged["alarm"]
        assert (judged["machine"], judged["file"], judged["repeated"]) == ("fan/00", f"fan/00/{name}", False)
    form = service.post("v1/machines/fan/00/score", files={"file": ("form.flac", clips["long.flac"])}).json()
    assert form["file"] == "fan/00/form.flac" and form["scores"] == judged["scores"]


def test_the_same_clip_is_in_the_history_once(service):
    data = wav(sound(seed=10))
    first, second = (service.post("v1/machines/fan/00/score?name=once.wav", data).json() for _ in range(2))
    assert (first["repeated"], second["repeated"]) == (False, True)
    assert second | {"repeated": False} == first
    nameless = [service.post("v1/machines/fan/00/score", data).json() for _ in range(2)]
    assert len({clip["file"] for clip in nameless}) == len({clip["row"] for clip in nameless}) == 2


def test_sentences_are_those_of_the_command_line(service, fan, tmp_path):
    """A clip that cannot be judged leaves no row."""
    whole = wav(sound(seed=1))
    clips = {
        "cut.wav": whole[:-1000],
        "text.wav": b"nothing to hear",
        "empty.wav": b"",
        "fast.wav": wav(sound(seed=1), rate=44100),
        "nan.wav": wav(np.full(RATE, np.nan, np.float32), subtype="FLOAT"),
        "page.flac": b"<!doctype html><p>",
    }
    folder = tmp_path / "fan/00"  # names of the history begin with the machine
    folder.mkdir(parents=True)
    for name, data in clips.items():
        (folder / name).write_bytes(data)
    said = run("score", fan, *(f"fan/00/{name}" for name in clips), cwd=tmp_path, text=True).stderr
    for name, data in clips.items():
        answer = service.post(f"v1/machines/fan/00/score?name={name}", data)
        assert answer.status_code == 422 and f"ERROR: {answer.json()['detail']}\n" in said, (answer.text, said)
    files = {clip["file"] for clip in service.get("v1/history?limit=1000").json()["clips"]}
    assert not files & {f"fan/00/{name}" for name in clips}


def test_what_is_not_taken(service):
    assert service.post("v1/machines/pump/07/score", b"").status_code == 404
    assert "does not know the machine pump/07: give one of fan/00" in service.post("v1/machines/pump/07/score").text
    assert "several detectors are served" in service.post("v1/score", wav(sound(seed=1))).json()["detail"]
    form = service.post("v1/machines/fan/00/score", files={"a": b"", "b": b""})
    assert (form.status_code, form.json()["detail"].partition(" (")[0]) == (422, "the form cannot be read")
    assert "has no file" in service.post("v1/machines/fan/00/score", files={"a": (None, "text")}).text
    assert "blank or longer" in service.post(f"v1/machines/fan/00/score?name={'x' * 201}", wav(sound(seed=1))).text
    zeros = bytearray(wav(np.zeros(1_100_000), form="FLAC"))
    assert len(zeros) < 10_000
    long = service.post("v1/machines/fan/00/score?name=long.flac", zeros)
    assert long.json()["detail"] == "fan/00/long.flac has more than 1000000 samples: split it"
    zeros[21] &= 0xF0  # the header does not say how long it is
    zeros[22:26] = bytes(4)
    assert service.post("v1/machines/fan/00/score?name=long.flac", zeros).json() == long.json()


@pytest.mark.parametrize("kind", ["stated", "chunked", "form"])
def test_a_body_is_refused_as_soon_as_it_is_too_large(service, kind):
    """And not when it has come: none of these ever ends."""
    sentence = b"the body has more than 1 MB"
    if kind == "stated":
        request = head(service, **{"Content-Length": "1000001"})
    else:
        headers = {"Transfer-Encoding": "chunked"}
        start = b""
        if kind == "form":
            headers["Content-Type"] = "multipart/form-data; boundary=x"
            start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        chunk = start + b"0" * 1_000_001
        request = head(service, **headers) + f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n"
    status, answer = raw(service, request)
    assert status == 413 and sentence in answer


def test_more_than_there_are_places_for_is_refused_at_once(service):
    data = wav(sound(seed=20))
    where = urlsplit(service.address)
    slow = [socket.create_connection((where.hostname, where.port), 30) for _ in range(PLACES)]
    try:
        for connection in slow:
            connection.sendall(head(service, **{"Content-Length": len(data)}) + data[:100])
        wait_for(lambda: "humwatch_busy 4.0" in service.get("metrics").text)
        answer = service.post("v1/machines/fan/00/score", data)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1" and "too many clips at a time" in answer.json()["detail"]
        assert service.get("healthz").status_code == 200
        for connection in slow[:2]:
            connection.sendall(data[100:])
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert answer.status == 200
    finally:
        for connection in slow:
            connection.close()
    wait_for(lambda: service.post("v1/machines/fan/00/score", data).status_code == 200)


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return found


def test_nothing_is_told_without_the_token(service):
    address = service.address
    for path in (
        "",
        "docs",
        "v1/machines",
        "v1/history",
        "v1/events",
        "v1/alarms/1.wav",
        "metrics",
        "openapi.json",
        "page.js",
    ):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}, {"Cookie": "humwatch=ü"}):
            answer = requests.get(address + path, headers={k: v.encode() for k, v in headers.items()}, timeout=30)
            assert answer.status_code == 401 and "fan" not in answer.text, path
    assert requests.post(f"{address}v1/machines/fan/00/score", b"", timeout=30).status_code == 401
    assert requests.get(f"{address}healthz", timeout=30).json() == {"status": "ok"}


def test_a_browser_logs_in_to_look_and_no_more(service):
    browser = requests.Session()
    assert "Token needed" in browser.get(service.address, timeout=30).text
    wrong = browser.post(f"{service.address}login", {"token": "wrong"}, timeout=30)
    assert wrong.status_code == 401 and "not the token" in wrong.text and not browser.cookies
    right = browser.post(f"{service.address}login", {"token": TOKEN}, timeout=30, allow_redirects=False)
    assert right.status_code == 303 and right.headers["Location"] == "./"
    cookie = right.headers["Set-Cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and TOKEN not in cookie
    assert browser.get(f"{service.address}v1/machines", timeout=30).status_code == 200
    assert browser.post(f"{service.address}v1/machines/fan/00/score", b"", timeout=30).status_code == 401


def test_pages_of_others_are_refused(service):
    """DNS rebinding sends another host's name; a form of another site says where it is from."""
    rebound = requests.get(f"{service.address}v1/machines", headers=BEARER | {"Host": "evil.example:8080"}, timeout=30)
    assert rebound.status_code == 421
    assert requests.get(f"{service.address}healthz", headers={"Host": "localhost:1"}, timeout=30).status_code == 200
    crossed = BEARER | {"Sec-Fetch-Site": "cross-site"}
    assert (
        requests.post(f"{service.address}v1/machines/fan/00/score", b"", headers=crossed, timeout=30).status_code == 403
    )


def test_the_history_in_pages_and_by_filters(service):
    for n in range(7):
        service.post(f"v1/machines/fan/00/score?name=page {n}", wav(sound(seed=30 + n, whistle=0.05 * (n % 2))))
    every = service.get("v1/history?limit=1000").json()
    assert every["next"] is None and len({clip["row"] for clip in every["clips"]}) == len(every["clips"]) > 6
    assert [clip["row"] for clip in every["clips"]] == sorted((c["row"] for c in every["clips"]), reverse=True)
    walked, before = [], ""
    while before is not None:
        page = service.get(f"v1/history?limit=3{before and f'&before={before}'}").json()
        walked += page["clips"]
        before = page["next"]
    assert walked == every["clips"]
    for alarm in (True, False):
        found = service.get(f"v1/history?limit=1000&alarm={alarm}").json()["clips"]
        assert found == [clip for clip in every["clips"] if clip["alarm"] is alarm] != []
    assert service.get("v1/history?machine=pump/00").json() == {"clips": [], "next": None}
    assert service.get("v1/history?machine=fan/00&limit=1000").json() == every
    third = every["clips"][2]
    cut = service.get("v1/history", params={"since": third["time"]}).json()["clips"]
    assert cut == [clip for clip in every["clips"] if clip["time"] >= third["time"]]
    shifted = third["time"].replace("Z", "+00:00")
    rest = service.get("v1/history", params={"until": shifted, "limit": 1000}).json()["clips"]
    assert len(rest) + len(cut) == len(every["clips"])
    for wrong in ("limit=0", "limit=1001", "since=yesterday", "alarm=maybe", "before=x"):
        answer = service.get(f"v1/history?{wrong}")
        assert answer.status_code == 422 and answer.json()["detail"].startswith(f"{wrong.split('=')[0]}: ")


def test_figures_for_prometheus(service):
    def figures():
        found = {}
        for line in service.get("metrics").text.splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found

    before = figures()
    service.post("v1/machines/fan/00/score", wav(sound(seed=41)))
    service.post("v1/machines/fan/00/score", wav(sound(seed=42, whistle=0.05)))
    service.post("v1/machines/fan/00/score", b"no sound")
    after = figures()

    def more(name):
        return after[name] - before.get(name, 0)

    assert more('humwatch_clips_total{machine="fan/00"}') == more("humwatch_seconds_count") == 2
    assert more('humwatch_alarms_total{machine="fan/00"}') == 1
    assert more('humwatch_events_total{kind="alarm",machine="fan/00"}') == 1
    assert more('humwatch_refused_total{status="422"}') == 1
    assert after['humwatch_drift_capital{machine="fan/00"}'] != 1 < 100
    assert after['humwatch_p_value{machine="fan/00"}'] < 0.05
    assert time.time() - after['humwatch_heard_timestamp_seconds{machine="fan/00"}'] < 60


def test_the_interface_is_described_without_a_network(service):
    api = service.get("openapi.json").json()
    assert {"/v1/score", "/v1/machines/{machine}/score", "/v1/history", "/healthz", "/metrics"} <= {*api["paths"]}
    body = api["paths"]["/v1/score"]["post"]["requestBody"]["content"]
    assert {"audio/wav", "audio/flac", "multipart/form-data"} <= {*body}
    for path in ("", "docs"):
        answer = service.get(path)
        assert "http://" not in answer.text and "https://" not in answer.text
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"] and "style=" not in answer.text
    assert "POST /v1/score" in service.get("docs").text


def test_sounds_of_the_last_alarms_are_kept_and_no_more(service):
    """--keep 2."""
    rows = [
        service.post("v1/machines/fan/00/score", wav(sound(seed=50 + n, whistle=0.05))).json()["row"] for n in range(3)
    ]
    assert service.get(f"v1/alarms/{rows[0]}.wav").status_code == 404
    kept = service.get(f"v1/alarms/{rows[2]}.wav")
    samples, rate = soundfile.read(io.BytesIO(kept.content), dtype="float32")
    assert rate == RATE and np.array_equal(samples, sound(seed=52, whistle=0.05))
    part = requests.get(
        f"{service.address}v1/alarms/{rows[2]}.wav", headers=BEARER | {"Range": "bytes=0-3"}, timeout=30
    )
    assert (part.status_code, part.content) == (206, b"RIFF")  # players seek
    picture = service.get(f"v1/alarms/{rows[2]}.png")
    assert picture.content[:4] == b"\x89PNG"
    assert service.get(f"v1/alarms/{rows[0]}.png").status_code == 404
    assert service.get("v1/alarms/x.wav").status_code == 422
    (folder,) = service.folder.glob("*.alarms")
    assert sorted(path.suffix for path in folder.iterdir()) == [".png", ".wav", ".wav"]


def test_the_page_is_live_in_chromium(service, tmp_path):
    """Logged in to as a person does; a clip that is posted appears without a reload, and names stay text."""
    hostile = "/".join(HOSTILE)
    with chromium(tmp_path) as browser:
        browser.open(service.address, width=390, height=844)
        browser.wait_for("document.querySelector('#token') !== null")
        browser.evaluate(f"document.querySelector('#token').value = {json.dumps(TOKEN)}")
        browser.errors.clear()  # of the page without the token: 401
        browser.evaluate("document.querySelector('button').click()")
        browser.wait_for("document.querySelector('#connection')?.textContent === 'live'")
        browser.evaluate("window.before = 'no reload'")
        name_is = f"(item) => item.querySelector('h3').textContent === {json.dumps(hostile)}"
        said = f"[...document.querySelectorAll('.machine')].find({name_is})"
        assert browser.evaluate(f"{said}.querySelector('.chip').textContent") == "no clip yet"
        for n, whistle in enumerate((0, 0.05)):
            name = quote(f"{HOSTILE[0]} {n}")
            data = wav(sound(seed=60 + n, whistle=whistle))
            answer = service.post(f"v1/machines/{quote(hostile)}/score?name={name}", data)
            assert answer.status_code == 200
            state = ["sounds normal", "sounds wrong"][n]
            browser.wait_for(f"{said}.querySelector('.chip').textContent === '{state}'")
        assert browser.evaluate("document.querySelector('#overview').textContent").endswith("wrong")
        assert " normal clips sounds as strange (p = 0.0" in browser.evaluate(
            f"{said}.querySelector('.chance').textContent"
        )
        assert browser.evaluate(f"{said}.querySelector('.curve').getAttribute('d')").startswith("M")
        assert browser.evaluate(f"{said}.querySelectorAll('circle').length") == 1
        alarm = "document.querySelector('.alarm')"
        assert browser.evaluate(f"{alarm}.querySelector('h3').textContent") == hostile
        assert f"/{HOSTILE[0]} 1," in browser.evaluate(f"{alarm}.querySelector('.about').textContent")
        assert "kHz" in browser.evaluate(f"{alarm}.querySelector('.said').textContent")
        browser.evaluate(f"{alarm}.scrollIntoView()")
        browser.wait_for(f"{alarm}.querySelector('img').naturalWidth > 500")
        browser.evaluate(f"{alarm}.querySelector('audio').preload = 'metadata'")
        browser.wait_for(f"{alarm}.querySelector('audio').duration === 1")
        assert browser.evaluate("document.querySelectorAll('.machine img, h3 *, .about *, .said li *').length") == 0
        assert browser.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]
        assert browser.evaluate("window.before") == "no reload"
        browser.evaluate("location.href = 'docs'")
        browser.wait_for("document.body.innerText.includes('POST /v1/score')")
        assert browser.errors == []


def test_load_and_kill(fan, tmp_path):
    """4 clients post 200 clips each; the service is killed in the middle, and started again.

    A client repeats what was not answered. Each clip is in the history once, with the score of `humwatch score`, whether it was
    answered before the kill or not. A page that is open all the time, where there is a Chromium, is live again.
    """
    sounds = [write(tmp_path / f"clips/{n}.wav", sound(seed=n, whistle=0.05 * (n % 20 == 7))) for n in range(40)]
    data = [path.read_bytes() for path in sounds]
    scored = run("score", fan, "clips", "--csv", "-", cwd=tmp_path, text=True)
    expected = {int(row["file"][6:-4]): row for row in csv.DictReader(io.StringIO(scored.stdout))}
    accepted: dict[str, dict] = {}
    half, again = threading.Event(), threading.Event()

    def client(address, k):
        with requests.Session() as session:
            for n in range(200):
                name = f"{k}-{n}.wav"
                for _ in range(1000):
                    with contextlib.suppress(requests.RequestException):
                        answer = session.post(f"{address}v1/score?name={name}", data[(k + n) % len(data)], timeout=30)
                        assert answer.status_code in (200, 503)
                        if answer.status_code == 200:
                            accepted[name] = answer.json()
                            break
                    if half.is_set():
                        again.wait(60)
                    time.sleep(0.01)
                if len(accepted) >= 400:
                    half.set()

    def rows():
        with contextlib.closing(sqlite3.connect(tmp_path / "own.sqlite")) as base:
            return base.execute("SELECT file, score, alarm FROM clips").fetchall()

    live = "document.querySelector('#connection').textContent === 'live'"
    with ThreadPoolExecutor(4) as pool, chromium(tmp_path) if CHROMIUM else contextlib.nullcontext() as browser:
        with serving(fan, "--history", "own.sqlite", cwd=tmp_path) as running:
            if browser:
                browser.open(running.address)
                browser.wait_for(live)
            clients = [pool.submit(client, running.address, k) for k in range(4)]
            assert half.wait(60)
            running.process.kill()
            running.process.wait()
            before = dict(accepted)
            left = {file for file, *_ in rows()}
            assert {*before} <= left
            if browser:
                browser.wait_for("document.querySelector('#connection').textContent.startsWith('not connected')")
        with serving(fan, "--history", "own.sqlite", cwd=tmp_path, port=urlsplit(running.address).port) as running:
            again.set()
            for done in clients:
                done.result(60)
            (machine,) = requests.get(f"{running.address}v1/machines", timeout=30).json()
            page = requests.get(running.address, timeout=30)
            if browser:
                browser.wait_for(live)
                assert browser.wait_for("document.querySelector('#overview').textContent !== 'No clip has come yet'")
            metrics = requests.get(f"{running.address}metrics", timeout=30).text
    assert machine["last"]["file"] in accepted and page.status_code == 200
    assert 400 < len(accepted) == 800 and len(before) < 800
    found = rows()
    assert sorted(file for file, *_ in found) == sorted(accepted)
    for file, score, alarm in found:
        k, n = map(int, file[:-4].split("-"))
        row = expected[(k + n) % len(data)]
        assert (score, bool(alarm)) == (float(row["score"]), row["alarm"] == "True")
        assert accepted[file]["score"] == score
    counted = next(line for line in metrics.splitlines() if line.startswith('humwatch_clips_total{machine="fan/00"}'))
    assert float(counted.split()[1]) == 800 - len(left)


@pytest.fixture
def judging(fan, tmp_path):
    """Make a service in this process; the history is that of the one before."""
    from humwatch.use.serve.service import Service
    from humwatch.use.serve.sounds import Sounds

    own, made = humwatch.load(fan), []

    def make(said=None, silent_after=3600, detector=own):
        for before in made:
            before.history.close()
        history = SqliteHistory(tmp_path / "h.sqlite")
        way = SimpleNamespace(put=lambda event: said.append(event["sentence"]) if said is not None else None)
        monitors = [Monitor(detector, (1, 1), None, continuous=False)]
        sounds = Sounds(tmp_path / "sounds", 1)
        made.append(Service([detector], history, monitors, sounds, [way], None, False, 10**6, silent_after))
        return made[-1]

    yield make
    for service in made:
        service.history.close()


def test_clips_whose_name_says_which_machine_it_is_and_others(judging, tmp_path):
    path = make_detector(tmp_path / "two.humwatch", machines=[("fan", "00"), ("fan", "02")])
    service = judging(detector=humwatch.load(path))
    named = service.take(wav(sound(seed=1)), "id_02_1.wav").record
    assert (named.machine, named.nearest) == ("fan/02", False)
    other = service.take(wav(sound(seed=1)), "a.wav").record
    assert other.nearest and other.machine in ("fan/00", "fan/02")
    assert [service.summary(name)["states"] for name in service.machines] == [["unheard"], ["normal"], ["normal"]]
    service.take(wav(np.zeros(RATE)), "b.wav")
    before = service.summary("")
    assert before["states"] == ["microphone"]
    assert judging(detector=humwatch.load(path)).summary("") == before


def test_a_clip_has_a_minute_to_come(monkeypatch):
    from fastapi import HTTPException

    from humwatch.use.serve import app

    class Slow:
        headers: ClassVar = {}

        async def stream(self):
            yield b"RIFF"
            await asyncio.sleep(10)

    monkeypatch.setattr(app, "READ_SECONDS", 0.05)
    with pytest.raises(HTTPException) as refused:
        asyncio.run(app._clip_of(Slow(), 100))
    assert refused.value.status_code == 408


def test_one_clip_posted_twice_at_a_time(judging):
    service = judging()
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda _: service.take(wav(sound(seed=1)), "a.wav"), range(8)))
    assert len({one.row for one in taken}) == 1 and sum(not one.repeated for one in taken) == 1


def test_states_of_a_machine_outlast_a_restart(judging):
    service = judging()
    assert service.summary("fan/00")["states"] == ["unheard"]
    service.take(wav(sound(seed=1)), "a.wav")
    assert service.summary("fan/00")["states"] == ["normal"]
    service.take(wav(np.zeros(RATE)), "b.wav")
    dead = service.summary("fan/00")
    assert dead["states"] == ["microphone"] and dead["last"]["score"] is None and dead["last"]["microphone"] == "silent"
    service.take(wav(sound(seed=2, whistle=0.05)), "c.wav")
    before = service.summary("fan/00")
    assert before["states"] == ["alarm"] and "kHz" in before["sentences"][0]
    said = []
    after = judging(said)
    assert after.summary("fan/00") == before and after.alarms() == service.alarms()
    assert [sentence.startswith("fan/00 sounds wrong in c.wav") for sentence in said] == [True]
    assert after.sounds.sound(3) and after.picture(3).read_bytes()[:4] == b"\x89PNG"
    assert after.take(wav(sound(seed=3)), "d.wav") and after.summary("fan/00")["states"] == ["normal"]


def test_a_machine_that_is_silent_for_too_long(judging):
    said = []
    service = judging(said, silent_after=60)
    service.look()
    assert service.summary("fan/00")["states"] == ["unheard"] and said == []
    service.take(wav(sound(seed=1)), "a.wav")
    service.machines["fan/00"].heard -= 61
    service.look()
    service.look()
    assert service.summary("fan/00")["states"] == ["silent"]
    assert said == ["no clip of fan/00 for 60 s: is the microphone alive?"]
    service.take(wav(sound(seed=2)), "b.wav")
    service.look()
    assert service.summary("fan/00")["states"] == ["normal"]


def test_nothing_is_accepted_that_cannot_be_written(judging):
    from humwatch.use.serve.service import NotWritten

    service = judging()
    service.history._base.execute("PRAGMA query_only = ON")
    with pytest.raises(NotWritten, match="the history cannot be written"):
        service.take(wav(sound(seed=1)), "a.wav")
    assert service.broken
    service.history._base.execute("PRAGMA query_only = OFF")
    service.take(wav(sound(seed=1)), "a.wav")
    assert not service.broken and service.summary("fan/00")["states"] == ["normal"]


def test_a_bound_on_samples(tmp_path):
    data = wav(np.zeros((1000, 2)), form="FLAC")
    assert audio.decode(tmp_path / "a.flac", data, 2000).samples.shape == (1000, 2)
    with pytest.raises(InputError, match="has more than 1999 samples: split it"):
        audio.decode(tmp_path / "a.flac", data, 1999)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--host", "0.0.0.0"], "lets other computers in, and no token is asked for: set HUMWATCH_TOKEN, or add"),
        (["--host", "no.such.host.invalid"], "is no address of this computer"),
        (["--port", "99999"], "--port is 99999: give 0 to 65535"),
        (["--history", "h.csv"], "is no SQLite file: name one that ends in .sqlite"),
        (["--history", "own.sqlite"], "cannot be used as a history"),
        (["--threads", "0"], "--threads is 0"),
        (["--backlog", "0"], "--backlog is 0"),
        (["--body-limit", "0"], "--body-limit is 0"),
        (["--keep", "-1"], "--keep is -1"),
        (["--alarm-after", "2/1"], "is no rule"),
        (["--silent-after", "0"], "--silent-after is 0"),
        (["again.humwatch"], "both know the machine fan/00: serve one of them"),
    ],
)
def test_one_sentence(fan, tmp_path, arguments, sentence, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HUMWATCH_TOKEN", raising=False)
    (tmp_path / "again.humwatch").write_bytes(fan.read_bytes())
    (tmp_path / "own.sqlite").write_text("no database, but long enough to be looked at by SQLite" * 20)
    with pytest.raises(SystemExit) as ended:
        __main__.main(["serve", str(fan), *arguments, *(["--port", "0"] if "--port" not in arguments else [])])
    said = capsys.readouterr().err
    assert ended.value.code == 1 and sentence in said and "Traceback" not in said and len(said.splitlines()) == 1


def test_a_port_that_is_taken(fan, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit):
        __main__.main(["serve", str(fan), "--port", str(taken.getsockname()[1])])
    assert "cannot be used" in capsys.readouterr().err


def test_without_the_extra_one_sentence_says_so(fan, tmp_path, monkeypatch, capsys):
    import sys

    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "prometheus_client"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(SystemExit):
        __main__.main(["serve", str(fan), "--port", "0"])
    assert "serve needs prometheus_client: pip install 'humwatch[serve]'" in capsys.readouterr().err
