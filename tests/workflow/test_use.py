"""What a run leaves to use: a detector of each machine type, and what its thresholds are worth."""

import numpy as np
import pandas as pd
import pytest
from conftest import Project, humwatch, tiny_config, write_recordings

import humwatch as package
from humwatch import parquet
from humwatch.evaluation.thresholds import clopper_pearson


def test_a_trial_more_of_a_loss_needs_no_other_judgement(used, tmp_path):
    """One of each loss is judged: a further loss takes a training, and one without an id."""
    (tmp_path / "recordings").symlink_to(used.folder.parent / "recordings")
    project = used.copy(tmp_path / "project")
    more = {"seeds": {"detector": "knn", "seed": [0, 1]}, "windows": {"detector": "idnn", "window": 3}}
    project.configure(project.config | {"sweeps": project.config["sweeps"] | more})
    planned = project.planned()
    assert (planned["train"], planned["score"], planned["leave_id_out"]) == (2, 2, 1)


def test_the_detector_is_made_again_where_it_is_missing_or_damaged(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    path = project.results / "detectors/slider.humwatch"
    data = path.read_bytes()
    path.unlink()
    project.run()
    assert path.read_bytes() == data
    path.write_bytes(data[:-1])
    project.run()
    assert path.read_bytes() == data and project.planned() == {}


def test_another_rate_trains_nothing(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    project.configure(project.config | {"alarm": {"false_alarm_rate": 0.2}})
    assert project.planned() == {"tables": 1, "figures": 1, "report": 1, "pack": 1}
    project.configure(project.config | {"calibration": {"fraction": 0.2}})
    assert project.planned()["train"] == 4  # as other clips are trained on


def test_decisions_are_what_the_thresholds_do(used):
    table = pd.read_csv(used.results / "tables/decisions.csv", dtype={"machine_id": str})
    assert set(table["machine_id"]) == {"00", "02"} and (table["promised_rate"] == 0.1).all()
    assert table["trial"].nunique() == 11
    for row in table.itertuples():
        found = [*used.results.glob(f"scores/slider*/{row.trial}/epochs-{row.epochs}.parquet")]
        scores = pd.concat([parquet.read(path) for path in found])
        scores = scores[scores["machine_id"] == row.machine_id]
        alarm, label = scores[row.score].to_numpy() > row.threshold, scores["label"].to_numpy(int)
        assert row.false_alarm_rate == pytest.approx(alarm[label == 0].mean(), abs=1e-5)
        assert row.recall == pytest.approx(alarm[label == 1].mean(), abs=1e-5)
        low, high = clopper_pearson(alarm[label == 0].sum(), (label == 0).sum())
        assert (row.false_alarm_rate_low, row.false_alarm_rate_high) == pytest.approx((low, high), abs=1e-5)
        assert row.kept == (low <= 0.1 <= high)
        if alarm.any():
            assert row.precision == pytest.approx(label[alarm].mean(), abs=1e-5)


def test_normal_recordings_alone_are_enough(tmp_path):
    """No test clip, no label: what a plant has. Some are set apart for calibration; sessions are kept whole."""
    write_recordings(tmp_path / "recordings", ids=("00",), train=20, test=0)
    config = tiny_config(dataset={"name": "own", "source": "directory", "path": "../recordings"}, sweeps={})
    config |= {"trial": {"detector": "mahalanobis"}, "calibration": {"fraction": 0.25, "group": r"\d(?=\.wav)"}}
    project = Project(tmp_path / "project", config)
    project.run()
    detector = package.load(project.results / "detectors/slider.humwatch")
    assert detector.description["calibration"] == {"method": "calibration clips", "clips": 5}
    assert detector.calibration(("slider", "00")).groups is not None
    clip = next((tmp_path / "recordings").rglob("*.wav"))
    done = humwatch("score", project.results / "detectors/slider.humwatch", clip)
    assert done.returncode in (0, 3) and np.isfinite(detector.score(clip)[0].score)
