"""Open and check every clip of one machine type and split; write their table."""

import argparse
import json
from pathlib import Path

from humwatch import audio, cli, clips, datasets
from humwatch.errors import InputError
from humwatch.files import replacing


def main(args: argparse.Namespace) -> None:
    folder = Path(args.dataset["path"])
    wanted = args.dataset | {"machine_types": [args.machine_type]}
    names = datasets.recordings(wanted, folder).get((args.machine_type, args.split))
    if not names:
        raise InputError(f"{folder} has no {args.split} clips of {args.machine_type}: add some")
    sample_rate = args.sample_rate or (audio.sample_rate_of(args.sample_rate_of) if args.sample_rate_of else None)
    table = clips.table(folder, names, sample_rate, args.threads)
    with replacing(args.out) as temporary:
        table.to_parquet(temporary, index=False)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--dataset", type=json.loads, required=True, help="JSON: source, path (data folder), machine_ids, ..."
    )
    parser.add_argument("--machine-type", required=True)
    parser.add_argument("--split", choices=["train", "test"], required=True)
    parser.add_argument("--sample-rate", type=int, help="Hz that every clip must have")
    parser.add_argument("--sample-rate-of", type=Path, help="clip whose sample rate every clip must have")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    cli.run(main, parser.parse_args())
