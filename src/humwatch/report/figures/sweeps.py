"""The figure of a sweep, of a kind that follows from the parameters that the sweep varies."""

import math
import textwrap
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from humwatch.report.figures.style import CATEGORIES, GROUND, INK, MUTED, STYLE, VERMILION, count_diverged, new_figure
from humwatch.report.words import value_text, varied, words

AUC_LABEL = "AUC (mean over ids)"
RANKED = 24  # trials shown where there are more than a figure holds
PANEL_VALUES = 4  # values of a third parameter that get a heat map each
MARKS: dict[str, tuple[str, dict[str, Any]]] = {
    "selected": ("chosen without labels", {"ls": "", "marker": "o", "ms": 9.0, "mfc": "none", "mec": INK, "mew": 1.1}),
    "best_by_labels": (
        "best by test labels",
        {"ls": "", "marker": "D", "ms": 6.0, "mfc": "none", "mec": INK, "mew": 1.1},
    ),
}


def sweep_figure(table: pd.DataFrame, name: str, footer: str = "") -> Figure:
    """The figure of one sweep: AUC (the mean over machine ids) against the parameters that it varies.

    Seeds alone: dots. One number: a line with its band (over seeds, where these vary too), and the run time below where it is
    the batch size. Two or three parameters: heat maps. Anything else: the best trials, ranked.

    Parameters
    ----------
    table
        A row per trial and machine type with the trial's parameters, auc, auc_low, auc_high, selected, best_by_labels,
        diverged, seconds_per_epoch.
    name
        The sweep's.
    footer
        The line below.
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


def _seeds(table: pd.DataFrame, name: str, footer: str) -> Figure:
    types = _machine_types(table)
    legend: list[Artist] = []
    for machine_type, colour in types:
        aucs = table.loc[table["machine_type"] == machine_type, "auc"]
        label = f"{'' if len(types) == 1 else machine_type + ': '}{aucs.mean():.3f} ± {aucs.std():.3f}"
        legend.append(Line2D([], [], color=colour, label=label))
    figure, axes = new_figure(
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
    count_diverged(axes, table)
    return figure


def _line(table: pd.DataFrame, name: str, x: str, seeds: bool, footer: str) -> Figure:
    timed = x == "batch_size" and bool(table["seconds_per_epoch"].notna().any())
    title = f"AUC {'and run time ' if timed else ''}against {words(x)}: sweep “{words(name)}”{_subject(table)}"
    types = _machine_types(table)
    band = "range over seeds" if seeds else "95 % interval"
    legend: list[Artist] = [Patch(fc=matplotlib.colors.to_rgba(types[0][1], 0.25), label=band)]
    if len(types) > 1:
        legend = [Line2D([], [], color=colour, marker="o", ms=4, label=machine_type) for machine_type, colour in types]
    figure, panels = new_figure(
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
    count_diverged(axes, table)
    if timed:
        panels[1].set_ylabel("seconds\nper epoch")
        panels[1].set_ylim(0, 1.12 * table["seconds_per_epoch"].max())
    (panels[1] if timed else axes).set_xlabel(words(x))
    return figure


def _panels(table: pd.DataFrame, names: list[str]) -> list[tuple[str, pd.DataFrame, str, str]]:
    """Title, rows of the table, vertical and horizontal parameter of each heat map; none where there would be too many."""
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
            title += [f"{words(third)} {value_text(value)}"] if third else []
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
    figure, grid = new_figure(
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
        axes.set_xticks(range(len(acrosses)), [value_text(v) for v in acrosses])
        axes.set_yticks(range(len(downs)), [value_text(v) for v in downs])
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
    """Dots with intervals, best first, for parameters that make no axis."""
    seeds = "seed" in names
    shown_names = [n for n in names if n != "seed"] or ["trial"]
    table = table.assign(label=table[shown_names].map(value_text).agg(" · ".join, axis=1))
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
    figure, axes = new_figure(
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


def _machine_types(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Each machine type with its colour."""
    return [(t, CATEGORIES[n % len(CATEGORIES)]) for n, t in enumerate(sorted(table["machine_type"].unique()))]


def _subject(table: pd.DataFrame) -> str:
    types = sorted(table["machine_type"].unique())
    return f" ({types[0]})" if len(types) == 1 else ""


def _mark(axes: Axes, table: pd.DataFrame, x: str, y: str = "auc") -> None:
    """Ring the trials that were chosen without labels, and those that the labels would have chosen."""
    for column, (_, style) in MARKS.items():
        part = table[table[column].astype(bool) & table[y].notna()]
        axes.plot(part[x], part[y], **style, zorder=5)


def _mark_legend() -> list[Artist]:
    return [Line2D([], [], **(style | {"ms": 5}), label=label) for label, style in MARKS.values()]


def _chance(axes: Axes) -> None:
    """Draw the line of chance where the axis reaches it, and let no axis be narrower than 0.02."""
    low, high = axes.get_ylim()
    if high - low < 0.02:
        axes.set_ylim((low + high) / 2 - 0.01, (low + high) / 2 + 0.01)
    if low < 0.5 < high:
        axes.axhline(0.5, color=MUTED, lw=0.8, ls=(0, (4, 3)))


def _value_axis(axes: Axes, values: np.ndarray) -> None:
    """Put ticks at the values of a sweep, on a logarithmic axis where they span more than a factor of 5."""
    low, high = values.min(), values.max()
    if low > 0 and high > 5 * low:
        axes.set_xscale("log")
        axes.set_xlim(low / (high / low) ** 0.06, high * (high / low) ** 0.06)
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    if len(values) <= 8:
        axes.xaxis.set_major_locator(matplotlib.ticker.FixedLocator(list(values)))
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))


def _whiskers(part: pd.DataFrame) -> np.ndarray:
    """Lengths of the error bars, down and up, (2, rows)."""
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
