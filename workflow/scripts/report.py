"""Write report.html: one page with tables, figures and clips to listen to, that opens without a network."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
import json
import platform
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import yaml

from humwatch import __version__
from humwatch.evaluation.selection import overall_choice
from humwatch.files import replacing
from humwatch.report import gather
from humwatch.report.content import LIMIT_MB, Machine, Report, Study
from humwatch.report.page import render
from humwatch.report.results import Results, read_table
from humwatch.report.words import words
from humwatch.slugs import slug

PACKAGES = ["torch", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "librosa", "soundfile", "matplotlib"]


def main(args: argparse.Namespace) -> None:
    results, config = Results(args.results), json.loads(args.config)
    drawn = args.results / "figures"
    studies = []
    for name in json.loads(args.sweeps):
        names = {"AUC": f"sweeps/{name}", "Training curves": f"training/{name}"}
        shaped = read_table(results.folder / "tables" / "sweeps" / f"{name}_report.csv")
        svgs = gather.svgs(drawn, names, f"of the sweep {words(name)}")
        studies.append(Study(name, results.sweep(name), shaped, svgs))
    chosen = overall_choice(study.table for study in studies)
    detail: dict[str, str] = {}
    machines: list[Machine] = []
    reasons: dict[str, pd.DataFrame] = {}
    for _, row in chosen.iterrows():
        place = slug(row["machine_type"])
        names = {
            "ROC curves": f"trial/roc_{place}",
            "Histograms of anomaly scores": f"trial/scores_{place}",
            "Alarms, promised and observed,": f"trial/alarms_{place}",
            "Embeddings": f"trial/embedding_{place}",
            "Mel spectrograms": f"clips/spectrograms_{place}",
        }
        if len(candidates := results.reasons(row)):
            reasons[row["machine_type"]] = candidates
        detail |= gather.svgs(drawn, names, f"of {row['machine_type']} clips")
        machines += gather.machines(results, row, args.recordings, args.clips_per_group)
    page = render(
        Report(
            title=args.results.name,
            generated=args.generated,
            clips=results.clips,
            studies=studies,
            chosen=chosen,
            detail=detail,
            machines=machines,
            tables={path.stem: read_table(path) for path in args.tables},
            warnings=list(results.warnings()),
            config=yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
            versions={"humwatch": __version__, "Python": platform.python_version()} | {p: version(p) for p in PACKAGES},
            limit_mb=args.limit_mb,
            reasons=reasons,
        )
    )
    with replacing(args.out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    cli.log.info("%s: %.1f MB", args.out, args.out.stat().st_size / 1e6)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--results", type=Path, required=True, help="results/<name>, with tables, figures, scores and models"
    )
    parser.add_argument("--sweeps", required=True, help="JSON: names of the sweeps")
    parser.add_argument(
        "--tables", type=Path, nargs="+", required=True, help="CSV tables to show beside those of the sweeps"
    )
    parser.add_argument("--generated", action="store_true", help="say in the report that the recordings are generated")
    parser.add_argument("--recordings", type=Path, required=True, help="folder that the clips' names start from")
    parser.add_argument("--config", required=True, help="JSON: the configuration that was run")
    parser.add_argument("--clips-per-group", type=int, default=3, help="clips of each kind per machine id")
    parser.add_argument(
        "--limit-mb", type=float, default=LIMIT_MB, help="largest page; clips are left out to keep below it"
    )
    parser.add_argument("--out", type=Path, required=True, help="HTML file to write")
    cli.run(main, parser.parse_args())
