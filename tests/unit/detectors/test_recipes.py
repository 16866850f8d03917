"""Recipe fast and precision: what detectors that are trained on windows may do to be quicker."""

import types

import numpy as np
import pytest
import torch
from test_vae import fitted
from toy import SMALL, toy_features

from humwatch.detectors import base, gradient_descent
from humwatch.detectors.gradient_descent import RECENT, Optimizer, generator_for
from humwatch.detectors.reconstruction import specaugment as augment
from humwatch.detectors.reconstruction import windows
from humwatch.detectors.reconstruction.windows import Windows
from humwatch.detectors.vae import Detector


def test_windows_apart():
    """Of every clip and masked copy: windows side by side from one of its first frames to its end, others each epoch."""
    features = toy_features()
    clips = features.clips["clip"].tolist()
    masks = augment.draw(clips, np.diff(features.starts), 8, augment.SpecAugment(2, 1, 2, 1, 3))
    windows = Windows(features, 3, masks=masks)
    begins = set()
    for epoch in range(40):
        numbers = windows.apart(generator_for(0, epoch))
        assert torch.equal(numbers, windows.apart(generator_for(0, epoch)))
        copy, window = numbers // len(windows.first), numbers % len(windows.first)
        first = windows.first[window].numpy()
        clip = np.searchsorted(features.starts, first, side="right") - 1
        for c in range(3):
            for i in range(len(clips)):
                places = np.sort(first[(copy.numpy() == c) & (clip == i)]) - features.starts[i]
                begins.add((c, i, places[0]))
                assert places[0] < 3 and (np.diff(places) == 3).all()
                assert places[-1] + 6 > np.diff(features.starts)[i]  # no room for one more
    assert len(begins) == 3 * len(clips) * 3
    assert (numbers.diff() < 0).any()


@pytest.mark.parametrize("draw", [Windows.all, Windows.apart])
def test_mapped_frames_are_read_in_blocks_of_clips(draw, monkeypatch):
    """The same windows as of frames in memory, those of a few clips after those of a few others, others in each epoch."""
    features = toy_features()
    masks = augment.draw(features.clips["clip"], np.diff(features.starts), 8, augment.SpecAugment(2, 1, 2, 1, 3))
    in_memory = draw(Windows(features, 3, masks=masks), generator_for(0, 1))
    features.mapped = True
    monkeypatch.setattr(windows, "RUNS", 3)
    monkeypatch.setattr(windows, "BLOCK_BYTES", features.values.nbytes // 4 + 1)
    mapped = Windows(features, 3, masks=masks)
    blocks = []
    for epoch in (1, 2):
        numbers = draw(mapped, generator_for(0, epoch))
        assert torch.equal(numbers, draw(mapped, generator_for(0, epoch)))
        clip = np.searchsorted(features.starts, mapped.first[numbers % len(mapped.first)], side="right") - 1
        seen = list(dict.fromkeys(clip.tolist()))  # clips by their first window
        blocks.append([frozenset(seen[i : i + 3]) for i in range(0, 12, 3)])
        ends = np.cumsum([np.isin(clip, list(block)).sum() for block in blocks[-1]])
        parts = np.split(clip, ends[:-1])
        assert [frozenset(part.tolist()) for part in parts] == blocks[-1]
        assert all((np.diff(part) < 0).any() for part in parts)  # in no order within a block
        if epoch == 1:
            assert sorted(numbers.tolist()) == sorted(in_memory.tolist())
    assert blocks[0] != blocks[1]


def test_a_clip_of_one_window_is_in_every_epoch():
    features = toy_features()
    windows = Windows(features.select(np.diff(features.starts) == 10), 10)
    assert sorted(windows.apart(generator_for(0, 1)).tolist()) == list(range(len(windows)))


def test_average_by_hand():
    """After step t, the average is (1 - a) * average + a * weights with a = 1 / (RECENT * t), at most 1."""
    network = torch.nn.Linear(3, 2)
    optimizer = Optimizer(network, 0.1, averaged=True)
    expected = network.weight.detach().numpy().copy()
    for t in range(1, 31):
        network(torch.full((4, 3), float(t % 5))).square().sum().backward()
        optimizer.step()
        a = min(1.0, 1 / (RECENT * t))
        expected = (1 - a) * expected + a * network.weight.detach().numpy()
    trained = network.weight.detach().clone()
    optimizer.swap()
    np.testing.assert_allclose(network.weight.detach().numpy(), expected, rtol=1e-5)
    assert not torch.equal(network.weight, trained)
    optimizer.swap()
    assert torch.equal(network.weight, trained)


def test_adam_is_torchs():
    ours, theirs = (torch.nn.Linear(3, 2) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    mine, adam = Optimizer(ours, 0.01), torch.optim.Adam(theirs.parameters(), lr=0.01, fused=True)
    for t in range(5):
        for network, optimizer in ((ours, mine), (theirs, adam)):
            network(torch.full((4, 3), float(t))).square().sum().backward()
            optimizer.step()
        adam.zero_grad()
    assert torch.equal(ours.weight, theirs.weight)


def test_fast_milestones_equal_a_straight_run(tmp_path):
    """What is saved and scored is the average; the weights that are trained go on beside it."""
    fitted(2, recipe="fast").save(tmp_path)
    chained, straight = fitted(7, base.load(tmp_path, to_train=True)), fitted(7, recipe="fast")
    for states in (
        (chained.state(), straight.state()),
        (chained.training_state(), straight.training_state()),
    ):
        assert states[0].keys() == states[1].keys()
        for name in states[0]:
            assert states[0][name].tobytes() == states[1][name].tobytes(), name
    trained = straight.training_state()
    assert any(not np.array_equal(trained[f"{i}.swapped"], v) for i, v in enumerate(straight.state().values()))


@pytest.mark.parametrize("name", ["vae", "autoencoder", "idnn"])
def test_fast_standardises_what_the_network_is_given(name, monkeypatch):
    """By the windows that were trained, one next to the other; a value that never moves stays finite."""
    features = toy_features()
    features.values[:, 3] = -40.0
    detector = base.detector_class(name)(window=3, recipe="fast")
    detector.fit(features, features, base.FitContext())
    scaled = detector.network.scale(Windows(features, 3).gather(torch.arange(0, len(Windows(features, 3)), 3))[0])
    given = detector.network.standardise(scaled).reshape(-1, 3, 8)
    moving = [bin for bin in range(8) if bin != 3]
    np.testing.assert_allclose(given.mean(0)[:, moving], 0, atol=1e-4)
    np.testing.assert_allclose(given.std(0, unbiased=False)[:, moving], 1, rtol=1e-3)
    assert given[:, :, 3].abs().max() < 1e-3
    again = base.detector_class(name)(window=3, recipe="fast")
    again.feature = detector.feature
    again.set_state(detector.state())
    np.testing.assert_array_equal(again.window_errors(features)[0], detector.window_errors(features)[0])


def test_fast_learns_sooner():
    """On frames whose deviations are small beside their mean, as log-mel's are, in as many steps: what its log says."""

    def validation_loss(recipe, epochs):
        losses = []
        context = base.FitContext(epochs=epochs, on_epoch=lambda epoch, row: losses.append(row["val_loss"]))
        Detector(**SMALL, recipe=recipe).fit(toy_features(), toy_features(4, seed=1), context)
        return losses[-1]

    assert validation_loss("fast", 60) < validation_loss("report", 20)


def test_fast_learns_what_is_normal():
    detector = fitted(450, learning_rate=0.01, recipe="fast")  # as much work as 150 epochs of all windows
    strange = toy_features(seed=8)
    strange.values[:, ::2] += 15
    assert (detector.score(strange)["mean"].min() > detector.score(toy_features(seed=7))["mean"]).all()


def test_patience(tmp_path):
    """Training ends so many epochs after the lowest validation loss, in one run or with a stop in between."""
    losses = []

    def fit(epochs, detector=None):
        detector = detector or Detector(**SMALL, learning_rate=0.03, recipe="report", patience=4)
        context = base.FitContext(epochs=epochs, on_epoch=lambda epoch, row: losses.append(row["val_loss"]))
        detector.fit(toy_features(4), toy_features(4, seed=1), context)
        return detector

    straight = fit(400)
    best = int(np.argmin(losses))
    assert straight.epoch == len(losses) == best + 1 + 4 < 400
    fit(best + 3).save(tmp_path)
    chained = fit(400, base.load(tmp_path, to_train=True))
    assert chained.epoch == straight.epoch
    assert all(np.array_equal(chained.state()[name], array) for name, array in straight.state().items())
    assert fit(500, chained).epoch == straight.epoch  # a later milestone trains nothing more


def test_patience_without_held_out_clips():
    features = toy_features()
    detector = Detector(**SMALL, patience=1)
    detector.fit(features, features.select(np.zeros(len(features), bool)), base.FitContext(epochs=3))
    assert detector.epoch == 3


@pytest.mark.parametrize(
    "has, precision, dtype",
    [
        ({}, "auto", torch.float32),
        ({"amx_bf16": True}, "auto", torch.bfloat16),
        ({"avx512_bf16": True}, "auto", torch.bfloat16),
        ({"amx_bf16": True}, "fp32", torch.float32),
        ({}, "bf16", torch.bfloat16),
    ],
)
def test_precision(monkeypatch, has, precision, dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    with gradient_descent.autocast(precision, "cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_bf16_scores_as_fp32():
    features = toy_features(seed=5)
    full, half = (fitted(20, precision=precision).score(features)["mean"] for precision in ("fp32", "bf16"))
    assert not np.array_equal(full, half)
    np.testing.assert_allclose(half, full, rtol=0.05)


def test_compiled_network_is_called_with_whole_batches_alone(monkeypatch):
    """On a GPU; here the CPU calls itself one, and a fake compiler counts."""
    sizes = []

    def compile(network, **_):
        def call(x, *rest):
            sizes.append(len(x))
            return network(x, *rest)

        return call

    monkeypatch.setattr(torch, "compile", compile)
    assert_same_training(monkeypatch)
    assert len(sizes) > 1 and set(sizes) == {SMALL["batch_size"]}


def test_training_goes_on_where_nothing_compiles(monkeypatch, caplog):
    def compile(network, **_):
        raise RuntimeError("Cannot find a working triton installation")

    monkeypatch.setattr(torch, "compile", compile)
    assert_same_training(monkeypatch)
    assert "uncompiled" in caplog.text and "triton" in caplog.text


def assert_same_training(monkeypatch):
    plain = fitted(2)
    monkeypatch.setattr("humwatch.detectors.reconstruction.training.COMPILED_STEPS", 1)
    monkeypatch.setattr("humwatch.detectors.reconstruction.training.on_gpu", lambda device: True)
    again = fitted(2, Detector(**SMALL))
    assert all(np.array_equal(again.state()[name], array) for name, array in plain.state().items())


def test_frames_that_exceed_the_gpu_stay_with_the_host(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1000, 4000))
    assert windows.fits(600, "cuda") and not windows.fits(800, "cuda") and windows.fits(800, "cpu")
    monkeypatch.setattr(windows, "fits", lambda size, device: False)
    features = toy_features()
    elsewhere = Windows(features, 3, "meta")  # a device other than the host's: shapes without values
    assert elsewhere.view.device.type == "cpu" and elsewhere.first.device.type == "meta"


def test_gpu_precision(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert isinstance(gradient_descent.autocast("auto", "cuda"), type(gradient_descent.contextlib.nullcontext()))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch, "autocast", lambda device, dtype: types.SimpleNamespace(device=device, dtype=dtype))
    assert gradient_descent.autocast("auto", "cuda").dtype == torch.bfloat16
