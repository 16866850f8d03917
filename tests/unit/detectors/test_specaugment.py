"""SpecAugment: masks as drawn, and masked windows equal to windows of the masked spectrogram."""

import numpy as np
import pytest
import torch
from toy import SMALL, toy_features

from humwatch.detectors import base
from humwatch.detectors.reconstruction import specaugment as augment
from humwatch.detectors.reconstruction.specaugment import SpecAugment
from humwatch.detectors.reconstruction.windows import Windows
from humwatch.detectors.vae import Detector
from humwatch.errors import InputError

SETTINGS = SpecAugment(copies=3, frequency_masks=2, frequency_width=4, time_masks=2, time_width=6, seed=3)


@pytest.fixture(scope="module")
def features():
    return toy_features(9)


@pytest.fixture(scope="module")
def masks(features):
    return augment.draw(features.clips["clip"].tolist(), np.diff(features.starts), 8, SETTINGS)


def test_draws(features):
    many = augment.draw(features.clips["clip"].tolist(), np.diff(features.starts), 8, SpecAugment(400, 1, 4, 1, 6))
    for axis, largest in (("frequency", 4), ("time", 6)):
        widths = many[many["axis"] == axis]["width"]
        shares = widths.value_counts(normalize=True)
        assert sorted(shares.index) == list(range(largest + 1))
        np.testing.assert_allclose(shares, 1 / (largest + 1), atol=0.03)
    lengths = dict(zip(features.clips["clip"], np.diff(features.starts), strict=True))
    size = many["clip"].map(lengths).where(many["axis"] == "time", 8)
    assert (many["start"] >= 0).all() and (many["start"] + many["width"] <= size).all()
    assert (many["start"] + many["width"] == size).any()


def test_draws_depend_on_seed_and_clip_alone(features, masks):
    names, lengths = features.clips["clip"].tolist(), np.diff(features.starts)
    alone = augment.draw(names[4:5], lengths[4:5], 8, SETTINGS)
    assert alone.values.tolist() == masks[masks["clip"] == names[4]].values.tolist()
    other = augment.draw(names, lengths, 8, SpecAugment(3, 2, 4, 2, 6, seed=4))
    assert not other.equals(masks)


@pytest.mark.parametrize("clean", [False, True])
def test_windows_of_masked_clips(features, masks, clean):
    """Masking at the gathering of windows equals masking the spectrogram and cutting windows afterwards."""
    windows = Windows(features, 3, masks=masks, clean=clean)
    assert len(windows) == 4 * len(windows.first)
    inputs, targets = (t.numpy() for t in windows.gather(torch.arange(len(windows))))
    expected = {"masked": [], "clean": []}
    for copy in range(4):
        for i, clip in enumerate(features.clips["clip"]):
            own = masks[(masks["clip"] == clip) & (masks["copy"] == copy)]
            for name, frames in (("masked", augment.apply(features.clip(i), own)), ("clean", features.clip(i))):
                expected[name] += [frames[j : j + 3].reshape(-1) for j in range(len(frames) - 2)]
    np.testing.assert_allclose(inputs, expected["masked"], rtol=1e-6)
    np.testing.assert_allclose(targets, expected["clean" if clean else "masked"], rtol=1e-6)
    assert (inputs[len(windows.first) :] != np.array(expected["clean"])[len(windows.first) :]).any()


def test_masks_of_held_out_clips_are_left_out(features, masks):
    part = features.select(np.arange(9) % 2 == 0)
    inputs, _ = Windows(part, 3, masks=masks).gather(torch.arange(len(Windows(part, 3)) * 4))
    clip = part.clips["clip"][1]
    masked = augment.apply(part.clip(1), masks[(masks["clip"] == clip) & (masks["copy"] == 2)])
    number = 2 * Windows(part, 3).per_clip.sum() + Windows(part, 3).per_clip[0]
    np.testing.assert_allclose(inputs[number], masked[:3].reshape(-1), rtol=1e-6)


def test_training_on_masks_is_deterministic(features, masks):
    def fit(clean):
        detector = Detector(**SMALL)
        detector.fit(features, toy_features(3, seed=1), base.FitContext(epochs=2, masks=masks, clean_targets=clean))
        return detector.state()["encoder.0.weight"].tobytes()

    assert fit(False) == fit(False) != fit(True)


@pytest.mark.parametrize("key", ["frequency_width", "time_width"])
def test_masks_wider_than_the_spectrogram(key):
    with pytest.raises(InputError, match=f"^config: {key} is 99, the spectrogram has only"):
        augment.draw(["a"], np.array([50]), 8, SpecAugment(**({"frequency_width": 2, "time_width": 2} | {key: 99})))
