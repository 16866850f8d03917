"""What trained networks make of their inputs, from their saved arrays by numpy: scoring a clip loads no torch.

Depth and sizes follow from the arrays, whose names are those of torch's `state_dict`.
"""

from collections.abc import Mapping

import numpy as np

Weights = Mapping[str, np.ndarray]


def linear(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    """The output of the `nn.Linear` of this name.

    Parameters
    ----------
    x : (batch, inputs)

    Returns
    -------
    (batch, outputs)
    """
    y = x @ weights[f"{name}.weight"].T
    if f"{name}.bias" in weights:
        y += weights[f"{name}.bias"]
    return y


def sequential(weights: Weights, name: str, x: np.ndarray, layers: int | None = None, eps: float = 1e-5) -> np.ndarray:
    """The output of the `nn.Sequential` of this name.

    It consists of linear layers, batch normalisation, and, where a place has no arrays, ReLU; it ends with its last arrays.

    Parameters
    ----------
    x : (batch, inputs)
    layers
        How many of its layers; None: all.
    eps
        What batch normalisation adds to variances.

    Returns
    -------
    (batch, outputs)
    """
    places = {int(key.split(".")[1]) for key in weights if key.startswith(f"{name}.")}
    for place in range(max(places) + 1 if layers is None else layers):
        layer = f"{name}.{place}"
        if place not in places:
            x = relu(x)
        elif f"{layer}.running_mean" in weights:
            gain = weights[f"{layer}.weight"] / np.sqrt(weights[f"{layer}.running_var"] + np.float32(eps))
            x -= weights[f"{layer}.running_mean"]
            x *= gain
            x += weights[f"{layer}.bias"]
        else:
            x = linear(weights, layer, x)
    return x


def relu(x: np.ndarray) -> np.ndarray:
    """The positive part of x, in its place."""
    return np.maximum(x, 0, out=x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), in a form that never overflows."""
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def unit(x: np.ndarray) -> np.ndarray:
    """Vectors, scaled to length 1 along their last axis, as torch's `normalize` does."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def angular_logits(head: Weights, embedding: np.ndarray, scale: float | None) -> np.ndarray:
    """The logits of a head of `networks.heads`, without labels.

    Parameters
    ----------
    head
        Its arrays.
    embedding : (batch, size)
        Of unit length.
    scale
        Of ArcFace, of which the nearest centre of a class counts; None: SubclusterAdaCos, of which all do.

    Returns
    -------
    (batch, classes)
    """
    classes, subclusters, size = head["centres"].shape
    cosine = (embedding @ unit(head["centres"]).reshape(-1, size).T).reshape(-1, classes, subclusters)
    return log_sum_exp(head["scale"] * cosine) if scale is None else scale * cosine.max(axis=2)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the probabilities of classes, (batch, classes)."""
    return logits - log_sum_exp(logits)[:, None]


def log_sum_exp(x: np.ndarray) -> np.ndarray:
    """log(sum(exp(x))) over the last axis, in a form that never overflows."""
    largest = x.max(axis=-1)
    return largest + np.log(np.exp(x - largest[..., None]).sum(axis=-1))
