"""From a feature's values to the range [0, 1] of sigmoid outputs, and from there to inputs from which networks learn fast."""

import logging
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from humwatch.detectors.energies import log_floor
from humwatch.detectors.reconstruction.inputs import LIMIT
from humwatch.detectors.reconstruction.windows import Windows
from humwatch.errors import InputError
from humwatch.features.store import Features

log = logging.getLogger("humwatch")

BATCH = 1024
ROWS = 65_536  # frames that are looked at a time
OUTSIDE = 0.01  # share of values beyond the range that is worth a warning; of real recordings none are
SMALLEST_STD = 0.01  # of the range [0, 1], about 1 dB: what hardly ever moves is not blown up


class Decibel(nn.Module):
    """Decibels to [0, 1], of which `low` becomes 0 and `high` 1; what lies beyond is clipped."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def fit(self, train: Features) -> None:
        """Learns nothing; warns where the range does not suit the training features."""
        if not len(train):
            return
        low, high = float(train.values.min()), float(train.values.max())
        if high - low < 1:
            log.warning(
                "the training features span only %.3g dB: if they are energies, set transform to log", high - low
            )
        blocks = (train.values[first : first + ROWS] for first in range(0, len(train.values), ROWS))
        share = sum(np.count_nonzero((b < self.low) | (b > self.high)) for b in blocks) / train.values.size
        if share > OUTSIDE:
            log.warning(
                "%.1f %% of the training features' values lie outside clip_low to clip_high (%g to %g dB), where all sound the "
                "same to this detector: they span %.0f to %.0f dB, so check the recordings' scale or set clip_low and clip_high",
                *(100 * share, self.low, self.high, low, high),
            )

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        return (windows - self.low).div_(self.high - self.low).clamp_(0, 1)


class LogEnergy(nn.Module):
    """Logarithm of energies, standardised for each place in the window by the training windows; 5 deviations are the edges.

    The floor of each bin is that of its training energies above 0.
    """

    def __init__(self, window: int, bins: int) -> None:
        super().__init__()
        self.window, self.bins = window, bins
        for name in ("floor", "mean", "std"):
            self.register_buffer(name, torch.ones(window * bins))

    def fit(self, train: Features) -> None:
        """Learn floor, mean and deviation; memory is that of a batch of windows.

        Raises
        ------
        InputError
            The feature has negative values.
        """
        if len(train) and train.values.min() < 0:
            raise InputError("transform is log, but the feature has negative values: set transform to decibel")
        positive = [column[column > 0] for column in train.values.T]
        lowest = [log_floor(column) if len(column) else 1.0 for column in positive]
        self.floor = torch.tensor(lowest, dtype=torch.float32).repeat(self.window)
        windows = Windows(train, self.window)
        mean, variance = _moments(self._log, windows, torch.arange(len(windows)))
        std = variance.clamp(min=0).sqrt()
        self.mean = mean.float()
        self.std = torch.where(std > 0, std, 1.0).float()

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        deviations = (self._log(windows) - self.mean) / self.std
        return (deviations / (2 * LIMIT) + 0.5).clamp_(0, 1)

    def _log(self, windows: torch.Tensor) -> torch.Tensor:
        return torch.log(windows.clamp(min=0) + self.floor)


class Standardise(nn.Module):
    """Inputs of a network, freed of the mean and deviation that each place in the window has in the training windows.

    Scaled windows lie around 0.5 with deviations of some hundredths: gradient descent spends most of its steps on their mean.

    References
    ----------
    LeCun, Bottou, Orr & Mueller 1998, "Efficient BackProp", section 4.3.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, values: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("std", torch.ones(values))

    def fit(self, windows: Windows, scale: nn.Module) -> None:
        """Learn mean and deviation from windows, as many apart as one is long, on their way through `scale`."""
        mean, variance = _moments(scale, windows, torch.arange(0, len(windows), windows.window))
        self.mean = mean.float()
        self.std = variance.clamp(min=SMALLEST_STD**2).sqrt().float()

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Scaled windows, standardised.

        Parameters
        ----------
        windows : (batch, window * bins)

        Returns
        -------
        (batch, window * bins)
        """
        return (windows - self.mean).div_(self.std)


def _moments(
    function: Callable[[torch.Tensor], torch.Tensor], windows: Windows, numbers: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of a function of the numbered windows, each (window * bins,) float64, a batch in memory at a time."""
    total, squares = torch.zeros(2, windows.view.shape[1], dtype=torch.float64)
    for batch in numbers.split(BATCH):
        values = function(windows.gather(batch)[0]).double()
        total += values.sum(0)
        squares += values.square().sum(0)
    mean = total / len(numbers)
    return mean, squares / len(numbers) - mean.square()
