"""Join the clip tables of all machine types and splits into one, and say what was understood of the data set."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
from pathlib import Path

import pandas as pd

from humwatch import parquet
from humwatch.datasets import review


def main(args: argparse.Namespace) -> None:
    table = pd.concat([parquet.read(path) for path in args.tables], ignore_index=True)
    review.check_sample_rates(table)
    parquet.write(table, args.out)
    for sentence in review.equal_clips(table):
        cli.log.warning(sentence)
    for line in review.machine_lines(table):
        cli.log.info(line)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--tables", type=Path, nargs="+", required=True, help="tables to join, in order")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    cli.run(main, parser.parse_args())
