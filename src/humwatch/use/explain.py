"""Explain alarms: where in time and frequency a clip deviates most from the machine's normal sound, and by how much.

It needs no detector: only how loud the machine normally is in each mel bin (`Reference`). Levels are looked at through several
windows (SMOOTHINGS), since a fault may be a click across all frequencies or a whistle for seconds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from humwatch.datasets.clips import near
from humwatch.features import logmel

FEATURE = logmel.Feature()  # whatever the detector's own feature is
QUIET_DB = -80.0  # what is fainter is silent
SMOOTHINGS = ((1, 12), (4, 6), (16, 3))  # frames, bins that levels are averaged over
TOLERATED = 1e-3  # share of normal frames beyond the tolerance, on either side
LEAST_TOLERANCE = 2.0  # dB
EDGE = 0.6  # of a deviation's peak, to which its region reaches
MOST = 4  # deviations that are looked for through each window


@dataclass(frozen=True)
class Reference:
    """Levels of a machine's normal sound, in dB.

    Attributes
    ----------
    median : (smoothings, bins) float32
        For each of SMOOTHINGS.
    spread : (smoothings, 2, bins) float32
        How far below and above the median all but a thousandth of normal frames lie.
    """

    median: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True)
class Deviation:
    """A stretch of time and a band of frequencies that are louder or fainter than normal.

    Attributes
    ----------
    start, end
        In seconds.
    low, high
        In Hz.
    level
        In dB above normal; below where it is negative.
    strength
        In units of what is tolerated.
    """

    start: float
    end: float
    low: float
    high: float
    level: float
    strength: float

    def __str__(self) -> str:
        """As in "2.1-2.6 s, 3.1-3.6 kHz: 11 dB above normal"."""
        start, end = np.floor(10 * self.start) / 10, np.ceil(10 * self.end) / 10
        low, high = np.floor(self.low / 100) / 10, np.ceil(self.high / 100) / 10
        side = "above" if self.level >= 0 else "below"
        return f"{start:.1f}-{end:.1f} s, {low:.1f}-{high:.1f} kHz: {abs(self.level):.0f} dB {side} normal"


def reference(clips: Iterable[np.ndarray]) -> Reference:
    """The reference of a machine, from the levels of its normal clips, (frames, bins) each in dB."""
    smoothed = [np.concatenate(parts) for parts in zip(*(list(_smoothed(clip)) for clip in clips), strict=True)]
    quantiles = [np.quantile(frames, [TOLERATED, 0.5, 1 - TOLERATED], axis=0) for frames in smoothed]
    spreads = [np.maximum([median - low, high - median], LEAST_TOLERANCE) for low, median, high in quantiles]
    return Reference(np.array([median for _, median, _ in quantiles], np.float32), np.array(spreads, np.float32))


def levels(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """The log-mel levels of a clip, (samples,) or (samples, channels), in dB: (frames, bins) float32."""
    return np.maximum(FEATURE(near(samples), sample_rate), QUIET_DB)


def deviation_map(found: np.ndarray, normal: Reference) -> np.ndarray:
    """How far the levels of a clip are from normal, in units of what is tolerated.

    Parameters
    ----------
    found : (frames, bins)
        In dB.
    normal
        The machine's reference.

    Returns
    -------
    (frames, bins)
        Of all SMOOTHINGS, the farthest value, with its sign.
    """
    every = np.stack([_strength(smooth, normal, i) for i, smooth in enumerate(_smoothed(found))])
    farthest = np.abs(every).argmax(axis=0)
    return np.take_along_axis(every, farthest[None], axis=0)[0]


def deviations(samples: np.ndarray, sample_rate: int, normal: Reference) -> list[Deviation]:
    """The deviations of a clip, (samples,), strongest first; always one at least, of a strength below 1 where all is normal."""
    from scipy import ndimage  # here, because it takes time to load

    frequencies = FEATURE.frequencies(sample_rate)
    hop = FEATURE.hop_length / sample_rate
    found = levels(samples, sample_rate)
    candidates: list[tuple[Deviation, np.ndarray]] = []
    for i, smooth in enumerate(_smoothed(found)):
        strength = np.abs(_strength(smooth, normal, i))
        peaks = strength * (strength == ndimage.maximum_filter(strength, (15, 15)))
        for place in np.argsort(peaks, axis=None)[::-1][:MOST]:
            frame, bin_ = np.unravel_index(place, peaks.shape)
            regions, _ = ndimage.label(strength > EDGE * strength[frame, bin_])
            region = regions == regions[frame, bin_]
            time, band = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
            level = float((smooth - normal.median[i])[region].mean())
            deviation = Deviation(
                max(float(time[0] - 0.5) * hop, 0.0),  # frames are centred
                min(float(time[-1] + 0.5) * hop, len(samples) / sample_rate),
                float(frequencies[band[0]]),
                float(frequencies[band[-1]]),
                level,
                float(strength[frame, bin_]),
            )
            candidates.append((deviation, region))
    candidates.sort(key=lambda candidate: -candidate[0].strength)
    chosen: list[Deviation] = []
    taken = np.zeros(found.shape, bool)
    for deviation, region in candidates:
        if not (taken & region).any() and (deviation.strength > 1 or not chosen):
            chosen.append(deviation)
            taken |= region
    return chosen


def _smoothed(found: np.ndarray) -> Iterator[np.ndarray]:
    """The levels (frames, bins) averaged over each of SMOOTHINGS."""
    from scipy import ndimage

    for size in SMOOTHINGS:
        yield ndimage.uniform_filter(found, size, mode="nearest")


def _strength(smooth: np.ndarray, normal: Reference, i: int) -> np.ndarray:
    """How far smoothed levels are from normal, (frames, bins): with a sign, 1 where it is just tolerated."""
    above = smooth - normal.median[i]
    return np.where(above > 0, above / normal.spread[i, 1], above / normal.spread[i, 0])
