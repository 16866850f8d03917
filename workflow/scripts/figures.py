"""Draw the figures of a finished run: every sweep's, and those of the trial chosen without labels among all."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
import json
import shutil
from pathlib import Path

from humwatch.detectors.reconstruction.specaugment import SpecAugment
from humwatch.files import write_checksums
from humwatch.report.draw import FOLDERS, figures_of
from humwatch.report.figures.style import save
from humwatch.report.results import Results
from humwatch.study.layout import FIGURES

GENERATED = "Generated recordings (demo), not a real machine."


def main(args: argparse.Namespace) -> None:
    results, masks = Results(args.results), SpecAugment(**json.loads(args.augmentation))
    for folder in FOLDERS:
        shutil.rmtree(args.out / folder, ignore_errors=True)
        (args.out / folder).mkdir(parents=True)
    sweeps = {name: results.sweep(name) for name in json.loads(args.sweeps)}
    for name, figure in figures_of(results, sweeps, masks, GENERATED if args.generated else ""):
        save(figure, args.out / name)
    # What the report depends on: folders cannot be compared by content, this file can.
    drawn = (path for folder in FOLDERS for path in (args.out / folder).iterdir() if path.suffix in (".svg", ".png"))
    write_checksums(args.out / FIGURES, sorted(drawn))


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--results", type=Path, required=True, help="results/<name>, with tables, scores and models")
    parser.add_argument("--sweeps", required=True, help="JSON: names of the sweeps")
    parser.add_argument("--augmentation", default="{}", help="JSON: SpecAugment settings of the masked clip")
    parser.add_argument("--generated", action="store_true", help="say in the figures that the recordings are generated")
    parser.add_argument("--out", type=Path, required=True, help="folder of the figures")
    cli.run(main, parser.parse_args())
