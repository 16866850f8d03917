"""How large features, networks and trials are, from their parameters alone: what planning and checking a study go by."""

import itertools
from collections.abc import Mapping
from typing import Any

from humwatch.datasets.source import SAMPLE_RATE, SECONDS  # of clips of which nothing is known yet
from humwatch.features.base import make

FEW_FRAMES = 16  # clips of so few frames are one vector: clip_statistics, which would bring scikit-learn with it
CLIPS_AT_ONCE = 64  # a row group of the feature store
CLIPS = 1000  # of a training, where memory grows with them
MACHINES = 40  # that one model may hear
BATCH = 2048  # windows that are validated, or scaled, at once
WEIGHT_BYTES = 32  # a weight, its gradient, two moments, their average, and copies while they are saved
WAVEFORM_BYTES = 600  # per sample of a batch, of the networks that hear recordings: measured, stgram
WAVEFORM_NETWORKS = ("stgram", "dual_branch")


def frame_shape(
    feature: Mapping[str, Any], sample_rate: int = SAMPLE_RATE, seconds: float = SECONDS
) -> tuple[int, int]:
    """Frames of a clip of so many seconds and values per frame. feature: as a validated configuration states it."""
    return make(feature).shape(sample_rate, seconds)


def network_weights(parameters: Mapping[str, Any], bins: int) -> int | None:
    """Weights of the network that a detector trains on windows, biases left out; None where it does not."""
    layers = _layers(parameters, bins)
    return None if layers is None else sum(a * b for a, b in itertools.pairwise(layers))


def trial_bytes(parameters: Mapping[str, Any], frames: int, bins: int) -> float:
    """Memory of a training beside its clips' frames. Of detectors unknown here: 0."""
    if layers := _layers(parameters, bins):
        windows = max(parameters["batch_size"], BATCH)
        return WEIGHT_BYTES * (network_weights(parameters, bins) or 0) + windows * (16 * layers[0] + 12 * sum(layers))
    detector = parameters["detector"]
    vector = bins * {"moments": 2, "flatten": frames}.get(
        parameters.get("statistics", ""), frames if frames <= FEW_FRAMES else 5
    )
    if detector == "mahalanobis":
        return 8 * 10 * vector**2 + 24 * CLIPS * vector
    if detector == "knn":
        return 24 * CLIPS * vector
    if detector == "gmm":
        return (
            4 * 8 * len(parameters["r"]) * parameters["components"] * bins**2 + 24 * CLIPS * len(parameters["r"]) * bins
        )
    if detector == "id_classifier":
        members, embedding = parameters["members"], parameters["embedding"]
        head = MACHINES * parameters["subclusters"] * embedding
        # Each machine's normal clips, their covariance and its root in the space of all members' embeddings.
        remembered = 8 * (MACHINES + 4) * (members * embedding) ** 2 + 8 * CLIPS * members * embedding
        if parameters["network"] in WAVEFORM_NETWORKS:
            batch = WAVEFORM_BYTES * frames * bins * members * parameters["batch_size"]
            return batch + WEIGHT_BYTES * members * head + 4 * CLIPS * frames * bins
        mlp = [vector, *parameters["hidden"], embedding]
        weights = sum(a * b for a, b in itertools.pairwise(mlp)) + head
        batch = 12 * min(max(parameters["batch_size"], 1024), CLIPS) * (sum(mlp) + MACHINES * parameters["subclusters"])
        return members * (WEIGHT_BYTES * weights + batch) + remembered + 24 * CLIPS * vector
    return 0


def _layers(parameters: Mapping[str, Any], bins: int) -> list[int] | None:
    """Sizes of the layers of a network on windows, its inputs first."""
    inputs = parameters.get("window", 1) * bins
    sizes = {
        "vae": lambda p: [inputs, *p["hidden"], p["latent"], *p["hidden"][::-1], inputs],
        "autoencoder": lambda p: [inputs, *p["hidden"], p["bottleneck"], *p["hidden"][::-1], inputs],
        "idnn": lambda p: [inputs - bins, *p["hidden"], bins],
    }.get(parameters["detector"])
    return sizes and sizes(parameters)
