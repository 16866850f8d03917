"""Open and check every clip of one machine type and split; write their table."""

import argparse
from pathlib import Path

from humwatch import cli, clips
from humwatch.datasets.directory import scan
from humwatch.files import replacing


def main(args: argparse.Namespace) -> None:
    names = scan(args.folder, [args.machine_type], args.machine_ids)[args.machine_type, args.split]
    sample_rate = args.sample_rate or (clips.sample_rate_of(args.sample_rate_of) if args.sample_rate_of else None)
    table = clips.table(args.folder, names, sample_rate, args.threads)
    with replacing(args.out) as temporary:
        table.to_parquet(temporary, index=False)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="data folder in the DCASE 2020 layout")
    parser.add_argument("--machine-type", required=True)
    parser.add_argument("--split", choices=["train", "test"], required=True)
    parser.add_argument("--machine-ids", nargs="*", default=[], help="ids to keep, all by default")
    parser.add_argument("--sample-rate", type=int, help="Hz that every clip must have")
    parser.add_argument("--sample-rate-of", type=Path, help="clip whose sample rate every clip must have")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    cli.run(main, parser.parse_args())
