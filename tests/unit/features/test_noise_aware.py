"""Features that know the noise from a second microphone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import write_clip
from scipy.signal import fftconvolve

from humwatch.errors import InputError
from humwatch.features import store
from humwatch.features.extract import extract
from humwatch.features.logmel import Feature as LogMel
from humwatch.features.noise_aware import FLOOR, Feature, residual, subtracted
from humwatch.progress import Progress

RATE = 16000
RNG = np.random.default_rng(0)
MACHINE = 0.01 * np.sin(2 * np.pi * 1000 * np.arange(2 * RATE) / RATE)
NOISE = RNG.normal(0, 0.1, 2 * RATE)
WAY = np.zeros(64)
WAY[[3, 20, 50]] = 0.8, -0.4, 0.2
HEARD = fftconvolve(NOISE, WAY)[: 2 * RATE]  # the noise as it comes to the microphone at the machine


def clip(*channels):
    return np.stack(channels, axis=1).astype(np.float32)


def test_noise_that_both_microphones_hear_is_gone():
    alone, noisy = LogMel()(MACHINE.astype(np.float32), RATE), LogMel()((MACHINE + HEARD).astype(np.float32), RATE)
    clean = Feature()(clip(MACHINE + HEARD, NOISE), RATE)
    tone = alone.mean(axis=0).argmax()
    others = np.abs(np.arange(128) - tone) > 3
    assert (noisy - clean)[2:-2, others].mean() > 15, "dB of the noise"
    assert np.abs(clean - alone)[2:-2, tone].mean() < 1, "dB of the machine"


def test_weights_are_numpys_least_squares():
    """Bin by bin, of one far channel and of two."""
    rng = np.random.default_rng(1)
    near, *far = rng.normal(size=(3, 30, 5)) + 1j * rng.normal(size=(3, 30, 5))
    for count in (1, 2):
        found = residual(near, np.stack(far[:count]))
        for f in range(5):
            known = np.stack([channel[:, f] for channel in far[:count]], axis=1)
            weights = np.linalg.lstsq(known, near[:, f], rcond=None)[0]
            np.testing.assert_allclose(found[:, f], near[:, f] - known @ weights, atol=1e-4)


def test_silent_or_equal_far_channels_are_borne():
    near = (MACHINE + HEARD).astype(np.float32)
    for far in ("subtract", "spectral"):
        np.testing.assert_allclose(
            Feature(far=far)(clip(near, np.zeros_like(near)), RATE), LogMel()(near, RATE), atol=1e-3
        )
    once, twice = (Feature()(clip(near, *[NOISE] * count), RATE) for count in (1, 2))
    np.testing.assert_allclose(twice, once, atol=0.1)


def test_spectral_subtraction_of_uncorrelated_noise():
    """Noise of the same energy in each frame, other phases: half of the near energy at the least, and never below the floor."""
    rng = np.random.default_rng(2)
    level = rng.uniform(0.5, 2, (40, 6))
    near, far = 4 * level, level
    np.testing.assert_allclose(subtracted(near, far), FLOOR * near)
    machine = np.where(np.arange(40)[:, None] == 7, 1000.0, 0)
    found = subtracted(near + machine, far)
    assert (found <= near + machine).all() and (found >= FLOOR * near).all()
    assert (found[7] > 0.9 * 1000).all()


def test_stacked_channels_are_log_mels_side_by_side():
    near, far = (MACHINE + HEARD).astype(np.float32), NOISE.astype(np.float32)
    feature = Feature(far="stack", n_mels=40)
    stacked = feature(clip(near, far), RATE)
    assert stacked.shape == feature.shape(RATE, 2) == (63, 80) and feature.bins == 80
    for half, samples in ((stacked[:, :40], near), (stacked[:, 40:], far)):
        np.testing.assert_allclose(half, LogMel(n_mels=40)(samples, RATE), atol=1e-3)


def test_parameters_of_the_spectrogram_are_those_of_logmel():
    near = (MACHINE + HEARD).astype(np.float32)
    for parameters in ({"power": 1.0}, {"n_fft": 2048, "hop_length": 256, "fmin": 200.0, "fmax": 6000.0}):
        feature = Feature(far="spectral", **parameters)
        found = feature(clip(near, np.zeros_like(near)), RATE)
        np.testing.assert_allclose(found, LogMel(**parameters)(near, RATE), atol=1e-3)
    stated = Feature().parameters(RATE)
    np.testing.assert_array_equal(Feature.scale(stated, 128).frequencies, LogMel().frequencies(RATE))


def table(folder: Path, channels: int) -> pd.DataFrame:
    names = [
        write_clip(folder / f"{n}.wav", seconds, channels=channels).name for n, seconds in enumerate((0.6, 1, 1.6))
    ]
    columns = {"machine_type": "fan", "machine_id": "00", "split": "train", "label": pd.array([0] * 3, "Int8")}
    return pd.DataFrame({"clip": names, **columns, "sample_rate": RATE, "sha256": "x"})


def test_the_store_holds_what_a_feature_hears(tmp_path):
    clips = table(tmp_path, 3)
    for feature, channel in ((LogMel(), 2), (Feature(), [2, 0])):
        path = tmp_path / f"{feature.name}.parquet"
        extract(tmp_path, clips, feature, channel, path, Progress("clips", 3))
        assert store.read([path]).parameters["channel"] == channel
        assert np.diff(store.read([path]).starts).tolist() == [feature.shape(RATE, s)[0] for s in (0.6, 1, 1.6)]


def test_clip_without_a_far_channel(tmp_path):
    with pytest.raises(InputError) as error:
        extract(tmp_path, table(tmp_path, 1), Feature(), [0, 1], tmp_path / "out", Progress("clips", 3))
    lines = str(error.value).splitlines()
    assert len(lines) == 3 and lines[0].endswith("0.wav has 1 channel(s): dataset.channel 1 is not there")
