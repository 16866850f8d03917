"""Where test labels meet scores: AUC, pAUC and their intervals."""

import math

import numpy as np
from sklearn.metrics import roc_auc_score

MAX_FPR = 0.1


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve; NaN where one of the classes is missing or a score is not finite."""
    return _area(labels, scores, None)


def pauc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Partial AUC up to a false-positive rate of 0.1, standardised so that 0.5 is chance (McClish 1989), as DCASE uses it."""
    return _area(labels, scores, MAX_FPR)


def bootstrap_auc(labels: np.ndarray, scores: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """AUC of `samples` stratified bootstrap samples: normals and anomalies are each drawn with replacement. (samples,).

    A sample's AUC is a weighted count of the pairs in order, w_anomaly' P w_normal / (n m): all samples in two products.
    """
    anomalies, normals = scores[labels == 1], scores[labels == 0]
    if not (len(anomalies) and len(normals) and np.isfinite(scores).all()):
        return np.full(samples, np.nan)
    rng = np.random.default_rng(seed)
    pairs = (anomalies[:, None] > normals) + 0.5 * (anomalies[:, None] == normals)  # (anomalies, normals)
    anomaly_weights = rng.multinomial(len(anomalies), np.full(len(anomalies), 1 / len(anomalies)), samples)
    normal_weights = rng.multinomial(len(normals), np.full(len(normals), 1 / len(normals)), samples)
    counts = ((anomaly_weights.astype(float) @ pairs) * normal_weights).sum(axis=1)
    return counts / (len(anomalies) * len(normals))


def interval(samples: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval."""
    low, high = np.quantile(samples, [0.025, 0.975])
    return float(low), float(high)


def _area(labels: np.ndarray, scores: np.ndarray, max_fpr: float | None) -> float:
    if len(np.unique(labels)) < 2 or not np.isfinite(scores).all():
        return math.nan
    return float(roc_auc_score(labels, scores, max_fpr=max_fpr))
