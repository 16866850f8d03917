"""The demo's slide rails: the same clips every time, true to physics, of the level and colour of recordings."""

import os
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from scipy.signal import butter, coherence, sosfiltfilt, stft, welch

from humwatch.datasets import demo, slide_rails
from humwatch.datasets.source import SAMPLE_RATE
from humwatch.errors import InputError

RATE = SAMPLE_RATE


def faulty(kind, machine_id="02", count=3):
    """Parts of the first anomalous test clips with a fault of this kind."""
    parts = (slide_rails.generate_parts(machine_id, "test", "anomaly", index, seed=3) for index in range(40))
    return list(islice((p for p in parts if p["kind"] == kind), count))


def decibel(power):
    return 10 * np.log10(np.mean(power))


def test_same_bytes_whatever_the_size_and_the_folder(tmp_path):
    small = slide_rails.write(tmp_path / "a", "small", "test", machine_ids=["02"])
    size = {"train": 0, "test_normal": 1, "test_anomaly": 4}
    other = slide_rails.write(tmp_path / "b", size, "test", machine_ids=["02"])
    assert len(small) == 6 and len(other) == 5 and len(set(small) & set(other)) == 4
    for name in set(small) & set(other):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    contents = [(tmp_path / "a" / name).read_bytes() for name in small]
    assert len(set(contents)) == len(contents)
    slide_rails.write(tmp_path / "c", size, "test", machine_ids=["02"], seed=1)
    assert (tmp_path / "c" / other[0]).read_bytes() != (tmp_path / "b" / other[0]).read_bytes()


def test_written_as_the_recordings_are(tmp_path):
    seen = []
    names = slide_rails.write(
        tmp_path, {"train": 1, "test_normal": 0, "test_anomaly": 0}, "train", seed=5, progress=seen.append
    )
    assert names == [f"slider/train/normal_id_{machine_id}_00000000.wav" for machine_id in ("00", "02", "04")]
    assert seen == [1, 2, 3]
    info = sf.info(tmp_path / names[2])
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (16000, 1, "PCM_16", 160000)
    samples, _ = sf.read(tmp_path / names[2])
    np.testing.assert_allclose(
        samples, slide_rails.generate_clip("04", "train", "normal", 0, seed=5), atol=1.01 / 2**15
    )


def test_a_smaller_size_removes_clips_but_never_a_recording(tmp_path):
    slide_rails.write(tmp_path, {"train": 3, "test_normal": 0, "test_anomaly": 0}, "train", machine_ids=["00"])
    size = {"train": 1, "test_normal": 0, "test_anomaly": 0}
    slide_rails.write(tmp_path, size, "train", machine_ids=["00"])
    folder = tmp_path / "slider/train"
    assert [path.name for path in folder.iterdir()] == ["normal_id_00_00000000.wav"]
    recording = folder / "normal_id_00_00000007.wav"
    sf.write(recording, np.zeros(100), RATE)
    with pytest.raises(InputError, match=r"normal_id_00_00000007[.]wav is not a demo clip"):
        slide_rails.write(tmp_path, size, "train", machine_ids=["00"])
    assert recording.exists()


def test_full_size_has_the_counts_of_dcase_2020():
    assert len(demo.clips("full", "train")) == 2370
    assert len(demo.clips("full", "test")) == 1101
    full = demo.counts("full")
    assert [full[machine_id, "train", "normal"] for machine_id in demo.MACHINE_IDS] == [968, 968, 434]
    assert [full[machine_id, "test", "anomaly"] for machine_id in demo.MACHINE_IDS] == [356, 267, 178]
    assert [full[machine_id, "test", "normal"] for machine_id in demo.MACHINE_IDS] == [100, 100, 100]
    names = [name for name, *_ in demo.clips("default", "test", ["04"])]
    assert len(names) == 40 and names == sorted(names) and names[0] == "slider/test/anomaly_id_04_00000000.wav"


@pytest.mark.parametrize(
    "call",
    [
        lambda: demo.counts("huge"),
        lambda: demo.counts({"train": 4}),
        lambda: demo.counts({"train": 4, "test_normal": -1, "test_anomaly": 1}),
        lambda: demo.clips("small", "validation"),
        lambda: demo.clips("small", "train", ["06"]),
        lambda: slide_rails.generate_clip("00", "train", "odd", 0),
    ],
)
def test_bad_input_is_one_sentence(call):
    with pytest.raises(InputError, match=r"\A[^\n]*; got [^\n]*\Z"):
        call()


@pytest.mark.parametrize("snr_db", [-8.0, 6.0])
def test_signal_to_noise_ratio_and_level_are_as_stated(snr_db):
    for label in ("normal", "anomaly"):
        parts = slide_rails.generate_parts("04", "test", label, 2, snr_db=snr_db)
        assert decibel(parts["machine"] ** 2) - decibel(parts["factory"] ** 2) == pytest.approx(snr_db, abs=1e-3)
        clip = slide_rails.generate_clip("04", "test", label, 2, snr_db=snr_db)
        np.testing.assert_array_equal(clip, parts["machine"] + parts["fault"] + parts["factory"])
        assert decibel((parts["machine"] + parts["factory"]) ** 2) == pytest.approx(slide_rails.LEVEL_DB, abs=1)
        assert np.any(parts["fault"]) == (label == "anomaly")


def test_far_microphone_hears_the_same_factory(tmp_path):
    """The near channel is the clip without it; the far one is coherent with the factory, and hardly hears the machine."""
    known = {"machine_id": "02", "split": "test", "label": "anomaly", "index": 1, "snr_db": -14.0}
    both = slide_rails.generate_clip(**known, far_microphone=True)
    np.testing.assert_array_equal(both[:, 0], slide_rails.generate_clip(**known))
    parts = slide_rails.generate_parts(**known)
    heard = {name: coherence(parts[name], both[:, 1], RATE, nperseg=4096)[1] for name in ("factory", "machine")}
    assert np.median(heard["factory"]) > 0.8 and np.median(heard["machine"]) < 0.3
    size = {"train": 1, "test_normal": 0, "test_anomaly": 0}
    (name,) = slide_rails.write(tmp_path, size, "train", machine_ids=["00"], snr_db=-14.0, far_microphone=True)
    assert sf.info(tmp_path / name).channels == 2


@pytest.mark.parametrize("machine_id", demo.MACHINE_IDS)
def test_carriage_runs_from_end_to_end(machine_id):
    rail = slide_rails.RAILS[machine_id]
    parts = slide_rails.generate_parts(machine_id, "train", "normal", 4)
    position, speed = parts["position"], parts["speed"]
    np.testing.assert_allclose(np.abs(np.gradient(position) * RATE), speed, atol=0.01)
    np.testing.assert_allclose([position.min(), position.max()], [0, rail.length], atol=1e-4)
    at_rest = position[speed == 0]  # only ever at the ends
    np.testing.assert_allclose(np.minimum(at_rest, rail.length - at_rest), 0, atol=1e-4)
    assert 0.1 < np.mean(speed == 0) < 0.6
    # From rest to nearly the cruising speed within the ramp.
    moving, cruising = speed > 0.02 * rail.speed, speed > 0.9 * rail.speed
    start = np.nonzero(np.diff(moving.astype(int)) == 1)[0][0]
    assert 0.5 * rail.ramp < np.argmax(cruising[start:]) / RATE < rail.ramp


def test_motor_harmonic_follows_the_speed():
    parts = slide_rails.generate_parts("00", "train", "normal", 0)
    rail = slide_rails.RAILS["00"]
    f, t, spectrum = stft(parts["machine"], RATE, nperseg=400, noverlap=200, nfft=3200)
    expected = 3 * rail.motor * np.interp(t, np.arange(160000) / RATE, parts["speed"])
    frames = expected > 900  # below, thuds and other harmonics are near
    near = np.abs(f[:, None] - expected) < 350
    found = f[np.argmax(np.where(near, np.abs(spectrum), 0), axis=0)]
    assert expected[frames].min() < 1100 and expected[frames].max() > 1600
    assert np.median(np.abs(found - expected)[frames]) < 20
    accelerating = frames & (expected < 1400)
    assert accelerating.sum() > 20
    assert np.corrcoef(found[accelerating], expected[accelerating])[0, 1] > 0.7


def test_sliding_noise_follows_the_speed():
    parts = slide_rails.generate_parts("02", "train", "normal", 1)
    sliding = sosfiltfilt(butter(4, 4500, "highpass", fs=RATE, output="sos"), parts["machine"])  # above the harmonics
    u = parts["speed"] / parts["speed"].max()
    slow, fast = sliding[(u > 0.45) & (u < 0.55)], sliding[u > 0.95]
    # An amplitude as speed^1.5 is 9 dB for twice the speed.
    assert decibel(fast**2) - decibel(slow**2) == pytest.approx(30 * np.log10(2), abs=2)
    assert decibel(sliding[u == 0] ** 2) < decibel(fast**2) - 20


def test_clicks_recur_at_fixed_places_of_a_damaged_rail():
    rail = slide_rails.RAILS["02"]
    for parts in faulty("rail damage"):
        sounding = np.abs(parts["fault"]) > 0.01 * np.abs(parts["fault"]).max()
        gap = 300  # samples; a ringing rail crosses zero more often
        onsets = np.nonzero(sounding)[0]
        onsets = onsets[np.diff(onsets, prepend=-gap - 1) > gap]
        nearest = np.abs(parts["position"][onsets][:, None] - rail.damage)
        assert nearest.min(axis=1).max() < 0.002
        for place in np.unique(nearest.argmin(axis=1)):
            passages = np.count_nonzero(np.diff(np.sign(parts["position"] - rail.damage[place])))
            assert np.count_nonzero(nearest.argmin(axis=1) == place) == passages > 4


def test_loose_belt_flutters_and_slaps_where_the_carriage_stops():
    for parts in faulty("loose belt"):
        cruising = parts["speed"] > 0.8 * slide_rails.RAILS["02"].speed
        power = np.where(cruising, parts["machine"] ** 2, 0)
        f, density = welch(power, RATE, nperseg=32000)
        baseline = welch(np.where(cruising, 1.0, 0) * power[cruising].mean(), RATE, nperseg=32000)[1]
        band = (f >= 6.5) & (f <= 13.5)
        assert density[band].sum() > 1.5 * baseline[band].sum()
        resting = parts["speed"] < 0.1 * slide_rails.RAILS["02"].speed
        assert np.sum(parts["fault"][resting] ** 2) > 0.99 * np.sum(parts["fault"] ** 2)


def test_dry_rail_squeals_at_low_speed():
    rail = slide_rails.RAILS["02"]
    for parts in faulty("no grease"):
        u = parts["speed"] / rail.speed
        slow, fast = (u > 0.1) & (u < 0.35), u > 0.9

        def tone(resonance, fault=parts["fault"]):
            return sosfiltfilt(
                butter(2, [0.93 * resonance, 1.07 * resonance], "bandpass", fs=RATE, output="sos"), fault
            )

        squeal = max((tone(resonance) for resonance in rail.resonances[1:4]), key=lambda x: np.mean(x[slow] ** 2))
        assert decibel(squeal[slow] ** 2) > decibel(squeal[fast] ** 2) + 6
        assert decibel(squeal[slow] ** 2) > decibel(parts["fault"][slow] ** 2) - 4  # narrowband: most of the sound
        assert np.mean(parts["fault"][u == 0] ** 2) == 0
        assert decibel(parts["fault"][fast] ** 2) > decibel(parts["machine"][u == 0] ** 2)


def test_severity_grades_the_fault():
    louder = []
    for kind in ("rail damage", "no grease"):
        parts = sorted(faulty(kind, count=8), key=lambda p: p["severity"])
        loudness = [decibel(p["fault"] ** 2) - 20 * np.log10(p["severity"]) for p in parts]
        assert parts[-1]["severity"] > 1.5 * parts[0]["severity"]
        assert np.std(loudness) < 5
        louder.append(decibel(parts[-1]["fault"] ** 2) - decibel(parts[0]["fault"] ** 2))
    assert min(louder) > 0


@pytest.mark.skipif("HUMWATCH_DATA" not in os.environ, reason="HUMWATCH_DATA, a folder of recordings, is not set")
def test_level_and_spectrum_are_like_the_recordings():
    recordings = sorted(Path(os.environ["HUMWATCH_DATA"]).glob("**/slider/train/normal_id_00_*.wav"))[:30]
    if not recordings:
        pytest.skip("HUMWATCH_DATA holds no slide rails")
    real = [sf.read(path)[0] for path in recordings]
    generated = [slide_rails.generate_clip("00", "train", "normal", index) for index in range(30)]

    def level(clip):
        return decibel(clip**2)

    def dynamic(clip):
        frames = 10 * np.log10(np.mean(clip[: len(clip) // 512 * 512].reshape(-1, 512) ** 2, axis=1))
        return np.percentile(frames, 95) - np.percentile(frames, 5)

    def octaves(clip):
        f, density = welch(clip, RATE, nperseg=1024)
        edges = [62, 125, 250, 500, 1000, 2000, 4000, 8000]
        return [decibel(density[(f >= low) & (f < high)]) for low, high in pairwise(edges)]

    assert np.mean([level(x) for x in generated]) == pytest.approx(np.mean([level(x) for x in real]), abs=0.5)
    assert np.mean([dynamic(x) for x in generated]) == pytest.approx(np.mean([dynamic(x) for x in real]), abs=1.5)
    difference = np.mean([octaves(x) for x in generated], axis=0) - np.mean([octaves(x) for x in real], axis=0)
    assert np.abs(difference).max() < 6, difference
