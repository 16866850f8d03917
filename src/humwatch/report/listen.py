"""The clips to look at and listen to: each one's sound, its spectrogram, and the error over time beneath it."""

import base64
import io
import itertools
import math
from collections.abc import Iterator
from typing import Any

import matplotlib
import numpy as np
import soundfile
from markupsafe import Markup
from PIL import Image

from humwatch.report.content import Clip, Machine, Report
from humwatch.report.figures.spectrograms import decibel_range, hertz_ticks
from humwatch.report.template import fill

MP3_RATES = [48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000]
MP3_COMPRESSION = 0.5  # of 0 (largest) to 1: some 29 kbit/s at 16 kHz
LONGEST = 30.0  # seconds of a clip that are shown and played
LOUDNESS = 0.7  # peak of a machine id's loudest clip; the others keep their level beside it
MANY_PLAYERS = 40  # browsers cannot load more players at once
# The plot, in units of its view box: the spectrogram above, the error below.
LEFT, RIGHT, TOP, HEIGHT, GAP, ERROR_HEIGHT = 42, 354, 6, 112, 12, 52


def listen(report: Report, budget: int) -> Markup:
    """The cards of clips, in order of their rank within their group, as many as fit into `budget` bytes."""
    made: dict[tuple[int, str], list[Markup]] = {}
    cards: dict[tuple[int, str], Markup] = {}  # a clip may be in two groups
    every = [clip for machine in report.machines for clip in machine.clips]
    preload = "metadata" if len(every) <= MANY_PLAYERS else "none"
    groups = [(m, name, clips) for m, machine in enumerate(report.machines) for name, clips in machine.groups]
    for rank in range(max((len(clips) for _, _, clips in groups), default=0)):
        for m, name, clip in ((m, name, clips[rank]) for m, name, clips in groups if rank < len(clips)):
            if budget > 0 and (m, clip.name) not in cards:
                cards[m, clip.name] = _card(clip, report.machines[m], preload)
            budget -= len(cards.get((m, clip.name), ""))
            if budget > 0:
                made.setdefault((m, name), []).append(cards[m, clip.name])
    return fill(
        "listen.html",
        report=report,
        cards=made,
        left_out=len(every) - sum(map(len, made.values())),
        has_errors=any(clip.errors is not None for clip in every),
        has_sounds=any(clip.samples is not None for clip in every),
        longest=LONGEST,
    )


def mp3(samples: np.ndarray, sample_rate: int) -> bytes:
    """One channel of sound as MP3, which all browsers play.

    Parameters
    ----------
    samples : (samples,) float32
        At full scale 1.
    sample_rate
        In Hz; where MP3 does not have it, the sound is resampled to the next lower rate.
    """
    rate = next((r for r in MP3_RATES if r <= sample_rate), MP3_RATES[-1])
    if rate != sample_rate:
        import scipy.signal  # here, because it takes half of the time that the report needs to start, and is seldom used

        common = math.gcd(rate, sample_rate)
        samples = scipy.signal.resample_poly(samples, rate // common, sample_rate // common)
    file = io.BytesIO()
    soundfile.write(
        file, np.clip(samples, -1, 1), rate, format="MP3", subtype="MPEG_LAYER_III", compression_level=MP3_COMPRESSION
    )
    return file.getvalue()


def _card(clip: Clip, machine: Machine, preload: str) -> Markup:
    sound, start, shown = None, 0.0, len(clip.frames) * (machine.scale.hop_seconds or 1.0)
    if clip.samples is not None and (rate := machine.sample_rate):
        length = len(clip.samples) / rate
        start, shown = _excerpt(clip, machine, length)
        samples = clip.samples[int(start * rate) : int((start + shown) * rate)]
        peak = max(float(np.abs(c.samples).max(initial=0)) for c in machine.clips if c.samples is not None) or 1.0
        sound = {"length": length, "mp3": base64.b64encode(mp3(samples * (LOUDNESS / peak), rate)).decode()}
    return fill("card.html", clip=clip, sound=sound, plot=_plot(clip, machine, start, shown), preload=preload)


def _excerpt(clip: Clip, machine: Machine, length: float) -> tuple[float, float]:
    """Start and length, in seconds, of what is shown: of a long clip, the part around its largest error."""
    if length <= LONGEST:
        return 0.0, length
    middle = length / 2 if clip.errors is None else float(_window_times(clip.errors, machine)[np.argmax(clip.errors)])
    return float(min(max(middle - LONGEST / 2, 0), length - LONGEST)), LONGEST


def _window_times(errors: np.ndarray, machine: Machine) -> np.ndarray:
    """Seconds (or frames) at which each window is centred; frame i is centred at i hops."""
    return (np.arange(len(errors)) + (machine.window - 1) / 2) * (machine.scale.hop_seconds or 1.0)


def _plot(clip: Clip, machine: Machine, start: float, shown: float) -> dict[str, Any]:
    """What plot.svg.j2 draws: the clip from `start`, `shown` seconds (or frames) of it."""
    hop, frequencies, bottom = machine.scale.hop_seconds or 1.0, machine.scale.frequencies, TOP + HEIGHT

    def x(seconds: float) -> float:
        return LEFT + (RIGHT - LEFT) * (seconds - start) / shown

    plot: dict[str, Any] = {"left": LEFT, "right": RIGHT, "top": TOP, "height": HEIGHT, "bottom": bottom}
    plot |= {"start": start, "shown": shown, "unit": " s" if machine.scale.hop_seconds else ""}
    plot |= {"hertz": [], "largest": None, "peak": "", "typical": None}
    plot["image"] = _spectrogram_png(clip.frames, *decibel_range([c.frames for c in machine.clips]))
    plot |= {"image_x": x(-hop / 2) - LEFT, "image_width": (RIGHT - LEFT) * len(clip.frames) * hop / shown}
    if frequencies is not None:
        places, values = hertz_ticks(frequencies)
        plot["hertz"] = [*zip(bottom - HEIGHT * (places + 0.5) / len(frequencies), values, strict=True)]
    if clip.errors is not None:
        plot["error_top"] = bottom + GAP
        plot["bottom"] = bottom = bottom + GAP + ERROR_HEIGHT
        plot["largest"] = largest = max(
            max(float(c.errors.max()) for c in machine.clips if c.errors is not None), 1e-12
        )
        times = _window_times(clip.errors, machine)
        inside = (times >= start) & (times <= start + shown)
        times, errors = times[inside], clip.errors[inside]
        points = zip(times, errors, strict=True)
        plot["line"] = [f"{x(time):.1f},{bottom - ERROR_HEIGHT * error / largest:.1f}" for time, error in points]
        if len(times):
            at = errors.argmax()
            plot["peak"] = f"; the error is largest, {errors[at]:.2g}, at {times[at]:.1f}{plot['unit']}"
        if machine.typical is not None and machine.typical < largest:
            plot["typical"] = bottom - ERROR_HEIGHT * machine.typical / largest
    plot["times"] = [(x(time), time) for time in _second_ticks(start, start + shown)]
    return plot


def _second_ticks(start: float, end: float) -> Iterator[float]:
    steps = (m * 10.0**e for e in range(-2, 6) for m in (1, 2, 5))
    step = next(s for s in steps if (end - start) / s <= 6)
    for n in itertools.count(math.ceil(start / step - 1e-9)):
        if n * step > end + 1e-9:
            return
        yield round(n * step, 6)


def _spectrogram_png(frames: np.ndarray, low: float, high: float, colours: int = 64) -> str:
    """A palette PNG, a pixel per bin and frame, low frequencies at the bottom; base64."""
    levels = np.clip((frames.T[::-1] - low) / (high - low) * colours, 0, colours - 1).astype(np.uint8)
    image = Image.fromarray(levels).convert("P")
    palette = (matplotlib.colormaps["magma"](np.linspace(0, 1, colours))[:, :3] * 255).round().astype(np.uint8)
    image.putpalette(palette.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
