"""Draw the figures of a finished run: every sweep's, and those of the trial that the first sweep chose without labels."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from humwatch.detectors import base
from humwatch.detectors.reconstruction import specaugment as augment
from humwatch.detectors.reconstruction.specaugment import SpecAugment
from humwatch.files import write_checksums
from humwatch.report import figures
from humwatch.report.results import Results, chosen, feature_of, scale_of
from humwatch.slugs import slug
from humwatch.study.layout import FIGURES

load = lru_cache(base.load)  # the machine ids of one type may share a model
EMBEDDED = 150  # at most so many clips of a machine id that are alike: training, normal, anomaly
FOLDERS = ["sweeps", "training", "trial", "clips"]
GENERATED = "Generated recordings (demo), not a real machine."


def main(args: argparse.Namespace) -> None:
    results, footer = Results(args.results), GENERATED if args.generated else ""
    for folder in FOLDERS:
        shutil.rmtree(args.out / folder, ignore_errors=True)
        (args.out / folder).mkdir(parents=True)
    tables = {name: results.sweep(name) for name in json.loads(args.sweeps)}
    for name, table in tables.items():
        if table["auc"].notna().any():
            figures.save(figures.sweep_figure(table, name, footer), args.out / "sweeps" / name)
        logs = [(row, results.log(row)) for _, row in table.iterrows()]
        if logs := [(row, log) for row, log in logs if len(log)]:
            figures.save(figures.training_figure(logs, name, footer), args.out / "training" / name)
    first = next(iter(tables))
    for _, row in chosen(tables[first]).iterrows():
        machine_type, scores = row["machine_type"], results.scores(row)
        made_by = f"{footer} {row['trial']}, chosen without labels in the sweep {figures.words(first)}.".strip()
        title = f"scores of the {machine_type} clips"
        figures.save(
            figures.histogram_figure(scores, f"Anomaly {title}", made_by),
            args.out / "trial" / f"scores_{slug(machine_type)}",
        )
        if scores["label"].nunique() == 2:
            figures.save(
                figures.roc_figure(scores, f"ROC: {title}", made_by), args.out / "trial" / f"roc_{slug(machine_type)}"
            )
        if isinstance(row["feature"], str):  # an ensemble has no embedding of its own
            panels = [*embeddings(results, row, scores)]
            if panels:
                title = f"What the detector makes of {machine_type} clips"
                figures.save(
                    figures.embedding_figure(panels, title, made_by),
                    args.out / "trial" / f"embedding_{slug(machine_type)}",
                )
        if np.isfinite(scores["score"]).any():
            draw_spectrograms(args, results, row, feature_of(row, tables[first]), scores, footer)
    # What the report depends on: folders cannot be compared by content, this file can.
    drawn = sorted(
        path for folder in FOLDERS for path in (args.out / folder).iterdir() if path.suffix in (".svg", ".png")
    )
    write_checksums(args.out / FIGURES, drawn)


def embeddings(results: Results, row: pd.Series, scores: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """For figures.embedding_figure: each machine id that was heard, some of its training and test clips."""
    of_type = results.clips[results.clips["machine_type"] == row["machine_type"]]
    for machine_id, tested in scores[scores["heard"]].groupby("machine_id", sort=True):
        detector = load(results.model(row, machine_id))
        kind = tested["label"].astype("Int8").map({0: "normal", 1: "anomaly"}).astype(object).fillna("no label")
        kinds = dict(zip(tested["clip"], kind, strict=True))
        trained = of_type[(of_type["machine_id"] == machine_id) & (of_type["split"] == "train")]["clip"]
        groups = [trained, *(tested["clip"][kind == k] for k in sorted(set(kind)))]
        wanted = [clip for group in groups for clip in group.iloc[:: -(-len(group) // EMBEDDED)]]
        found, labels = [], []
        for split in ("train", "test"):
            for part in results.parts(row["feature"], row["machine_type"], split, wanted):
                if (embedded := detector.embed(part)) is None:
                    return
                found.append(embedded)
                labels += [kinds.get(clip, "training") for clip in part.clips["clip"]]
        yield machine_id, np.concatenate(found), np.array(labels)


def draw_spectrograms(
    args: argparse.Namespace, results: Results, row: pd.Series, feature: str, scores: pd.DataFrame, footer: str
) -> None:
    shown = dict(examples(scores))
    found, parameters = results.frames(feature, row["machine_type"], shown.values())
    panels = [(title, found[clip]) for title, clip in shown.items()]
    (title, frames), clip = panels[0], next(iter(shown.values()))
    settings = SpecAugment(**json.loads(args.augmentation))
    settings = replace(
        settings,
        frequency_width=min(settings.frequency_width, frames.shape[1]),
        time_width=min(settings.time_width, len(frames)),
    )
    masks = augment.draw([clip], np.array([len(frames)]), frames.shape[1], settings)
    panels.append((f"{title}, masked (SpecAugment)", augment.apply(frames, masks[masks["copy"] == 1])))
    scale = scale_of(parameters, frames.shape[1])
    figure = figures.spectrogram_figure(
        panels,
        scale.frequencies,
        scale.hop_seconds,
        f"{'Spectrograms' if scale.frequencies is None else 'Mel spectrograms'} of {row['machine_type']} clips",
        f"{footer} Clips: {', '.join(Path(clip).stem for clip in shown.values())}.".strip(),
    )
    figures.save(figure, args.out / "clips" / f"spectrograms_{slug(row['machine_type'])}")


def examples(scores: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """(title, clip) of the first machine id: a normal clip with a middling score and the anomaly with the highest.

    Without labels: the clips with the lowest and the highest score.
    """
    ranked = scores[np.isfinite(scores["score"])].sort_values("score", kind="stable")
    ranked = ranked[ranked["machine_id"] == ranked["machine_id"].min()]
    normal, anomalies = (ranked[ranked["label"].astype("Int8").fillna(-1) == wanted] for wanted in (0, 1))
    if len(normal) and len(anomalies):
        yield "Normal", normal["clip"].iloc[len(normal) // 2]
        yield "Anomalous", anomalies["clip"].iloc[-1]
    elif len(ranked):
        yield "Lowest score", ranked["clip"].iloc[0]
        yield "Highest score", ranked["clip"].iloc[-1]


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--results", type=Path, required=True, help="results/<name>, with tables, scores and models")
    parser.add_argument(
        "--sweeps", required=True, help="JSON: names of the sweeps; the first one's choice is drawn in detail"
    )
    parser.add_argument("--augmentation", default="{}", help="JSON: SpecAugment settings of the masked clip")
    parser.add_argument("--generated", action="store_true", help="say in the figures that the recordings are generated")
    parser.add_argument("--out", type=Path, required=True, help="folder of the figures")
    cli.run(main, parser.parse_args())
