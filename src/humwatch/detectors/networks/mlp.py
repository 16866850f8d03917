"""A multilayer perceptron on clip-level statistics."""

import itertools

from torch import Tensor, nn


class MLP(nn.Module):
    """(batch, inputs) -> (batch, embedding)."""

    def __init__(self, inputs: int, hidden: list[int], embedding: int) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for size, width in itertools.pairwise([inputs, *hidden]):
            self.layers.extend([nn.Linear(size, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()])
        self.layers.append(nn.Linear(hidden[-1] if hidden else inputs, embedding, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
