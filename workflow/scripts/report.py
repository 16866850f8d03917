"""Write report.html: one page with tables, figures and the sounds worth a listen, that opens without a network."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
import json
import platform
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from humwatch import __version__
from humwatch.datasets.clips import read_samples
from humwatch.detectors import base
from humwatch.errors import InputError, damaged
from humwatch.evaluation.metrics import auc, pauc
from humwatch.features.store import Features
from humwatch.files import checksums, replacing, sha256
from humwatch.report.figures import words
from humwatch.report.page import Clip, Machine, Report, Study, pick, render
from humwatch.report.results import Results, chosen, feature_of, read_table, scale_of
from humwatch.slugs import slug
from humwatch.study.layout import FIGURES

load = lru_cache(base.load)  # the machine ids of one type may share a model
PACKAGES = ["torch", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "librosa", "soundfile", "matplotlib"]


def main(args: argparse.Namespace) -> None:
    results, config = Results(args.results), json.loads(args.config)
    drawn = args.results / "figures"
    studies = []
    for name in json.loads(args.sweeps):
        titles = {"AUC": f"sweeps/{name}", "Training curves": f"training/{name}"}
        shaped = read_table(results.folder / "tables" / "sweeps" / f"{name}_report.csv")
        studies.append(Study(name, results.sweep(name), shaped, svgs(drawn, titles, f"of the sweep {words(name)}")))
    first = chosen(studies[0].table)
    detail: dict[str, str] = {}
    machines: list[Machine] = []
    for _, row in first.iterrows():
        machine_type = row["machine_type"]
        t = slug(machine_type)
        names = {
            "ROC curves": f"trial/roc_{t}",
            "Histograms of anomaly scores": f"trial/scores_{t}",
            "Embedded": f"trial/embedding_{t}",
            "Mel spectrograms": f"clips/spectrograms_{t}",
        }
        detail |= svgs(drawn, names, f"of {machine_type} clips")
        machines += machines_of(results, row, studies[0].table, args)
    page = render(
        Report(
            title=args.results.name,
            generated=args.generated,
            clips=results.clips,
            studies=studies,
            chosen=first,
            detail=detail,
            machines=machines,
            tables={path.stem: read_table(path) for path in args.tables},
            warnings=list(results.warnings()),
            config=yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
            versions={"humwatch": __version__, "Python": platform.python_version()} | {p: version(p) for p in PACKAGES},
            limit_mb=args.limit_mb,
        )
    )
    with replacing(args.out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    cli.log.info("%s: %.1f MB", args.out, args.out.stat().st_size / 1e6)


def svgs(folder: Path, names: dict[str, str], of: str) -> dict[str, str]:
    """Alternative text -> SVG of those figures that were drawn."""
    paths = {f"{title} {of}": folder / f"{name}.svg" for title, name in names.items()}
    listing = folder / FIGURES
    if (drawn := checksums(listing)) is None:
        raise InputError(damaged(listing, "it is no whole list of figures"))
    for path in paths.values():
        if path in drawn and not (path.exists() and sha256(path) == drawn[path]):
            raise InputError(damaged(path, f"it is not as {listing} says", listing))
    return {title: path.read_text() for title, path in paths.items() if path in drawn}


def machines_of(results: Results, row: pd.Series, sweep: pd.DataFrame, args: argparse.Namespace) -> list[Machine]:
    """The clips to look at of every machine id of one machine type, as the row's trial heard them."""
    scores, held_out = results.scores(row), results.held_out(row)
    picked = {
        machine_id: pick(part, args.clips_per_group) for machine_id, part in scores.groupby("machine_id", sort=True)
    }
    wanted = {clip for groups in picked.values() for part in groups.values() for clip in part["clip"]}
    frames, parameters = results.frames(feature_of(row, sweep), row["machine_type"], wanted)
    recorded = results.clips[results.clips["clip"].isin(wanted) & results.clips["sample_rate"].notna()]
    sounds = {clip: read_samples(args.recordings / clip, parameters.get("channel", 0)) for clip in recorded["clip"]}
    machines = []
    for machine_id, groups in picked.items():
        if not groups:
            continue
        of_id = scores[scores["machine_id"] == machine_id]
        every = pd.concat(groups.values()).drop_duplicates("clip")
        errors, window = {}, 1
        if isinstance(row["feature"], str):  # an ensemble has no model of its own
            errors, window = window_errors(results.model(row, machine_id), every, frames, parameters)
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
            for i, one in every.iterrows()
        }
        labelled = of_id[of_id["label"].notna()]
        labels, values = labelled["label"].to_numpy(int), labelled["score"].to_numpy(float)
        normal = held_out[held_out["machine_id"] == machine_id]
        machines.append(
            Machine(
                machine_type=row["machine_type"],
                machine_id=machine_id,
                groups=[(name, [clips[clip] for clip in part["clip"]]) for name, part in groups.items()],
                auc=auc(labels, values),
                pauc=pauc(labels, values),
                scale=scale_of(parameters, frames[every["clip"].iloc[0]].shape[1]),
                window=window,
                sample_rate=next((sounds[clip][1] for clip in clips if clip in sounds), None),
                typical=float(normal["mean"].mean()) if errors and len(normal) and "mean" in normal else None,
            )
        )
    return machines


def window_errors(
    model: Path, clips: pd.DataFrame, frames: dict[str, np.ndarray], parameters: dict
) -> tuple[dict[str, np.ndarray], int]:
    """clip -> its window errors, none where the detector scores a clip as a whole; and the frames per window."""
    detector = load(model)
    if not hasattr(detector, "window_errors"):
        return {}, 1
    heard = [frames[clip] for clip in clips["clip"]]
    errors, per_clip = detector.window_errors(Features.of(heard, clips, parameters))
    each = np.split(errors, np.cumsum(per_clip)[:-1])
    return dict(zip(clips["clip"], each, strict=True)), detector.hyperparameters.window


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--results", type=Path, required=True, help="results/<name>, with tables, figures, scores and models"
    )
    parser.add_argument(
        "--sweeps", required=True, help="JSON: names of the sweeps; the first one's choice is shown in detail"
    )
    parser.add_argument(
        "--tables", type=Path, nargs="+", required=True, help="CSV tables to show beside those of the sweeps"
    )
    parser.add_argument("--generated", action="store_true", help="say in the report that the recordings are generated")
    parser.add_argument("--recordings", type=Path, required=True, help="folder that the clips' names start from")
    parser.add_argument("--config", required=True, help="JSON: the configuration that was run")
    parser.add_argument("--clips-per-group", type=int, default=3, help="clips of each kind per machine id")
    parser.add_argument(
        "--limit-mb", type=float, default=15.0, help="largest page; clips are left out to keep below it"
    )
    parser.add_argument("--out", type=Path, required=True, help="HTML file to write")
    cli.run(main, parser.parse_args())
