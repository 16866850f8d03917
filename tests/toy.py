"""Features of a few generated clips, for detectors at their smallest."""

import numpy as np
import pandas as pd

from humwatch.features.store import Features

SMALL = {"hidden": [16], "latent": 3, "batch_size": 32, "window": 3}


def toy_features(clips=12, bins=8, seed=0, level=-40.0, ids=("00", "02")) -> Features:
    """Clips of 10 to 13 frames: two slow tones over noise."""
    rng = np.random.default_rng(seed)
    counts = 10 + np.arange(clips) % 4
    starts = np.concatenate([[0], np.cumsum(counts)])
    values = (level + 10 * rng.normal(size=(starts[-1], 1)) + rng.normal(size=(starts[-1], bins))).astype(np.float32)
    names = [f"slider/train/normal_id_{ids[i % len(ids)]}_{i:08d}.wav" for i in range(clips)]
    table = pd.DataFrame(
        {
            "clip": names,
            "machine_type": "slider",
            "machine_id": [ids[i % len(ids)] for i in range(clips)],
            "split": "train",
            "label": pd.array([0] * clips, "Int8"),
        }
    )
    return Features(values, starts, table, {"source": "test"})
