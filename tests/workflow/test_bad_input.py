"""Bad input ends in one sentence that names the file or key, exit code 1, no traceback, and loses nothing."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import ROOT, Project, tiny_config, write_clip, write_recordings


def fail(project: Project, *arguments: str) -> str:
    done = project.run(*arguments, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 1, output[-2000:]
    assert "Traceback" not in output
    return output


def script(name: str, *arguments, ok: bool = False) -> str:
    """Run one stage as a user would without Snakemake; return what it says."""
    done = subprocess.run(
        [sys.executable, ROOT / f"workflow/scripts/{name}.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == (0 if ok else 1), done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    return done.stderr


def clips(folder, split, out, *arguments, ok=False):
    dataset = json.dumps({"source": "directory", "path": str(folder)})
    return script(
        "clips", "--dataset", dataset, "--machine-type", "slider", "--split", split, "--out", out, *arguments, ok=ok
    )


@pytest.fixture
def recordings(tmp_path):
    return write_recordings(tmp_path / "recordings", train=3, test=1)


@pytest.fixture
def project(tmp_path, recordings):
    config = tiny_config(dataset={"name": "own", "source": "directory", "path": str(recordings)}) | {"sweeps": {}}
    return Project(tmp_path / "project", config)


def truncated(path):
    data = write_clip(path).read_bytes()
    path.write_bytes(data[:-1000])


def zero_bytes(path):
    path.write_bytes(b"")


def text_file(path):
    path.write_text("not a recording\n" * 10)


def not_a_number(path):
    samples = np.zeros(16000, np.float32)
    samples[5] = np.nan
    soundfile.write(path, samples, 16000, subtype="FLOAT")


def other_rate(path):
    write_clip(path, sample_rate=8000)


BROKEN = {
    truncated: "is truncated (1000 bytes are missing at its end)",
    zero_bytes: "is empty (0 bytes)",
    text_file: "is a text file, not a recording",
    not_a_number: "NaN or infinite",
    other_rate: "has 8000 Hz, the data set has 16000 Hz",
}


def test_all_broken_clips_are_listed_at_once(recordings, tmp_path):
    names = {}
    for n, (breaks, sentence) in enumerate(BROKEN.items()):
        path = recordings / f"slider/train/normal_id_00_{50 + n:08d}.wav"
        breaks(path)
        names[path] = sentence
    said = clips(recordings, "train", tmp_path / "out.parquet")
    for path, sentence in names.items():
        lines = [line for line in said.splitlines() if str(path) in line]
        assert len(lines) == 1 and sentence in lines[0]
    assert not (tmp_path / "out.parquet").exists()


def test_truncated_flac(recordings, tmp_path):
    path = recordings / "slider/train/normal_id_00_00000050.flac"
    data = write_clip(path, seconds=2).read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert str(path) in clips(recordings, "train", tmp_path / "out.parquet")


def test_a_broken_clip_loses_nothing(finished_directory, tmp_path):
    """A finished run, then one broken test clip: the sentence, and all other results stay."""
    recordings = write_recordings(tmp_path / "recordings")
    project = finished_directory.copy(tmp_path / "project")
    before = {path: path.read_bytes() for path in project.results.rglob("*.safetensors")}
    path = recordings / "slider/test/normal_id_00_00000077.wav"
    truncated(path)
    assert f"{path.name} is truncated" in fail(project)
    assert {p: p.read_bytes() for p in project.results.rglob("*.safetensors")} == before and before
    assert list(project.results.glob("features/logmel/slider/*.parquet"))
    path.unlink()
    project.run(*project.tables)
    assert project.planned(*project.tables) == {}


def test_silent_clip_is_a_warning_and_a_finite_score(project, recordings):
    silent = recordings / "slider/test/normal_id_00_00000050.wav"
    soundfile.write(silent, np.zeros(16000), 16000)
    assert f"{silent} is silent" in (done := project.run(*project.tables)).stdout + done.stderr
    scores = (
        project.results / "submission/slider/vae_hidden-16_latent-2_seed-0/epochs-1/anomaly_score_slider_id_00.csv"
    ).read_text()
    (row,) = (line for line in scores.splitlines() if silent.name in line)
    assert np.isfinite(float(row.split(",")[1]))


def test_clip_shorter_than_a_window(project, recordings):
    short = write_clip(recordings / "slider/test/normal_id_00_00000050.wav", seconds=0.05)
    output = fail(project)
    assert f"slider/test/{short.name} has 2 frame(s), fewer than one window of 5" in output
    assert (project.results / "clips.parquet").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dataset": {"name": "x", "source": "directory", "path": "nowhere"}}, "dataset.path: nowhere is no folder"),
        ({"trial": {"lerning_rate": 0.1}}, "trial.lerning_rate is unknown (did you mean learning_rate?)"),
        ({"trial": {"batch_size": "many"}}, "trial.batch_size is 'many', it must be a whole number and at least 1"),
        ({"trial": {"learning_rate": -1}}, "trial.learning_rate is -1, it must be a number and above 0"),
        ({"dataset": {"name": "x", "source": "directory"}}, "dataset lacks path"),
    ],
)
def test_configuration(project, change, sentence):
    project.configure(project.config | change)
    assert sentence in fail(project, "--dry-run")


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("slider/train/recording 1.wav", "slider/train/recording 1.wav does not fit <machine_type>"),
        ("slider/train/anomaly_id_00_00000003.wav", "is in train but labelled anomaly"),
    ],
)
def test_names(project, recordings, file, sentence):
    write_clip(recordings / file)
    assert sentence in fail(project, "--dry-run")


def test_no_training_clips(project, recordings):
    for path in recordings.glob("slider/train/*"):
        path.unlink()
    assert "has no training clips" in fail(project, "--dry-run")


def test_empty_folder(project, tmp_path):
    (tmp_path / "empty").mkdir()
    project.configure(
        project.config | {"dataset": {"name": "x", "source": "directory", "path": str(tmp_path / "empty")}}
    )
    assert "has no recordings: add some" in fail(project, "--dry-run")


@pytest.mark.parametrize(
    ("feature", "sentence"),
    [
        ('{"source": "mfcc"}', "a feature has the source 'mfcc': there is no src/humwatch/features/mfcc.py"),
        ('{"source": "logmel", "mels": 64}', "features/logmel.py: Feature.__init__() got an unexpected keyword argument 'mels'"),
    ],
)  # fmt: skip
def test_features_that_are_none(recordings, tmp_path, feature, sentence):
    clips(recordings, "train", tmp_path / "clips.parquet", ok=True)
    arguments = ["--folder", recordings, "--clips", tmp_path / "clips.parquet", "--out", tmp_path / "f.parquet"]
    assert sentence in script("features", *arguments, "--feature", feature)


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_no_byte_left(recordings, tmp_path, small_disk):
    """On a disk that is full to the last byte, which holds the log too: the sentence, once, and nothing else."""
    (small_disk / "demo/slider/train").mkdir(parents=True)
    with pytest.raises(OSError), open(small_disk / "filler", "wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    log = ["--log", small_disk / "logs/job.log"]
    dataset = json.dumps({"source": "directory", "path": str(recordings)})
    stages = {
        "clips": [
            "--dataset",
            dataset,
            "--machine-type",
            "slider",
            "--split",
            "train",
            "--out",
            small_disk / "clips.parquet",
        ],
        "demo": [
            "--folder",
            small_disk / "demo",
            "--split",
            "train",
            "--size",
            '"small"',
            "--manifest",
            small_disk / "train.txt",
        ],
    }
    for name, arguments in stages.items():
        for more in ([], log):
            said = script(name, *arguments, *more)
            assert "the disk is full" in said and len(said.strip().splitlines()) == 1, said
    assert not [path for path in small_disk.rglob("*") if path.suffix in (".tmp", ".wav", ".parquet")]


def test_full_disk(recordings, tmp_path, small_disk):
    table = tmp_path / "clips.parquet"
    clips(recordings, "train", table, ok=True)
    arguments = [
        "--folder",
        recordings,
        "--clips",
        table,
        "--feature",
        '{"source": "logmel", "n_mels": 2048, "n_fft": 8192}',
    ]
    kept = small_disk / "earlier.txt"
    kept.write_text("kept")
    said = script("features", *arguments, "--out", small_disk / "f.parquet")
    sentences = [
        line for line in said.strip().splitlines() if "INFO: clips: " not in line
    ]  # progress on a slow machine
    assert len(sentences) == 1 and "the disk is full" in sentences[0]
    assert [path.name for path in small_disk.iterdir()] == ["earlier.txt"]

    features = tmp_path / "features.parquet"
    script(
        "features",
        "--folder",
        recordings,
        "--clips",
        table,
        "--feature",
        '{"source": "logmel"}',
        "--out",
        features,
        ok=True,
    )
    said = script("train", "--detector", "vae", "--features", features, "--epochs", 1, "--out", small_disk / "model")
    assert "the disk is full" in said
    assert not (small_disk / "model/model.json").exists()
    assert not [path for path in small_disk.rglob("*") if path.name.endswith(".tmp")]
