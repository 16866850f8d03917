"""Figures of one trial: ROC curves, histograms of its scores, its false alarms, its embeddings."""

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from humwatch.evaluation.metrics import MAX_FPR, auc, pauc, roc
from humwatch.report.figures.style import BLUE, CATEGORIES, GREY, MUTED, ORANGE, SKY, STYLE, new_figure

UNLABELLED = -1
LABELS = {0: ("normal", BLUE), 1: ("anomaly", ORANGE), UNLABELLED: ("no label", GREY)}


def roc_figure(scores: pd.DataFrame, title: str, footer: str = "") -> Figure:
    """The ROC curve of every machine id, with the region of the partial AUC (false-alarm rate up to 0.1) shaded.

    Parameters
    ----------
    scores
        Columns machine_id, label (0, 1) and score of each test clip; clips without a label are left out.
    title, footer
        Lines above and below.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(3.3, title, footer)
        axes.axvspan(0, MAX_FPR, color=SKY, alpha=0.22, lw=0)
        axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=(0, (4, 3)))
        for n, (machine_id, clips) in enumerate(scores[scores["label"].notna()].groupby("machine_id", sort=True)):
            labels, values = clips["label"].to_numpy(int), clips["score"].to_numpy(float)
            if len(np.unique(labels)) < 2 or not np.isfinite(values).all():
                continue
            false_alarms, hits = roc(labels, values)
            text = f"id {machine_id}: AUC {auc(labels, values):.3f}, pAUC {pauc(labels, values):.3f}"
            line = ["-", (0, (5, 1.5)), (0, (1, 1))][n // len(CATEGORIES) % 3]
            axes.plot(false_alarms, hits, color=CATEGORIES[n % len(CATEGORIES)], lw=1.5, ls=line, label=text)
        axes.text(MAX_FPR + 0.015, 0.01, "← pAUC region", va="bottom", color=MUTED, fontsize=7)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="normal clips called anomalous (false-alarm rate)")
        axes.set(ylabel="anomalies found (hit rate)", aspect="equal")
        axes.legend(loc="lower right")
    return figure


def histogram_figure(scores: pd.DataFrame, title: str, footer: str = "") -> Figure:
    """Histograms of the anomaly scores of every machine id, normal clips against anomalies, all in the same bins.

    Parameters
    ----------
    scores
        Columns machine_id, label (0, 1 or missing) and score of each test clip.
    title, footer
        Lines above and below.
    """
    scores = scores[np.isfinite(scores["score"].to_numpy(float))]
    values = scores["score"].to_numpy(float)
    skewed = len(values) > 0 and values.min() > 0 and np.quantile(values, 0.99) > 10 * np.median(values)
    bins = np.histogram_bin_edges(np.log(values) if skewed else values, 24)
    ids = sorted(scores["machine_id"].unique())
    found = scores["label"].astype("Int8").fillna(UNLABELLED)
    kinds = {label: style for label, style in LABELS.items() if (found == label).any()}
    fill = {label: matplotlib.colors.to_rgba(colour, 0.45) for label, (_, colour) in kinds.items()}
    legend = [Patch(fc=fill[k], ec=colour, label=name) for k, (name, colour) in kinds.items()]
    with matplotlib.rc_context(STYLE):
        figure, panels = new_figure(0.5 + 0.8 * max(len(ids), 1), title, footer, legend, max(len(ids), 1))
        for axes, machine_id in zip(np.atleast_1d(panels), ids, strict=False):
            for label, (_, colour) in kinds.items():
                part = scores.loc[(scores["machine_id"] == machine_id) & (found == label), "score"]
                axes.hist(part, np.exp(bins) if skewed else bins, histtype="stepfilled", fc=fill[label], ec=colour)
            axes.set_title(f"id {machine_id}", pad=2)
            axes.grid(axis="x", visible=False)
            axes.yaxis.get_major_locator().set_params(integer=True, nbins=3)
            if skewed:
                axes.set_xscale("log")
            else:
                axes.xaxis.get_major_locator().set_params(nbins=5)  # long numbers would touch
            axes.label_outer()
        np.atleast_1d(panels)[-1].set_xlabel("anomaly score")
        figure.supylabel("clips", fontsize=8)
    return figure


def alarms_figure(decisions: pd.DataFrame, title: str, footer: str = "") -> Figure:
    """How well a trial's thresholds decide, for each machine id: the false-alarm rate beside the promised one, and recall.

    Parameters
    ----------
    decisions
        Rows of tables/decisions.csv with machine_id, promised_rate, false_alarm_rate, its interval (false_alarm_rate_low,
        false_alarm_rate_high), recall.
    title, footer
        Lines above and below.
    """
    places, ids = np.arange(len(decisions))[::-1], decisions["machine_id"]
    rate = decisions["false_alarm_rate"]
    error = [rate - decisions["false_alarm_rate_low"], decisions["false_alarm_rate_high"] - rate]
    promised = float(decisions["promised_rate"].iloc[0])
    legend = [
        Line2D([], [], color=BLUE, marker="o", ls="-", ms=4, label="observed, with its 95 % interval"),
        Line2D([], [], color=ORANGE, ls="--", label=f"promised: {promised:g}"),
    ]
    with matplotlib.rc_context(STYLE):
        figure, (alarms, found) = new_figure(
            0.6 + 0.28 * len(decisions), title, footer, legend, 1, 2, sharex=False, sharey=True
        )
        alarms.errorbar(rate, places, xerr=np.clip(error, 0, None), fmt="o", color=BLUE, ms=4, lw=1.2)
        alarms.axvline(promised, color=ORANGE, ls="--", lw=1)
        alarms.set(xlim=(-0.02, max(0.3, decisions["false_alarm_rate_high"].max()) + 0.02), xlabel="false-alarm rate")
        alarms.set_yticks(places, [f"id {machine_id}" for machine_id in ids])
        found.barh(places, decisions["recall"], height=0.5, color=SKY)
        found.set(xlim=(0, 1.02), xlabel="anomalies found (recall)")
    return figure


def embedding_figure(panels: Sequence[tuple[str, np.ndarray, np.ndarray]], title: str, footer: str = "") -> Figure:
    """The embeddings of clips, from which a detector takes its scores, in two dimensions: a panel for each machine id.

    Each panel has axes of its own, the two principal components of all its clips.

    Parameters
    ----------
    panels : machine id, (clips, size), (clips,)
        Embeddings and the kind of each clip: "training", "normal", "anomaly" or "no label".
    title, footer
        Lines above and below.
    """
    kinds = {"training": (GREY, "."), "normal": (BLUE, "o"), "anomaly": (ORANGE, "^"), "no label": (MUTED, "s")}
    used = [name for name in kinds if any((kind == name).any() for _, _, kind in panels)]
    legend = [
        Line2D([], [], color=kinds[k][0], marker=kinds[k][1], ls="", ms=4, label=k if k == "training" else f"test, {k}")
        for k in used
    ]
    columns = min(len(panels), 2)
    rows = math.ceil(len(panels) / columns)
    with matplotlib.rc_context(STYLE):
        figure, grid = new_figure(1.7 * rows, title, footer, legend, rows, columns, squeeze=False, sharex=False)
        for axes in grid.flat[len(panels) :]:
            axes.remove()
        for axes, (machine_id, embeddings, kind) in zip(grid.flat, panels, strict=False):
            points, share = _principal_components(embeddings)
            for name in used:
                colour, marker = kinds[name]
                own = kind == name
                axes.scatter(*points[own].T, s=7, c=colour, marker=marker, lw=0, alpha=0.7)
            axes.set_title(f"id {machine_id} ({share:.0%} of the variance)", pad=2, fontsize=7)
            axes.set(xticks=[], yticks=[])
    return figure


def _principal_components(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """The two principal components of vectors (clips, size), each with its largest loading positive; their share of the variance.

    Returns
    -------
    points : (clips, 2)
    share
    """
    centred = vectors - vectors.mean(axis=0)
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign([axis[np.abs(axis).argmax()] for axis in axes[:2]])[:, None]
    points = np.pad(centred @ axes.T, ((0, 0), (0, 2 - len(axes))))  # of vectors of one value
    return points, (lengths[:2] ** 2).sum() / (lengths**2).sum()
