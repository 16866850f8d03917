"""Reasons for alarms: generated faults at known times are named where they are."""

import numpy as np
import pytest

from humwatch.datasets import slide_rails
from humwatch.use import explain

RATE = 16000
HOP = explain.FEATURE.hop_length / RATE
CLIPS = 50
AUDIBLE = 15.0  # dB below the fault's loudest, to where it counts as there


def heard(parts):
    return np.clip(parts["machine"] + parts["fault"] + parts["factory"], -1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def normal():
    clips = (heard(slide_rails.generate_parts("00", "train", "normal", i)) for i in range(40))
    return explain.reference(explain.levels(clip, RATE) for clip in clips)


@pytest.fixture(scope="module")
def faulty():
    """Kind of fault -> 50 clips of the demo's first rail: the sound, and the fault alone."""
    found = {kind: [] for kind in slide_rails.FAULTS}
    i = 0
    while any(len(clips) < CLIPS for clips in found.values()):
        parts = slide_rails.generate_parts("00", "test", "anomaly", i)
        if len(found[parts["kind"]]) < CLIPS:
            found[parts["kind"]].append((heard(parts), parts["fault"].astype(np.float32)))
        i += 1
    return found


def hits(deviation, fault):
    """Whether the named time, and the named band in it, are where the fault alone is."""
    levels = explain.FEATURE(fault, RATE)
    there = levels > np.quantile(levels, 0.99) - AUDIBLE
    frequencies = explain.FEATURE.frequencies(RATE)
    band = (frequencies >= deviation.low - 1e-6) & (frequencies <= deviation.high + 1e-6)
    frames = slice(int(deviation.start / HOP), max(int(np.ceil(deviation.end / HOP)), int(deviation.start / HOP) + 1))
    in_time = there[frames].any(axis=1).mean() >= 0.5
    return in_time, in_time and there[frames][:, band].any(axis=0).mean() >= 0.5


@pytest.mark.parametrize("kind", slide_rails.FAULTS)
def test_the_sentence_names_time_and_band_of_the_fault(kind, normal, faulty):
    """Of the up to three places that `--why` names, in 9 clips of 10; the first one alone in most."""
    named, first = [], []
    for clip, fault in faulty[kind]:
        found = [hits(deviation, fault) for deviation in explain.deviations(clip, RATE, normal)[:3]]
        named.append(any(band for _, band in found))
        first.append(found[0][1])
    assert np.mean(named) >= 0.9
    assert np.mean(first) >= 0.8


@pytest.mark.parametrize(("start", "end", "hertz"), [(2.1, 2.6, 3300), (7.0, 9.0, 900), (0.0, 0.3, 6000)])
def test_a_whistle(start, end, hertz, normal):
    clip = heard(slide_rails.generate_parts("00", "test", "normal", 3))
    time = np.arange(len(clip)) / RATE
    clip += (0.03 * np.sin(2 * np.pi * hertz * time) * ((time >= start) & (time < end))).astype(np.float32)
    found = explain.deviations(clip, RATE, normal)[0]
    assert found.start == pytest.approx(start, abs=0.15) and found.end == pytest.approx(end, abs=0.15)
    assert found.low <= hertz <= found.high and found.high < 1.4 * hertz and found.level > 5


def test_what_is_missing_is_below_normal(normal):
    clip = heard(slide_rails.generate_parts("00", "test", "normal", 3))
    clip[5 * RATE : 6 * RATE] = 0
    found = explain.deviations(clip, RATE, normal)[0]
    assert found.level < -10 and found.start == pytest.approx(5, abs=0.1) and found.end == pytest.approx(6, abs=0.1)
    assert str(found).endswith("dB below normal")


def test_the_sentence():
    deviation = explain.Deviation(2.14, 2.58, 3140, 3560, 11.2, 2.0)
    assert str(deviation) == "2.1-2.6 s, 3.1-3.6 kHz: 11 dB above normal"


@pytest.mark.parametrize("samples", [600, 5000, 16000])
def test_any_clip_has_a_strongest_deviation(samples, normal):
    for clip in (np.zeros(samples, np.float32), np.full(samples, 0.5, np.float32)):
        assert explain.deviations(clip, RATE, normal)
