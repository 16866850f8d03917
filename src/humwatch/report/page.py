"""Render report.html: one page that opens without a network.

The page holds its style, script, figures (SVG) and sounds (MP3) itself; a content policy in it forbids any request.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from humwatch.evaluation.official import EVERY_SET, EVERY_TYPE, KEYS, keys_of, mean
from humwatch.evaluation.selection import all_trials
from humwatch.report.content import Report, Study
from humwatch.report.figures import style
from humwatch.report.listen import listen
from humwatch.report.table import Table, cell_text, table_of
from humwatch.report.template import fill
from humwatch.report.words import trial_name, varied, words

LISTEN = Markup("<!-- the clips -->")
CRITERIA = {
    "val_loss": "the loss of held-out normal clips",
    "leave_id_out": "how well machine ids that were left out of training are told from their siblings",
    "pseudo_auc": "how well the scores tell held-out normal clips from strange ones made of them (pseudo-anomalies)",
}
TABLES = {
    "official": "The challenge's official score",
    "selected": "What each sweep chose without labels, and what the labels would have chosen",
    "summary": "Every configuration, mean over its seeds",
    "auc": "Every trial and machine id",
    "decisions": "Thresholds, and how well they decide on the test clips",
    "comparison": "Beside published results",
}
# Colours of the figures that follow the page's light or dark theme.
THEME = {
    style.GROUND: "--card",
    style.INK: "--ink",
    style.MUTED: "--muted",
    style.GRID: "--rule",
    style.BLUE: "--blue",
    style.ORANGE: "--orange",
    style.GREEN: "--green",
    style.VERMILION: "--vermilion",
    style.PINK: "--pink",
    style.SKY: "--sky",
}


def render(report: Report) -> str:
    """The whole page as HTML.

    Clips that would make it larger than `limit_mb` are left out, the least telling first, and counted.
    """
    before, after = _page(report).split(LISTEN)
    budget = int(report.limit_mb * 1e6) - len((before + after).encode()) - 20_000
    return str(before + listen(report, budget) + after)


def _page(report: Report) -> str:
    trials = all_trials(study.table for study in report.studies)
    diverged = [trial_name(row) for _, row in trials[trials["diverged"].astype(bool)].iterrows()]
    sections = {"summary": "At a glance", "studies": "Sweeps", "chosen": "The chosen trial", "listen": "Listen"}
    sections |= {"tables": "Tables"} if report.tables else {}
    return fill(
        "page.html",
        report=report,
        sections=sections | {"run": "What was run"},
        machines=len(report.clips[["machine_type", "machine_id"]].drop_duplicates()),
        machine_types=sorted(report.clips["machine_type"].unique()),
        measured=report.chosen["auc"].notna().any(),
        numbers=_numbers(report, trials),
        diverged=diverged,
        studies=[_study(study) for study in report.studies],
        chosen=[_chosen(row) for _, row in report.chosen.iterrows()],
        reasons={
            machine_type: table_of(table, f"Candidates for {machine_type}", as_it_is=True)
            for machine_type, table in report.reasons.items()
        },
        detail=_inline(report.detail, "chosen"),
        listen=LISTEN,
        tables={
            TABLES.get(name, _heading(name)): table_of(table, words(name)) for name, table in report.tables.items()
        },
        data=_data(report.clips),
        remarks=_remarks(report.clips),
        versions=table_of(pd.DataFrame(report.versions.items(), columns=["software", "version"]), "Versions", True),
    )


def _numbers(report: Report, trials: pd.DataFrame) -> list[tuple[str, str, str]]:
    """What the summary says first: (name, value, note)."""
    numbers = [*_official(report)]
    chosen = report.chosen[report.chosen["auc"].notna()]
    if len(chosen):
        mean = chosen["auc"].mean()
        spread = f"mean over {len(chosen)} machine types" if len(chosen) > 1 else _interval(chosen.iloc[0])
        by = " or ".join(words(column) for column in chosen["criterion"].unique())
        told = f"{spread}; pAUC {chosen['pauc'].mean():.3f}; chosen from {chosen['chosen_from'].max():,} trials by {by}"
        numbers.append(("AUC of the chosen trial", f"{mean:.3f}", told))
        best = trials[trials["machine_type"].isin(chosen["machine_type"])].groupby("machine_type")["auc"].max().mean()
        price, note = f"{best - mean:.3f}", f"the best trial by test labels: {best:.3f}"
        numbers.append(("Price of choosing without labels", price, note))
    diverged = int(trials["diverged"].astype(bool).sum())
    numbers.append(("Trials", str(len(trials)), f"{diverged} diverged" if diverged else "all finished"))
    tested = report.clips["split"] == "test"
    labels = report.clips.loc[tested, "label"].astype("Int8")
    counts = {"anomalies": labels.eq(1), "normal": labels.eq(0), "unlabelled": labels.isna()}
    told = ", ".join(f"{int(those.sum())} {kind}" for kind, those in counts.items() if those.any()) or "none"
    numbers.append(("Clips", f"{len(tested):,}", f"{int((~tested).sum()):,} to train on; tested: {told}"))
    return numbers


def _official(report: Report) -> Iterator[tuple[str, str, str]]:
    """The official score of the chosen trials, of each set that it is measured on."""
    table = report.tables.get("official", pd.DataFrame())
    if table.empty:
        return
    chosen = keys_of(report.chosen)
    for name, part in table.fillna({"set": ""}).groupby("set", sort=False):
        rows = part.merge(chosen, on=KEYS)
        if name == EVERY_SET or rows.empty:
            continue
        kind = rows["averaged"].iloc[0]
        note = (
            f"{kind} mean of {rows['figures'].sum()} AUCs and pAUCs of {len(rows)} machine type{'s'[: len(rows) != 1]}"
        )
        everything = part[part["machine_type"] == EVERY_TYPE].merge(rows[KEYS[:-1]].drop_duplicates(), on=KEYS[:-1])
        value = mean(np.repeat(rows["official"].to_numpy(float), rows["figures"].to_numpy(int)), kind == "harmonic")
        if len(rows) == 1 or len(everything) == 1:
            whole = rows.iloc[0] if len(rows) == 1 else everything.iloc[0]
            note += f", 95 % interval {whole['official_low']:.3f} to {whole['official_high']:.3f}"
        yield f"Official score{f', {name} set' if name else ''}", f"{value:.3f}", note


def _chosen(row: pd.Series) -> dict[str, Any]:
    measured = f"AUC {row['auc']:.3f}, {_interval(row)}" if np.isfinite(row["auc"]) else ""
    known = {"machine_type": row["machine_type"], "trial": trial_name(row), "chosen_from": row["chosen_from"]}
    return known | {"measured": measured, "criterion": CRITERIA[row["criterion"]]}


def _interval(row: pd.Series) -> str:
    return f"95 % interval {row['auc_low']:.3f} to {row['auc_high']:.3f}"


def _study(study: Study) -> dict[str, Any]:
    table, choices = study.table, []
    several = table["machine_type"].nunique() > 1
    for machine_type, part in table.groupby("machine_type", sort=True):
        picked, best = (part[part[column].astype(bool)] for column in ("selected", "best_by_labels"))
        if len(picked):
            choices.append(
                {
                    "machine_type": machine_type if several else "",
                    "criterion": CRITERIA.get(picked["criterion"].iloc[0], ""),
                    "point": _point(picked, table),
                    "auc": _auc(picked),
                    "best": _point(best, table) if len(best) else "",
                    "best_auc": _auc(best) if len(best) else "",
                    "is_best": len(best) > 0 and best.index[0] == picked.index[0],
                }
            )
    return {
        "heading": _heading(study.name),
        "varied": _listed(words(name) for name in varied(table)),
        "choices": choices,
        "published": "; ".join(text for text in table["reference"].dropna().unique() if text),
        "figures": _inline(study.figures, f"study-{study.name}"),
        "trials": table_of(table.drop(columns=["reference", "criterion"]), f"Sweep {words(study.name)}"),
        "shaped": table_of(study.shaped, f"{words(study.name)} in rows and columns", as_it_is=True),
    }


def _data(clips: pd.DataFrame) -> Table:
    rows = []
    for (machine_type, machine_id), part in clips.groupby(["machine_type", "machine_id"], sort=True):
        labels = part.loc[part["split"] == "test", "label"].astype("Int8")
        seconds = sorted({f"{s:.1f}".removesuffix(".0") for s in part["seconds"].dropna()}, key=float)
        rows.append(
            {
                "machine_type": machine_type,
                "machine_id": machine_id,
                "train": int((part["split"] == "train").sum()),
                "test normal": int(labels.eq(0).sum()),
                "test anomaly": int(labels.eq(1).sum()),
                "unlabelled": int(labels.isna().sum()),
                "seconds": " to ".join(dict.fromkeys([*seconds[:1], *seconds[-1:]])),
                "Hz": ", ".join(sorted({f"{rate:.0f}" for rate in part["sample_rate"].dropna()})),
                "hours": part["seconds"].sum() / 3600,
            }
        )
    return table_of(pd.DataFrame(rows), "Clips per machine id", as_it_is=True)


def _remarks(clips: pd.DataFrame) -> str:
    """How many clips have each remark of the column `quality`."""
    quality = clips["quality"].dropna().str.split("; ").explode().value_counts() if "quality" in clips else pd.Series()
    return ", ".join(f"{count:,} {word}" for word, count in quality.items())


def _inline(svgs: Mapping[str, str], prefix: str) -> list[Markup]:
    return [inline_svg(svg, f"{prefix}-{n}", title) for n, (title, svg) in enumerate(svgs.items())]


def inline_svg(svg: str, prefix: str, title: str) -> Markup:
    """A figure's SVG as part of the page: with ids that are unique, and the page's colours and fonts.

    Parameters
    ----------
    svg
        As matplotlib writes it.
    prefix
        What its ids begin with.
    title
        Read to those who cannot see the figure.
    """
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
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1))


def _point(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    """The values of the varied parameters in the first of these rows."""
    row = rows.iloc[0]
    return ", ".join(f"{words(n)} {cell_text(n, row[n])}" for n in varied(table)) or row["trial"]


def _auc(rows: pd.DataFrame) -> str:
    """The AUC of the first of these rows; empty where it is not measured."""
    value = rows["auc"].iloc[0]
    return f"{value:.3f}" if np.isfinite(value) else ""


def _listed(names: Iterable[str]) -> str:
    *most, last = [*names] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def _heading(name: str) -> str:
    text = words(name)
    return text[:1].upper() + text[1:]
