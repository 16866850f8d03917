"""Log-mel against librosa; the store: what is written is read, in little memory."""

import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
from conftest import write_clip

from humwatch.errors import InputError
from humwatch.features import store
from humwatch.features.logmel import Feature as LogMel
from humwatch.features.logmel import mel_filters


def librosa_logmel(samples, rate, n_mels=128, n_fft=1024, hop_length=512, power=2.0, fmin=0.0, fmax=None):
    mel = librosa.feature.melspectrogram(
        y=samples, sr=rate, n_fft=n_fft, hop_length=hop_length, n_mels=n_mels, power=power, fmin=fmin, fmax=fmax
    )
    return mel.T, (20 / power * np.log10(mel + np.finfo(float).eps)).T


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"n_mels": 64, "n_fft": 2048, "hop_length": 256},
        {"power": 1.0},
        {"fmin": 200.0, "fmax": 6000.0},
        {"n_mels": 5},
    ],
)
@pytest.mark.parametrize("rate", [16000, 44100])
def test_equal_to_librosa(parameters, rate):
    rng = np.random.default_rng(1)
    time = np.arange(3 * rate) / rate
    samples = (0.1 * np.sin(2 * np.pi * 440 * time) + 0.01 * rng.normal(size=len(time))).astype(np.float32)
    mel, expected = librosa_logmel(samples, rate, **parameters)
    got = LogMel(**parameters)(samples, rate)
    assert got.shape == expected.shape and got.dtype == np.float32
    np.testing.assert_allclose(got[mel > 1e-10], expected[mel > 1e-10], atol=1e-3)


@pytest.mark.parametrize("n_mels", [1, 40, 128])
@pytest.mark.parametrize(("rate", "fmin", "fmax"), [(16000, 0.0, None), (44100, 999.0, 3000.0), (8000, 1000.0, 3999.5)])
def test_mel_filters_are_the_bytes_of_librosas(n_mels, rate, fmin, fmax):
    expected = librosa.filters.mel(sr=rate, n_fft=1024, n_mels=n_mels, fmin=fmin, fmax=fmax)
    filters = mel_filters(rate, 1024, n_mels, fmin, fmax)
    assert filters.dtype == expected.dtype and filters.tobytes() == expected.tobytes()
    centres = librosa.mel_frequencies(n_mels + 2, fmin=fmin, fmax=fmax or rate / 2)[1:-1]
    np.testing.assert_array_equal(LogMel(n_mels=n_mels, fmin=fmin, fmax=fmax).frequencies(rate), centres)


def test_equal_to_librosa_on_real_clips(real_data):
    paths = sorted(real_data.glob("dcase2020_dev_subset/*/test/*.wav"))[::6]
    assert len(paths) >= 5
    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32")
        mel, expected = librosa_logmel(samples, rate)
        np.testing.assert_allclose(LogMel()(samples, rate)[mel > 1e-10], expected[mel > 1e-10], atol=1e-3)


def test_silence_is_finite():
    assert np.isfinite(LogMel()(np.zeros(16000, np.float32), 16000)).all()


def clip_rows(count):
    return pd.DataFrame(
        {
            "clip": [f"fan/train/normal_id_{i % 3:02d}_{i:08d}.wav" for i in range(count)],
            "machine_type": "fan",
            "machine_id": [f"{i % 3:02d}" for i in range(count)],
            "split": "train",
            "label": pd.array([0] * count, "Int8"),
            "sha256": [f"{i:064x}" for i in range(count)],
        }
    )


@pytest.fixture
def stored(tmp_path):
    """150 clips of different length: three row groups."""
    rng = np.random.default_rng(0)
    frames = [rng.normal(size=(5 + i % 4, 8)).astype(np.float32) for i in range(150)]
    store.write(tmp_path / "f.parquet", clip_rows(150), frames, 8, {"source": "test"}, "abc")
    return tmp_path / "f.parquet", frames


def test_store_round_trip(stored):
    path, frames = stored
    features = store.read([path])
    np.testing.assert_array_equal(features.values, np.concatenate(frames))
    np.testing.assert_array_equal(features.clip(149), frames[149])
    pd.testing.assert_frame_equal(features.clips, clip_rows(150)[features.clips.columns], check_dtype=False)
    assert features.parameters == {"source": "test"}
    assert [len(group) for group in store.groups(path)] == [64, 64, 22]
    np.testing.assert_array_equal(np.concatenate([group.values for group in store.groups(path)]), features.values)


def test_store_schema(stored):
    """Any Parquet tool reads it: a list of fixed-size lists per clip."""
    table = pq.read_table(stored[0])
    assert str(table.schema.field("frames").type) == "list<element: fixed_size_list<element: float>[8]>"
    np.testing.assert_array_equal(np.array(table["frames"][3].as_py(), np.float32), stored[1][3])


def test_store_of_one_machine(stored):
    path, frames = stored
    features = store.read([path], machine_id="01")
    assert set(features.clips["machine_id"]) == {"01"} and len(features) == 50
    np.testing.assert_array_equal(features.values, np.concatenate(frames[1::3]))


@pytest.mark.parametrize("mapped_above", [store.MAPPED_ABOVE, 0])
@pytest.mark.parametrize("machine_id", [None, "01"])
def test_store_in_two_parts(stored, machine_id, mapped_above, monkeypatch):
    """As select would divide it, in memory or mapped from a temporary file."""
    monkeypatch.setattr(store, "MAPPED_ABOVE", mapped_above)
    whole = store.read([stored[0], stored[0]], machine_id=machine_id)
    second = np.arange(len(whole)) % 7 == 3
    asked = []
    parts = store.read_split([stored[0], stored[0]], lambda clips: asked.append(clips) or second, machine_id)
    pd.testing.assert_frame_equal(asked[0], whole.clips)
    for part, keep in zip(parts, (~second, second), strict=True):
        expected = whole.select(keep)
        np.testing.assert_array_equal(part.values, expected.values)
        np.testing.assert_array_equal(part.starts, expected.starts)
        pd.testing.assert_frame_equal(part.clips, expected.clips)
        assert part.values.flags.writeable and part.mapped == (mapped_above == 0)
    nothing, all_of_it = store.read_split([stored[0]], lambda clips: np.ones(len(clips), bool))
    assert len(nothing) == len(nothing.values) == 0 and len(all_of_it) == 150


def test_no_space_for_the_mapped_file(stored, monkeypatch):
    monkeypatch.setattr(store, "MAPPED_ABOVE", 0)
    monkeypatch.setattr(store.tempfile, "TemporaryFile", lambda: Path("/dev/full").open("wb"))  # noqa: SIM115
    with pytest.raises(InputError, match=r"No space left on device.*set TMPDIR"):
        store.read([stored[0]])


def test_half_written_store_is_refused(stored):
    path, _ = stored
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match="is damaged"):
        store.read([path])


MEMORY = """
import sys
import humwatch.features.store as store, pandas, pyarrow.parquet, numpy
def peak():  # of this program alone: getrusage counts what the process was before it
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak()
store.MAPPED_ABOVE = float(sys.argv[2])
parts = store.read_split([sys.argv[1]], lambda clips: numpy.arange(len(clips)) % 2 == 1)
size = sum(part.values.nbytes for part in parts)
print((peak() - before) * 1024 / size, size)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_reading_takes_the_data_and_a_constant(tmp_path):
    """Or the constant alone, where frames are mapped."""
    frames = (np.full((313, 128), i, np.float32) for i in range(1000))
    store.write(tmp_path / "big.parquet", clip_rows(1000), frames, 128, {}, "")
    for mapped_above, data in (("inf", 1), ("0", 0)):
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, tmp_path / "big.parquet", mapped_above],
            capture_output=True,
            text=True,
            check=True,
        )
        ratio, size = map(float, done.stdout.split())
        assert size == 1000 * 313 * 128 * 4
        assert data / 2 <= ratio < data + 170e6 / size


@pytest.mark.parametrize(("channels", "channel", "subtype"), [(8, 3, "PCM_16"), (8, "mix", "PCM_24"), (1, 0, "FLOAT")])
def test_channels_and_formats(tmp_path, channels, channel, subtype):
    from humwatch.datasets.clips import read_samples

    path = write_clip(tmp_path / "a.wav", channels=channels, subtype=subtype)
    whole = soundfile.read(path, dtype="float32", always_2d=True)[0]
    expected = whole.mean(axis=1) if channel == "mix" else whole[:, channel]
    np.testing.assert_allclose(read_samples(path, channel)[0], expected, atol=1e-7)
    with pytest.raises(InputError, match=r"dataset\.channel 8 is not there"):
        read_samples(path, 8)
