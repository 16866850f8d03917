"""Join the clip tables of all machine types and splits into one."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
from pathlib import Path

import pandas as pd

from humwatch import parquet


def main(args: argparse.Namespace) -> None:
    parquet.write(pd.concat([parquet.read(path) for path in args.tables]), args.out)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--tables", type=Path, nargs="+", required=True, help="tables to join, in order")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    cli.run(main, parser.parse_args())
