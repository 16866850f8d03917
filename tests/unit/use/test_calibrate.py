"""`humwatch calibrate`: new thresholds from new normal recordings, without training."""

import numpy as np
import pytest
from conftest import humwatch, write_clip

import humwatch as package
from humwatch.use import pack


@pytest.fixture
def normal(tmp_path):
    """New normal recordings of machine 00, of another loudness than the training clips: the microphone has moved."""
    import soundfile

    for n in range(20):
        path = write_clip(tmp_path / f"normal/00/day{n // 5}_{n}.wav", seed=500 + n)
        samples, rate = soundfile.read(path)
        soundfile.write(path, 0.5 * samples, rate)
    return tmp_path / "normal"


def test_replaced(detector, normal, tmp_path):
    out = tmp_path / "new.humwatch"
    done = humwatch("calibrate", detector, normal, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "20 normal windows of slider/00" in done.stdout and "20 normal clips" in done.stdout
    old, new = package.load(detector), package.load(out)
    scores = [new.score(path)[0].score for path in sorted(normal.rglob("*.wav"))]
    own = new.calibration(("slider", "00"))
    np.testing.assert_array_equal(np.sort(own.scores), np.sort(scores))
    assert scores == [old.score(path)[0].score for path in sorted(normal.rglob("*.wav"))]  # nothing was learnt
    assert own.threshold == np.sort(scores)[18]  # of rank ceil(21 * 0.9) = 19
    other = ("slider", "02")
    assert set(new.calibration(other).scores) >= set(old.calibration(other).scores) - set(
        old.calibration(("slider", "00")).scores
    )
    louder = old.reference(("slider", "00")).median - new.reference(("slider", "00")).median
    assert np.median(louder) == pytest.approx(6, abs=1)  # dB


def test_added(detector, normal, tmp_path):
    out = tmp_path / "new.humwatch"
    humwatch("calibrate", detector, normal, "--add", "--out", out)
    before, after = pack.read(detector)[1], pack.read(out)[1]
    assert len(after["calibration.scores"]) == len(before["calibration.scores"]) + 20
    again = tmp_path / "again.humwatch"
    humwatch("calibrate", out, normal, "--add", "--out", again)
    assert len(pack.read(again)[1]["calibration.scores"]) == len(
        after["calibration.scores"]
    )  # the same clips count once


def test_same_inputs_same_bytes(detector, normal, tmp_path):
    for name in ("one", "other"):
        humwatch("calibrate", detector, normal, "--out", tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_whole_sessions(detector, normal, tmp_path):
    out = tmp_path / "new.humwatch"
    done = humwatch("calibrate", detector, normal, "--group", r"day\d", "--out", out)
    assert package.load(out).calibration(("slider", "00")).sessions >= 4
    assert "sessions" in done.stdout


def test_windows_of_one_recording_are_one_session(detector, tmp_path):
    write_clip(tmp_path / "long/00/a.wav", seconds=7.5)
    write_clip(tmp_path / "long/00/b.wav", seconds=3)
    humwatch("calibrate", detector, tmp_path / "long", "--out", tmp_path / "new.humwatch")
    arrays = pack.read(tmp_path / "new.humwatch")[1]
    machine = arrays["calibration.machine"] == 0
    assert machine.sum() == 8 + 3 and len(set(arrays["calibration.group"][machine])) == 2


def test_what_cannot_serve(detector, normal, tmp_path):
    write_clip(normal / "elsewhere.wav")
    (normal / "00/broken.wav").write_bytes(b"RIFF")
    done = humwatch("calibrate", detector, normal, "--out", tmp_path / "new.humwatch")
    assert done.returncode == 1 and not (tmp_path / "new.humwatch").exists()
    assert "does not say which machine it is of: name it (--machine)" in done.stderr and "broken.wav" in done.stderr
    assert "Traceback" not in done.stderr
