"""Pack a trial of a finished study into one file, the detector that `humwatch score` uses.

    humwatch pack --out fan.humwatch                             the trial chosen without labels, of config/config.yaml
    humwatch pack --configfile own.yaml --model fan --trial mahalanobis_logmel_machine-type_seed-0 --out fan.humwatch

The workflow writes such a file for each machine type itself, to results/<name>/detectors.
"""

import argparse
from pathlib import Path

from humwatch.commands._options import add_configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_configuration(parser)
    parser.add_argument(
        "--trial", help="a name of column `trial` in the tables; default: the one chosen without labels"
    )
    parser.add_argument("--epochs", type=int, help="its milestone; default: the last")
    parser.add_argument("--score", help="its score, where several were studied; default: the first")
    parser.add_argument(
        "--model",
        metavar="SCOPE",
        help="what it hears, a folder of models/; default: the machine type, if there is one",
    )
    parser.add_argument("--out", type=Path, required=True, help="the file to write")


def main(args: argparse.Namespace) -> None:
    from humwatch.study.config import read_schema, validate
    from humwatch.study.reading import read
    from humwatch.study.study import Study
    from humwatch.use.assemble import Finished, assemble

    schema = read_schema()
    finished = Finished(Study(validate(read(args.configfile), schema), schema))
    heard = finished.heard(args.model)
    trial = finished.trial(heard, args.trial, args.epochs, args.score)
    assemble(finished, trial, heard, args.out)
    print(f"{args.out}: {trial.name}, {', '.join('/'.join(machine) for machine in finished.machines(heard))}")
