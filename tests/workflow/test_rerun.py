"""Only what a change invalidates runs again: each change is made to a finished run, and the jobs are counted by rule."""

import os

import pytest
from conftest import write_clip

AFTER = {"tables": 1, "figures": 1, "report": 1, "pack": 1}
TRIALS = 4  # of the finished run: two learning rates, two seeds


@pytest.fixture
def project(finished, tmp_path):
    return finished.copy(tmp_path / "project")


@pytest.fixture
def own(finished_directory, tmp_path):
    write = tmp_path / "recordings"
    os.symlink(finished_directory.folder.parent / "recordings", write)
    return finished_directory.copy(tmp_path / "project")


def append_comment(path):
    path.write_text(path.read_text() + "\n# edited\n")


def test_nothing_changed(project):
    assert project.planned() == {}


def test_all_files_touched(project):
    for path in project.folder.rglob("*"):
        if ".snakemake" not in path.parts and path.is_file() and not path.is_symlink():
            os.utime(path)
    assert project.planned() == {}


def test_learning_rate_added(project):
    project.config["sweeps"]["rates"]["learning_rate"].append(0.0001)
    project.configure(project.config)
    assert project.planned() == {"train": 2, "score": 2, **AFTER}
    project.config["sweeps"]["rates"]["learning_rate"].pop()


def test_learning_rate_removed(project):
    project.configure(project.config | {"sweeps": {"rates": {"learning_rate": [0.01], "seed": [0, 1]}}})
    assert project.planned() == AFTER


def test_seed_added(project):
    project.configure(project.config | {"sweeps": {"rates": {"learning_rate": [0.01, 0.001], "seed": [0, 1, 2]}}})
    assert project.planned() == {"train": 2, "score": 2, **AFTER}


def test_pooling_changed(project):
    project.configure(project.config | {"trial": project.config["trial"] | {"score": "std"}})
    assert project.planned() == {"score": TRIALS, **AFTER}


def test_detector_edited(project):
    append_comment(project.folder / "src/humwatch/detectors/vae.py")
    assert project.planned() == {"train": TRIALS, "score": TRIALS, **AFTER}


def test_feature_edited(project):
    append_comment(project.folder / "src/humwatch/features/logmel.py")
    assert project.planned() == {"features": 2, "train": TRIALS, "score": TRIALS, **AFTER}


def test_another_feature_edited(project):
    append_comment(project.folder / "src/humwatch/features/waveform.py")
    assert project.planned() == {}


def test_feature_parameter_changed(project):
    project.configure(project.config | {"features": {"logmel": {"n_mels": 64}}})
    assert project.planned() == {"features": 2, "train": TRIALS, "score": TRIALS, **AFTER}


def test_metrics_edited(project):
    append_comment(project.folder / "src/humwatch/evaluation/metrics.py")
    assert project.planned() == AFTER


def test_own_recordings_touched(own):
    for path in (own.folder / "../recordings").resolve().rglob("*.wav"):
        os.utime(path)
    assert own.planned() == {}


def test_test_clip_added(own):
    """The model does not hear test clips: it stays."""
    added = write_clip(own.folder / "../recordings/slider/test/anomaly_id_00_00000099.wav", seed=99)
    try:
        assert own.planned() == {"clips": 1, "merge_clips": 1, "features": 1, "score": 1, **AFTER}
    finally:
        added.unlink()


def test_train_clip_replaced_by_one_of_the_same_size(own):
    path = own.folder / "../recordings/slider/train/normal_id_00_00000001.wav"
    before = path.read_bytes()
    try:
        write_clip(path, seed=99)
        assert len(path.read_bytes()) == len(before)
        assert own.planned() == {"clips": 1, "merge_clips": 1, "features": 1, "train": 1, "score": 1, **AFTER}
    finally:
        path.write_bytes(before)
