"""Modulation spectra and stored waveforms: physics, an independent computation, published features of real clips."""

import dataclasses

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.signal
import scipy.stats
import soundfile
from conftest import write_recordings

from humwatch.datasets import clips
from humwatch.datasets import source as sources
from humwatch.errors import InputError
from humwatch.features import store
from humwatch.features.extract import extract
from humwatch.features.logmel import Feature as LogMel
from humwatch.features.modspec import Feature as ModSpec
from humwatch.features.waveform import Feature as Waveform
from humwatch.progress import Progress
from humwatch.study.config import read_schema, validate

SCHEMA = read_schema()


def modulated_sine(frequency, modulation, seconds=4.0, rate=16000, amplitude=0.1, depth=0.5):
    time = np.arange(int(seconds * rate)) / rate
    envelope = amplitude * (1 + depth * np.sin(2 * np.pi * modulation * time))
    return (envelope * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def expected_cell(frequency, modulation, rate=16000):
    """Nearest steps on the ERB scale from 125 Hz to half the sample rate, and on the octave scale from 4 to 128 Hz."""
    erbs = np.log(1 + np.array([frequency, 125, rate / 2]) / (24.7 * 9.26449))
    return round(7 * np.log2(modulation / 4) / 5), round(60 * (erbs[0] - erbs[1]) / (erbs[2] - erbs[1]))


@pytest.mark.parametrize("frequency", [300, 1000, 2500, 7000])
@pytest.mark.parametrize("modulation", [4, 10, 30, 128])
def test_modulated_sine_is_in_its_cell(frequency, modulation):
    energies = ModSpec()(modulated_sine(frequency, modulation), 16000)
    assert energies.shape == (8, 60) and energies.dtype == np.float32
    modulation_band, band = np.unravel_index(energies.argmax(), energies.shape)
    expected = expected_cell(frequency, modulation)
    assert modulation_band == expected[0]
    # 10 ms cannot tell 300 Hz from 400 Hz when the sidebands are at 172 and 428 Hz
    assert abs(band - expected[1]) <= (4 if frequency - modulation < 200 else 0)


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_other_sample_rates(rate):
    energies = ModSpec()(modulated_sine(1500, 16, rate=rate), rate)
    modulation_band, band = np.unravel_index(energies.argmax(), energies.shape)
    expected = expected_cell(1500, 16, rate)
    assert modulation_band == expected[0] and abs(band - expected[1]) <= 1
    assert ModSpec().frequencies(rate)[band] == pytest.approx(1500, rel=0.05)
    assert ModSpec().modulation_frequencies()[modulation_band] == pytest.approx(16, rel=0.3)


def test_energy_of_a_modulated_sine():
    """A**2 m**2 / 2 for a slow modulation in a wide band; a steady sine has none."""
    depth = 0.5
    energy = ModSpec()(modulated_sine(6000, 4, amplitude=0.1, depth=depth), 16000).max()
    assert energy == pytest.approx(0.1**2 * depth**2 / 2, rel=0.25)
    assert ModSpec()(modulated_sine(6000, 4, depth=0), 16000).max() < 1e-6 * energy


def test_energy_is_the_square_of_amplitude():
    samples = np.random.default_rng(0).normal(0, 0.1, 20000).astype(np.float32)
    one, ten = ModSpec()(samples, 16000), ModSpec()(10 * samples, 16000)
    np.testing.assert_allclose(ten, 100 * one, rtol=1e-3)


def plain_cell(samples, rate, centre, modulation):
    """One energy in float64: frames in a loop, the gammatone from its impulse response, the resonator in the time domain."""
    window = scipy.signal.get_window("hann", rate // 100)
    time = np.arange(rate) / rate
    bandwidth = 1.019 * (24.7 + centre / 9.26449)
    impulse = time**3 * np.exp(-2 * np.pi * bandwidth * time) * np.exp(2j * np.pi * centre * time)
    response = np.abs(np.fft.fft(impulse))  # bins of 1 Hz
    weights = response[np.round(np.arange(257) * rate / 512).astype(int)] / response.max()
    sine = np.abs(np.fft.fft(window, 512)).sum() / 2
    starts = range(0, len(samples) - len(window) + 1, rate // 400)
    envelope = np.array([np.abs(np.fft.rfft(samples[s : s + len(window)] * window, 512)) @ weights for s in starts])
    envelope = (envelope - envelope.mean()) / sine
    centre_warped = 2 * 400 * np.tan(np.pi * modulation / 400)
    b, a = scipy.signal.bilinear([centre_warped / 2, 0], [1, centre_warped / 2, centre_warped**2], 400)  # Q = 2
    steady = scipy.signal.lfilter(b, a, np.tile(envelope, 20))[-len(envelope) :]
    return np.mean(steady**2)


@pytest.mark.parametrize(("modulation_band", "band"), [(0, 0), (3, 25), (5, 40), (7, 59)])
def test_against_a_plain_computation(modulation_band, band):
    rate = 16000
    rng = np.random.default_rng(1)
    time = np.arange(160 + 40 * 799) / rate  # 800 frames, a length that needs no padding
    samples = (rng.normal(0, 0.05, len(time)) * (1 + 0.8 * np.sin(2 * np.pi * 20 * time))).astype(np.float32)
    feature = ModSpec()
    expected = plain_cell(
        samples.astype(float), rate, feature.frequencies(rate)[band], feature.modulation_frequencies()[modulation_band]
    )
    assert feature(samples, rate)[modulation_band, band] == pytest.approx(expected, rel=0.02)


def test_silence_is_finite():
    assert not ModSpec()(np.zeros(16000, np.float32), 16000).any()


def test_clips_that_are_too_short(tmp_path):
    with pytest.raises(InputError, match="the clip has 3999 samples, modspec needs 4000, a period of 4 Hz"):
        ModSpec()(np.ones(3999, np.float32), 16000)
    assert ModSpec(modulation_low=8.0)(np.ones(3999, np.float32), 16000).shape == (8, 60)
    with pytest.raises(InputError, match="the clip has 511 samples, waveform needs 512"):
        Waveform()(np.ones(511, np.float32), 16000)
    write_recordings(tmp_path, train=3, seconds=0.1)
    with pytest.raises(InputError) as error:
        stored(tmp_path, ModSpec())
    sentences = str(error.value).splitlines()
    assert len(sentences) == 3 and all(f"normal_id_00_0000000{i}.wav: the clip" in s for i, s in enumerate(sentences))


@pytest.mark.parametrize("samples", [700, 1600])
def test_waveforms_of_one_length(samples):
    """Cut or repeated."""
    made = Waveform(hop_length=100, seconds=1.0)(np.arange(samples, dtype=np.float32), 1000)
    np.testing.assert_array_equal(made.ravel(), np.arange(1000) % samples)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"fmin": 5000.0, "fmax": 4000.0}, "fmin 5000 Hz and fmax 4000 Hz must rise"),
        ({"fmax": 9000.0}, "up to 8000 Hz"),
        ({"modulation_low": 30.0, "modulation_high": 20.0}, "modulation_high 20 Hz must rise"),
        ({"modulation_high": 200.0}, "be below 200 Hz"),
    ],
)
def test_parameters_that_do_not_go_together(parameters, sentence):
    with pytest.raises(InputError, match=sentence):
        ModSpec(**parameters).parameters(16000)


def stored(folder, feature):
    """The features of a folder's training clips, written and read again, and their clip table."""
    names = sources.of({"source": "directory"}).recordings(folder)["slider", "train"]
    table = clips.table(folder, names, None)
    extract(folder, table, feature, 0, folder / "features.parquet", Progress("clips", len(table)))
    features = store.read([folder / "features.parquet"])
    assert features.parameters == feature.parameters(16000) | {"channel": 0}
    return features, table


@pytest.mark.parametrize("hop_length", [512, 100])
def test_a_clip_is_its_frames_of_samples(tmp_path, hop_length):
    write_recordings(tmp_path, train=4, seconds=1.01)
    features, table = stored(tmp_path, Waveform(hop_length))
    whole = 16160 // hop_length * hop_length
    assert features.values.shape == (4 * whole // hop_length, hop_length)
    for i, clip in enumerate(table["clip"]):
        samples = soundfile.read(tmp_path / clip, dtype="float32")[0]
        np.testing.assert_array_equal(features.clip(i).ravel(), samples[:whole])


def test_modulation_spectra_in_the_store(tmp_path):
    write_recordings(tmp_path, train=4)
    features, table = stored(tmp_path, ModSpec(bands=20, modulation_bands=4))
    assert features.values.shape == (4 * 4, 20)
    expected = ModSpec(bands=20, modulation_bands=4)(*clips.read_samples(tmp_path / table["clip"][2]))
    np.testing.assert_array_equal(features.clip(2), expected)


# The configuration


def test_features_get_the_defaults_of_their_source():
    config = {
        "dataset": {"name": "a", "source": "demo"},
        "features": {"m": {"source": "modspec", "bands": 30}, "l": {}},
    }
    features = validate(config, SCHEMA)["features"]
    assert features["m"] == {"source": "modspec"} | dataclasses.asdict(ModSpec(bands=30))
    assert features["l"] == {"source": "logmel"} | dataclasses.asdict(LogMel())


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        ({"m": {"source": "modspec", "n_mels": 64}}, "features.m.n_mels is for source logmel or noise_aware only"),
        (
            {"w": {"source": "waveform", "fmin": 50.0}},
            "features.w.fmin is for source logmel or modspec or noise_aware only",
        ),
        ({"l": {"bands": 40}}, "features.l.bands is for source modspec only"),
        ({"m": {"source": "modspec", "band": 40}}, "features.m.band is unknown (did you mean bands?)"),
        (
            {"m": {"source": "modspec", "modulation_high": 200}},
            "features.m.modulation_high is 200, it must be a number and ",
        ),
        (
            {"m": {"source": "mfcc"}},
            "features.m.source is 'mfcc', it must be one of embedding, logmel, modspec, noise_aware, waveform, parquet",
        ),
        ({"m": None}, "features.m is None, it must be a mapping"),
    ],
)
def test_parameters_of_another_source(features, sentence):
    with pytest.raises(InputError) as error:
        validate({"dataset": {"name": "a", "source": "demo"}, "features": features}, SCHEMA)
    assert sentence in str(error.value) and len(str(error.value).splitlines()) == 1


# Real recordings (HUMWATCH_DATA)


def test_rank_correlation_with_published_features(real_data):
    """The 55 slider clips of id 00 in the features that were published for them (Tiwari et al. 2020): every acoustic band."""
    folder = real_data / "dcase2020_dev_subset"
    paths = sorted(folder.glob("slider/train/normal_id_00_*.wav"))
    table = pq.read_table(real_data / "dcase2020_dev_modspec/slider.parquet", columns=["clip", "frames"]).to_pandas()
    frames = table.set_index("clip")["frames"]
    published = np.stack([np.stack(frames[str(path.relative_to(folder))]) for path in paths])
    assert published.shape == (55, 8, 60)
    ours = np.stack([ModSpec()(*soundfile.read(path, dtype="float32")) for path in paths])
    correlation = pd.DataFrame(scipy.stats.rankdata(ours.reshape(55, -1), axis=0)).corrwith(
        pd.DataFrame(scipy.stats.rankdata(published.reshape(55, -1), axis=0))
    )
    correlation = correlation.to_numpy().reshape(8, 60)  # Spearman's, over clips, of each cell
    assert correlation.mean(axis=0).min() > 0.98 and correlation.min() > 0.95
    # And the values themselves, but for the unit: in dB, nearly one constant.
    difference = 10 * np.log10(published / ours)
    assert difference.std() < 1
