"""Dense autoencoder (Koizumi et al. 2020, arXiv 2006.05822)."""

import itertools

from torch import Tensor, nn
from torch.nn import functional

from humwatch.detectors.autoencoder import EPS
from humwatch.detectors.reconstruction.network import WindowNetwork


class Autoencoder(WindowNetwork):
    """inputs - hidden - bottleneck - hidden reversed - inputs; batch normalisation and ReLU after every layer but the last.

    Parameters
    ----------
    momentum
        What each step adds to batch normalisation's running averages.
    """

    def __init__(self, inputs: int, hidden: list[int], bottleneck: int, momentum: float = 0.01) -> None:
        super().__init__()
        sizes = [inputs, *hidden, bottleneck, *hidden[::-1]]
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(sizes):
            layers += [nn.Linear(a, b), nn.BatchNorm1d(b, momentum=momentum, eps=EPS), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], inputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.standardise(x))  # (batch, inputs)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.mse_loss(outputs.float(), targets, reduction="sum")
