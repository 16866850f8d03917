"""Check every clip of one machine type and split whose features were computed elsewhere; write their table."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
import json
from pathlib import Path

from humwatch import parquet
from humwatch.datasets.parquet import read_clips
from humwatch.features import imported


def main(args: argparse.Namespace) -> None:
    names = [
        name
        for name in read_clips(args.source)
        if name.split == args.split and (not args.machine_ids or name.machine_id in args.machine_ids)
    ]
    table = imported.clip_table(args.source, names)
    parquet.write(table, args.out)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--source", type=Path, required=True, help="Parquet file in the feature store's schema")
    parser.add_argument("--split", choices=["train", "test"], required=True)
    parser.add_argument("--machine-ids", type=json.loads, default=[], help="JSON: ids to keep, all by default")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    cli.run(main, parser.parse_args())
