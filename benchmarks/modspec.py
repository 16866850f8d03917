"""Milliseconds per ten-second clip of the modulation spectrum on one core, against log-mel and a plain way.

The plain way filters each band in the frequency domain at the full sample rate, takes the Hilbert envelope, and runs eight
resonators over it in the time domain. All are timed in turn, several times; reading files is left out.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # per core

import numpy as np
import pandas as pd
import scipy.fft
import scipy.signal

from humwatch.features.logmel import LogMel
from humwatch.features.modspec import ModSpec
from humwatch.features.waveform import Waveform

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
    modspec = ModSpec()
    sides = {
        "plain Hilbert envelopes": (plain, samples[:1]),
        "modspec": (lambda s: modspec(s, RATE), samples),
        "logmel": (lambda s: LogMel()(s, RATE), samples),
        "waveform": (lambda s: Waveform()(s, RATE), samples),
    }
    times: dict[str, list[float]] = {side: [] for side in sides}
    for repeat in range(args.repeats + 1):
        for side, (run, of) in sides.items():
            begun = time.process_time()
            for clip in of:
                run(clip)
            if repeat:  # the first round warms caches
                times[side].append((time.process_time() - begun) / len(of) * 1e3)
    rows = [[side, statistics.median(values), min(values), max(values)] for side, values in times.items()]
    result = pd.DataFrame(rows, columns=["side", "ms_per_clip", "min", "max"])
    print(result.round(2).to_string(index=False))
    args.out.mkdir(parents=True, exist_ok=True)
    result.to_csv(args.out / "modspec.csv", index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--clips", type=int, default=30, help="ten-second clips")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder for the CSV")
    main(parser.parse_args())
