"""Open and check every clip of one machine type and split; write their table."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
import json
from dataclasses import replace
from pathlib import Path

from humwatch import parquet
from humwatch.datasets import clips, source
from humwatch.errors import InputError


def main(args: argparse.Namespace) -> None:
    folder = Path(args.dataset["path"])
    wanted = replace(source.of(args.dataset), machine_types=[args.machine_type])
    names = wanted.recordings(folder).get((args.machine_type, args.split))
    if not names:
        raise InputError(f"{folder} has no {args.split} clips of {args.machine_type}: add some")
    table = clips.table(folder, names, args.sample_rate or None, args.threads)
    parquet.write(table, args.out)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--dataset", type=json.loads, required=True, help="JSON: source, path (data folder), machine_ids, ..."
    )
    parser.add_argument("--machine-type", required=True)
    parser.add_argument("--split", choices=["train", "test"], required=True)
    parser.add_argument("--sample-rate", type=int, default=0, help="Hz that every clip must have; 0: what most have")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    cli.run(main, parser.parse_args())
