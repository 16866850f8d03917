"""Unpack the clips of one archive of a DCASE Challenge, whole or not at all, and write their manifest."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
from pathlib import Path

from humwatch.datasets import dcase_fetch
from humwatch.datasets.dcase_tables import CHALLENGES


def main(args: argparse.Namespace) -> None:
    dcase_fetch.unpack(args.archive, CHALLENGES[args.year].archive_named(args.archive.name), args.data_folder)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--year", type=int, required=True)
    parser.add_argument("--archive", type=Path, required=True, help="zip file with its published name")
    parser.add_argument("--data-folder", type=Path, required=True, help="folder that studies share")
    cli.run(main, parser.parse_args())
