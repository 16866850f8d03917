"""Bring features that were computed elsewhere into the feature store."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
from pathlib import Path

from humwatch import parquet
from humwatch.features import imported


def main(args: argparse.Namespace) -> None:
    imported.copy(args.source, parquet.read(args.clips), args.out)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--source", type=Path, required=True, help="Parquet file in the store's schema")
    parser.add_argument("--clips", type=Path, required=True, help="clip table: which clips, and what they are")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    cli.run(main, parser.parse_args())
