"""Autoencoder and IDNN: the published networks, and what they have in common."""

import itertools
import logging
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from toy import toy_features

from humwatch.detectors import autoencoder, base, id_classifier, idnn, vae
from humwatch.detectors.networks.autoencoder import Autoencoder
from humwatch.detectors.networks.idnn import Interpolation
from humwatch.detectors.reconstruction.windows import Windows
from humwatch.errors import InputError

SMALL = {
    autoencoder: {"hidden": [16, 16], "bottleneck": 4, "batch_size": 32, "window": 3, "learning_rate": 0.01},
    idnn: {"hidden": [16, 8], "batch_size": 32, "window": 3, "learning_rate": 0.01},
}


def test_parameters_of_the_official_baseline():
    """Dense layers as published: 269,992 parameters, running averages of batch normalisation counted, as Keras does."""
    network = Autoencoder(640, [128] * 4, 8)
    sizes = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    dense = sum(a * b + b for a, b in itertools.pairwise(sizes))
    normalisation = sum(4 * size for size in sizes[1:-1])
    assert dense + normalisation == 269_992
    buffers = sum(b.numel() for name, b in network.named_buffers() if "running" in name)
    assert sum(p.numel() for p in network.parameters()) + buffers == 269_992


def test_idnn_does_not_see_the_middle_frame():
    network = Interpolation(5, 8, [16])
    x = torch.randn(4, 40)
    other = x.clone()
    other[:, 16:24] = 99
    assert torch.equal(network(x), network(other))
    assert network(x).shape == (4, 8)


@pytest.mark.parametrize("module", [autoencoder, idnn])
@pytest.mark.parametrize("transform", ["decibel", "log"])
def test_learns_what_is_normal(module, transform, tmp_path):
    def features(seed, shift=0.0):
        made = toy_features(40, seed=seed)
        rng = np.random.default_rng(seed)
        levels = np.repeat(
            rng.normal(-40, 5, 40), np.diff(made.starts)
        )  # steady within a clip: neighbours foretell a frame
        made.values[:] = levels[:, None] + rng.normal(size=made.values.shape)
        made.values[::3, ::2] += shift  # single frames, which their neighbours do not foretell
        if transform == "log":
            made.values[:] = 10 ** (made.values / 10)
        return made

    detector = module.Detector(**SMALL[module], transform=transform)
    detector.fit(features(0), features(1), base.FitContext(epochs=60))
    normal, strange = detector.score(features(7)), detector.score(features(8, shift=15))
    labels = np.repeat([0, 1], 40)
    assert roc_auc_score(labels, np.concatenate([normal["mean"], strange["mean"]])) > 0.95
    detector.save(tmp_path)
    np.testing.assert_array_equal(base.load(tmp_path).score(features(7))["mean"], normal["mean"])


@pytest.mark.parametrize("module", [autoencoder, idnn])
def test_milestones_equal_a_straight_run(module, tmp_path):
    def fit(epochs, detector=None):
        detector = detector or module.Detector(**SMALL[module])
        detector.fit(toy_features(), toy_features(4, seed=1), base.FitContext(epochs=epochs))
        return detector

    fit(2).save(tmp_path)
    chained, straight = fit(5, base.load(tmp_path, to_train=True)), fit(5)
    for name, array in straight.state().items():
        assert chained.state()[name].tobytes() == array.tobytes(), name


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("module", [autoencoder, idnn, vae])
@pytest.mark.parametrize("kind", ["copies", "silent", "energies"])
@pytest.mark.parametrize("clips", [1, 4])
def test_training_clips_that_are_all_alike_give_finite_scores(module, kind, clips):
    train = toy_features(clips)
    train.values[:] = -156.5 if kind == "silent" else train.values[0]
    if kind == "energies":
        train.values[:] = 0
    small = SMALL.get(module, {"hidden": [16], "latent": 2, "batch_size": 32})
    detector = module.Detector(**small, transform="log" if kind == "energies" else "decibel")
    detector.fit(train, train.select(np.arange(clips) > 0), base.FitContext(epochs=1))
    assert not detector.diverged
    for features in (train, toy_features(3, seed=1)):
        assert all(np.isfinite(values).all() for values in detector.score(features).values())


@pytest.mark.parametrize(("share", "warned"), [(0.5, True), (0.02, True), (0.005, False), (0, False)])
@pytest.mark.parametrize("level", [60, -120])
def test_features_beyond_the_range_are_warned_of_once(share, warned, level, caplog):
    train = toy_features(10)
    train.values[:] = np.random.default_rng(0).uniform(-80, 20, train.values.shape)
    beyond = np.zeros(train.values.size, bool)
    beyond[: round(share * beyond.size)] = True
    train.values.reshape(-1)[beyond] = level
    detector = autoencoder.Detector(**SMALL[autoencoder])
    with caplog.at_level(logging.WARNING):
        for epochs in (1, 2):
            detector.fit(train, train.select(np.zeros(10, bool)), base.FitContext(epochs=epochs))
    assert (
        caplog.text.count("% of the training features' values lie outside clip_low to clip_high (-90 to 24 dB)")
        == warned
    )
    assert f"{100 * beyond.mean():.1f} %" in caplog.text or not warned


@pytest.mark.parametrize("window", [2, 4])
def test_idnn_window_must_be_odd(window):
    detector = idnn.Detector(window=window)
    with pytest.raises(InputError, match=f"window is {window}, idnn needs an odd number"):
        detector.fit(toy_features(), toy_features(), base.FitContext(epochs=1))


@pytest.mark.parametrize("module", [vae, autoencoder, idnn])
@pytest.mark.parametrize(("recipe", "transform"), [("report", "decibel"), ("fast", "decibel"), ("fast", "log")])
def test_scoring_is_the_trained_networks(module, recipe, transform):
    """Scores are computed by numpy from the saved arrays; what torch trained must give the same."""
    features = toy_features(12)
    if transform == "log":
        features.values[:] = 10 ** (features.values / 10)
    small = SMALL.get(module, {"hidden": [16, 12], "latent": 3, "batch_size": 32, "window": 3})
    detector = module.Detector(**small, recipe=recipe, transform=transform, precision="fp32")
    detector.fit(features, features, base.FitContext(epochs=3))
    network = detector.network.eval()
    with torch.no_grad():
        x = network.scale(Windows(features, 3).gather(torch.arange(len(Windows(features, 3))))[0])
        outputs = network(x, *network.noise(x, None))
        targets = x[:, network.middle] if module is idnn else x
        expected = (outputs[0] if module is vae else outputs).sub(targets).square().mean(1).numpy()
    errors, per_clip = detector.window_errors(features)
    assert per_clip.sum() == len(errors)
    np.testing.assert_allclose(errors, expected, rtol=1e-5)
    latent = detector.embed(features)
    assert latent.shape == (12, 3 if module is vae else 4 if module is autoencoder else 8)


def test_scoring_imports_no_torch(tmp_path):
    for detector in (vae.Detector(hidden=[8], latent=2, window=3), id_classifier.Detector(hidden=[8], embedding=4)):
        detector.fit(toy_features(), toy_features(), base.FitContext(epochs=1))
        detector.save(tmp_path / detector.name)
    lines = (
        "import sys; from pathlib import Path; from toy import toy_features; from humwatch.detectors import base",
        f"for folder in Path({str(tmp_path)!r}).iterdir(): base.load(folder).score(toy_features())",
        "assert 'torch' not in sys.modules",
    )
    subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
