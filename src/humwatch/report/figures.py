"""The figures: data in, a matplotlib figure out. Which figure a sweep gets follows from what it varies.

Colours: Okabe & Ito 2008, "Color Universal Design", for categories; cividis and magma for values. Sizes: one column of a
paper, 3.5 inches wide.
"""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from humwatch.evaluation.metrics import MAX_FPR, auc, pauc, roc
from humwatch.files import replacing

WIDTH = 3.5  # inches
GROUND, INK, MUTED, GRID = "#ffffff", "#1f2933", "#65717e", "#dde3e8"
BLUE, ORANGE, GREEN, PINK, SKY, VERMILION, GREY = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a949e",
)  # fmt: skip
CATEGORIES = [BLUE, VERMILION, GREEN, PINK, SKY, ORANGE, INK]
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "humwatch",  # the same bytes for the same data
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "text.parse_math": False,  # a machine's name may have dollar signs
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 6.8,
    "legend.frameon": False,
    "figure.dpi": 200,
    "figure.facecolor": GROUND,
    "axes.facecolor": "none",
    "savefig.facecolor": GROUND,
    "figure.constrained_layout.use": True,
}
MEASURES = {"auc", "auc_low", "auc_high", "pauc", "pauc_low", "pauc_high", "selected", "best_by_labels", "diverged",
            "val_loss", "pseudo_auc", "seconds_per_epoch", "n_normal", "n_anomaly", "note"}  # fmt: skip
NOT_PARAMETERS = MEASURES | {"sweep", "trial", "machine_type", "criterion", "reference", "source"}
WORDS = {
    "auc": "AUC",
    "pauc": "pAUC",
    "kl_weight": "KL weight",
    "n_normal": "normal clips",
    "n_anomaly": "anomalies",
    "n_mels": "mel bins",
    "seconds_per_epoch": "s per epoch",
    "val_loss": "validation loss",
    "pseudo_auc": "pseudo-anomaly AUC",
}
UNLABELLED = -1
LABELS = {0: ("normal", BLUE), 1: ("anomaly", ORANGE), UNLABELLED: ("no label", GREY)}
AUC_LABEL = "AUC (mean over ids)"
LEGEND_LETTERS = 62  # per line
RANKED = 24  # trials shown where there are more than a figure holds
PANEL_VALUES = 4  # values of a third parameter that get a heat map each
HERTZ = [100, 200, 500, 1000, 2000, 4000, 8000, 16000, 32000]


def save(figure: Figure, path: Path) -> None:
    """Write `<path>.png` (200 dots per inch) and `<path>.svg`, the same bytes each time."""
    with matplotlib.rc_context(STYLE):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once, not once per file
        for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
            with replacing(path.with_name(f"{path.name}.{ending}")) as temporary:
                figure.savefig(temporary, format=ending, metadata=metadata)


def words(name: str) -> str:
    """A column's name as it is read: "learning_rate" -> "learning rate"."""
    return WORDS.get(name, name.replace("_", " "))


def varied(table: pd.DataFrame) -> list[str]:
    """The parameters that a sweep varies, in the table's order, without those that follow from the others.

    A sweep over detectors varies their own hyper-parameters too, but only along with the detector.
    """
    found: list[str] = []
    for name in (str(c) for c in table if c not in NOT_PARAMETERS):
        if table[name].nunique(dropna=False) < 2:
            continue
        if found and (table.groupby(found, dropna=False)[name].nunique(dropna=False) == 1).all():
            continue
        found.append(name)
    return found


def sweep_figure(table: pd.DataFrame, name: str, footer: str = "") -> Figure:
    """The figure of one sweep: AUC (the mean over machine ids) against whatever the sweep varies.

    table: a row per trial and machine type with the trial's parameters, auc, auc_low, auc_high, selected, best_by_labels,
    diverged, seconds_per_epoch. Nothing or one parameter, not a number: dots; seed: dots; one number: a line with its band
    (over seeds, where these vary too), and the run time below where it is the batch size; two or three: heat maps; more:
    the best trials, ranked.
    """
    names = varied(table)
    others = [n for n in names if n != "seed"]
    with matplotlib.rc_context(STYLE):
        if names == ["seed"]:
            return _seeds(table, name, footer)
        if len(others) == 1 and pd.api.types.is_numeric_dtype(table[others[0]]):
            return _line(table, name, others[0], "seed" in names, footer)
        if len(others) in (2, 3) and (panels := _panels(table, others)):
            return _heat_maps(table, name, panels, "seed" in names, footer)
        return _ranking(table, name, names, footer)


def training_figure(logs: Sequence[tuple[pd.Series, pd.DataFrame]], name: str, footer: str = "") -> Figure:
    """Loss against epoch of a sweep's trainings, the chosen one's training loss beside its validation loss.

    logs: (row of the sweep's table, its log with the columns epoch, train_loss, val_loss) of each trial.
    """
    rows = pd.DataFrame([row for row, _ in logs])
    by = next((n for n in varied(rows) if n not in ("epochs", "seed")), None)
    values = sorted(rows[by].dropna().unique()) if by else []
    palette: Sequence[Any] = [BLUE, GREEN, PINK, SKY, ORANGE]  # vermilion is the chosen trial's
    if len(values) > len(palette):
        palette = list(matplotlib.colormaps["cividis"](np.linspace(0.25, 0.9, len(values))))
    colours = dict(zip(values, palette, strict=False))
    longest: dict[tuple, tuple[pd.Series, pd.DataFrame]] = {}
    for row, log in sorted(logs, key=lambda pair: len(pair[1])):  # milestones are parts of one training
        longest[row["machine_type"], row["trial"]] = row, log
    picked = [log for row, log in logs if row["selected"]][:1]
    legend = [Line2D([], [], color=colours[v], label=f"{words(by or '')} {_text(v)}") for v in values[:6]]
    if not values and len(longest) > len(picked):
        legend = [Line2D([], [], color=GREY, label="other trials, validation")]
    chosen_lines: dict[str, dict[str, Any]] = {"validation": {"lw": 2.0}, "training": {"lw": 1.2, "ls": (0, (2, 1.5))}}
    if picked:
        legend += [Line2D([], [], color=VERMILION, label=f"chosen trial, {k}", **v) for k, v in chosen_lines.items()]
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(2.2, f"Training curves: sweep “{words(name)}”", footer, legend)
        curves = [log[["epoch", "val_loss"]].to_numpy(float) for _, log in longest.values()]
        shades = [colours.get(row[by], GREY) if by else GREY for row, _ in longest.values()]
        axes.add_collection(LineCollection(curves, colors=shades, linewidths=1, alpha=0.8))
        axes.scatter(*np.array([curve[-1] for curve in curves]).T, c=shades, s=3)  # all there is to see of one epoch
        for log in picked:
            axes.plot(log["epoch"], log["val_loss"], color=VERMILION, **chosen_lines["validation"])
            axes.plot(log["epoch"], log["train_loss"], color=VERMILION, **chosen_lines["training"])
        _plain_log(axes, np.concatenate([log[["train_loss", "val_loss"]].to_numpy(float).ravel() for _, log in logs]))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel="epoch", ylabel="loss per window")
        _count_diverged(axes, rows)
    return figure


def roc_figure(scores: pd.DataFrame, title: str, footer: str = "") -> Figure:
    """ROC curve of every machine id of one trial, with the region of the partial AUC (false-alarm rate up to 0.1) shaded.

    scores: machine_id, label (0, 1), score of each test clip; clips without a label are left out.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(3.3, title, footer)
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
        axes.text(MAX_FPR + 0.015, 0.99, "← pAUC region", va="top", color=MUTED, fontsize=7)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="normal clips called anomalous (false-alarm rate)")
        axes.set(ylabel="anomalies found (hit rate)", aspect="equal")
        axes.legend(loc="lower right")
    return figure


def histogram_figure(scores: pd.DataFrame, title: str, footer: str = "") -> Figure:
    """Histogram of the anomaly scores of every machine id, normal clips against anomalies; all share the bins.

    scores: machine_id, label (0, 1, missing), score.
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
        figure, panels = _figure(0.5 + 0.8 * max(len(ids), 1), title, footer, legend, max(len(ids), 1))
        for axes, machine_id in zip(np.atleast_1d(panels), ids, strict=False):
            for label, (_, colour) in kinds.items():
                part = scores.loc[(scores["machine_id"] == machine_id) & (found == label), "score"]
                axes.hist(part, np.exp(bins) if skewed else bins, histtype="stepfilled", fc=fill[label], ec=colour)
            axes.set_title(f"id {machine_id}", pad=2)
            axes.grid(axis="x", visible=False)
            axes.yaxis.get_major_locator().set_params(integer=True, nbins=3)
            if skewed:
                axes.set_xscale("log")
            axes.label_outer()
        np.atleast_1d(panels)[-1].set_xlabel("anomaly score")
        figure.supylabel("clips", fontsize=8)
    return figure


def embedding_figure(panels: Sequence[tuple[str, np.ndarray, np.ndarray]], title: str, footer: str = "") -> Figure:
    """What a detector makes of clips before it scores them, in two dimensions: a panel for each machine id.

    panels: (machine id, embeddings (clips, size), kind (clips,): "training", "normal", "anomaly" or "no label"). Each panel
    has its own axes: the two principal components of all its clips.
    """
    from sklearn.decomposition import PCA  # takes a second, which the other figures can do without

    kinds = {"training": (GREY, "."), "normal": (BLUE, "o"), "anomaly": (ORANGE, "^"), "no label": (MUTED, "s")}
    used = [name for name in kinds if any((kind == name).any() for _, _, kind in panels)]
    legend = [
        Line2D([], [], color=kinds[k][0], marker=kinds[k][1], ls="", ms=4, label=k if k == "training" else f"test, {k}")
        for k in used
    ]
    columns = min(len(panels), 2)
    rows = math.ceil(len(panels) / columns)
    with matplotlib.rc_context(STYLE):
        figure, grid = _figure(1.7 * rows, title, footer, legend, rows, columns, squeeze=False, sharex=False)
        for axes in grid.flat[len(panels) :]:
            axes.remove()
        for axes, (machine_id, embeddings, kind) in zip(grid.flat, panels, strict=False):
            pca = PCA(2, svd_solver="full").fit(embeddings)
            points, shares = pca.transform(embeddings), pca.explained_variance_ratio_
            for name in used:
                colour, marker = kinds[name]
                own = kind == name
                axes.scatter(*points[own].T, s=7, c=colour, marker=marker, lw=0, alpha=0.7)
            axes.set_title(f"id {machine_id} ({shares.sum():.0%} of the variance)", pad=2, fontsize=7)
            axes.set(xticks=[], yticks=[])
    return figure


def spectrogram_figure(
    panels: Sequence[tuple[str, np.ndarray]],
    frequencies: np.ndarray | None,
    hop_seconds: float | None,
    title: str,
    footer: str = "",
) -> Figure:
    """Spectrograms one above the other, on the same axes and colours.

    panels: (title, frames in dB (frames, bins)) each. frequencies: Hz of each bin; hop_seconds: time between frames. None
    where unknown: that axis counts bins or frames.
    """
    low, high = decibel_range([frames for _, frames in panels])
    hop = hop_seconds or 1.0
    with matplotlib.rc_context(STYLE):
        figure, rows = _figure(0.4 + 1.3 * len(panels), title, footer, rows=len(panels))
        rows = np.atleast_1d(rows)
        for axes, (name, frames) in zip(rows, panels, strict=True):
            extent = (-hop / 2, (len(frames) - 0.5) * hop, -0.5, frames.shape[1] - 0.5)
            image = axes.imshow(
                frames.T, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=low, vmax=high,
                interpolation="nearest",
            )  # fmt: skip
            axes.set_title(name, pad=3)
            axes.grid(visible=False)
            if frequencies is not None:
                bins, hertz = hertz_ticks(frequencies)
                axes.set_yticks(bins, [f"{h:,}" for h in hertz])
            axes.set_ylabel("bin" if frequencies is None else "Hz")
            axes.label_outer()
        rows[-1].set_xlabel("seconds" if hop_seconds else "frame")
        label = "value" if frequencies is None else "dB"
        figure.colorbar(image, ax=list(rows), label=label, pad=0.02, aspect=40).outline.set_visible(False)
    return figure


def decibel_range(clips: Sequence[np.ndarray]) -> tuple[float, float]:
    """The colour scale that shows all of these spectrograms: without the darkest and brightest outliers."""
    values = np.concatenate([frames.ravel()[::7] for frames in clips])
    low, high = np.quantile(values, [0.01, 0.999])
    return float(low), float(max(high, low + 1))


def hertz_ticks(frequencies: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Places, in bins, of round frequencies on a mel axis."""
    hertz = [h for h in HERTZ if frequencies[0] <= h <= frequencies[-1]]
    places = np.interp(hertz, frequencies, np.arange(len(frequencies)))
    keep = [i for i, place in enumerate(places) if i == 0 or place - places[i - 1] > len(frequencies) / 20]
    return places[keep], [hertz[i] for i in keep]


def _figure(
    height: float,
    title: str,
    footer: str,
    legend: Sequence[Artist] = (),
    rows: int = 1,
    columns: int = 1,
    **kwargs: Any,
) -> tuple[Figure, Any]:
    """A figure of column width; title and legend stand above the axes, the footer below, where they cover no data."""
    title, footer = textwrap.fill(title, 42), textwrap.fill(footer, 66)
    lines: list[list[Artist]] = []
    for entry in legend:
        if lines and sum(len(str(e.get_label())) + 7 for e in [*lines[-1], entry]) <= LEGEND_LETTERS:
            lines[-1].append(entry)
        else:
            lines.append([entry])
    above = 0.08 + 0.155 * (1 + title.count("\n"))
    top = above + 0.15 * len(lines) + 0.06
    bottom = 0.05 + 0.13 * (footer.count("\n") + 1) if footer else 0
    total = top + height + bottom
    figure = Figure(figsize=(WIDTH, total))
    figure.set_layout_engine("constrained", rect=(0, bottom / total, 1, height / total), h_pad=0.03, w_pad=0.03)
    axes = figure.subplots(rows, columns, **{"sharex": True} | kwargs)
    figure.text(0.014, 1 - 0.06 / total, title, va="top", fontsize=9, fontweight="bold", linespacing=1.1)
    figure.text(0.014, 0.05 / total, footer, va="bottom", fontsize=6.5, color=MUTED)
    for n, line in enumerate(lines):
        place = (0.0, 1 - (above + 0.15 * n) / total)
        made = figure.legend(
            handles=line, loc="upper left", bbox_to_anchor=place, ncols=len(line), borderpad=0.3, columnspacing=1.2,
            handletextpad=0.5,
        )  # fmt: skip
        made.set_in_layout(False)
    return figure, axes


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float | np.number) and not isinstance(value, bool) else str(value)


def _machine_types(table: pd.DataFrame) -> list[tuple[str, str]]:
    """(machine type, colour)."""
    return [(t, CATEGORIES[n % len(CATEGORIES)]) for n, t in enumerate(sorted(table["machine_type"].unique()))]


def _subject(table: pd.DataFrame) -> str:
    types = sorted(table["machine_type"].unique())
    return f" ({types[0]})" if len(types) == 1 else ""


MARKS: dict[str, tuple[str, dict[str, Any]]] = {
    "selected": ("chosen without labels", {"ls": "", "marker": "o", "ms": 9.0, "mfc": "none", "mec": INK, "mew": 1.1}),
    "best_by_labels": (
        "best by test labels",
        {"ls": "", "marker": "D", "ms": 6.0, "mfc": "none", "mec": INK, "mew": 1.1},
    ),
}


def _mark(axes: Axes, table: pd.DataFrame, x: str, y: str = "auc") -> None:
    """Ring the trials that were chosen without labels, and those that the labels would have chosen."""
    for column, (_, style) in MARKS.items():
        part = table[table[column].astype(bool) & table[y].notna()]
        axes.plot(part[x], part[y], **style, zorder=5)


def _mark_legend() -> list[Artist]:
    return [Line2D([], [], **(style | {"ms": 5}), label=label) for label, style in MARKS.values()]


def _chance(axes: Axes) -> None:
    """The line of guessing, where the axis reaches it, and no axis narrower than 0.02."""
    low, high = axes.get_ylim()
    if high - low < 0.02:
        axes.set_ylim((low + high) / 2 - 0.01, (low + high) / 2 + 0.01)
    if low < 0.5 < high:
        axes.axhline(0.5, color=MUTED, lw=0.8, ls=(0, (4, 3)))


def _count_diverged(axes: Axes, table: pd.DataFrame) -> None:
    count = int(table["diverged"].astype(bool).sum())
    if count:
        axes.text(
            1,
            1.01,
            f"{count} diverged, not drawn",
            transform=axes.transAxes,
            ha="right",
            va="bottom",
            fontsize=7,
            color=MUTED,
        )


def _plain_log(axes: Axes, values: np.ndarray) -> None:
    """A logarithmic y axis with plain numbers, where the values span more than a factor of 10."""
    values = values[np.isfinite(values)]
    if len(values) == 0 or values.min() <= 0 or values.max() < 10 * values.min():
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(
        matplotlib.ticker.LogLocator(subs=(1, 2, 5) if values.max() < 500 * values.min() else (1,))
    )
    axes.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))


def _value_axis(axes: Axes, values: np.ndarray) -> None:
    """Ticks at the values of a sweep; logarithmic where they span more than a factor of 5."""
    low, high = values.min(), values.max()
    if low > 0 and high > 5 * low:
        axes.set_xscale("log")
        axes.set_xlim(low / (high / low) ** 0.06, high * (high / low) ** 0.06)
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    if len(values) <= 8:
        axes.xaxis.set_major_locator(matplotlib.ticker.FixedLocator(list(values)))
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))


def _seeds(table: pd.DataFrame, name: str, footer: str) -> Figure:
    types = _machine_types(table)
    legend: list[Artist] = []
    for machine_type, colour in types:
        aucs = table.loc[table["machine_type"] == machine_type, "auc"]
        label = f"{'' if len(types) == 1 else machine_type + ': '}{aucs.mean():.3f} ± {aucs.std():.3f}"
        legend.append(Line2D([], [], color=colour, label=label))
    figure, axes = _figure(
        2.2, f"AUC of each seed: sweep “{words(name)}”{_subject(table)}", footer, [*legend, *_mark_legend()]
    )
    seeds = np.sort(table["seed"].unique())
    for n, (machine_type, colour) in enumerate(types):
        part = table[table["machine_type"] == machine_type]
        part = part.assign(place=np.searchsorted(seeds, part["seed"]) + (n - (len(types) - 1) / 2) * 0.12)
        mean, std = part["auc"].mean(), part["auc"].std()
        axes.errorbar(
            part["place"], part["auc"], _whiskers(part), fmt="o", ms=4.5, color=colour, elinewidth=1, zorder=3
        )
        axes.axhline(mean, color=colour, lw=1)
        if np.isfinite(std):
            axes.axhspan(mean - std, mean + std, color=colour, alpha=0.15, lw=0)
        _mark(axes, part, "place")
    step = math.ceil(len(seeds) / 12)
    axes.set_xticks(np.arange(len(seeds))[::step], [f"{s:g}" for s in seeds[::step]])
    axes.set(xlabel="seed", ylabel=AUC_LABEL, xlim=(-0.5, len(seeds) - 0.5))
    axes.grid(axis="x", visible=False)
    _chance(axes)
    _count_diverged(axes, table)
    return figure


def _whiskers(part: pd.DataFrame) -> np.ndarray:
    """Lengths of the error bars, down and up."""
    return np.maximum([part["auc"] - part["auc_low"], part["auc_high"] - part["auc"]], 0)


def _over_seeds(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Mean AUC of each value of `by`, and the range over seeds as its interval."""
    columns = {
        "auc": ("auc", "mean"),
        "auc_low": ("auc", "min"),
        "auc_high": ("auc", "max"),
        "diverged": ("diverged", "any"),
    }
    return table.groupby(by, as_index=False, sort=False).agg(**columns)


def _line(table: pd.DataFrame, name: str, x: str, seeds: bool, footer: str) -> Figure:
    timed = x == "batch_size" and bool(table["seconds_per_epoch"].notna().any())
    title = f"AUC {'and run time ' if timed else ''}against {words(x)}: sweep “{words(name)}”{_subject(table)}"
    types = _machine_types(table)
    band = "range over seeds" if seeds else "95 % interval"
    legend: list[Artist] = [Patch(fc=matplotlib.colors.to_rgba(types[0][1], 0.25), label=band)]
    if len(types) > 1:
        legend = [Line2D([], [], color=colour, marker="o", ms=4, label=machine_type) for machine_type, colour in types]
    figure, panels = _figure(
        3.2 if timed else 2.2, title, footer, [*legend, *_mark_legend()], 1 + timed, height_ratios=[2, 1][: 1 + timed]
    )
    axes = panels[0] if timed else panels
    for machine_type, colour in types:
        part = table[table["machine_type"] == machine_type].sort_values(x)
        line = part
        if seeds:
            axes.plot(part[x], part["auc"], ".", ms=4, color=colour, alpha=0.6)
            line = _over_seeds(part, x)
        axes.plot(line[x], line["auc"], "o-", ms=4, lw=1.5, color=colour)
        if len(types) < 3:
            axes.fill_between(line[x], line["auc_low"], line["auc_high"], color=colour, alpha=0.18, lw=0)
        elif not seeds:
            axes.errorbar(line[x], line["auc"], _whiskers(line), fmt="none", elinewidth=0.7, color=colour)
        _mark(axes, part, x)
        if timed:
            times = part.groupby(x)["seconds_per_epoch"].median()
            panels[1].plot(times.index, times, "s-", ms=3.5, lw=1.2, color=colour)
    _value_axis(axes, np.sort(table[x].dropna().unique()))
    axes.set_ylabel(AUC_LABEL)
    _chance(axes)
    _count_diverged(axes, table)
    if timed:
        panels[1].set_ylabel("seconds\nper epoch")
        panels[1].set_ylim(0, 1.12 * table["seconds_per_epoch"].max())
    (panels[1] if timed else axes).set_xlabel(words(x))
    return figure


def _panels(table: pd.DataFrame, names: list[str]) -> list[tuple[str, pd.DataFrame, str, str]]:
    """(title, rows, parameter down, parameter across) of each heat map, none where there would be too many."""
    # The parameter with the fewest values, the last of equals, gets a panel per value.
    third = min(reversed(names), key=lambda n: table[n].nunique()) if len(names) == 3 else None
    down, across = (n for n in names if n != third)
    if (third and table[third].nunique() > PANEL_VALUES) or max(table[down].nunique(), table[across].nunique()) > 12:
        return []
    if table[across].nunique() < table[down].nunique():
        down, across = across, down
    panels = []
    types = sorted(table["machine_type"].unique())
    for machine_type in types:
        part = table[table["machine_type"] == machine_type]
        for value in sorted(part[third].unique()) if third else [None]:
            title = [machine_type] if len(types) > 1 else []
            title += [f"{words(third)} {_text(value)}"] if third else []
            panels.append((", ".join(title), part if third is None else part[part[third] == value], down, across))
    return panels


def _heat_maps(
    table: pd.DataFrame, name: str, panels: list[tuple[str, pd.DataFrame, str, str]], seeds: bool, footer: str
) -> Figure:
    """A heat map per panel: AUC in every cell, hatched where the training diverged."""
    _, _, down, across = panels[0]
    columns = 1 if len(panels) == 1 or table[across].nunique() > 4 else 2
    rows = math.ceil(len(panels) / columns)
    legend = [
        Rectangle((0, 0), 1, 1, fill=False, ec=VERMILION, lw=1.6, label="chosen without labels"),
        Line2D([], [], ls="", marker="*", ms=7, color=INK, label="best by test labels"),
    ]
    if table["diverged"].astype(bool).any():
        legend.append(Patch(fc="none", ec=MUTED, hatch="////", label="diverged", lw=0.5))
    title = f"AUC{', mean over seeds,' if seeds else ''} by {words(down)} and {words(across)}: sweep “{words(name)}”"
    figure, grid = _figure(
        (2.2 if columns == 1 else 1.6) * rows + 0.2, f"{title}{_subject(table)}", footer, legend, rows, columns,
        sharey=True, squeeze=False,
    )  # fmt: skip
    low, high = table["auc"].min(), table["auc"].max()
    high = max(high, low + 0.02) if np.isfinite(low) else 1.0
    image: Any = None
    for axes, (panel, part, _, _) in zip(grid.flat, panels, strict=False):
        downs, acrosses = (sorted(part[n].unique()) for n in (down, across))
        cells = part.pivot_table("auc", down, across, "mean", dropna=False).reindex(index=downs, columns=acrosses)
        image = axes.imshow(cells.to_numpy(float), cmap="cividis", vmin=low, vmax=high, aspect="auto", origin="lower")
        axes.set_xticks(range(len(acrosses)), [_text(v) for v in acrosses])
        axes.set_yticks(range(len(downs)), [_text(v) for v in downs])
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        if panel:
            axes.set_title(panel)
        _cells(axes, part, down, across, cells, (low, high), columns == 2 or len(acrosses) > 4)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel(words(across))
    for axes in grid[:, 0]:
        axes.set_ylabel(words(down))
    figure.colorbar(image, ax=list(grid.flat), label=AUC_LABEL, pad=0.02, aspect=30).outline.set_visible(False)
    return figure


def _cells(
    axes: Axes,
    part: pd.DataFrame,
    down: str,
    across: str,
    cells: pd.DataFrame,
    limits: tuple[float, float],
    small: bool,
) -> None:
    """The text and the marks on a heat map's cells."""
    for i, j in np.ndindex(cells.shape):
        rows = part[(part[down] == cells.index[i]) & (part[across] == cells.columns[j])]
        value = cells.to_numpy(float)[i, j]
        if len(rows) == 0:
            continue
        if not np.isfinite(value):
            axes.add_patch(Rectangle((j - 0.48, i - 0.48), 0.96, 0.96, fill=False, hatch="////", ec=MUTED, lw=0.5))
            if not small:
                lost = "diverged" if rows["diverged"].astype(bool).any() else "no AUC"
                axes.text(
                    j, i, lost, ha="center", va="center", fontsize=7, bbox={"fc": GROUND, "ec": "none", "pad": 1.5}
                )
            continue
        bright = (value - limits[0]) / (limits[1] - limits[0]) > 0.55
        colour = "#101418" if bright else "#fdfdfd"
        axes.text(j, i, f"{value:.3f}", ha="center", va="center", fontsize=7 if small else 8, color=colour)
        if rows["best_by_labels"].astype(bool).any():
            axes.plot(j - 0.34, i + 0.3, "*", ms=4.5 if small else 7, color=colour, mew=0)
        if rows["selected"].astype(bool).any():
            axes.add_patch(Rectangle((j - 0.47, i - 0.46), 0.94, 0.92, fill=False, ec=VERMILION, lw=1.8))


def _ranking(table: pd.DataFrame, name: str, names: list[str], footer: str) -> Figure:
    """Dots with intervals, best first: for what has no axis of its own."""
    seeds = "seed" in names
    shown_names = [n for n in names if n != "seed"] or ["trial"]
    table = table.assign(label=table[shown_names].map(_text).agg(" · ".join, axis=1))
    best = table.groupby("label")["auc"].max().sort_values(ascending=False, na_position="last", kind="stable")
    shown = list(best.index[:RANKED])
    shown += [t for t in table.loc[table["selected"].astype(bool), "label"].unique() if t not in shown]
    hidden = len(best) - len(shown)
    places = {text: -n for n, text in enumerate(shown)}
    table = table[table["label"].isin(shown)]
    types = _machine_types(table)
    legend: list[Artist] = [Line2D([], [], color=c, marker="o", ms=4, label=t) for t, c in types if len(types) > 1]
    title = (
        f"AUC by {words(shown_names[0])}" if len(shown_names) == 1 else f"Best {len(shown)} trials" if hidden else "AUC"
    )
    figure, axes = _figure(
        0.5 + 0.2 * len(shown), f"{title}: sweep “{words(name)}”{_subject(table)}", footer, [*legend, *_mark_legend()]
    )
    for n, (machine_type, colour) in enumerate(types):
        offset = ((len(types) - 1) / 2 - n) * 0.14
        part = table[table["machine_type"] == machine_type]
        part = part.assign(place=part["label"].map(places) + offset)
        dots = part
        if seeds:
            axes.plot(part["auc"], part["place"], ".", ms=4, color=colour, alpha=0.6)
            dots = _over_seeds(part, "label")
            dots = dots.assign(place=dots["label"].map(places) + offset)
        axes.errorbar(dots["auc"], dots["place"], xerr=_whiskers(dots), fmt="o", ms=4, elinewidth=1, color=colour)
        _mark(axes, part.assign(y=part["place"].where(part["auc"].notna())), "auc", "y")
    lost = table[table["auc"].isna()]
    for text, part in lost.groupby("label"):
        why = "diverged" if part["diverged"].astype(bool).any() else "no AUC"
        of = f" ({', '.join(sorted(part['machine_type'].unique()))})" if len(types) > 1 else ""
        axes.text(
            0.02, places[text], why + of, transform=axes.get_yaxis_transform(), va="center", color=MUTED, fontsize=7
        )
    axes.set_yticks([places[t] for t in shown], [textwrap.shorten(t, 34, placeholder=" …") for t in shown])
    axes.set(ylim=(-len(shown) + 0.4, 0.6), xlabel=f"{AUC_LABEL}, {'range over seeds' if seeds else '95 % interval'}")
    if len(shown_names) > 1:
        axes.set_title(textwrap.fill(" · ".join(words(n) for n in shown_names), 40), fontsize=7, color=MUTED)
    axes.grid(axis="y", visible=False)
    low, high = axes.get_xlim()
    if low < 0.5 < high:
        axes.axvline(0.5, color=MUTED, lw=0.8, ls=(0, (4, 3)))
    return figure
