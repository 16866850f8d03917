import html
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import ROOT
from PIL import Image
from test_figures import scores_table, sweep_table

from humwatch.evaluation.selection import overall_choice
from humwatch.features.base import Scale
from humwatch.files import write_checksums
from humwatch.report.content import Clip, Machine, Report, Study, pick
from humwatch.report.figures import style
from humwatch.report.figures.sweeps import sweep_figure
from humwatch.report.listen import mp3
from humwatch.report.page import inline_svg, render

RATE, HOP, SECONDS = 16000, 0.05, 2.0
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--enable-logging=stderr"),
    "--virtual-time-budget=5000",
]
# A window as narrow as a phone's, which headless Chromium itself does not open, and what the page in it says of itself.
FRAME = """<!doctype html><body><iframe src="probed.html" style="border: 0; width: {width}px; height: 2400px"></iframe>
<script>addEventListener("message", (message) => document.body.dataset.seen = message.data);</script>"""
HOSTILE = "<img src=x onerror=alert(1)>&\"'"
HOSTILES = pd.DataFrame({HOSTILE: [HOSTILE, "other"], "trial": [HOSTILE, "x"]})
# Run in the page: what a person with a mouse would see and do.
PROBE = """
<script>
const players = [...document.querySelectorAll("audio")];
const heading = [...document.querySelectorAll("th button")].find((button) => button.textContent === "AUC");
const column = heading.closest("th").cellIndex;
const cells = () => [...heading.closest("table").tBodies[0].rows].map((row) => row.cells[column].textContent);
const seen = { start: cells() };
heading.click();
seen.once = [heading.closest("th").getAttribute("aria-sort"), cells()];
heading.click();
seen.twice = [heading.closest("th").getAttribute("aria-sort"), cells()];
const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
const wait = (player) => new Promise((done) => {
  if (player.readyState) done();
  player.addEventListener("loadedmetadata", done);
  player.addEventListener("error", done);
});
Promise.all(players.map(wait)).then(() => {
  const report = {
    ...seen,
    width: window.innerWidth,
    needed: document.documentElement.scrollWidth,
    tables: document.querySelectorAll("table").length,
    durations: players.map((player) => player.duration),
    unnamed: document.querySelectorAll("svg[role=img]:not([aria-label]), audio:not([aria-label])").length,
    unreachable: [...document.querySelectorAll(".scroll")].filter((box) => box.tabIndex < 0).length,
    repeated: ids.filter((id, n) => ids.indexOf(id) !== n),
    broken: [...document.querySelectorAll("use")].filter((use) => !document.querySelector(use.getAttribute("href"))).length,
  };
  parent.postMessage(JSON.stringify(report), "*");
});
</script>
"""


def clip(name="clip.wav", label=0, seed=0, seconds=SECONDS, **kwargs) -> Clip:
    rng = np.random.default_rng(seed)
    frames = rng.normal(-40, 10, (int(seconds / HOP) + 1, 32)).astype(np.float32)
    sound = (0.1 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)
    given = {"errors": rng.uniform(0.1, 0.2, len(frames) - 4), "samples": sound} | kwargs
    return Clip(name, label, score=0.5, rank=1, ranked=40, frames=frames, **given)


def machine(clips: list[Clip], **kwargs) -> Machine:
    given = {
        "scale": Scale(HOP, np.geomspace(50, 8000, 32)),
        "window": 5,
        "sample_rate": RATE,
        "typical": 0.12,
    } | kwargs
    return Machine("slider", "00", [("most anomalous", clips)], auc=0.75, pauc=0.6, **given)


def report(machines: list[Machine], **kwargs) -> Report:
    clips = pd.DataFrame({"clip": [f"{i}.wav" for i in range(6)], "machine_type": "slider", "machine_id": "00"})
    clips = clips.assign(
        split=["train"] * 2 + ["test"] * 4, label=pd.array([0, 0, 0, 0, 1, 1], "Int8"), sample_rate=RATE
    )
    clips = clips.assign(seconds=SECONDS)
    table = sweep_table(learning_rate=[0.1, 0.01, 0.001], batch_size=[100, 1000]).assign(
        criterion="val_loss", pseudo_auc=0.6, reference=""
    )
    svg = io.StringIO()
    sweep_figure(table, "rates").savefig(svg, format="svg")
    drawn = {"AUC of the sweep rates": svg.getvalue()}
    made = Report(
        title="tiny",
        generated=True,
        clips=clips,
        studies=[Study("rates", table, pd.DataFrame({"seed": [0], "mean": [0.7]}), drawn)],
        chosen=overall_choice([table]),
        detail=drawn,
        machines=machines,
        tables={"auc": table},
        warnings=["a.wav is silent: all its samples are zero"],
        config="dataset:\n  name: tiny\n",
        versions={"humwatch": "1"},
    )
    for key, value in kwargs.items():
        setattr(made, key, value)
    return made


def chromium(page: Path, width: int, *flags: str) -> subprocess.CompletedProcess:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed to open the page with")
    profile = tempfile.mkdtemp(dir=page.parent)
    where = [f"--user-data-dir={profile}", f"--window-size={width},2400"]
    return subprocess.run(
        [CHROMIUM, *FLAGS, *where, *flags, page.as_uri()], capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    clips = [clip(f"clip_{n}.wav", label=n % 2, seed=n) for n in range(4)]
    path.write_text(render(report([machine(clips)])))
    return path


def test_page_refers_to_nothing_outside_itself(page):
    text = page.read_text()
    assert len(text) < 15e6
    references = re.findall(r"""\b(?:src|href|srcset|data|action|poster)=["']?([^"' >]+)""", text) + re.findall(
        r"url\(([^)]+)\)", text
    )
    assert references
    assert [r for r in references if not r.startswith(("data:", "#"))] == []
    assert "default-src 'none'" in text
    assert "@import" not in text


def test_odd_recordings_are_counted():
    made = report([])
    made.clips["quality"] = pd.array(["silent", None, "clipped; lossy (MP3)", "silent; <b>", None, None], "string")
    told = re.search(r"Worth a look \(column quality of clips.parquet\): (.*?)\.</p>", render(made))[1]
    assert sorted(told.split(", ")) == ["1 &lt;b&gt;", "1 clipped", "1 lossy (MP3)", "2 silent"]
    made.clips["quality"] = pd.array([None] * 6, "string")
    assert "Worth a look" not in render(made)


@pytest.mark.parametrize("width", [390, 1280])
def test_page_in_chromium(page, width):
    page.with_name("probed.html").write_text(page.read_text().replace("</body>", f"{PROBE}</body>"))
    frame = page.with_name("frame.html")
    frame.write_text(FRAME.format(width=width))
    done = chromium(frame, 1400, "--dump-dom")
    seen = json.loads(html.unescape(re.search(r'data-seen="([^"]*)"', done.stdout)[1]))
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    assert (seen["width"], seen["needed"]) == (width, width)  # nothing to scroll sideways
    assert seen["tables"] == 5  # the sweep, the same in shape, AUC, clips, versions
    assert seen["durations"] == pytest.approx([SECONDS] * 4, abs=0.2)
    assert (seen["unnamed"], seen["unreachable"], seen["repeated"], seen["broken"]) == (0, 0, [], 0)

    values = sorted(cell for cell in seen["start"] if cell)
    assert len(values) == 5
    assert seen["once"] == ["descending", [*values[::-1], ""]]  # the diverged trial's empty cell stays last
    assert seen["twice"] == ["ascending", [*values, ""]]


def test_screenshot_on_a_phone(page, tmp_path):
    chromium(page, 390, f"--screenshot={tmp_path / 'phone.png'}")
    image = Image.open(tmp_path / "phone.png")
    assert image.size == (390, 2400)
    assert len(image.convert("RGB").resize((39, 240)).getcolors(10000)) > 50


def test_page_says_what_is_generated_diverged_and_warned_of():
    text = render(report([machine([clip()])]))
    assert "generated data" in text
    assert "a.wav is silent" in text
    assert text.count("its training ended in a loss that is not finite") == 1
    assert "generated" not in render(report([], generated=False))


def test_without_labels_nothing_is_measured():
    made = report([machine([clip(label=None)])])
    for table in (made.studies[0].table, made.chosen):
        table[["auc", "auc_low", "auc_high", "pauc"]] = np.nan
        table["best_by_labels"] = False
    made.clips["label"] = pd.array([0, 0, pd.NA, pd.NA, pd.NA, pd.NA], "Int8")
    made.machines[0].auc = made.machines[0].pauc = np.nan
    text = render(made)
    assert "nothing is measured" in text
    assert "tested: 4 unlabelled" in text
    assert not re.search(r"AUC of the chosen|Price of|\bnan\b", re.sub(r"<svg.*?</svg>", "", text, flags=re.S))


def test_names_are_text_and_never_markup():
    """Whatever a user, or a file of theirs, may call something."""
    made = report(
        [machine([clip(HOSTILE)])], title=HOSTILE, warnings=[HOSTILE], config=HOSTILE, tables={HOSTILE: HOSTILES}
    )
    made.machines[0].machine_type = made.machines[0].machine_id = HOSTILE
    made.clips = made.clips.assign(machine_type=HOSTILE, machine_id=HOSTILE, quality=HOSTILE)
    study = made.studies[0]
    study.name, study.shaped = HOSTILE, HOSTILES
    study.figures = made.detail = {HOSTILE: "<svg></svg>"}
    study.table[["trial", "machine_type", "detector", "reference"]] = HOSTILE
    study.table["diverged"] = True
    made.chosen[["trial", "machine_type"]] = HOSTILE
    text = render(made)
    parser = HTMLParser()
    found: list[tuple] = []
    parser.handle_starttag = lambda tag, attributes: found.append((tag, *dict(attributes)))
    parser.feed(text)
    assert not {tag for tag in found if tag[0] == "img" or "onerror" in tag}
    assert html.unescape(text).count(HOSTILE) > 20


def test_the_summary_says_how_the_trial_was_chosen():
    made = report([])
    made.chosen = made.chosen.assign(auc=0.75, auc_low=0.7, auc_high=0.8, pauc=0.6, criterion="pseudo_auc", trial="knn")
    text = re.sub(r"\s+", " ", render(made))
    assert "95 % interval 0.700 to 0.800; pAUC 0.600; chosen from 6 trials by pseudo-anomaly AUC" in text
    assert "<code>knn</code> (AUC 0.750, 95 % interval 0.700 to 0.800), chosen from 6 trials by how well" in text
    best = made.studies[0].table["auc"].max()
    assert f'{best - 0.75:.3f}</div><div class="muted">the best trial by test labels: {best:.3f}<' in text


def test_the_page_says_why_candidates_are_kept():
    table = pd.DataFrame({"candidate": ["knn", "gmm"], "leave_id_out": [0.91234, 0.8], "kept": [True, False]})
    assert "What scores" not in render(report([]))
    text = re.sub(r"\s+", " ", render(report([], reasons={"slider": table})))
    assert "What scores slider" in text and "left-out-id AUC" in text
    assert re.search(r">knn</th> *<td[^>]*>0.9123</td> *<td[^>]*>yes</td>", text)


def test_the_official_score_comes_first():
    """Of the chosen trial, of each set, and not of other trials or of all sets together."""
    made = report([])
    made.chosen = made.chosen.assign(score="mean")
    keys = made.chosen[["trial", "machine_type"]].iloc[0].to_dict() | {"epochs": 0, "score": "mean"}
    known = {"official_low": 0.5, "official_high": 0.75, "figures": 3, "averaged": "harmonic"}
    rows = [
        keys | known | {"set": "development", "official": 0.612},
        keys | known | {"set": "evaluation", "official": 0.598, "official_low": 0.55},
        keys | known | {"set": "all", "official": 0.605},
        keys | known | {"set": "development", "official": 0.999, "trial": "another"},
    ]
    made.tables = {"official": pd.DataFrame(rows)} | made.tables
    text = re.sub("<[^>]+>|\\s+", " ", render(made).split("At a glance", 2)[-1])
    text = re.sub(" +", " ", text)
    development = (
        "Official score, development set 0.612 harmonic mean of 3 AUCs and pAUCs of 1 machine type, 95 % interval 0.500"
    )
    places = [
        text.index(development),
        text.index("Official score, evaluation set 0.598"),
        text.index("AUC of the chosen trial"),
    ]
    assert places == sorted(places) and "all set" not in text


def test_clips_are_left_out_rather_than_exceed_the_limit():
    clips = [clip(f"{n}.wav", seed=n) for n in range(30)]
    whole = render(report([machine(clips)]))
    limit = len(whole.encode()) / 1e6 * 0.7
    cut = render(report([machine(clips)], limit_mb=limit))
    shown = cut.count("<audio")
    assert len(cut.encode()) < limit * 1e6
    assert 5 < shown < 30
    assert f"{30 - shown} clips left out" in cut


def test_without_recordings_there_is_no_player_and_axes_count_frames():
    text = render(report([machine([clip(samples=None)], scale=Scale(), sample_rate=None)]))
    assert "<audio" not in text
    assert "no recordings to play" in text
    assert re.search(r'aria-label="Spectrogram of clip.wav, 41 frames', text)


def test_errors_stand_below_their_time():
    """An error at 1.5 s is drawn where the time axis says 1.5."""
    errors = np.full(37, 0.1)
    errors[28] = 1.0  # a window of 5 frames, centred at frame 30
    text = render(report([machine([clip(errors=errors)])]))
    points = [
        tuple(map(float, p.split(","))) for p in re.search(r'<polyline class="error" points="([^"]*)"', text)[1].split()
    ]
    x = min(points, key=lambda point: point[1])[0]
    ticks = {
        float(t): float(x)
        for x, t in re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="middle">([\d.]+)</text>', text)
    }
    assert x == pytest.approx(ticks[1.5], abs=0.2)
    assert "the error is largest, 1, at 1.5 s" in text


def test_of_a_long_clip_the_part_around_the_largest_error_is_played():
    errors = np.full(2000 - 4, 0.1)
    errors[1600] = 1.0  # 80 s
    text = render(report([machine([clip(seconds=100.0, errors=errors)])]))
    assert "seconds 65 to 95 of 100" in text


@pytest.mark.parametrize("rate", [8000, 10000, 16000, 44100, 96000])
def test_mp3_plays_the_same_sound(rate):
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate * 2) / rate)
    sound, stored = soundfile.read(io.BytesIO(mp3(tone, rate)))
    assert len(sound) / stored == pytest.approx(2, abs=0.15)
    spectrum = np.abs(np.fft.rfft(sound))
    assert np.fft.rfftfreq(len(sound), 1 / stored)[spectrum.argmax()] == pytest.approx(1000, abs=2)


def test_picked_clips():
    scores = scores_table()
    scores = scores[scores["machine_id"] == "00"]
    groups = pick(scores, 3)
    normal, anomalies = (np.sort(scores.loc[scores["label"] == label, "score"]) for label in (0, 1))
    np.testing.assert_array_equal(groups["most anomalous"]["score"], np.sort(scores["score"])[::-1][:3])
    np.testing.assert_array_equal(groups["missed"]["score"], anomalies[:3])
    np.testing.assert_array_equal(groups["false alarms"]["score"], normal[::-1][:3])
    assert list(pick(scores_table(labelled=False), 3)) == ["most anomalous"]
    assert pick(scores.assign(score=np.nan), 3) == {}


def test_figures_take_the_colours_of_the_page():
    svg = io.StringIO()
    sweep_figure(sweep_table(seed=[0, 1]), "seeds").savefig(svg, format="svg")
    inlined = inline_svg(svg.getvalue(), "one", "AUC & seeds")
    assert 'aria-label="AUC &amp; seeds"' in inlined
    assert style.INK not in inlined and "var(--ink)" in inlined
    assert set(re.findall(r'(?:href="|url\()#([\w-]+)', inlined)) <= set(re.findall(r'\bid="([^"]+)"', inlined))


def test_scripts_make_figures_and_page_of_a_finished_run(finished, tmp_path):
    """Of two sweeps: the trial in detail is one of the second."""
    results = tmp_path / "tiny"
    shutil.copytree(finished.results, results)
    for name in ("report.html", "figures"):
        shutil.rmtree(results / name, ignore_errors=True)
    table = pd.read_csv(results / "tables/sweeps/rates.csv")
    best = table["val_loss"] == table["val_loss"].min()
    for name, part in (("first", table[~best]), ("second", table[best])):
        part.assign(sweep=name).to_csv(results / f"tables/sweeps/{name}.csv", index=False)
        shutil.copy(results / "tables/sweeps/rates_report.csv", results / f"tables/sweeps/{name}_report.csv")
    write_checksums(results / "tables/sha256sums.txt", (results / "tables").rglob("*.csv"))
    common = ["--results", results, "--sweeps", '["first", "second"]']
    tables = ["--tables", results / "tables/auc.csv", results / "tables/selected.csv"]
    out = [
        "--recordings",
        results / "recordings",
        "--config",
        json.dumps(finished.config),
        "--out",
        results / "report.html",
    ]
    for script, arguments in (("figures", ["--generated", "--out", results / "figures"]), ("report", [*tables, *out])):
        subprocess.run([sys.executable, ROOT / f"workflow/scripts/{script}.py", *common, *arguments], check=True)
    drawn = {str(path.relative_to(results / "figures")) for path in (results / "figures").rglob("*.[ps]*g")}
    names = [
        "sweeps/first",
        "sweeps/second",
        "training/first",
        "training/second",
        "trial/roc_slider",
        "trial/scores_slider",
        "trial/alarms_slider",
        "trial/embedding_slider",
        "clips/spectrograms_slider",
    ]
    assert drawn == {f"{name}.{ending}" for name in names for ending in ("png", "svg")}
    page = (results / "report.html").read_text()
    assert page.count("<figure>") == 9
    assert f"slider: <code>{table.loc[best, 'trial'].item()}, 1 epoch</code>" in page
    assert "chosen from 4 trials by the loss of held-out normal clips" in page
    assert page.count("<audio") == page.count('class="error"') >= 6
