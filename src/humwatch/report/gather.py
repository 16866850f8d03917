"""Read from a finished run what the report page shows of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from humwatch.datasets.clips import read_samples
from humwatch.errors import InputError, damaged
from humwatch.evaluation.metrics import auc, pauc
from humwatch.features.store import Features
from humwatch.files import checksums, sha256
from humwatch.report.content import Clip, Machine, pick
from humwatch.report.results import Results, scale_of
from humwatch.study.layout import FIGURES


def svgs(folder: Path, names: Mapping[str, str], of: str) -> dict[str, str]:
    """The SVG texts, by title, of those figures that were drawn.

    Parameters
    ----------
    folder
        The folder of all figures.
    names
        The path of each kind of figure, without its ending.
    of
        What the figures are of, for their titles.

    Raises
    ------
    InputError
        A figure is damaged.
    """
    paths = {f"{kind} {of}": folder / f"{name}.svg" for kind, name in names.items()}
    listing = folder / FIGURES
    if (drawn := checksums(listing)) is None:
        raise InputError(damaged(listing, "it is no whole list of figures"))
    for path in paths.values():
        if path in drawn and not (path.exists() and sha256(path) == drawn[path]):
            raise InputError(damaged(path, f"it is not as {listing} says", listing))
    return {title: path.read_text() for title, path in paths.items() if path in drawn}


def machines(results: Results, row: pd.Series, recordings: Path, clips_per_group: int) -> Iterator[Machine]:
    """The clips to look at of every machine id of one machine type.

    Parameters
    ----------
    results
        The finished run.
    row
        The trial that scored them, a row of a sweep's table.
    recordings
        The folder of the recordings.
    clips_per_group
        At most so many.
    """
    scores, held_out = results.scores(row), results.held_out(row)
    picked = {machine_id: pick(part, clips_per_group) for machine_id, part in scores.groupby("machine_id", sort=True)}
    wanted = {clip for groups in picked.values() for part in groups.values() for clip in part["clip"]}
    frames, parameters = results.frames(results.feature(row), row["machine_type"], wanted)
    recorded = results.clips[results.clips["clip"].isin(wanted) & results.clips["sample_rate"].notna()]
    channel = parameters.get("channel", 0)
    near = channel[0] if isinstance(channel, list) else channel
    sounds = {clip: read_samples(recordings / clip, near) for clip in recorded["clip"]}
    for machine_id, groups in picked.items():
        if not groups:
            continue
        of_id = scores[scores["machine_id"] == machine_id]
        shown = pd.concat(groups.values()).drop_duplicates("clip")
        errors, window = _window_errors(results, row, machine_id, shown, frames, parameters)
        ranks = of_id["score"].rank(ascending=False, method="first")
        clips = {
            one["clip"]: Clip(
                name=Path(one["clip"]).name,
                label=None if pd.isna(one["label"]) else int(one["label"]),
                score=one["score"],
                rank=int(ranks[i]),
                ranked=int(ranks.notna().sum()),
                frames=frames[one["clip"]],
                samples=sounds[one["clip"]][0] if one["clip"] in sounds else None,
                errors=errors.get(one["clip"]),
            )
            for i, one in shown.iterrows()
        }
        labelled = of_id[of_id["label"].notna()]
        labels, values = labelled["label"].to_numpy(int), labelled["score"].to_numpy(float)
        normal = held_out[held_out["machine_id"] == machine_id]
        yield Machine(
            machine_type=row["machine_type"],
            machine_id=machine_id,
            groups=[(name, [clips[clip] for clip in part["clip"]]) for name, part in groups.items()],
            auc=auc(labels, values),
            pauc=pauc(labels, values),
            scale=scale_of(parameters, frames[shown["clip"].iloc[0]].shape[1]),
            window=window,
            sample_rate=next((sounds[clip][1] for clip in clips if clip in sounds), None),
            typical=float(normal["mean"].mean()) if errors and len(normal) and "mean" in normal else None,
        )


def _window_errors(
    results: Results,
    row: pd.Series,
    machine_id: str,
    clips: pd.DataFrame,
    frames: dict[str, np.ndarray],
    parameters: dict,
) -> tuple[dict[str, np.ndarray], int]:
    """The window errors of each clip, none where a clip is scored as a whole; and the frames per window."""
    if not isinstance(row["feature"], str):  # an ensemble has no model of its own
        return {}, 1
    detector = results.detector(row, machine_id)
    if not hasattr(detector, "window_errors"):
        return {}, 1
    seen = [frames[clip] for clip in clips["clip"]]
    errors, per_clip = detector.window_errors(Features.of(seen, clips, parameters))
    each = np.split(errors, np.cumsum(per_clip)[:-1])
    return dict(zip(clips["clip"], each, strict=True)), detector.hyperparameters.window
