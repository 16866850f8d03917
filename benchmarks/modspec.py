"""Milliseconds per ten-second clip of the modulation spectrum on one core, against log-mel and a plain way.

The plain way filters each band in the frequency domain at the full sample rate, takes the Hilbert envelope, and runs eight
resonators over it in the time domain. All are timed in turn, several times; reading files is left out.
"""

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")  # per core

import numpy as np
import scipy.fft
import scipy.signal
from common import parser, per_clip, write

from humwatch.features.logmel import Feature as LogMel
from humwatch.features.modspec import Feature as ModSpec
from humwatch.features.waveform import Feature as Waveform

RATE = 16000


def plain(samples: np.ndarray) -> np.ndarray:
    feature = ModSpec()
    spectrum = np.fft.rfft(samples)
    frequency = np.fft.rfftfreq(len(samples), 1 / RATE)
    energies = np.empty((8, 60))
    for band, centre in enumerate(feature.frequencies(RATE)):
        gammatone = 2 * (1 + 1j * (frequency - centre) / (1.019 * (24.7 + centre / 9.26449))) ** -4
        analytic = np.zeros(len(samples), complex)
        analytic[: len(spectrum)] = spectrum * gammatone
        envelope = np.abs(scipy.fft.ifft(analytic))
        for row, modulation in enumerate(feature.modulation_frequencies()):
            b, a = scipy.signal.iirpeak(modulation, 2, RATE)
            energies[row, band] = np.mean(scipy.signal.lfilter(b, a, envelope) ** 2)
    return energies


def main(args: argparse.Namespace) -> None:
    rng = np.random.default_rng(0)
    samples = [rng.normal(0, 0.01, 10 * RATE).astype(np.float32) for _ in range(args.clips)]

    def all_of(feature: Callable[[np.ndarray, int], np.ndarray]) -> tuple[Callable[[], object], int]:
        return lambda: [feature(clip, RATE) for clip in samples], len(samples)

    sides = {
        "plain Hilbert envelopes": (lambda: plain(samples[0]), 1),
        "modspec": all_of(ModSpec()),
        "logmel": all_of(LogMel()),
        "waveform": all_of(Waveform()),
    }
    write(per_clip(sides, args.repeats, time.process_time), args.out, "modspec")


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--clips", type=int, default=30, help="ten-second clips")
    arguments.add_argument("--repeats", type=int, default=5)
    main(arguments.parse_args())
