"""Check every clip of one machine type and split whose features were computed elsewhere; write their table."""

import argparse
from pathlib import Path

from humwatch import cli
from humwatch.datasets import parquet
from humwatch.features import imported
from humwatch.files import replacing


def main(args: argparse.Namespace) -> None:
    names = [
        name
        for name in parquet.read_clips(args.source)
        if name.split == args.split and (not args.machine_ids or name.machine_id in args.machine_ids)
    ]
    table = imported.clip_table(args.source, names)
    with replacing(args.out) as temporary:
        table.to_parquet(temporary, index=False)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--source", type=Path, required=True, help="Parquet file in the feature store's schema")
    parser.add_argument("--split", choices=["train", "test"], required=True)
    parser.add_argument("--machine-ids", nargs="*", default=[], help="ids to keep, all by default")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    cli.run(main, parser.parse_args())
