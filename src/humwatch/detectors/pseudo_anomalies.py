"""Normal clips made strange, since nobody has anomalies beforehand: what criteria without labels are computed on."""

import hashlib

import numpy as np
import pandas as pd

from humwatch.features.store import Features

PSEUDO_COPIES = 3


def cut_paste(features: Features, copies: int = PSEUDO_COPIES) -> Features:
    """Pseudo-anomalies: every clip `copies` times, each with one patch moved to other frames and other bins.

    A patch spans a tenth to a third of the frames and an eighth to a quarter of the bins. Draws follow from the clip's name.
    Where there is one bin, patches move in time alone; a clip of a single value stays as it is.
    """
    frames = np.diff(features.starts)
    values = np.tile(features.values, (copies, 1))
    starts = np.concatenate([[0], np.cumsum(np.tile(frames, copies))])
    names = features.clips["clip"].tolist() * copies
    bins = values.shape[1]
    for i, name in enumerate(names):
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        rng = np.random.default_rng([seed, i // len(features)])
        clip = values[starts[i] : starts[i + 1]]
        tall = rng.integers(max(len(clip) // 10, 1), max(len(clip) // 3, 1) + 1)
        wide = rng.integers(max(bins // 8, 1), max(bins // 4, 1) + 1)
        source = rng.integers(0, len(clip) - tall + 1), rng.integers(0, bins - wide + 1)
        places = int(len(clip) - tall + 1)
        target: tuple
        if bins > 1:
            target = rng.integers(0, places), (source[1] + rng.integers(wide, bins - wide + 1)) % (bins - wide + 1)
        else:  # there are no other bins: to other frames, where there are any
            target = (source[0] + rng.integers(1, max(places, 2))) % places, source[1]
        patch = clip[source[0] : source[0] + tall, source[1] : source[1] + wide].copy()
        clip[target[0] : target[0] + tall, target[1] : target[1] + wide] = patch
    clips = pd.concat([features.clips] * copies, ignore_index=True)
    return Features(values, starts, clips, features.parameters)
