"""report.html: one self-contained page that opens without a network. Data in, HTML out.

The page holds its style, script, figures (SVG) and sounds (MP3) itself; a content policy in it forbids any request.
"""

import base64
import html
import io
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import soundfile
from PIL import Image

from humwatch.features.base import Scale
from humwatch.report import figures
from humwatch.report.figures import decibel_range, hertz_ticks, varied, words

LIMIT_MB = 15
MP3_RATES = [48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000]
MP3_COMPRESSION = 0.5  # of 0 (largest) to 1: some 29 kbit/s at 16 kHz
LONGEST = 30.0  # seconds of a clip that are shown and played
LOUDNESS = 0.7  # peak of a machine id's loudest clip; the others keep their level beside it
MANY_PLAYERS = 40  # browsers give up on more players that are loaded at once
ROWS = 300  # of a table
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
LISTEN = "<!-- the clips -->"
CRITERIA = {
    "val_loss": "the loss of",
    "pseudo_auc": "how well the scores tell patched copies (pseudo-anomalies) from",
}
TABLES = {
    "selected": "What each study chose, and what the labels would have chosen",
    "summary": "Every configuration, over its seeds",
    "auc": "Every trial and machine id",
    "comparison": "Beside published figures",
}
NEVER_FIXED = {"auc", "auc_low", "auc_high"}
CHOICES = {"selected": ("chosen", "good"), "best_by_labels": ("best by labels", ""), "diverged": ("diverged", "warn")}
LABEL_WORDS: dict[int | None, str] = {0: "normal", 1: "anomaly"}
# Colours of the figures that follow the page's light or dark theme.
THEME = {
    figures.GROUND: "--card",
    figures.INK: "--ink",
    figures.MUTED: "--muted",
    figures.GRID: "--rule",
    figures.BLUE: "--blue",
    figures.ORANGE: "--orange",
    figures.GREEN: "--green",
    figures.VERMILION: "--vermilion",
    figures.PINK: "--pink",
    figures.SKY: "--sky",
}
LOGO = (
    '<svg viewBox="0 0 32 20" fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round" aria-hidden="true">'
    '<path d="M2 8v4M7 5v10M12 8v4M17 2v16M22 6v8M27 8v4"/></svg>'
)


@dataclass
class Clip:
    """One clip to look at and listen to.

    score, rank: its anomaly score, and its place (1 = most anomalous) among the `ranked` test clips of its machine id.
    frames: (frames, bins), as the detector heard it. samples: the sound, (samples,) float32, None where there is no recording.
    errors: error of each window, (windows,), window i beginning at frame i; None where the detector scores a clip as a whole.
    """

    name: str
    label: int | None
    score: float
    rank: int
    ranked: int
    frames: np.ndarray
    samples: np.ndarray | None = None
    errors: np.ndarray | None = None


@dataclass
class Machine:
    """The clips of one machine id.

    groups: (name, clips, most telling first). scale: the axes of the frames. window: frames per window. typical: mean window
    error of the held-out normal clips. sample_rate: Hz of the sounds.
    """

    machine_type: str
    machine_id: str
    groups: list[tuple[str, list[Clip]]]
    auc: float
    pauc: float
    scale: Scale
    window: int = 1
    sample_rate: int | None = None
    typical: float | None = None


@dataclass
class Study:
    """One sweep: its tidy table, the same in a report's shape, and its figures as SVG by what they show."""

    name: str
    table: pd.DataFrame
    shaped: pd.DataFrame
    figures: Mapping[str, str]


@dataclass
class Report:
    """All that the page shows.

    studies: the first one's choice is the trial in detail. chosen: its row of the sweep's table, per machine type.
    detail: figures of the chosen trial, as SVG, by title. tables: further tables by name. config: as YAML text.
    """

    title: str
    generated: bool
    clips: pd.DataFrame
    studies: list[Study]
    chosen: pd.DataFrame
    detail: Mapping[str, str]
    machines: list[Machine]
    tables: Mapping[str, pd.DataFrame]
    warnings: list[str]
    config: str
    versions: Mapping[str, str]
    limit_mb: float = LIMIT_MB


GROUPS = {
    "most anomalous": "The clips that the detector finds strangest, whatever their label.",
    "missed": "Anomalies with the lowest scores: what the detector does not hear.",
    "false alarms": "Normal clips with the highest scores: what would ring without need.",
}


def pick(scores: pd.DataFrame, count: int) -> dict[str, pd.DataFrame]:
    """The clips of one machine id that are worth a look, by group, `count` at most in each.

    scores: label (0, 1, missing) and score of each test clip. Without labels there are only the most anomalous.
    """
    ranked = scores[np.isfinite(scores["score"])].sort_values("score", ascending=False, kind="stable")
    label = ranked["label"].astype("Int8").fillna(-1)
    groups = {
        "most anomalous": ranked[:count],
        "missed": ranked[label == 1][::-1][:count],
        "false alarms": ranked[label == 0][:count],
    }
    return {name: rows for name, rows in groups.items() if len(rows)}


def render(report: Report) -> str:
    """The whole page. Clips that would make it larger than `limit_mb` are left out, the least telling first, and counted."""
    before, after = _page(report, LISTEN).split(LISTEN)
    budget = int(report.limit_mb * 1e6) - len((before + after).encode()) - 20_000
    return before + _listen(report, budget) + after


def _page(report: Report, listen: str) -> str:
    template = files("humwatch.report") / "templates"
    style, script = ((template / name).read_text() for name in ("style.css", "script.js"))
    sections = {
        "summary": ("At a glance", _summary(report)),
        "studies": ("Studies", "".join(_study(study) for study in report.studies)),
        "chosen": ("The chosen trial", _chosen(report)),
        "listen": ("Listen", listen),
        "tables": ("Tables", "".join(_table_article(name, table) for name, table in report.tables.items())),
        "run": ("What was run", _run(report)),
    }
    sections = {key: section for key, section in sections.items() if section[1]}
    links = "".join(f'<li><a href="#{key}">{title}</a></li>' for key, (title, _) in sections.items())
    body = "".join(
        f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">{title}</h2>{content}</section>'
        for key, (title, content) in sections.items()
    )
    origin = "generated recordings" if report.generated else "recordings"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>humwatch: {_esc(report.title)}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<a class="skip" href="#summary">Skip to the results</a>
<header><div class="wide">
<div class="brand">{LOGO}<span>humwatch</span></div>
<h1>{_esc(report.title)} {_origin_chip(report.generated)}</h1>
<p class="lead">{_lead(report, origin)}</p>
</div></header>
<nav aria-label="Sections"><ul class="wide">{links}</ul></nav>
<main>{body}</main>
<footer>Made by humwatch {_esc(report.versions.get("humwatch", ""))}: one file that loads nothing from the network.</footer>
<script>{script}</script>
</body>
</html>
"""


def _origin_chip(generated: bool) -> str:
    return '<span class="chip warn">generated data</span>' if generated else '<span class="chip">recordings</span>'


def _lead(report: Report, origin: str) -> str:
    types = sorted(report.clips["machine_type"].unique())
    ids = len(report.clips[["machine_type", "machine_id"]].drop_duplicates())
    said = (
        f"Detectors that heard only normal {origin} of {ids} machine{_s(ids)} ({_esc(', '.join(types))}) "
        "say of every test clip how anomalous it sounds."
    )
    if report.generated:
        said += (
            " The sounds are made by a program: the figures show that the workflow works, "
            "not how well it hears real machines."
        )
    return said


def _summary(report: Report) -> str:
    clips, trials = report.clips, _all_trials(report)
    train = int((clips["split"] == "train").sum())
    labels = clips.loc[clips["split"] == "test", "label"].astype("Int8")
    counts = [
        (int(labels.eq(1).sum()), "anomalies"),
        (int(labels.eq(0).sum()), "normal"),
        (int(labels.isna().sum()), "unlabelled"),
    ]
    tested = ", ".join(f"{n} {kind}" for n, kind in counts if n) or "none"
    diverged = int(trials["diverged"].astype(bool).sum())
    numbers = []
    chosen = report.chosen[report.chosen["auc"].notna()]
    if len(chosen):
        mean, row = chosen["auc"].mean(), chosen.iloc[0]
        spread = f"95 % interval {row['auc_low']:.3f} to {row['auc_high']:.3f}; " if len(chosen) == 1 else ""
        numbers.append(("AUC of the chosen trial", f"{mean:.3f}", f"{spread}pAUC {chosen['pauc'].mean():.3f}"))
        first = report.studies[0].table
        best = first[first["best_by_labels"].astype(bool)].drop_duplicates("machine_type")["auc"].mean()
        if np.isfinite(best):
            numbers.append(
                (
                    "Price of choosing without labels",
                    f"{max(best - mean, 0):.3f}",
                    f"the best trial by test labels: {best:.3f}",
                )
            )
    numbers.append(("Trials", str(len(trials)), f"{diverged} diverged" if diverged else "all finished"))
    numbers.append(("Clips", f"{len(clips):,}", f"{train:,} to train on; tested: {tested}"))
    blocks = "".join(
        f'<div><dt>{name}</dt><dd><div class="value">{value}</div><div class="muted">{note}</div></dd></div>'
        for name, value, note in numbers
    )
    explained = (
        "<p>The AUC is the share of pairs of an anomalous and a normal clip in which the anomalous one gets the higher "
        "score: 0.5 is guessing, 1 is perfect. The pAUC counts only thresholds with at most 10 % false alarms. Both are means "
        "over machine ids.</p>"
        if len(chosen)
        else "<p>The test clips have no labels, so that nothing is measured: below are the clips that sound strangest.</p>"
    )
    return f'{explained}<dl class="numbers">{blocks}</dl>{_notice(report, trials)}'


def _notice(report: Report, trials: pd.DataFrame) -> str:
    items = [
        f"<code>{_esc(_trial_name(row))}</code> diverged: its training ended in a loss that is not finite, it has no AUC"
        for _, row in trials[trials["diverged"].astype(bool)].iterrows()
    ]
    if len(items) > 12:
        items = [*items[:12], f"… and {len(items) - 12} more: they are marked in the tables"]
    items += [_esc(warning) for warning in report.warnings[:20]]
    if len(report.warnings) > 20:
        items.append(f"… and {len(report.warnings) - 20} more warnings: see the logs")
    if not items:
        return ""
    return f'<div class="notice"><h3>To know</h3><ul>{"".join(f"<li>{item}</li>" for item in items)}</ul></div>'


def _study(study: Study) -> str:
    table = study.table
    names = [words(n) for n in varied(table)]
    what = f"Varied: {_esc(_listed(names))}. " if names else ""
    said = []
    several = table["machine_type"].nunique() > 1
    for machine_type, part in table.groupby("machine_type", sort=True):
        picked, best = (part[part[c].astype(bool)] for c in ("selected", "best_by_labels"))
        prefix = f"{_esc(machine_type)}: " if several else ""
        if len(picked):
            measured = f" (AUC {picked['auc'].iloc[0]:.3f})" if np.isfinite(picked["auc"].iloc[0]) else ""
            by = CRITERIA.get(picked["criterion"].iloc[0], "")
            what_won = f"<b>{_point(picked.iloc[0], table)}</b>{measured}"
            text = f"{prefix}Chosen without labels, by {by} held-out normal clips: {what_won}"
            if len(best) and best.index[0] != picked.index[0]:
                text += (
                    f"; the test labels would have chosen {_point(best.iloc[0], table)} (AUC {best['auc'].iloc[0]:.3f})"
                )
            elif len(best):
                text += ", which is also the best by the test labels"
            said.append(text + ".")
    choices = f"<p>{what}{'<br>'.join(said)}</p>" if said or what else ""
    published = [text for text in table["reference"].dropna().unique() if text]
    if published:
        choices += f"<p class='muted'>Published for the same machine ids (AUC/pAUC): {_esc('; '.join(published))}.</p>"
    open_ = " open" if len(table) <= 12 else ""
    shaped = ""
    if len(study.shaped):
        inner = _table(study.shaped, f"{words(study.name)} in rows and columns", same=False)
        shaped = f"<details><summary>The same in rows and columns</summary>{inner}</details>"
    trials = _table(table.drop(columns=["reference", "criterion"]), f"Sweep {words(study.name)}")
    return (
        f"<article><h3>{_esc(_heading(study.name))}</h3>{choices}{_figures(study.figures, f'study-{study.name}')}"
        f"<details{open_}><summary>Table: {len(table)} row{_s(len(table))}</summary>{trials}</details>{shaped}</article>"
    )


def _chosen(report: Report) -> str:
    if len(report.chosen) == 0:
        return "<article><p>No trial of the first sweep could be chosen: all of them diverged.</p></article>"
    named = "".join(
        f"<li>{_esc(row['machine_type'])}: <code>{_esc(_trial_name(row))}</code></li>"
        for _, row in report.chosen.iterrows()
    )
    return (
        f"<p>The figures and sounds from here on are those of one trial: the one that the first study, "
        f"{_esc(words(report.studies[0].name))}, chose on held-out normal clips, without looking at a test label.</p>"
        f"<ul>{named}</ul><article>{_figures(report.detail, 'chosen')}</article>"
    )


def _listen(report: Report, budget: int) -> str:
    """Cards in order of their rank within their group, as many as fit into `budget` bytes."""
    made: dict[tuple[int, str], list[str]] = {}
    cards: dict[tuple[int, str], str] = {}  # a clip may be in two groups
    total = sum(len(clips) for machine in report.machines for _, clips in machine.groups)
    preload = "metadata" if total <= MANY_PLAYERS else "none"
    left_out = 0
    for rank in itertools.count():
        wanted = [
            (m, name, clips[rank])
            for m, mach in enumerate(report.machines)
            for name, clips in mach.groups
            if rank < len(clips)
        ]
        if not wanted:
            break
        for m, name, clip in wanted:
            if budget > 0 and (m, clip.name) not in cards:
                cards[m, clip.name] = _card(clip, report.machines[m], preload)
            budget -= len(cards.get((m, clip.name), ""))
            if budget > 0:
                made.setdefault((m, name), []).append(cards[m, clip.name])
            else:
                left_out += 1
    articles = []
    for m, machine in enumerate(report.machines):
        groups = "".join(
            f"<h4>{name.capitalize()}</h4><p class='muted'>{GROUPS[name]}</p>"
            f"<ul class='clips'>{''.join(made[m, name])}</ul>"
            for name, _ in machine.groups
            if (m, name) in made
        )
        measured = f"AUC {machine.auc:.3f}, pAUC {machine.pauc:.3f}" if np.isfinite(machine.auc) else "no labels"
        title = f"{_esc(machine.machine_type)}, id {_esc(machine.machine_id)} <span class='chip'>{measured}</span>"
        articles.append(f"<article><h3>{title}</h3>{groups}</article>")
    if not made:
        return "<p>There are no scored clips to listen to.</p>"
    errors = any(
        clip.errors is not None for machine in report.machines for _, clips in machine.groups for clip in clips
    )
    below = (
        "Beneath it is the error of each window of the sound over time; the dashed line is the mean error of normal clips that "
        "were held out of training. "
        if errors
        else "This detector scores a clip as a whole, so that there is no error over time to show. "
    )
    cut = f"{left_out} clip{_s(left_out)} left out to keep the page below {report.limit_mb:g} MB. " if left_out else ""
    heard = any(
        clip.samples is not None for machine in report.machines for _, clips in machine.groups for clip in clips
    )
    plays = "A click in a spectrogram plays from there. " if heard else ""
    sounds = (
        f"Sounds are MP3, {LONGEST:g} s at most, amplified alike within a machine id; "
        if heard
        else "The features were computed elsewhere: there are no recordings to play; "
    )
    return (
        f"<p>Each clip with its spectrogram. {below}{plays}Spectrograms and errors of one machine id share their scales.</p>"
        f"<p class='muted'>{cut}{sounds}the page is kept below {report.limit_mb:g} MB.</p>{''.join(articles)}"
    )


def _card(clip: Clip, machine: Machine, preload: str) -> str:
    every = [c for _, clips in machine.groups for c in clips]
    start, shown = 0.0, len(clip.frames) * (machine.scale.hop_seconds or 1.0)
    player = note = ""
    if clip.samples is not None and machine.sample_rate:
        length = len(clip.samples) / machine.sample_rate
        start, shown = _excerpt(clip, machine, length)
        sound = clip.samples[int(start * machine.sample_rate) : int((start + shown) * machine.sample_rate)]
        peak = max(float(np.abs(c.samples).max(initial=0)) for c in every if c.samples is not None) or 1.0
        source = (
            f"data:audio/mpeg;base64,{base64.b64encode(mp3(sound * (LOUDNESS / peak), machine.sample_rate)).decode()}"
        )
        player = f'<audio controls preload="{preload}" aria-label="{_esc(clip.name)}" src="{source}"></audio>'
        note = f", seconds {start:.0f} to {start + shown:.0f} of {length:.0f}" if shown < length else ""
    label = LABEL_WORDS.get(clip.label, "no label")
    return (
        f'<li class="clip"><header><h5>{_esc(clip.name)}</h5>'
        f'<span class="chip {"warn" if clip.label == 1 else ""}">{label}</span>'
        f'<span class="score">score {clip.score:.4g}, rank {clip.rank} of {clip.ranked}{note}</span></header>'
        f"{_plot(clip, machine, every, start, shown)}{player}</li>"
    )


def mp3(samples: np.ndarray, sample_rate: int) -> bytes:
    """One channel of sound as MP3, which all browsers play; resampled where MP3 does not know the sample rate (Hz)."""
    rate = next((r for r in MP3_RATES if r <= sample_rate), MP3_RATES[-1])
    if rate != sample_rate:
        import scipy.signal  # half of the time that the report takes to start, and seldom needed

        common = math.gcd(rate, sample_rate)
        samples = scipy.signal.resample_poly(samples, rate // common, sample_rate // common)
    file = io.BytesIO()
    soundfile.write(
        file, np.clip(samples, -1, 1), rate, format="MP3", subtype="MPEG_LAYER_III", compression_level=MP3_COMPRESSION
    )
    return file.getvalue()


def _excerpt(clip: Clip, machine: Machine, length: float) -> tuple[float, float]:
    """Start and length, in seconds, of what is shown: of a long clip, the part around its largest error."""
    if length <= LONGEST:
        return 0.0, length
    middle = length / 2 if clip.errors is None else float(_window_times(clip.errors, machine)[np.argmax(clip.errors)])
    return float(min(max(middle - LONGEST / 2, 0), length - LONGEST)), LONGEST


def _window_times(errors: np.ndarray, machine: Machine) -> np.ndarray:
    """Seconds (or frames) at which each window is centred; frame i is centred at i hops."""
    return (np.arange(len(errors)) + (machine.window - 1) / 2) * (machine.scale.hop_seconds or 1.0)


def _plot(clip: Clip, machine: Machine, every: Sequence[Clip], start: float, shown: float) -> str:
    """Spectrogram and, beneath it on the same time axis, the error of each window."""
    left, right, top, height, gap, error_height = 42, 354, 6, 112, 12, 52
    width = right - left
    bottom = top + height
    low, high = decibel_range([c.frames for c in every])

    def x(seconds: float) -> float:
        return left + width * (seconds - start) / shown

    hop, unit = (machine.scale.hop_seconds, " s") if machine.scale.hop_seconds else (1.0, "")
    image = _spectrogram_png(clip.frames, low, high)
    parts = [
        f'<svg x="{left}" y="{top}" width="{width}" height="{height}"><image x="{x(-hop / 2) - left:.2f}" y="0"'
        f' width="{width * len(clip.frames) * hop / shown:.2f}" height="{height}" preserveAspectRatio="none"'
        f' href="data:image/png;base64,{image}"/></svg>'
    ]
    if machine.scale.frequencies is not None:
        for place, value in zip(*hertz_ticks(machine.scale.frequencies), strict=True):
            y = bottom - height * (place + 0.5) / len(machine.scale.frequencies)
            name = f"{value / 1000:g}k" if value >= 1000 else f"{value}"
            parts.append(f'<line class="tick" x1="{left - 3}" x2="{left}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{left - 5}" y="{y + 3.4:.1f}" text-anchor="end">{name}</text>')
    parts.append(f'<text x="0" y="{top + 7}">{"bin" if machine.scale.frequencies is None else "Hz"}</text>')
    peak_said = ""
    if clip.errors is not None:
        top_error = bottom + gap
        bottom = top_error + error_height
        largest = max(max(float(c.errors.max()) for c in every if c.errors is not None), 1e-12)
        times = _window_times(clip.errors, machine)
        inside = (times >= start) & (times <= start + shown)
        times, errors = times[inside], clip.errors[inside]
        line = " ".join(
            f"{x(t):.1f},{bottom - error_height * e / largest:.1f}" for t, e in zip(times, errors, strict=True)
        )
        parts.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{top_error}" y2="{top_error}"/>')
        if len(times):
            parts.append(
                f'<polygon class="area" points="{x(times[0]):.1f},{bottom} {line} {x(times[-1]):.1f},{bottom}"/>'
            )
            parts.append(f'<polyline class="error" points="{line}"/>')
            peak_said = f"; the error is largest, {errors.max():.2g}, at {times[np.argmax(errors)]:.1f}{unit}"
        if machine.typical is not None and machine.typical < largest:
            y = bottom - error_height * machine.typical / largest
            parts.append(f'<line class="typical" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 5}" y="{top_error + 7}" text-anchor="end">{largest:.2g}</text>')
        parts.append(f'<text x="{left - 5}" y="{bottom}" text-anchor="end">0</text>')
        parts.append(f'<text x="0" y="{(top_error + bottom) / 2 + 6:.0f}">error</text>')
    parts.append(f'<line class="tick" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    for t in _second_ticks(start, start + shown):
        end = t > start + 0.97 * shown
        parts.append(f'<line class="tick" x1="{x(t):.1f}" x2="{x(t):.1f}" y1="{bottom}" y2="{bottom + 3}"/>')
        anchor = "end" if end else "middle"
        parts.append(
            f'<text x="{x(t) + 4 * end:.1f}" y="{bottom + 14}" text-anchor="{anchor}">{t:g}{unit if end else ""}</text>'
        )
    parts.append(f'<line class="playhead" x1="{left}" x2="{left}" y1="{top}" y2="{bottom}"/>')
    said = f"Spectrogram of {clip.name}, {shown:.0f}{unit or ' frames'}{peak_said}"
    return (
        f'<svg viewBox="0 0 360 {bottom + 18}" role="img" aria-label="{_esc(said)}" data-left="{left}" data-width="{width}"'
        f' data-seconds="{shown:.4f}">{"".join(parts)}</svg>'
    )


def _second_ticks(start: float, end: float) -> Iterator[float]:
    steps = (m * 10.0**e for e in range(-2, 6) for m in (1, 2, 5))
    step = next(s for s in steps if (end - start) / s <= 6)
    n = math.ceil(start / step - 1e-9)
    while n * step <= end + 1e-9:
        yield round(n * step, 6)
        n += 1


def _spectrogram_png(frames: np.ndarray, low: float, high: float, colours: int = 64) -> str:
    """A palette PNG, a pixel per bin and frame, low frequencies at the bottom; base64."""
    levels = np.clip((frames.T[::-1] - low) / (high - low) * colours, 0, colours - 1).astype(np.uint8)
    image = Image.fromarray(levels).convert("P")
    palette = (matplotlib.colormaps["magma"](np.linspace(0, 1, colours))[:, :3] * 255).round().astype(np.uint8)
    image.putpalette(palette.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def _run(report: Report) -> str:
    clips = report.clips.assign(label=report.clips["label"].astype("Int8"))
    rows = []
    for (machine_type, machine_id), part in clips.groupby(["machine_type", "machine_id"], sort=True):
        test = part[part["split"] == "test"]
        seconds = sorted({f"{s:.1f}".removesuffix(".0") for s in part["seconds"].dropna()}, key=float)
        rates = sorted({f"{rate:.0f}" for rate in part["sample_rate"].dropna()})
        rows.append(
            {
                "machine_type": machine_type,
                "machine_id": machine_id,
                "train": int((part["split"] == "train").sum()),
                "test normal": int(test["label"].eq(0).sum()),
                "test anomaly": int(test["label"].eq(1).sum()),
                "unlabelled": int(test["label"].isna().sum()),
                "seconds": " to ".join(dict.fromkeys([*seconds[:1], *seconds[-1:]])),
                "Hz": ", ".join(rates),
                "hours": part["seconds"].sum() / 3600,
            }
        )
    kind = "generated by a program" if report.generated else "recordings"
    quality = clips["quality"].dropna().str.split("; ").explode().value_counts() if "quality" in clips else pd.Series()
    told = ", ".join(f"{count:,} {word}" for word, count in quality.items())
    remarked = f"<p>Worth a look (column quality of clips.parquet): {_esc(told)}.</p>" if told else ""
    versions = pd.DataFrame(report.versions.items(), columns=["software", "version"])
    return (
        f"<article><h3>Data: {len(clips):,} clips, {kind}</h3>{_table(pd.DataFrame(rows), 'Clips per machine id', same=False)}"
        f"{remarked}</article><article><h3>Configuration</h3><p class='muted'>With every default filled in.</p>"
        f"<pre tabindex='0' role='region' aria-label='Configuration'>{_esc(report.config)}</pre></article>"
        f"<article><h3>Versions</h3>{_table(versions, 'Versions', same=False)}</article>"
    )


def _table_article(name: str, table: pd.DataFrame) -> str:
    title = f"{_esc(TABLES.get(name, _heading(name)))} <span class='muted'>{len(table):,} row{_s(len(table))}</span>"
    return (
        f"<article class='folded'><details><summary>{title}</summary>{_table(table, words(name))}</details></article>"
    )


def _table(table: pd.DataFrame, caption: str, same: bool = True) -> str:
    """A table whose headings sort it. same: say what is the same in all rows once, below it."""
    above, below, columns = "", "", [str(c) for c in table]
    if same:
        columns = sorted((c for c in columns if not table[c].isna().all()), key=_column_order)
        fixed = [c for c in columns if len(table) > 1 and c not in NEVER_FIXED and table[c].nunique(dropna=False) == 1]
        columns = [c for c in columns if c not in fixed]
        told = [f"{words(c)} {_cell_text(c, table[c].iloc[0])}" for c in fixed if c not in ("sweep", *CHOICES)]
        if told:
            below = f"<p class='muted'>The same in every row: {_esc('; '.join(told))}.</p>"
    rows = table.head(ROWS)
    if len(rows) < len(table):
        above += f"<p class='muted'>The first {len(rows)} of {len(table):,} rows; the CSV file has them all.</p>"
    kinds: dict[str, str] = {}  # column -> how it is shown
    for c in columns:
        if c in CHOICES:
            kinds["choice"] = "choice"
        elif c == "auc_high" and "auc_low" in columns:
            kinds["95 % interval"] = "interval"
        elif c != "auc_low" or "auc_high" not in columns:
            numeric = pd.api.types.is_numeric_dtype(table[c]) and not pd.api.types.is_bool_dtype(table[c])
            kinds[c] = "number" if numeric else "text"
    head = "".join(
        f'<th scope="col" aria-sort="none"{"" if kind in ("text", "choice") else " class=number"}>'
        f'<button type="button">{_esc(words(c))}</button></th>'
        for c, kind in kinds.items()
    )
    body = "".join(
        f"<tr{' class=chosen' if row.get('selected') else ''}>"
        f"{''.join(_cell(row, c, kind, n == 0) for n, (c, kind) in enumerate(kinds.items()))}</tr>"
        for row in rows.to_dict("records")
    )
    return (
        f'{above}<div class="scroll" tabindex="0" role="region" aria-label="{_esc(caption)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{below}"
    )


def _column_order(name: str) -> int:
    """Who it is, what it was made with, how well it did, how it was chosen; the long names last."""
    order = ["machine_type", "machine_id", "", "auc", "auc_low", "auc_high", "auc_mean", "auc_std", "pauc", "pauc_mean",
             "pauc_std", *CHOICES, "val_loss", "pseudo_auc", "seconds_per_epoch", "trial", "note"]  # fmt: skip
    return order.index(name) if name in order else order.index("")


def _cell(row: Mapping[Any, Any], column: str, kind: str, first: bool) -> str:
    tag = "th" if first else "td"
    opening = '<th scope="row"' if first else "<td"
    if kind == "choice":
        made = [(word, look) for name, (word, look) in CHOICES.items() if row.get(name) is True]
        chips = " ".join(f'<span class="chip {look}">{word}</span>' for word, look in made)
        return f'{opening} data-value="{" ".join(word for word, _ in made)}">{chips}</{tag}>'
    if kind == "interval":
        low, high = (_cell_text(name, row[name]) for name in ("auc_low", "auc_high"))
        return f'{opening} class="number" data-value="{low}">{f"{low} – {high}" if low else ""}</{tag}>'
    value = row[column]
    text = _esc(_cell_text(column, value))
    if kind == "number":
        place = "" if pd.isna(value) else repr(float(value))
        bar = ""
        if column in ("auc", "auc_mean") and place:
            bar = f' style="--share: {100 * min(max((float(value) - 0.5) * 2, 0), 1):.0f}%"'
        return f'{opening} class="number{" bar" if bar else ""}"{bar} data-value="{place}">{text}</{tag}>'
    if column.endswith("trial"):
        return f"{opening}><code>{text}</code></{tag}>"
    return f"{opening}{' class=text' if len(text) > 40 and ' ' in text else ''}>{text}</{tag}>"


def _cell_text(column: str, value: Any) -> str:
    if value is None or (not isinstance(value, list) and pd.isna(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float):
        if "auc" in column:
            return f"{value:.3f}"
        return f"{value:.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.4g}"
    return str(value)


def _figures(svgs: Mapping[str, str], prefix: str) -> str:
    drawn = "".join(
        f"<figure>{inline_svg(svg, f'{prefix}-{n}', title)}</figure>" for n, (title, svg) in enumerate(svgs.items())
    )
    return f'<div class="figures">{drawn}</div>' if drawn else ""


def inline_svg(svg: str, prefix: str, title: str) -> str:
    """A figure's SVG as part of the page: its ids made unique, its colours and letters those of the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    prefix = re.sub(r"[^\w-]", "", prefix)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}-', svg)
    svg = svg.replace("url(#", f"url(#{prefix}-")
    for colour, variable in THEME.items():
        svg = svg.replace(colour, f"var({variable})")
    svg = re.sub(r"(font: (?:\d+ )?[\d.]+px) [^;\"]*", r"\1 var(--sans)", svg)
    svg = re.sub(r'\s(?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r' (?:xmlns(?::xlink)?|version)="[^"]*"', "", svg)
    svg = svg.replace("xlink:href", "href")
    return svg.replace("<svg", f'<svg role="img" aria-label="{_esc(title)}"', 1)


def _all_trials(report: Report) -> pd.DataFrame:
    """A row per trial and machine type; a trial that several sweeps share counts once."""
    tables = [study.table for study in report.studies]
    keys = ["trial", "machine_type", "score", *(["epochs"] if any("epochs" in t for t in tables) else [])]
    return pd.concat(tables, ignore_index=True).drop_duplicates(keys)


def _trial_name(row: pd.Series) -> str:
    epochs = row.get("epochs")
    return row["trial"] if epochs is None or pd.isna(epochs) else f"{row['trial']}, {int(epochs)} epochs"


def _point(row: pd.Series, table: pd.DataFrame) -> str:
    """The values of what the sweep varies."""
    names = varied(table)
    return _esc(", ".join(f"{words(n)} {_cell_text(n, row[n])}" for n in names)) if names else _esc(row["trial"])


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _heading(name: str) -> str:
    text = words(name)
    return text[:1].upper() + text[1:]


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _esc(text: Any) -> str:
    return html.escape(str(text))
