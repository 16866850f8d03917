"""Slaney's mel scale and its filters, as librosa has them, which takes more than a second to load."""

import warnings

import numpy as np

LINEAR_HZ, MEL_HZ, MEL_STEP = 1000.0, 200.0 / 3, np.log(6.4) / 27.0  # see mel_edges


def mel_filters(sample_rate: int, n_fft: int, n_mels: int, fmin: float = 0.0, fmax: float | None = None) -> np.ndarray:
    """Slaney's mel filters, triangles of equal area: the same bytes as `librosa.filters.mel`.

    Returns
    -------
    (n_mels, n_fft / 2 + 1) float32
    """
    edges = mel_edges(sample_rate, n_mels, fmin, fmax)
    ramps = np.subtract.outer(edges, np.fft.rfftfreq(n_fft, 1 / sample_rate))
    widths = np.diff(edges)[:, None]
    filters = np.maximum(0, np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:])).astype(np.float32)
    filters *= (2 / (edges[2:] - edges[:-2]))[:, None]
    if ((edges[:-2] > 0) & (filters.max(axis=1) <= 0)).any():
        warnings.warn("some mel bins hear nothing, being narrower than n_fft tells apart: lower n_mels", stacklevel=2)
    return filters


def mel_edges(sample_rate: int, n_mels: int, fmin: float, fmax: float | None) -> np.ndarray:
    """Where the filters begin, have their centres and end, evenly spaced on Slaney's mel scale.

    The scale is linear up to 1 kHz, 15 mel, and logarithmic above, 27 mel for a factor of 6.4.

    Returns
    -------
    (n_mels + 2,)
        In Hz.

    References
    ----------
    Slaney 1998, "Auditory toolbox".
    """
    ends = np.array([fmin, fmax or sample_rate / 2])
    high = ends >= LINEAR_HZ
    mels = ends / MEL_HZ
    mels[high] = LINEAR_HZ / MEL_HZ + np.log(ends[high] / LINEAR_HZ) / MEL_STEP
    mels = np.linspace(mels[0], mels[1], n_mels + 2)
    edges = MEL_HZ * mels
    high = mels >= LINEAR_HZ / MEL_HZ
    edges[high] = LINEAR_HZ * np.exp(MEL_STEP * (mels[high] - LINEAR_HZ / MEL_HZ))
    return edges
