"""Pictures of alarms: the spectrogram, and where it deviates from normal."""

from collections.abc import Iterable
from pathlib import Path, PurePath

import numpy as np

from humwatch.files import replacing
from humwatch.use import explain
from humwatch.use.detector import Decision, Detector

DPI = 100
FARTHEST = 3.0  # times what is tolerated, beyond which colours do not change


def save(
    detector: Detector,
    path: str,
    decisions: Iterable[Decision],
    folder: Path,
    hop: float | None = None,
    resample: bool = False,
) -> list[Path]:
    """Write a PNG for each alarm of a recording, named after it and the window's start.

    Parameters
    ----------
    detector
        That made the decisions.
    path
        Of the recording.
    decisions
        Of all its windows.
    folder
        Where pictures are written.
    hop, resample
        As given to `Detector.score`.

    Returns
    -------
    list
        The files.
    """
    windows = detector.windows(detector.read(path, resample), hop)
    saved = []
    for decision, (_, window) in zip(decisions, windows, strict=True):
        if decision.alarm:
            name = "_".join(part for part in PurePath(path).with_suffix("").parts[-3:] if part not in ("/", "..", "."))
            saved.append(folder / f"{name}_{decision.start_s:.1f}s.png")
            draw(detector, window, decision, saved[-1])
    return saved


def draw(detector: Detector, window: np.ndarray, decision: Decision, path: Path) -> None:
    """Write a PNG of a window, (samples,): its log-mel spectrogram, the deviation from normal, and the detector's own errors.

    Errors over time are there for the members of a detector that have them.
    """
    import matplotlib.figure  # here, because it takes time to load

    levels = explain.levels(window, detector.sample_rate)
    deviation = explain.deviation_map(levels, detector.reference(detector.known(decision.machine)))
    errors = detector.error_curves(window, decision.machine)
    count = 2 + len(errors)
    figure = matplotlib.figure.Figure(figsize=(9, 2.4 * count), dpi=DPI, layout="constrained")
    axes = figure.subplots(count, 1, sharex=True)
    seconds = len(window) / detector.sample_rate
    frequencies = explain.FEATURE.frequencies(detector.sample_rate)
    edges = np.linspace(0, seconds, len(levels) + 1)
    kilohertz = np.append(frequencies, detector.sample_rate / 2) / 1000
    low, high = np.quantile(levels, [0.02, 0.999])
    for ax, values, limits, colours, label in (
        (axes[0], levels, (low, high), "magma", "dB"),
        (axes[1], deviation, (-FARTHEST, FARTHEST), "RdBu_r", "deviation / tolerated"),
    ):
        mesh = ax.pcolormesh(edges, kilohertz, values.T, vmin=limits[0], vmax=limits[1], cmap=colours, rasterized=True)
        figure.colorbar(mesh, ax=ax, label=label)
        ax.set_ylabel("kHz")
    for ax, (name, times, curve) in zip(axes[2:], errors, strict=True):
        ax.plot(times, curve, color="black", linewidth=0.8)
        ax.set_ylabel(f"error of {name}")
    axes[0].set_title(
        f"{decision.file}, {decision.machine}: score {decision.score:.4g}, threshold {decision.threshold:.4g}",
        fontsize=9,
    )
    axes[-1].set_xlabel("s")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
