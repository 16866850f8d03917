"""The chain on real recordings (HUMWATCH_DATA)."""

import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import Project, tiny_config

from humwatch.evaluation.auc_table import SUMMARIES
from humwatch.evaluation.metrics import auc
from humwatch.features import store


def test_slide_rails(real_data, tmp_path):
    """Trains on the 55 real clips of id 00, scores the 12 real test clips of four ids, three of them never heard."""
    path = str(real_data / "dcase2020_dev_subset")
    dataset = {"name": "real", "source": "directory", "path": path, "machine_types": ["slider"]}
    project = Project(tmp_path / "project", tiny_config(dataset=dataset) | {"sweeps": {"s": {"epochs": [1, 2]}}})
    project.run()
    scores = pd.read_parquet(next(project.results.glob("scores/slider/*/epochs-2.parquet")))
    assert len(scores) == 12 and np.isfinite(scores[["mean", "median", "std", "max", "top_k"]]).all(axis=None)
    measured = pd.read_csv(project.results / "tables/auc.csv", dtype={"machine_id": str})
    rows = measured[(measured["epochs"] == 2) & ~measured["machine_id"].isin(SUMMARIES)].set_index("machine_id")
    assert rows["heard"].to_dict() == {"00": True, "02": False, "04": False, "06": False}
    assert rows["n_normal"].sum() == rows["n_anomaly"].sum() == 6
    assert len(list(project.results.glob("submission/slider/*/epochs-2/anomaly_score_slider_id_*.csv"))) == 4
    clips = pd.read_parquet(project.results / "clips.parquet")
    assert len(clips) == 67 and (clips["seconds"] == 10).all() and (clips["channels"] == 1).all()


def test_every_machine_type_passes_features(real_data, tmp_path):
    """All six types, ToyCar's 11 s among them."""
    types = ["fan", "pump", "valve", "ToyCar", "ToyConveyor", "slider"]
    dataset = {"name": "all", "source": "directory", "path": str(real_data / "dcase2020_dev_subset")}
    project = Project(tmp_path / "project", tiny_config(dataset=dataset) | {"sweeps": {}})
    project.run(*[f"results/all/features/logmel/{t}/test.parquet" for t in types])
    for t in types:
        features = store.read([project.results / f"features/logmel/{t}/test.parquet"])
        frames = 344 if t == "ToyCar" else 313
        assert set(np.diff(features.starts)) == {frames} and np.isfinite(features.values).all()


@pytest.mark.parametrize("channel", [0, "mix"])
def test_eight_channels(real_data, tmp_path, channel):
    """MIMII's raw clips put in the DCASE layout."""
    recordings = tmp_path / "recordings"
    for label, name in (("normal", "normal"), ("abnormal", "anomaly")):
        for n, path in enumerate(sorted(real_data.glob(f"mimii_raw_subset/fan/id_00/{label}/*.wav"))):
            split = "train" if label == "normal" and n < 4 else "test"
            target = recordings / f"fan/{split}/{name}_id_00_{n:08d}.wav"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    dataset = {"name": "eight", "source": "directory", "path": str(recordings), "channel": channel}
    project = Project(tmp_path / "project", tiny_config(dataset=dataset) | {"sweeps": {}})
    project.run("results/eight/features/logmel/fan/train.parquet", "results/eight/clips.parquet")
    assert set(pd.read_parquet(project.results / "clips.parquet")["channels"]) == {8}
    features = store.read([project.results / "features/logmel/fan/train.parquet"])
    samples = soundfile.read(recordings / features.clips["clip"][0])[0]
    level = 10 * np.log10((samples.mean(axis=1) if channel == "mix" else samples[:, 0]).var())
    assert features.clip(0).max() < level + 60 and features.parameters["channel"] == channel


@pytest.mark.slow
def test_every_audio_detector_ranks_the_anomalies_of_slider_00(real_data, tmp_path):
    """Trained on the 55 clips of id 00: its 3 anomalies above its 3 normal clips.

    id_classifier hears one id alone, and so needs pseudo-classes; its other network, stgram, trains on them, but so few
    clips are not enough for it. How errors become a score is chosen by pseudo_auc, on held-out normal clips. The
    autoencoder needs averaged weights (recipe fast): its batch normalisation makes single epochs differ by several times.
    """
    path = str(real_data / "dcase2020_dev_subset")
    config = {
        "dataset": {"name": "ranks", "source": "directory", "path": path, "machine_types": ["slider"]},
        "features": {"logmel": {}, "modspec": {"source": "modspec"}, "waveform": {"source": "waveform"}},
        "trial": {"feature": "logmel"},
        "detectors": {
            "autoencoder": {"recipe": "fast", "epochs": 100},
            "idnn": {"epochs": 20},
            "id_classifier": {"batch_size": 16, "epochs": 20},
        },
        "sweeps": {
            "logmel": {"detector": ["vae", "autoencoder", "idnn", "gmm", "mahalanobis", "knn"]},
            "modspec": {"detector": ["mahalanobis", "knn"], "feature": "modspec"},
            "waveform": {"detector": "id_classifier", "network": "dual_branch", "feature": "waveform"},
        },
    }
    project = Project(tmp_path / "project", config)
    project.run(*project.tables)
    models = sorted(project.results.glob("models/slider/*/*/validation.parquet"))
    assert len(models) == 9
    for path in models:
        held_out = pd.read_parquet(path)
        scores = pd.read_parquet(
            project.results / "scores" / path.relative_to(project.results / "models").parent.with_suffix(".parquet")
        )
        scores = scores[scores["machine_id"] == "00"]
        poolings = [name for name in ("mean", "median", "std", "max", "top_k") if name in held_out] or ["score"]
        best = max(poolings, key=lambda name: auc(held_out["pseudo"].to_numpy(int), held_out[name].to_numpy()))
        ranked = scores.sort_values(best)["label"].tolist()
        assert ranked == [0, 0, 0, 1, 1, 1], (path.parts[-3], best)


@pytest.mark.slow
def test_id_classifier_on_the_real_modulation_spectra(real_data, tmp_path):
    """One model of all types; no choice by test labels. Published for these features: valve .966, pump .781, fan .719."""
    config = {
        "dataset": {"name": "modspec", "source": "parquet", "path": str(real_data / "dcase2020_dev_modspec")},
        "features": {"modspec": {"source": "parquet"}},
        "trial": {"detector": "id_classifier", "feature": "modspec", "scope": "all"},
        "sweeps": {"seeds": {"seed": [0, 1, 2]}},
    }
    project = Project(tmp_path / "project", config)
    project.run(*project.tables)
    measured = pd.read_csv(project.results / "tables/auc.csv", dtype={"machine_id": str})
    mean = measured.groupby(["machine_type", "machine_id"])["auc"].mean()
    for machine, floor in {("valve", "mean"): 0.985, ("pump", "mean"): 0.9, ("fan", "mean"): 0.79}.items():
        assert mean[machine] >= floor
    assert min(mean["slider", "00"], mean["slider", "04"]) >= 0.99
