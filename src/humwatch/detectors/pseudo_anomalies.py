"""Normal clips made strange, on which criteria without labels are computed, since nobody has anomalies beforehand."""

import hashlib
from collections.abc import Iterator

import numpy as np
import pandas as pd

from humwatch.detectors.machines import machine_names, machines, type_of
from humwatch.features.store import Features

COPIES = 2  # of each clip, of each kind of pseudo-anomaly
SHARES = (1.0, 0.3, 0.1, 0.03, 0.01)  # of a clip


def pseudo_anomalies(normal: Features) -> Iterator[Features]:
    """`cut_paste` of the clips, then `mixtures`: the first are beyond what is normal, the second between what is.

    Detectors differ in which they tell, and either alone misleads more than both together (docs/detectors.md).
    """
    yield cut_paste(normal)
    yield mixtures(normal)  # none of a machine's only clip


def cut_paste(features: Features, copies: int = COPIES) -> Features:
    """Every clip `copies` times, each with one patch moved to other frames and other bins.

    A patch spans a tenth to a third of the frames and an eighth to a quarter of the bins. Draws follow from the clip's name.
    Where there is one bin, patches move in time alone; a clip of a single value stays as it is.

    References
    ----------
    Li et al. 2021, "CutPaste: Self-Supervised Learning for Anomaly Detection and Localization", arXiv 2104.04015.
    """
    frames = np.diff(features.starts)
    values = np.tile(features.values, (copies, 1))
    starts = np.concatenate([[0], np.cumsum(np.tile(frames, copies))])
    names = features.clips["clip"].tolist() * copies
    bins = values.shape[1]
    for i, name in enumerate(names):
        rng = np.random.default_rng([_seed(name), i // len(features)])
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


def mixtures(features: Features, copies: int = COPIES) -> Features:
    """Every clip's mean with `copies` others of its machine, or with as many as there are, value by value.

    Values are taken as the feature has them: energies or levels. Beyond the end of the shorter clip each stays as it is. The
    others are the next ones in an order that follows from the clips' names. A mixture is called "<clip> + <other>", so that those
    of detectors that hold out different clips can be told apart.
    """
    first, second = [], []
    names = features.clips["clip"].tolist()
    for _, rows in machines(features.clips):
        ring = np.array(sorted(rows, key=lambda row: _seed(names[row])))
        for step in range(1, min(copies, len(ring) - 1) + 1):
            first += [*ring]
            second += [*np.roll(ring, -step)]
    made = features.select(np.array(first, int))
    for i, other in enumerate(second):
        clip, beside = made.clip(i), features.clip(other)
        length = min(len(clip), len(beside))
        clip[:length] = (clip[:length] + beside[:length]) / 2
    mixed = [f"{names[own]} + {names[other]}" for own, other in zip(first, second, strict=True)]
    made.clips = made.clips.assign(clip=pd.Series(mixed, made.clips.index, object))
    return made


def stand_ins(normal: Features, seed: int, few: int) -> Iterator[Features]:
    """Normal clips made strange: in each, a stretch of frames comes from a clip of a sibling (another id of its type).

    Every share of SHARES is used once, from the whole clip to a hundredth of it: a sibling's whole clip is often told from
    the machine's own by any score, and then shows none to be better. Frames that are few (up to `few`) do not follow in
    time, and a stretch of them is no sound: there the clip is replaced whole. Without a sibling, any other machine will
    do; with one machine there are no stand-ins. That scores which are good at this are good at anomalies is an
    assumption; it stands in for the knowledge of anomalies that nobody has beforehand.

    Yields
    ------
    Features
        Of all clips, for one share.
    """
    names = machine_names(normal.clips)
    partners = {name: _partners(names, name) for name in set(names)}
    if len(partners) < 2:
        return
    draw = np.random.default_rng(seed)
    whole = SHARES[:1] * len(SHARES)  # as many draws, to be as sure
    for share in SHARES if np.diff(normal.starts).max() > few else whole:
        made = Features(normal.values.copy(), normal.starts, normal.clips, normal.parameters)
        for i, name in enumerate(names):
            clip, other = made.clip(i), normal.clip(draw.choice(partners[name]))
            length = min(len(clip), len(other))
            width = max(round(share * length), 1)
            first = draw.integers(length - width + 1)
            clip[first : first + width] = other[first : first + width]
        yield made


def _partners(names: np.ndarray, name: str) -> np.ndarray:
    """Rows of the clips of the other machines of its type, else of all others."""
    others = names != name
    siblings = others & np.array([type_of(other) == type_of(name) for other in names])
    return np.flatnonzero(siblings if siblings.any() else others)


def _seed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
