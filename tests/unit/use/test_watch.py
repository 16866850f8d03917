"""humwatch watch, as a process: each recording judged once, when it is whole, whatever happens to the process."""

import contextlib
import csv
import http.server
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from small_detector import RATE, run, sound, start, write

import humwatch
from humwatch import __main__
from humwatch.use.monitor import microphone_fault


def rows(history):
    if not history.exists():
        return []
    if history.suffix == ".csv":
        with open(history, newline="") as file:
            return [row for row in csv.DictReader(file) if row["detector"]]
    with contextlib.closing(sqlite3.connect(history)) as base:
        base.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in base.execute("SELECT * FROM clips ORDER BY rowid")]
        except sqlite3.OperationalError:  # no table yet
            return []


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def watching(fan, folder, *arguments):
    """A running watch; ended politely, its standard error in `process.said`."""
    folder.mkdir(exist_ok=True)
    process = start("watch", fan, folder, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.said = ""
    reader = threading.Thread(target=lambda: [setattr(process, "said", process.said + line) for line in process.stderr])
    reader.start()
    out = []
    drain = threading.Thread(target=lambda: out.extend(process.stdout))
    drain.start()
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        finally:
            process.kill()
            reader.join()
            drain.join()
            process.out = "".join(out)


def test_recordings_that_are_there_and_that_arrive(fan, tmp_path):
    folder = tmp_path / "in"
    write(folder / "a.wav", sound(seed=1))
    write(folder / "sub/ü, b.flac.wav", sound(3.0, seed=2, whistle=0.05))
    (folder / "notes.txt").write_text("no recording")
    with watching(fan, folder) as process:
        wait_for(lambda: len(rows(folder / "history.csv")) == 2)
        write(folder / "c.wav", sound(seed=3))
        write(tmp_path / "moved/d.wav", sound(seed=4))
        (tmp_path / "moved").rename(folder / "moved")
        wait_for(lambda: len(rows(folder / "history.csv")) == 4, 20)
    found = {row["file"]: row for row in rows(folder / "history.csv")}
    assert process.returncode == 130
    detector = humwatch.load(fan)
    for path in ("a.wav", "sub/ü, b.flac.wav", "c.wav", "moved/d.wav"):
        decisions = detector.score(folder / path)
        assert [float(score) for score in found[path]["scores"].split()] == [d.score for d in decisions]
        strangest = max(decisions, key=lambda decision: decision.score)
        assert float(found[path]["start_s"]) == strangest.start_s
        assert (found[path]["alarm"] == "True") == strangest.alarm == path.startswith("sub")
    assert "kHz" in found["sub/ü, b.flac.wav"]["why"] and found["a.wav"]["why"] == ""
    assert "ALARM: fan/00 sounds wrong in sub/ü, b.flac.wav: " in process.said
    assert "a.wav" in process.out and "ALARM" in process.out and "change" not in process.said


def test_a_file_is_judged_when_it_is_whole(fan, tmp_path):
    """It grows slowly, pauses, and its header first says nothing of its length."""
    folder = tmp_path / "in"
    whole = write(tmp_path / "whole.wav", sound(seed=1)).read_bytes()
    unfinished = whole[:40] + b"\xff\xff\xff\xff" + whole[44:]
    with watching(fan, folder) as process:
        wait_for(lambda: "promised" in process.said)
        with open(folder / "slow.wav", "wb") as file:
            for i in range(0, 3000, 1000):
                file.write(unfinished[i : i + 1000])
                file.flush()
                time.sleep(0.3)
            time.sleep(2)  # longer than a file is waited for that has a whole header
            file.write(unfinished[3000:])
            file.flush()
            time.sleep(2)
            assert not rows(folder / "history.csv")
            file.seek(0)
            file.write(whole)
        wait_for(lambda: rows(folder / "history.csv"))
    (row,) = rows(folder / "history.csv")
    assert float(row["score"]) == humwatch.load(fan).score(folder / "slow.wav")[0].score


def test_once_across_restarts_and_again_when_changed(fan, tmp_path):
    folder, history = tmp_path / "in", tmp_path / "h.sqlite"
    write(folder / "a.wav", sound(seed=1))
    write(folder / "b.wav", sound(seed=2))
    with watching(fan, folder, "--history", history):
        wait_for(lambda: len(rows(history)) == 2)
    first = rows(history)
    (folder / "b.wav").touch()  # a new time, the same sound
    write(folder / "a.wav", sound(seed=3))
    write(folder / "z.wav", sound(seed=4))
    with watching(fan, folder, "--history", history) as process:
        wait_for(lambda: len(rows(history)) == 4)
        time.sleep(1)
        assert "h.sqlite: 2 recordings have been judged before" in process.said
        other = run("watch", fan, folder, "--history", history)
        assert other.returncode == 1 and b"another humwatch writes" in other.stderr
    found = rows(history)
    assert found[:2] == first and sorted(row["file"] for row in found[2:]) == ["a.wav", "z.wav"]


@pytest.mark.parametrize("name", ["history.csv", "history.sqlite"])
def test_killed_at_any_moment(fan, tmp_path, name):
    """Each recording has one row in the end."""
    chance, folder, history = random.Random(0), tmp_path / "in", tmp_path / name
    folder.mkdir()
    clips = [write(tmp_path / f"{i}.wav", sound(seed=i)) for i in range(60)]
    for kill in range(5):
        process = start(
            "watch", fan, folder, "--history", history, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        before = len(rows(history))
        for i in range(12):
            shutil.copyfile(clips[12 * kill + i], folder / f"{12 * kill + i}.wav")
        if kill:  # at least once while it works
            wait_for(lambda before=before: len(rows(history)) > before)
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        process.wait()
    with watching(fan, folder, "--history", history):
        wait_for(lambda: len(rows(history)) >= 60)
        time.sleep(1.5)
    assert sorted(row["file"] for row in rows(history)) == sorted(f"{i}.wav" for i in range(60))


def test_a_line_that_a_kill_has_torn(fan, tmp_path):
    folder, history = tmp_path / "in", tmp_path / "in/history.csv"
    for i in range(2):
        write(folder / f"{i}.wav", sound(seed=i))
    with watching(fan, folder):
        wait_for(lambda: len(rows(history)) == 2)
    whole = history.read_bytes()
    history.write_bytes(whole[:-7])
    with watching(fan, folder):
        wait_for(lambda: history.read_bytes().count(b"\n") == 3)
    assert sorted(row["file"] for row in rows(history)) == ["0.wav", "1.wav"]


def test_broken_recordings_are_rows_with_a_sentence(fan, tmp_path, monkeypatch):
    from humwatch.use import folder as folders

    monkeypatch.setattr(folders, "PATIENCE", 0.5)
    monkeypatch.setattr(folders, "SETTLED", 0.1)
    from humwatch.use.history import open_history
    from humwatch.use.judge import judge_clip

    folder = tmp_path / "in"
    data = write(folder / "cut.wav", sound(seed=1)).read_bytes()
    (folder / "cut.wav").write_bytes(data[:-1000])
    (folder / "text.wav").write_text("nothing to hear")
    write(folder / "fast.wav", sound(seed=1), rate=44100)
    history, detector, found = open_history(tmp_path / "h.csv"), humwatch.load(fan), {}
    for clip in folders.Folder(folder, history, 10):
        if clip:
            found[clip.file], _ = judge_clip(detector, clip)
            history.add(found[clip.file])
        if len(found) == 3:
            break
    assert "is truncated (1000 bytes are missing at its end)" in found["cut.wav"].problem
    assert "is a text file" in found["text.wav"].problem
    assert "has 44100 Hz, the detector hears 16000 Hz" in found["fast.wav"].problem
    assert all(record.score is None and not record.alarm for record in found.values())


def test_what_cannot_keep_up_leaves_out_the_oldest_and_counts(fan, tmp_path):
    folder, history = tmp_path / "in", tmp_path / "in/history.csv"
    clips = [write(tmp_path / f"{i:02d}.wav", sound(20.0, seed=i)) for i in range(30)]
    write(folder / "old 0.wav", sound(seed=1))
    with watching(fan, folder, "--backlog", 2, "--hop", 0.2) as process:
        wait_for(lambda: rows(history))
        for clip in clips:
            shutil.copyfile(clip, folder / clip.name)
        wait_for(lambda: len(rows(history)) == 31)
    left_out = [row["file"] for row in rows(history) if row["problem"]]
    assert len(left_out) >= 20 and f"is left out, {len(left_out)} so far" in process.said
    assert {"old 0.wav", "29.wav"} & {*left_out} == set()
    assert all(
        row["problem"] == "left out: too many recordings were waiting" for row in rows(history) if not row["score"]
    )


def test_dead_microphones_are_alarms_of_their_own_kind(fan, tmp_path):
    folder = tmp_path / "in"
    clips = [
        sound(seed=1),
        np.zeros(RATE),
        np.zeros(RATE),
        sound(seed=1),
        np.full(RATE, 0.25),
        (np.random.default_rng(0).integers(-1, 2, RATE)) / 32768,
        sound(seed=1, level=100.0),
    ]
    for i, clip in enumerate(clips):
        write(folder / f"{i}.wav", clip)
        time.sleep(0.01)
    with watching(fan, folder, "--silent-after", 2) as process:
        wait_for(lambda: "no new recording for 2 s" in process.said)
    found = rows(folder / "history.csv")
    assert [row["microphone"] for row in found] == ["", "silent", "silent", "", "constant", "silent", "clipped"]
    assert [bool(row["score"]) for row in found] == [
        True,
        False,
        False,
        True,
        False,
        False,
        True,
    ]  # a loud fault clips, too
    said = [line.split("WARNING: ")[1] for line in process.said.splitlines() if "MICROPHONE" in line]
    assert [line.split(" is ")[1].split(":")[0] for line in said[:-1]] == ["silent", "constant", "silent", "clipped"]
    assert said[-1].startswith("MICROPHONE: no new recording for 2 s")


@pytest.mark.parametrize("level, fault", [(1.0, ""), (0.01, ""), (0.0, "silent"), (30.0, "clipped")])
def test_microphone_fault(level, fault):
    assert microphone_fault(sound(seed=5, level=level), RATE) == fault


class Hook(http.server.BaseHTTPRequestHandler):
    """Refuses the first try, takes the others."""

    got: list[dict]

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).got.append(body)
        self.send_response(500 if len(type(self).got) == 1 else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_alarms_leave_by_command_and_webhook(fan, tmp_path):
    """The program hangs, the webhook fails once: the rows come all the same, at once."""
    folder, hostile = tmp_path / "in", "; touch x $(touch y) 'a b' \"c.wav"
    program, ran, wake = (tmp_path / name for name in ("program.py", "ran", "wake"))
    program.write_text(
        "import json, os, sys, time\n"
        f"with open({str(ran)!r}, 'a') as out: print(json.dumps([sys.argv[1:], json.load(sys.stdin)]), file=out)\n"
        f"while not os.path.exists({str(wake)!r}): time.sleep(0.05)\n"
    )
    Hook.got = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    write(folder / hostile, sound(seed=1, whistle=0.05))
    write(folder / "ok.wav", sound(seed=2))
    arguments = ["--on-alarm", f"{sys.executable} {program} 'one word'"]
    arguments += ["--webhook", f"http://127.0.0.1:{server.server_port}/x"]
    with watching(fan, folder, *arguments) as process:
        wait_for(lambda: len(rows(folder / "history.csv")) == 2)
        wait_for(lambda: ran.exists() and ran.read_text())
        begun = time.monotonic()
        write(folder / "later.wav", sound(seed=3))
        wait_for(lambda: len(rows(folder / "history.csv")) == 3)
        assert time.monotonic() - begun < 8  # the program is still asleep
        wait_for(lambda: len(Hook.got) == 2)
        wake.touch()
    server.shutdown()
    (argv, event), *_ = [json.loads(line) for line in ran.read_text().splitlines()]
    assert argv[:4] == ["one word", "alarm", "fan/00", hostile] and argv[4] == event["sentence"]
    assert event["kind"] == "alarm" and event["file"] == hostile and event["p_value"] <= 0.02
    assert Hook.got[0] == Hook.got[1] == event
    assert "--webhook: the answer is 500 Internal Server Error: it is tried again" in process.said
    assert not (folder / "x").exists() and not (folder / "y").exists()


def test_alarm_after_k_of_n_and_repeated_after_a_restart(fan, tmp_path):
    folder = tmp_path / "in"
    for i, whistle in enumerate([0.05, 0, 0.05, 0, 0, 0.05, 0.05]):
        write(folder / f"{i}.wav", sound(seed=i, whistle=whistle))
        time.sleep(0.01)
    with watching(fan, folder, "--alarm-after", "2/2") as process:
        wait_for(lambda: len(rows(folder / "history.csv")) == 7)
        wait_for(lambda: "ALARM: " in process.said)
    assert process.said.count("ALARM: ") == 1
    assert "ALARM: fan/00 sounds wrong (2 of the last 2 windows) in 6.wav" in process.said
    with watching(fan, folder, "--alarm-after", "2/2") as process:
        wait_for(lambda: "ALARM: " in process.said)
    assert process.said.count("ALARM: ") == 1


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--alarm-after", "3/2"], "--alarm-after 3/2 is no rule"),
        (["--on-alarm", "no-such-program x"], "there is no such program"),
        (["--webhook", "ftp://x"], "is no address"),
        (["--mqtt", "host"], "is no place to publish to"),
        (["--machine", "pump/01"], "does not know the machine pump/01"),
        (["--false-alarm-rate", "2"], "the false-alarm rate is 2"),
        (["--hop", "0"], "--hop is 0"),
        (["--history", "own.csv"], "is no history of humwatch"),
        (["--history", "own.sqlite"], "cannot be used as a history"),
    ],
)
def test_one_sentence(fan, tmp_path, arguments, sentence, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.csv").write_text("my,table\n1,2\n")
    (tmp_path / "own.sqlite").write_text("no database, but long enough to be looked at by SQLite" * 20)
    with pytest.raises(SystemExit) as ended:
        __main__.main(["watch", str(fan), str(tmp_path), *arguments])
    said = capsys.readouterr().err
    assert ended.value.code == 1 and sentence in said and "Traceback" not in said and len(said.splitlines()) == 1
    assert (tmp_path / "own.csv").read_text() == "my,table\n1,2\n"
