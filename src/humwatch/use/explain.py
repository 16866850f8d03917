"""Why a clip sounds strange: where in time and frequency it deviates most from the machine's normal sound, and by how much.

It needs no detector: only how loud the machine normally is in each mel bin (`Reference`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from humwatch.features.logmel import LogMel

FEATURE = LogMel()  # whatever the detector itself hears
QUIET_DB = -80.0  # below which a bin is silent, whatever its level
LEAST_SPREAD = 1.0  # dB
SMOOTH = (3, 3)  # frames, bins
STRONG = 4.0  # spreads above normal, from where on a deviation is one


@dataclass(frozen=True)
class Reference:
    """Levels of a machine's normal sound, (mel bins,) each in dB: the median over all frames, and their spread about it."""

    median: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True)
class Deviation:
    """A stretch of time and a band of frequencies that are not as they should be. level: dB above (below: negative) normal."""

    start: float
    end: float
    low: float
    high: float
    level: float

    def __str__(self) -> str:
        """As in "2.1-2.6 s, 3.1-3.6 kHz: 11 dB above normal"."""
        side = "above" if self.level >= 0 else "below"
        return (
            f"{self.start:.1f}-{self.end:.1f} s, {self.low / 1000:.1f}-{self.high / 1000:.1f} kHz: "
            f"{abs(self.level):.0f} dB {side} normal"
        )


def reference(clips: Iterable[np.ndarray], sample_rate: int) -> Reference:
    """From normal clips, (samples,) each."""
    return reference_of(np.concatenate([levels(clip, sample_rate) for clip in clips]))


def reference_of(frames: np.ndarray) -> Reference:
    """From log-mel frames of normal clips, (frames, bins) dB."""
    low, median, high = np.quantile(frames, [0.1587, 0.5, 0.8413], axis=0)
    return Reference(median.astype(np.float32), np.maximum((high - low) / 2, LEAST_SPREAD).astype(np.float32))


def levels(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Log-mel frames in dB, (frames, bins)."""
    return np.maximum(FEATURE(samples, sample_rate), QUIET_DB)


def deviations(samples: np.ndarray, sample_rate: int, normal: Reference) -> list[Deviation]:
    """The deviations of a clip, strongest first."""
    import scipy.ndimage  # only then: it takes time to load

    above = levels(samples, sample_rate) - normal.median
    strength = scipy.ndimage.uniform_filter(above / normal.spread, SMOOTH, mode="nearest")
    regions, _ = scipy.ndimage.label(np.abs(strength) > STRONG)
    frequencies = FEATURE.frequencies(sample_rate)
    seconds = FEATURE.hop_length / sample_rate
    found = []
    for i, (time, band) in enumerate(scipy.ndimage.find_objects(regions), 1):
        inside = regions[time, band] == i
        level = float(np.mean(above[time, band][inside]))
        weight = float(np.abs(strength[time, band][inside]).sum())
        low, high = float(frequencies[band.start]), float(frequencies[band.stop - 1])
        found.append((weight, Deviation(time.start * seconds, time.stop * seconds, low, high, level)))
    return [deviation for _, deviation in sorted(found, key=lambda one: -one[0])]
