"""Modulation spectra: how fast the loudness of each acoustic band goes up and down.

The representation of Falk, Zheng and Chan 2010 ("A non-intrusive quality and intelligibility measure of reverberant and
dereverberated speech"), applied to machines by Tiwari et al. 2020 ("Modulation spectral signal representation and i-vectors
for anomalous sound detection", DCASE Challenge), whose settings are the defaults; without their noise reduction.

1. Envelopes: Hann frames of 10 ms, every 2.5 ms; each band's envelope is the sum of |STFT| weighted by the magnitude response
   of a gammatone filter of order 4, |1 + j(f - centre) / b|**-4 with b = 1.019 ERB (Patterson et al. 1992; ERB and spacing by
   Glasberg and Moore 1990). Frames so short tell frequencies apart by some 200 Hz: bands below 500 Hz have much in common.
2. Modulation: each envelope through resonators of second order and quality 2, spaced by equal ratios.
3. Energy: the mean square of each resonator's output over the clip, by Parseval's theorem from one FFT per envelope. The
   clip counts as periodic, with the envelope's mean removed: there is no transient at its start.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from humwatch.errors import InputError
from humwatch.features.base import BaseFeature, band_problems, check_band
from humwatch.parameters import parameter

WINDOW_SECONDS = 0.01
HOP_SECONDS = 0.0025
QUALITY = 2.0
ERB_AT_0 = 24.7  # Hz
ERB_SLOPE = 9.26449  # Hz of frequency per Hz of bandwidth
BLOCK = 200  # frames at a time, which stay in the processor's cache


@dataclass(frozen=True)
class Feature(BaseFeature):
    """Modulation spectrum, as linear energies."""

    bands: int = parameter(60, "Acoustic bands.", minimum=1, maximum=2000)
    fmin: float = parameter(125.0, "Centre of the lowest acoustic band in Hz.", minimum=0, maximum=500000)
    fmax: float | None = parameter(
        None,
        "One step above the centre of the highest acoustic band in Hz; null is half the sample rate.",
        exclusiveMinimum=0,
        maximum=500000,
    )
    modulation_bands: int = parameter(8, "Modulation bands.", minimum=1, maximum=1000)
    modulation_low: float = parameter(
        4.0, "Centre of the first modulation band in Hz.", minimum=0.01, exclusiveMaximum=200
    )
    modulation_high: float = parameter(
        128.0, "Centre of the last modulation band in Hz.", minimum=0.01, exclusiveMaximum=200
    )

    @property
    def bins(self) -> int:
        return self.bands

    def shape(self, sample_rate: int, seconds: float) -> tuple[int, int]:
        return self.modulation_bands, self.bands

    def has_known_frames(self, sample_rate: int | None, seconds: float | None) -> bool:
        return True

    def parameters(self, sample_rate: int) -> dict[str, Any]:
        check_band(self.name, self.fmin, self.fmax, sample_rate)
        nyquist = _envelope_rate(sample_rate) / 2
        if not self.modulation_low <= self.modulation_high < nyquist:
            raise InputError(
                f"modspec: modulation_low {self.modulation_low:g} Hz and modulation_high {self.modulation_high:g} Hz must "
                f"rise and be below {nyquist:g} Hz: correct them"
            )
        return super().parameters(sample_rate)

    def problems(self, sample_rate: int | None, seconds: float | None) -> Iterator[str]:
        yield from band_problems(self.fmin, self.fmax, sample_rate)
        low, high = self.modulation_low, self.modulation_high
        nyquist = _envelope_rate(sample_rate) / 2 if sample_rate else math.inf
        if low > high or (low == high and self.modulation_bands > 1):
            yield f"modulation_low is {low:g} Hz, it must be below modulation_high, {high:g} Hz: correct them"
        if high >= nyquist:
            yield (
                f"modulation_high is {high:g} Hz, at a sample rate of {sample_rate} Hz it must be below {nyquist:g} Hz: lower it"
            )

    def __call__(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """Energies of one clip.

        A sine of amplitude A whose amplitude is modulated by the depth m has some A**2 * m**2 / 2 in its own cell, where the
        band is wider than the frame's own 200 Hz (above 2 kHz) and the modulation slower than the frame (below 20 Hz); at
        150 Hz it is a tenth of that, at 128 Hz of modulation a third.

        Parameters
        ----------
        samples : (samples,) float32
            Full scale is 1.
        sample_rate
            In Hz.

        Returns
        -------
        (modulation_bands, bands) float32
            Linear, in squares of full scale: take their logarithm. Bands are from fmin upwards.

        Raises
        ------
        InputError
            The clip is shorter than one period of modulation_low.
        """
        import scipy.fft

        needed = max(round(sample_rate / self.modulation_low), 2 * _samples(WINDOW_SECONDS, sample_rate))
        if len(samples) < needed:
            raise InputError(
                f"the clip has {len(samples)} samples, modspec needs {needed}, a period of {self.modulation_low:g} Hz: "
                "remove it or raise modulation_low"
            )
        envelopes = self._envelopes(samples, sample_rate)  # (bands, frames)
        frames = envelopes.shape[1]
        envelopes -= envelopes.mean(axis=1, keepdims=True)
        length = scipy.fft.next_fast_len(frames, real=True)
        spectrum = scipy.fft.rfft(envelopes, length)  # (bands, length / 2 + 1) complex64
        power = np.square(spectrum.real)
        power += np.square(spectrum.imag)
        gains = _resonators(
            self.modulation_low, self.modulation_high, self.modulation_bands, length, _envelope_rate(sample_rate)
        )
        return gains @ power.T * np.float32(2 / (length * frames))

    def frequencies(self, sample_rate: int) -> np.ndarray:
        """Centre of each acoustic band in Hz."""
        return _centres(self.fmin, self.fmax or sample_rate / 2, self.bands)

    def modulation_frequencies(self) -> np.ndarray:
        """Centre of each modulation band in Hz."""
        return np.geomspace(self.modulation_low, self.modulation_high, self.modulation_bands)

    def _envelopes(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """(bands, frames) float32: the amplitude of a sine in the middle of a band that is wider than the window's own."""
        import scipy.fft

        window, n_fft = _window(sample_rate)
        weights = _weights(sample_rate, n_fft, self.bands, self.fmin, self.fmax)
        frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float32, copy=False), len(window))
        frames = frames[:: _samples(HOP_SECONDS, sample_rate)]
        envelopes = np.empty((self.bands, len(frames)), np.float32)
        for first in range(0, len(frames), BLOCK):
            spectrum = scipy.fft.rfft(frames[first : first + BLOCK] * window, n_fft)  # (frames, bins) complex64
            magnitude = np.square(spectrum.real)
            magnitude += np.square(spectrum.imag)
            np.sqrt(magnitude, out=magnitude)  # three times faster than np.abs
            envelopes[:, first : first + BLOCK] = weights @ magnitude.T
        return envelopes


def _samples(seconds: float, sample_rate: int) -> int:
    return max(1, round(seconds * sample_rate))


def _envelope_rate(sample_rate: int) -> float:
    """Frames of an envelope per second."""
    return sample_rate / _samples(HOP_SECONDS, sample_rate)


@lru_cache
def _window(sample_rate: int) -> tuple[np.ndarray, int]:
    """The window, and the length that it is padded to before the FFT, so that narrow bands meet a bin."""
    size = _samples(WINDOW_SECONDS, sample_rate)
    return np.hanning(size + 1)[:-1].astype(np.float32), 2 ** (2 * size - 1).bit_length()


def _centres(fmin: float, fmax: float, bands: int) -> np.ndarray:
    """Equal steps on the scale of equivalent rectangular bandwidths, from fmin to one step below fmax."""
    offset = ERB_AT_0 * ERB_SLOPE
    return np.geomspace(fmin + offset, fmax + offset, bands, endpoint=False) - offset


@lru_cache
def _weights(sample_rate: int, n_fft: int, bands: int, fmin: float, fmax: float | None) -> np.ndarray:
    """(bands, n_fft / 2 + 1): gammatone magnitudes, scaled so that a sine of amplitude 1 has the envelope 1."""
    centres = _centres(fmin, fmax or sample_rate / 2, bands)[:, None]
    bandwidth = 1.019 * (ERB_AT_0 + centres / ERB_SLOPE)
    magnitude = (1 + ((np.fft.rfftfreq(n_fft, 1 / sample_rate) - centres) / bandwidth) ** 2) ** -2
    of_a_sine = np.abs(np.fft.fft(_window(sample_rate)[0], n_fft)).sum() / 2
    return (magnitude / of_a_sine).astype(np.float32)


@lru_cache
def _resonators(low: float, high: float, count: int, length: int, rate: float) -> np.ndarray:
    """(count, length / 2 + 1): squared magnitudes of second-order resonators at the frequencies of an FFT of `length`.

    |H|**2 = 1 / (1 + Q**2 (t/c - c/t)**2), t = tan(pi f / rate), c that of the centre: the bilinear transform.
    """
    t = np.tan(np.pi * np.arange(1, (length + 1) // 2) / length)  # without 0 and half the rate, where it is 0
    c = np.tan(np.pi * np.geomspace(low, high, count) / rate)[:, None]
    gains = np.zeros((count, length // 2 + 1), np.float32)
    gains[:, 1 : 1 + len(t)] = 1 / (1 + QUALITY**2 * (t / c - c / t) ** 2)
    return gains
