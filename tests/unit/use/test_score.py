"""`humwatch score` and `humwatch pack`, as a person calls them."""

import csv
import io
import json

import numpy as np
import pytest
import soundfile
from conftest import humwatch, write_clip
from PIL import Image

import humwatch as package

COLUMNS = ["file", "start_s", "machine", "score", "p_value", "threshold", "alarm", "extrapolated", "why"]


def beep(path):
    """Noise as the normal clips', and a beep."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(16000) / 16000
    tone = 0.5 * np.sin(2 * np.pi * 3000 * time) * ((time > 0.4) & (time < 0.6))
    soundfile.write(path, tone + np.random.default_rng(5).normal(0, 0.1, 16000), 16000)
    return path


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_folder_as_a_table(detector, recordings):
    done = humwatch("score", detector, recordings / "test")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["alarm", "p", "score", "threshold", "start_s", "machine", "file"]
    assert sum("normal_id_00_00000000.wav" in line for line in lines) == 1
    assert len([line for line in lines[1:] if line.startswith(("ok", "ALARM"))]) == 12
    assert f"{sum(line.startswith('ALARM') for line in lines)} of 12 windows are alarms" in done.stderr
    assert "promised: 10 % of windows (1 s) of normal sound are alarms, 3.6e+02 an hour of listening" in done.stderr
    assert "slider/00, slider/02" in done.stderr or "slider/00: " in done.stderr
    assert done.returncode == (3 if "\nALARM" in done.stdout else 0)


def test_csv_is_what_python_says(detector, recordings):
    done = humwatch("score", detector, recordings / "test", "--csv", "-")
    found = rows(done.stdout)
    assert list(found[0]) == COLUMNS and len(found) == 12
    loaded = package.load(detector)
    for row in found:
        (decision,) = loaded.score(row["file"])
        assert float(row["score"]) == decision.score and float(row["p_value"]) == decision.p_value
        assert row["alarm"] == str(decision.alarm) and row["machine"] == decision.machine
        assert row["why"] == "; ".join(decision.why)


def test_json_lines_and_csv_to_files(detector, recordings, tmp_path):
    out, table = tmp_path / "new/rows.jsonl", tmp_path / "rows.csv"
    done = humwatch("score", detector, recordings / "test", "--json", out, "--csv", table)
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert list(found[0]) == COLUMNS and isinstance(found[0]["alarm"], bool) and isinstance(found[0]["why"], list)
    assert [row["file"] for row in found] == [row["file"] for row in rows(table.read_text())]
    assert done.stdout.startswith("alarm")  # the screen's table as well


def test_files_patterns_and_a_list_on_standard_input(detector, recordings, tmp_path):
    listed = [str(path) for path in sorted(recordings.glob("test/normal_id_00*.wav"))]
    pattern = humwatch("score", detector, recordings / "test/normal_id_00*.wav", "--csv", "-")
    stdin = humwatch("score", detector, "-", "--csv", "-", input="\n".join(listed))
    assert [row["file"] for row in rows(pattern.stdout)] == listed
    assert stdin.stdout == pattern.stdout
    nothing = humwatch("score", detector, tmp_path / "*.wav")
    assert nothing.returncode == 1 and "matches no file" in nothing.stderr
    empty = humwatch("score", detector, tmp_path)
    assert empty.returncode == 1 and "holds no recordings" in empty.stderr


@pytest.mark.parametrize("name", ["with space & 'quotes' $(x).wav", "Lüfter.wav", "--odd.wav"])
def test_any_name(detector, tmp_path, name):
    write_clip(tmp_path / name)
    done = humwatch("score", detector, "--csv", "-", "--", f"./{name}", cwd=tmp_path)
    assert rows(done.stdout)[0]["file"] == f"./{name}"


def test_exit_codes(detector, recordings, tmp_path):
    alarm, quiet = beep(tmp_path / "id_00_1.wav"), recordings / "train/normal_id_00_00000000.wav"
    assert humwatch("score", detector, alarm).returncode == 3
    assert humwatch("score", detector, quiet, "--false-alarm-rate", "0.001").returncode == 0
    broken = tmp_path / "id_00_2.wav"
    broken.write_bytes(b"no sound at all")
    done = humwatch("score", detector, broken, quiet, "--false-alarm-rate", "0.001")
    assert done.returncode == 1 and len(done.stdout.splitlines()) == 2
    assert "id_00_2.wav" in done.stderr and "1 of 2 recordings could not be scored" in done.stderr
    assert "Traceback" not in done.stderr
    assert humwatch("score", detector, broken, quiet, "--false-alarm-rate", "0.001", "--skip-broken").returncode == 0
    assert humwatch("score", detector, broken, alarm, "--skip-broken").returncode == 3
    assert humwatch("score", tmp_path / "none.humwatch", quiet).returncode == 1
    assert humwatch("score", detector, quiet, "--machine", "fan/9").returncode == 1
    assert humwatch("score", detector, quiet, "--hop", "0").returncode == 1


def test_an_alarm_says_why_and_shows_it(detector, tmp_path):
    """A beep at 3 kHz from 0.4 to 0.6 s."""
    path = beep(tmp_path / "slider/id_00_1.wav")
    done = humwatch("score", detector, path, "--csv", "-", "--why", "--map", tmp_path / "maps")
    (row,) = rows(done.stdout)
    reasons = row["why"].split("; ")
    assert row["alarm"] == "True" and 1 <= len(reasons) <= 3
    time, band = reasons[0].split(": ")[0].split(", ")
    start, end = (float(value) for value in time.removesuffix(" s").split("-"))
    low, high = (float(value) for value in band.removesuffix(" kHz").split("-"))
    assert 0.3 <= start <= 0.5 and 0.5 <= end <= 0.7 and 2.5 <= low <= 3.0 <= high <= 3.5
    assert reasons[0].endswith("above normal")
    (picture,) = (tmp_path / "maps").iterdir()
    assert picture.name.endswith("slider_id_00_1_0.0s.png") and Image.open(picture).format == "PNG"


def test_extrapolation_is_said_everywhere(detector, recordings):
    clip = recordings / "test/normal_id_00_00000000.wav"
    done = humwatch("score", detector, clip, "--false-alarm-rate", "0.001", "--json", "-")
    assert json.loads(done.stdout)["extrapolated"] is True
    assert "extrapolated from" in done.stderr and "999 are needed" in done.stderr


def test_pack_any_trial(used, tmp_path):
    names = [path.name for path in (used.results / "models/slider").iterdir() if path.name.startswith("knn")]
    out = tmp_path / "knn.humwatch"
    done = humwatch("pack", "--configfile", "config.yaml", "--trial", names[0], "--out", out, cwd=used.folder)
    assert done.returncode == 0 and package.load(out).description["trial"] == names[0]
    one = tmp_path / "one.humwatch"
    humwatch("pack", "--configfile", "config.yaml", "--model", "slider_id_02", "--out", one, cwd=used.folder)
    assert package.load(one).machines == ["slider/02"]
    default = tmp_path / "default.humwatch"
    humwatch("pack", "--configfile", "config.yaml", "--out", default, cwd=used.folder)
    assert default.read_bytes() == (used.results / "detectors/slider.humwatch").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--trial", "nix"], "has no trial nix"),
        (["--model", "fan"], "there is no model fan: name one of slider, slider_id_00, slider_id_02, all"),
        (["--trial", "knn_seed-0", "--epochs", "7"], "was not studied at 7 epochs"),
    ],
)
def test_what_cannot_be_packed(used, tmp_path, arguments, sentence):
    command = ["pack", "--configfile", "config.yaml", *arguments, "--out", tmp_path / "d.humwatch"]
    done = humwatch(*command, cwd=used.folder)
    assert done.returncode == 1 and sentence in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "d.humwatch").exists()
