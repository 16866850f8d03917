"""Log-mel spectrograms that know the noise from a second microphone, far from the machine.

The task is that of DCASE 2026 (arXiv 2606.01578). With N the short-time spectrum of the near channel and
F_k those of the far ones, of each frequency bin:

    subtract   log-mel of N - sum_k w_k F_k. The complex w_k of the bin minimise the energy of that difference over the clip, by
               the normal equations sum_t conj(F_j) F_k w_k = sum_t conj(F_j) N: what all microphones hear is gone, whatever
               its way to either of them, if that is short against a frame.
    spectral   log-mel of max(|N|**2 - g |F|**2, floor |N|**2) (Berouti, Schwartz & Makhoul 1979, "Enhancement of speech corrupted
               by acoustic noise"), |F|**2 the mean of the far channels and g >= 0 by least squares of |N|**2 on it over the clip.
    stack      log-mel of N beside that of the far channels' mean energy: twice as many bins.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from humwatch.features import logmel
from humwatch.parameters import parameter

FLOOR = 0.01  # of the near channel's energy, that subtraction leaves
RIDGE = 1e-6  # of the far channels' mean energy: what keeps equal or silent channels solvable


@dataclass(frozen=True)
class Feature(logmel.Feature):
    """Parameters of the spectrogram, and how the far channels are used."""

    far: str = parameter(
        "subtract",
        "Use of the far microphone: subtracted by complex least squares, or by its spectrum (spectral), or stacked beside.",
        enum=["subtract", "spectral", "stack"],
    )

    seconds_per_clip = 0.012
    hears_far: ClassVar[bool] = True

    @property
    def bins(self) -> int:
        return 2 * self.n_mels if self.far == "stack" else self.n_mels

    def shape(self, sample_rate: int, seconds: float) -> tuple[int, int]:
        return super().shape(sample_rate, seconds)[0], self.bins

    def __call__(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """Frames of one clip.

        Parameters
        ----------
        samples : (samples, channels) float32
            Full scale is 1; the channel near the machine comes first.
        sample_rate
            In Hz.

        Returns
        -------
        (frames, bins) float32
            In dB.
        """
        near, *others = (self.spectrum(self.windows(channel)) for channel in samples.T)
        far = np.stack(others)  # (channels, frames, n_fft / 2 + 1)
        if self.far == "subtract":
            return self._log_mel(logmel.energies(residual(near, far)), sample_rate)
        noise = logmel.energies(far).mean(axis=0)
        if self.far == "spectral":
            return self._log_mel(subtracted(logmel.energies(near), noise), sample_rate)
        return np.hstack([self._log_mel(energy, sample_rate) for energy in (logmel.energies(near), noise)])

    def _log_mel(self, energy: np.ndarray, sample_rate: int) -> np.ndarray:
        return self.decibels(self.filtered(energy, sample_rate))


def residual(near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """What of the near spectrum no combination of the far ones explains, bin by bin.

    Parameters
    ----------
    near : (frames, bins) complex64
    far : (channels, frames, bins) complex64

    Returns
    -------
    (frames, bins)
    """
    far = far.astype(np.complex128)  # sums of products in single precision lose what weak bins need
    gram = np.einsum("jtf,ktf->fjk", far.conj(), far)
    ridge = RIDGE * np.trace(gram, axis1=1, axis2=2).real / len(far) + np.finfo(np.float32).tiny
    gram += ridge[:, None, None] * np.eye(len(far))
    weights = np.linalg.solve(gram, np.einsum("jtf,tf->fj", far.conj(), near)[..., None])[..., 0]  # (bins, channels)
    return (near - np.einsum("fk,ktf->tf", weights, far)).astype(np.complex64)


def subtracted(near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Energies without the share of the far ones.

    Parameters
    ----------
    near, far : (frames, bins)
        Energies.

    Returns
    -------
    (frames, bins)
    """
    gain = (near * far).sum(axis=0) / np.maximum(np.square(far).sum(axis=0), np.finfo(np.float32).tiny)
    return np.maximum(near - gain * far, FLOOR * near)
