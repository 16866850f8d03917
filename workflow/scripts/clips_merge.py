"""Join the clip tables of all machine types and splits into one."""

import argparse
from pathlib import Path

import pandas as pd

from humwatch import cli
from humwatch.files import replacing


def main(args: argparse.Namespace) -> None:
    with replacing(args.out) as temporary:
        pd.concat([pd.read_parquet(path) for path in args.tables]).to_parquet(temporary, index=False)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--tables", type=Path, nargs="+", required=True, help="tables to join, in order")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    cli.run(main, parser.parse_args())
