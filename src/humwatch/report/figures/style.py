"""What all figures have in common: colours, sizes, how one is begun and written.

Categories have the colours of Okabe & Ito, values those of cividis and magma. A figure is one column of a paper wide, 3.5
inches.

References
----------
Okabe & Ito 2008, "Color Universal Design".
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
LEGEND_LETTERS = 62  # per line


def save(figure: Figure, path: Path) -> None:
    """Write `<path>.png` (200 dots per inch) and `<path>.svg`; the same figure makes the same bytes."""
    with matplotlib.rc_context(STYLE):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once, not once per file
        for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
            with replacing(path.with_name(f"{path.name}.{ending}")) as temporary:
                figure.savefig(temporary, format=ending, metadata=metadata)


def new_figure(
    height: float,
    title: str,
    footer: str,
    legend: Sequence[Artist] = (),
    rows: int = 1,
    columns: int = 1,
    **kwargs: Any,
) -> tuple[Figure, Any]:
    """A figure of column width, with title and legend above the axes and the footer below, where they cover no data.

    Parameters
    ----------
    height
        Of the axes together, in inches.
    title, footer
        Broken into lines.
    legend
        Its entries.
    rows, columns
        Of axes.
    **kwargs
        For `Figure.subplots`.

    Returns
    -------
    figure, axes
        As `Figure.subplots` gives the axes.
    """
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


def count_diverged(axes: Axes, table: pd.DataFrame) -> None:
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
