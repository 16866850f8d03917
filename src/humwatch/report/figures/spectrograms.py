"""Spectrograms, and what their axes need."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from humwatch.report.figures.style import STYLE, new_figure

HERTZ = [100, 200, 500, 1000, 2000, 4000, 8000, 16000, 32000]


def spectrogram_figure(
    panels: Sequence[tuple[str, np.ndarray]],
    frequencies: np.ndarray | None,
    hop_seconds: float | None,
    title: str,
    footer: str = "",
) -> Figure:
    """Spectrograms one above the other, with the same axes and colours.

    Parameters
    ----------
    panels : title, (frames, bins)
        Values in dB.
    frequencies : (bins,)
        In Hz; None where unknown: the axis then counts bins.
    hop_seconds
        Time between frames; None where unknown: the axis then counts frames.
    title, footer
        Lines above and below.
    """
    low, high = decibel_range([frames for _, frames in panels])
    hop = hop_seconds or 1.0
    with matplotlib.rc_context(STYLE):
        figure, rows = new_figure(0.4 + 1.3 * len(panels), title, footer, rows=len(panels))
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
    """The limits of a colour scale for these spectrograms, (frames, bins) each, without the darkest and brightest outliers."""
    values = np.concatenate([frames.ravel()[::7] for frames in clips])
    low, high = np.quantile(values, [0.01, 0.999])
    return float(low), float(max(high, low + 1))


def hertz_ticks(frequencies: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Ticks of a mel axis: where round frequencies lie, in bins, and the frequencies in Hz.

    Parameters
    ----------
    frequencies : (bins,)
        The frequency of each bin, in Hz.
    """
    hertz = [h for h in HERTZ if frequencies[0] <= h <= frequencies[-1]]
    places = np.interp(hertz, frequencies, np.arange(len(frequencies)))
    keep = [i for i, place in enumerate(places) if i == 0 or place - places[i - 1] > len(frequencies) / 20]
    return places[keep], [hertz[i] for i in keep]
