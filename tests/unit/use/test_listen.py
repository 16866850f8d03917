"""humwatch listen, as a process: sound on standard input."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_detector import RATE, make_detector, pcm, run, sound, start, two_channels, write

import humwatch
from humwatch.errors import InputError
from humwatch.features import noise_aware
from humwatch.use import stream
from humwatch.use.history import open_history


def heard(history):
    """Start and score of each window in a history."""
    found = [(record.start_s, record.score) for record in open_history(history).records()]
    return [start for start, _ in found], [score for _, score in found]


def expected(fan, samples, hop):
    decisions = humwatch.load(fan).score(samples, RATE, hop=hop)
    return [decision.start_s for decision in decisions], [decision.score for decision in decisions]


CODECS = {"u8": "PCM_U8", "s16le": "PCM_16", "s24le": "PCM_24", "s32le": "PCM_32", "f32le": "FLOAT", "f64le": "DOUBLE"}


@pytest.mark.parametrize("form", CODECS)
def test_samples_are_those_of_a_file(tmp_path, form):
    random = np.random.default_rng(0)
    soundfile.write(tmp_path / "x.wav", random.uniform(-1, 1, (1000, 2)), RATE, CODECS[form])
    data = (tmp_path / "x.wav").read_bytes()
    raw = data[data.index(b"data") + 8 :]
    np.testing.assert_array_equal(
        stream._samples(raw, form).reshape(-1, 2), soundfile.read(tmp_path / "x.wav", dtype="float32")[0]
    )


@pytest.mark.parametrize("kind", ["s16le", "stereo wav of unknown length"])
def test_scores_are_those_of_score(fan, tmp_path, kind):
    samples, history = sound(7.0, seed=1), tmp_path / "h.csv"
    samples[2 * RATE : 3 * RATE] = sound(1.0, seed=2, whistle=0.05)
    arguments, data = [], pcm(samples)
    if kind != "s16le":
        stereo = np.stack([samples, np.zeros_like(samples)], axis=1)
        data = bytearray(write(tmp_path / "x.wav", stereo).read_bytes())
        data[40:44] = b"\xff" * 4
    done = run("listen", fan, "-", "--hop", 0.5, "--history", history, *arguments, input=bytes(data))
    said = done.stderr.decode()
    assert done.returncode == 3, said
    assert heard(history) == expected(fan, samples, 0.5)
    assert len(done.stdout.decode().splitlines()) - 1 >= 13  # the head; alarms have reasons under them
    assert len(re.findall("ALARM: fan/00 sounds wrong", said)) == 1
    assert "13 windows, 3 of them alarms, 0 left out" in said


def test_another_rate_is_refused_or_resampled(fan, tmp_path):
    import librosa

    samples = np.repeat(sound(3.0, seed=1), 2)
    done = run("listen", fan, "-", "--rate", 2 * RATE, input=pcm(samples))
    assert done.returncode == 1 and b"has 32000 Hz, the detector hears 16000 Hz" in done.stderr
    history = tmp_path / "h.csv"
    done = run("listen", fan, "-", "--rate", 2 * RATE, "--resample", "--history", history, input=pcm(samples))
    resampled = librosa.resample(samples, orig_sr=2 * RATE, target_sr=RATE, res_type="soxr_hq")
    starts, scores = expected(fan, resampled, None)
    assert heard(history)[0] == starts
    np.testing.assert_allclose(heard(history)[1], scores, rtol=1e-3)


def test_two_microphones(tmp_path):
    """The second hears the noise alone; one channel is not enough."""
    import librosa

    fan = make_detector(tmp_path / "fan.humwatch", feature=noise_aware.Feature(), channel=[0, 1], sound=two_channels)
    samples, history = two_channels(4.0, seed=500), tmp_path / "h.csv"
    samples[2 * RATE : 3 * RATE] = two_channels(1.0, seed=501, whistle=0.1)
    samples = np.round(samples * 32768) / np.float32(32768)
    done = run("listen", fan, "-", "--channels", 2, "--history", history, input=pcm(samples))
    assert done.returncode == 3 and b"4 windows, 1 of them alarms" in done.stderr, done.stderr.decode()
    assert heard(history) == expected(fan, samples, None)
    doubled, history = np.repeat(samples, 2, axis=0), tmp_path / "doubled.csv"
    options = ("--channels", 2, "--rate", 2 * RATE, "--resample", "--history", history)
    run("listen", fan, "-", *options, input=pcm(doubled))
    resampled = librosa.resample(doubled, orig_sr=2 * RATE, target_sr=RATE, res_type="soxr_hq", axis=0)
    np.testing.assert_allclose(heard(history)[1], expected(fan, resampled, None)[1], rtol=1e-3)
    done = run("listen", fan, "-", input=pcm(samples))
    assert done.returncode == 1 and b"has 1 channel(s): the detector hears channels 0 and 1" in done.stderr


def test_an_hour_at_full_speed_in_constant_memory(fan):
    """Nothing is left out: a pipe that is faster than the clock waits."""
    process = start(
        "listen", fan, "-", "--hop", 4, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout))
    reader.start()
    minute, sizes = pcm(sound(60.0, seed=1)), []
    for _ in range(60):
        process.stdin.write(minute)
        sizes.append(int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[1]))
    process.stdin.close()
    said = process.stderr.read().decode()
    reader.join()
    assert "900 windows" in said and " 0 left out" in said, said
    assert len([line for line in lines if line.startswith((b"ok", b"ALARM"))]) == 900
    assert max(sizes[10:]) - sizes[10] < 8 * 1024, sizes


def test_live_sound_that_is_too_much_leaves_out_the_oldest_windows(fan, monkeypatch):
    """The source is as fast as the clock, the scoring is not."""
    detector = humwatch.load(fan)

    def blocks():
        for _ in range(20):
            time.sleep(0.02)
            yield np.zeros((RATE, 1), np.float32)

    monkeypatch.setattr(stream, "AHEAD", 1e9)  # to the windows this source is live
    windows = stream.Windows(detector, "it", lambda: stream.Source(RATE, blocks()), None, backlog=3, resample=False)
    time.sleep(1.5)
    found = []
    with contextlib.suppress(EOFError):
        while True:
            found.append(windows.get(1.0).start_s)
    assert found == [17.0, 18.0, 19.0] and windows.left_out == 17


@pytest.mark.parametrize(
    "data, sentence",
    [
        (b"", "standard input has no sound"),
        (pcm(sound(0.4)), "standard input has 0.4 s of sound, a window has 1 s"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "ends before its samples"),
        (b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x55\0\1\0" + bytes(12), "is WAV of codec 85"),
    ],
)
def test_one_sentence(fan, data, sentence):
    done = run("listen", fan, "-", input=data)
    assert done.returncode == 1 and sentence in done.stderr.decode() and b"Traceback" not in done.stderr


def test_a_line_is_there_soon_after_its_window(fan):
    """A tenth of a second is promised, by benchmarks/use.py; here, on a machine that is busy, that it is there at all."""
    process = start("listen", fan, "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    for seed in range(3):
        process.stdin.write(pcm(sound(seed=seed)))
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"ok")  # while the pipe stays open
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_nothing_comes_and_silence_comes(fan):
    process = start(
        "listen", fan, "-", "--silent-after", 1, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdin.write(bytes(2 * RATE * 2))
    process.stdin.flush()
    said = b""
    while b"no sound for 1 s" not in said:
        said += process.stderr.readline()
    assert said.count(b"the microphone of fan/00 is silent") == 1
    process.stdin.close()
    assert process.wait(60) == 0


def test_without_sounddevice(fan, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(InputError, match=r"pip install 'humwatch\[listen\]'"):
        stream.microphone(humwatch.load(fan))


def test_the_microphone(fan, monkeypatch):
    """A stand-in for sounddevice: what it gives is what is heard, and what its driver has lost is said."""

    class InputStream:
        samplerate, given = RATE, 0

        def __init__(self, samplerate, channels, dtype):
            assert (samplerate, channels, dtype) == (RATE, 1, "float32")

        def start(self):
            pass

        def read(self, frames):
            self.given += frames
            return sound(2.0, seed=1)[self.given - frames : self.given, None], False

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setitem(
        sys.modules, "sounddevice", types.SimpleNamespace(InputStream=InputStream, PortAudioError=OSError)
    )
    detector = humwatch.load(fan)
    windows = stream.Windows(detector, "it", lambda: stream.microphone(detector), 0.5, backlog=30, resample=False)
    for start_s in (0.0, 0.5, 1.0):
        window = windows.get(5.0)
        first = round(start_s * RATE)
        assert window.start_s == start_s
        np.testing.assert_array_equal(window.samples, sound(2.0, seed=1)[first : first + RATE])


def test_alarms_when_k_is_reached_and_not_again_while_it_lasts(fan, tmp_path):
    parts = [sound(seed=i, whistle=0.05 if i in (2, 5, 6, 7, 8, 12, 13) else 0) for i in range(15)]
    log = tmp_path / "log"
    program = tmp_path / "program.py"
    program.write_text(f"import sys\nwith open({str(log)!r}, 'a') as file: file.write(sys.stdin.read() + '\\n')\n")
    arguments = ["--alarm-after", "2/3", "--on-alarm", f"{sys.executable} {program}"]
    done = run("listen", fan, "-", *arguments, input=pcm(np.concatenate(parts)))
    assert done.returncode == 3
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["start_s"] for event in events] == [6.0, 13.0]
    assert {event["kind"] for event in events} == {"alarm"} and os.path.exists(log)
