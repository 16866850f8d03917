"""From the errors of a clip's windows to the clip's scores."""

import numpy as np

TOP_SHARE = 0.1


def pool(errors: np.ndarray, per_clip: np.ndarray) -> dict[str, np.ndarray]:
    """Reduce window errors to clip scores by every pooling.

    Parameters
    ----------
    errors : (windows of all clips,)
    per_clip : (clips,) int
        Number of windows of each clip.

    Returns
    -------
    dict of (clips,) float64
        mean, median, std (over time, Haunschmid & Praher 2020), max, and top_k, the mean of the largest tenth.
    """
    pooled: dict[str, list[float]] = {name: [] for name in ("mean", "median", "std", "max", "top_k")}
    for clip in np.split(errors.astype(np.float64), np.cumsum(per_clip)[:-1]):
        top = max(round(TOP_SHARE * len(clip)), 1)
        pooled["mean"].append(clip.mean())
        pooled["median"].append(float(np.median(clip)))
        pooled["std"].append(clip.std())
        pooled["max"].append(clip.max())
        pooled["top_k"].append(np.partition(clip, -top)[-top:].mean())
    return {name: np.array(values) for name, values in pooled.items()}
