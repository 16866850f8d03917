"""AUC, pAUC and their intervals, from scores and test labels."""

import math
from functools import lru_cache
from typing import Any

import numpy as np

MAX_FPR = 0.1


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve; NaN where one of the classes is missing or a score is not finite.

    Parameters
    ----------
    labels : (clips,) int
        0 (normal) or 1 (anomaly).
    scores : (clips,) float64
        Higher is more anomalous.
    """
    return _area(labels, scores, None)


def pauc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Partial AUC up to a false-positive rate of 0.1, standardised so that 0.5 is chance; NaN as for `auc`.

    Parameters
    ----------
    labels : (clips,) int
        0 (normal) or 1 (anomaly).
    scores : (clips,) float64
        Higher is more anomalous.

    References
    ----------
    McClish 1989, "Analyzing a portion of the ROC curve". DCASE Task 2 uses the same.
    """
    return _area(labels, scores, MAX_FPR)


def roc(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ROC curve from (0, 0) to (1, 1).

    Parameters
    ----------
    labels : (clips,) int
        0 and 1, both of which occur.
    scores : (clips,) float64
        Finite.

    Returns
    -------
    fpr, tpr : (distinct scores + 1,) float64
        False-positive and true-positive rates.
    """
    order, ends = _descending(scores)
    fpr = np.append(0, np.cumsum(labels[order] == 0)[ends]) / (labels == 0).sum()
    tpr = np.append(0, np.cumsum(labels[order] == 1)[ends]) / (labels == 1).sum()
    return fpr, tpr


def bootstrap_auc(labels: np.ndarray, scores: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """The AUC of stratified bootstrap samples: normal clips and anomalies are each drawn with replacement.

    A sample's AUC is a weighted count of the pairs in order, w_anomaly' P w_normal / (n m): all samples in two products.

    Parameters
    ----------
    labels : (clips,) int
        0 (normal) or 1 (anomaly).
    scores : (clips,) float64
        Higher is more anomalous.
    samples
        Their number.
    seed
        Of the draws.

    Returns
    -------
    (samples,) float64
        NaN where one of the classes is missing or a score is not finite.
    """
    anomalies, normals = scores[labels == 1], scores[labels == 0]
    if not (len(anomalies) and len(normals) and np.isfinite(scores).all()):
        return np.full(samples, np.nan)
    anomaly_weights, normal_weights = _bootstrap_weights(len(anomalies), len(normals), samples, seed)
    pairs = (anomalies[:, None] > normals) + 0.5 * (anomalies[:, None] == normals)  # (anomalies, normals)
    counts = np.einsum("sn,sn->s", anomaly_weights @ pairs, normal_weights)
    return counts / (len(anomalies) * len(normals))


def weighted_areas(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray, max_fpr: float) -> np.ndarray:
    """AUC, or pAUC up to `max_fpr` below 1, of bootstrap samples in which clip i is drawn `weights[:, i]` times.

    Parameters
    ----------
    labels, scores : (clips,)
        Both classes must be there.
    weights : (samples, clips)

    Returns
    -------
    (samples,)
        NaN where a score is not finite.
    """
    if not np.isfinite(scores).all():
        return np.full(len(weights), np.nan)
    order, ends = _descending(scores)
    rates = []
    for label in (0, 1):
        counts = np.cumsum(weights[:, order] * (labels[order] == label), axis=1)
        rates.append(np.pad(counts[:, ends] / counts[:, -1:], ((0, 0), (1, 0))))
    (fpr, tpr), widths = rates, np.diff(rates[0], axis=1)
    within = np.clip(max_fpr - fpr[:, :-1], 0, widths)  # the part of each step below the limit
    at_end = tpr[:, :-1] + np.diff(tpr, axis=1) * np.divide(within, widths, out=np.ones_like(widths), where=widths > 0)
    areas = (within * (tpr[:, :-1] + at_end) / 2).sum(axis=1)
    return areas if max_fpr == 1 else _standardised(areas, max_fpr)


def interval(samples: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of `samples`, (samples,)."""
    low, high = np.quantile(samples, [0.025, 0.975])
    return float(low), float(high)


def _descending(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of clips by their scores, the highest first, and in it the place of the last of each run of equal scores."""
    order = np.argsort(-scores, kind="stable")
    return order, np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)


@lru_cache
def _bootstrap_weights(anomalies: int, normals: int, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each anomaly and each normal clip is drawn, (samples, clips) each; the same for every trial, so drawn once."""
    rng = np.random.default_rng(seed)
    drawn = [rng.multinomial(n, np.full(n, 1 / n), samples).astype(float) for n in (anomalies, normals)]
    return drawn[0], drawn[1]


def _area(labels: np.ndarray, scores: np.ndarray, max_fpr: float | None) -> float:
    """The result of scikit-learn's `roc_auc_score` (a test compares them) in a hundredth of its time: tables have thousands."""
    if len(np.unique(labels)) < 2 or not np.isfinite(scores).all():
        return math.nan
    fpr, tpr = roc(labels, scores)
    if max_fpr is None:
        return float(np.trapezoid(tpr, fpr))
    stop = np.searchsorted(fpr, max_fpr, "right")
    at_limit = np.interp(max_fpr, fpr[stop - 1 : stop + 1], tpr[stop - 1 : stop + 1])
    partial = np.trapezoid(np.append(tpr[:stop], at_limit), np.append(fpr[:stop], max_fpr))
    return float(_standardised(partial, max_fpr))


def _standardised(partial: Any, max_fpr: float) -> Any:
    """A partial area so that 0.5 is chance and 1 perfect (McClish 1989)."""
    chance = max_fpr**2 / 2
    return (1 + (partial - chance) / (max_fpr - chance)) / 2
