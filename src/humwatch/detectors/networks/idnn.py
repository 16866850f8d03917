"""Interpolation DNN (Suefusa et al. 2020, ICASSP)."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from humwatch.detectors.reconstruction.network import WindowNetwork


class Interpolation(WindowNetwork):
    """(window - 1) * bins - hidden - bins, with ReLU between."""

    def __init__(self, window: int, bins: int, hidden: list[int]) -> None:
        super().__init__()
        before = window // 2 * bins
        self.middle = slice(before, before + bins)
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise([(window - 1) * bins, *hidden]):
            layers += [nn.Linear(a, b), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden[-1], bins))

    def forward(self, x: Tensor) -> Tensor:
        """The predicted middle frame.

        Parameters
        ----------
        x : (batch, window * bins)
            The middle frame is not looked at.

        Returns
        -------
        (batch, bins)
        """
        return self.layers(self.around(x))

    def around(self, x: Tensor) -> Tensor:
        """All frames but the middle one, standardised: (batch, (window - 1) * bins)."""
        x = self.standardise(x)
        return torch.cat([x[:, : self.middle.start], x[:, self.middle.stop :]], dim=1)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.mse_loss(outputs.float(), targets[:, self.middle], reduction="sum")
