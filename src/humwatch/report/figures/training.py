"""Training curves of a sweep."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from humwatch.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    SKY,
    STYLE,
    VERMILION,
    count_diverged,
    new_figure,
)
from humwatch.report.words import value_text, varied, words


def training_figure(logs: Sequence[tuple[pd.Series, pd.DataFrame]], name: str, footer: str = "") -> Figure:
    """Loss against epoch of a sweep's trainings: validation losses, and the chosen trial's training loss.

    Parameters
    ----------
    logs
        Of each trial, its row of the sweep's table, and its log with the columns epoch, train_loss, val_loss.
    name
        The sweep's.
    footer
        The line below.
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
    legend = [Line2D([], [], color=colours[v], label=f"{words(by or '')} {value_text(v)}") for v in values[:6]]
    if not values and len(longest) > len(picked):
        legend = [Line2D([], [], color=GREY, label="other trials, validation")]
    chosen_lines: dict[str, dict[str, Any]] = {"validation": {"lw": 2.0}, "training": {"lw": 1.2, "ls": (0, (2, 1.5))}}
    if picked:
        legend += [Line2D([], [], color=VERMILION, label=f"chosen trial, {k}", **v) for k, v in chosen_lines.items()]
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(2.2, f"Training curves: sweep “{words(name)}”", footer, legend)
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
        count_diverged(axes, rows)
    return figure


def _plain_log(axes: Axes, values: np.ndarray) -> None:
    """Make the y axis logarithmic, with plain numbers, where the values span more than a factor of 10."""
    values = values[np.isfinite(values)]
    if len(values) == 0 or values.min() <= 0 or values.max() < 10 * values.min():
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(
        matplotlib.ticker.LogLocator(subs=(1, 2, 5) if values.max() < 500 * values.min() else (1,))
    )
    axes.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
