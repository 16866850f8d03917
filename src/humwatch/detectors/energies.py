"""Energies to logarithms."""

import numpy as np

FLOOR_QUANTILE = 1e-3


def log_floor(energies: np.ndarray) -> np.ndarray:
    """What is added to energies before the logarithm, without which the faintest would dominate: their 0.001 quantile.

    Parameters
    ----------
    energies : (frames,) or (frames, bins)

    Returns
    -------
    () or (bins,)
    """
    return np.quantile(energies, FLOOR_QUANTILE, axis=0)
