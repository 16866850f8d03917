"""All figures of a finished run: every sweep's, and those of the trial that was chosen without labels."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from humwatch.detectors.reconstruction import specaugment
from humwatch.detectors.reconstruction.specaugment import SpecAugment
from humwatch.evaluation.selection import overall_choice
from humwatch.report.figures.spectrograms import spectrogram_figure
from humwatch.report.figures.sweeps import sweep_figure
from humwatch.report.figures.training import training_figure
from humwatch.report.figures.trial import alarms_figure, embedding_figure, histogram_figure, roc_figure
from humwatch.report.results import Results, scale_of
from humwatch.report.words import trial_name
from humwatch.slugs import slug

FOLDERS = ["sweeps", "training", "trial", "clips"]
EMBEDDED = 150  # at most so many clips of a machine id and a kind: training, normal, anomaly


def figures_of(
    results: Results, sweeps: Mapping[str, pd.DataFrame], masks: SpecAugment, footer: str
) -> Iterator[tuple[str, Figure]]:
    """Draw all figures.

    Parameters
    ----------
    results
        The finished run.
    sweeps
        The table of each sweep, by its name.
    masks
        Those that the masked clip is shown under.
    footer
        The line below each figure.

    Yields
    ------
    name, figure
        The name is a path without its ending, in one of `FOLDERS`.
    """
    for name, table in sweeps.items():
        if table["auc"].notna().any():
            yield f"sweeps/{name}", sweep_figure(table, name, footer)
        logs = [(row, results.log(row)) for _, row in table.iterrows()]
        if logs := [(row, log) for row, log in logs if len(log)]:
            yield f"training/{name}", training_figure(logs, name, footer)
    for _, row in overall_choice(sweeps.values()).iterrows():
        machine_type, scores = row["machine_type"], results.scores(row)
        place, title = slug(machine_type), f"scores of the {machine_type} clips"
        made_by = f"{footer} {trial_name(row)}, chosen without labels from {row['chosen_from']} trials.".strip()
        yield f"trial/scores_{place}", histogram_figure(scores, f"Anomaly {title}", made_by)
        if scores["label"].nunique() == 2:
            yield f"trial/roc_{place}", roc_figure(scores, f"ROC: {title}", made_by)
        if len(decisions := results.decisions(row)):
            promise = f"Alarms on the {machine_type} clips, promised and observed"
            yield f"trial/alarms_{place}", alarms_figure(decisions, promise, made_by)
        if panels := [*_embeddings(results, row, scores)]:
            title = f"Embeddings of the {machine_type} clips"
            yield f"trial/embedding_{place}", embedding_figure(panels, title, made_by)
        if np.isfinite(scores["score"]).any():
            feature = results.feature(row)
            yield f"clips/spectrograms_{place}", _spectrograms(results, machine_type, feature, scores, masks, footer)


def _embeddings(results: Results, row: pd.Series, scores: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The panels of `embedding_figure`: for each machine id seen in training, some of its training and test clips."""
    if not isinstance(row["feature"], str):  # an ensemble has no embedding of its own
        return
    of_type = results.clips[results.clips["machine_type"] == row["machine_type"]]
    for machine_id, tested in scores[scores["heard"]].groupby("machine_id", sort=True):
        detector = results.detector(row, machine_id)
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


def _spectrograms(
    results: Results, machine_type: str, feature: str, scores: pd.DataFrame, masks: SpecAugment, footer: str
) -> Figure:
    """Two clips, and the first of them under masks."""
    shown = dict(_examples(scores))
    found, parameters = results.frames(feature, machine_type, shown.values())
    panels = [(title, found[clip]) for title, clip in shown.items()]
    (title, frames), clip = panels[0], next(iter(shown.values()))
    length, bins = frames.shape
    masks = replace(masks, frequency_width=min(masks.frequency_width, bins), time_width=min(masks.time_width, length))
    drawn = specaugment.draw([clip], np.array([length]), bins, masks)
    panels.append((f"{title}, masked (SpecAugment)", specaugment.apply(frames, drawn[drawn["copy"] == 1])))
    scale = scale_of(parameters, bins)
    return spectrogram_figure(
        panels,
        scale.frequencies,
        scale.hop_seconds,
        f"{'Spectrograms' if scale.frequencies is None else 'Mel spectrograms'} of {machine_type} clips",
        f"{footer} Clips: {', '.join(Path(clip).stem for clip in shown.values())}.".strip(),
    )


def _examples(scores: pd.DataFrame) -> Iterator[tuple[str, str]]:
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
