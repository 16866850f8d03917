"""The VAE: the course's sizes and loss, its faults mended, and trainings that can stop and go on."""

import json
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from toy import SMALL, toy_features

from humwatch.detectors import base
from humwatch.detectors.networks.vae import VAE
from humwatch.detectors.reconstruction.inputs import first_frames
from humwatch.detectors.reconstruction.training import mean_loss
from humwatch.detectors.reconstruction.windows import Windows
from humwatch.detectors.vae import Detector
from humwatch.features import store
from humwatch.features.held_out import split_validation


def fitted(epochs, detector=None, seed=0, **hyperparameters) -> Detector:
    detector = detector or Detector(**(SMALL | hyperparameters))
    detector.fit(toy_features(), toy_features(4, seed=1), base.FitContext(seed=seed, epochs=epochs))
    return detector


def test_parameters_of_the_course_model():
    assert sum(p.numel() for p in VAE(640, [400, 400], 20, 0.01).parameters()) == 858_280


def test_loss_by_hand():
    """Sum of squared errors + kl_weight * KL, against the formulae in numpy; the mean latent vector is used, without noise."""
    detector = fitted(1, precision="fp32")
    windows = Windows(toy_features(), 3)
    raw, _ = windows.gather(torch.arange(5))
    x = np.clip((raw.numpy() + 90) / 114, 0, 1)
    scaled = torch.from_numpy(x)
    np.testing.assert_allclose(detector.network.scale(raw), x, rtol=1e-6)
    reconstruction, mu, log_var = (t.detach().numpy() for t in detector.network(scaled, None))
    kl = -0.5 * np.sum(1 + log_var - mu**2 - np.exp(log_var))
    expected = np.sum((reconstruction - x) ** 2) + 0.01 * kl
    assert detector.network.raw_loss(raw, raw, None).item() == pytest.approx(expected, rel=1e-5)


def test_validation_loss_is_the_mean_over_windows():
    """The course baseline broadcast (batch, 1, 640) against (batch, 640)."""
    network = fitted(1).network
    windows = Windows(toy_features(), 3)
    one_by_one = [network.raw_loss(*windows.gather(torch.tensor([i])), None).item() for i in range(len(windows))]
    assert mean_loss(network, windows) == pytest.approx(np.mean(one_by_one), rel=1e-5)


def test_windows_are_a_view_and_stay_within_clips():
    features = toy_features()
    windows = Windows(features, 3)
    expected = [
        features.clip(i)[j : j + 3].reshape(-1) for i in range(len(features)) for j in range(len(features.clip(i)) - 2)
    ]
    np.testing.assert_array_equal(windows.gather(torch.arange(len(windows)))[0].numpy(), np.array(expected))
    assert windows.view.data_ptr() == torch.from_numpy(features.values).data_ptr()


@pytest.mark.parametrize("hop", [1, 2, 3])
def test_windows_apart(hop):
    features = toy_features()
    (every, per_clip), (some, some_per_clip) = first_frames(features, 3, 1), first_frames(features, 3, hop)
    kept = [first[::hop] for first in np.split(every, np.cumsum(per_clip)[:-1])]
    np.testing.assert_array_equal(some, np.concatenate(kept))
    assert some_per_clip.tolist() == [len(first) for first in kept]


@pytest.mark.parametrize(
    ("recipe", "window", "hop"), [("report", 5, 1), ("fast", 5, 2), ("fast", 3, 1), ("fast", 1, 1)]
)
def test_recipe_fast_scores_every_other_window(recipe, window, hop):
    detector = fitted(1, recipe=recipe, window=window)
    features = toy_features(seed=5)
    errors, per_clip = detector.window_errors(features)
    scored = [clip[::hop].mean(dtype=np.float64) for clip in np.split(errors, np.cumsum(per_clip)[:-1])]
    np.testing.assert_allclose(detector.score(features)["mean"], scored, rtol=1e-5)


def test_scores_do_not_vary():
    detector = fitted(1)
    first, second = detector.score(toy_features(seed=5)), detector.score(toy_features(seed=5))
    for pooling, scores in first.items():
        np.testing.assert_array_equal(scores, second[pooling])


def test_same_seed_same_bytes_other_seed_other_bytes():
    a, b, c = (fitted(2, seed=seed).state() for seed in (0, 0, 1))
    assert all(a[k].tobytes() == b[k].tobytes() for k in a)
    assert any(a[k].tobytes() != c[k].tobytes() for k in a)


def test_milestones_equal_a_straight_run(tmp_path):
    """1 epoch, saved, loaded, to 3, saved, loaded, to 6: the bytes of 6 epochs in one go."""
    chain = None
    for milestone in (1, 3, 6):
        chain = fitted(milestone, chain)
        chain.save(tmp_path / str(milestone))
        chain = base.load(tmp_path / str(milestone), to_train=True)
    straight = fitted(6)
    for name, array in straight.state().items():
        assert chain.state()[name].tobytes() == array.tobytes()
    straight.save(tmp_path / "straight")
    assert (tmp_path / "straight/training.safetensors").read_bytes() == (
        tmp_path / "6/training.safetensors"
    ).read_bytes()


def test_learns_what_is_normal():
    detector = fitted(150, learning_rate=0.01)
    normal = detector.score(toy_features(seed=7))
    strange = toy_features(seed=8)
    strange.values[:, ::2] += 15
    assert (detector.score(strange)["mean"].min() > normal["mean"]).all()


def test_divergence_is_recorded():
    assert fitted(3, learning_rate=1e18).diverged
    assert not fitted(3).diverged


def test_poolings():
    from humwatch.detectors.reconstruction.pooling import pool

    errors = np.concatenate([np.arange(20.0), [5.0, 1.0]])
    got = pool(errors, np.array([20, 2]))
    assert {k: v.tolist() for k, v in got.items()} == {
        "mean": [9.5, 3.0],
        "median": [9.5, 3.0],
        "std": [pytest.approx(np.sqrt(33.25)), 2.0],
        "max": [19.0, 5.0],
        "top_k": [18.5, 5.0],
    }


def test_validation_split():
    clips = toy_features(200).clips
    held_out = split_validation(clips, 0.1, 0)
    assert clips[held_out].groupby("machine_id").size().to_dict() == {"00": 10, "02": 10}
    np.testing.assert_array_equal(held_out, split_validation(clips, 0.1, 0))
    assert (held_out != split_validation(clips, 0.1, 1)).any()
    shuffled = clips.sample(frac=1, random_state=0)
    assert set(shuffled["clip"][split_validation(shuffled, 0.1, 0)]) == set(clips["clip"][held_out])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_training_goes_on(tmp_path, how):
    """Killed after its first saved epoch, a training ends in the same bytes, and says from where it went on.

    A scheduler's SIGTERM lets it save the epoch that it is in.
    """
    rows = toy_features(60)
    table = rows.clips.assign(sha256="x")
    store.write(tmp_path / "f.parquet", table, [rows.clip(i) for i in range(60)], 8, rows.parameters, "")

    def train(out, epochs, *arguments):
        command = [sys.executable, ROOT / "workflow/scripts/train.py", "--detector", "vae", "--epochs", epochs]
        command += ["--hyperparameters", json.dumps(SMALL), "--features", tmp_path / "f.parquet", "--save-every"]
        command += [0 if how == signal.SIGKILL else 1]
        command += ["--interim", tmp_path / "interim", "--out", tmp_path / out, *arguments]
        return subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)

    killed = train("killed", 100000)
    while not list((tmp_path / "interim").glob("*/model.json")):
        assert killed.poll() is None
    killed.send_signal(how)
    said = killed.communicate()[1]
    (saved,) = [int(p.parent.name) for p in (tmp_path / "interim").glob("*/model.json")][-1:]
    if how == signal.SIGTERM:
        assert killed.returncode == 143 and f"stopped after epoch {saved}: the next run goes on from there" in said
    resumed = train("resumed", saved + 2)
    assert f"going on from epoch {saved}" in resumed.communicate()[1] and resumed.returncode == 0
    straight = train("straight", saved + 2)
    assert "going on" not in straight.communicate()[1] and straight.returncode == 0
    for name in ("model.safetensors", "training.safetensors", "validation.parquet"):
        assert (tmp_path / "resumed" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
    log = pd.read_csv(tmp_path / "resumed/log.csv")
    assert log["epoch"].tolist() == list(range(1, saved + 3))
    assert list(log) == ["epoch", "train_loss", "val_loss", "seconds"]
