"""Compute one feature of every clip in a clip table and write them to the feature store."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
import json
from pathlib import Path

from humwatch import parquet
from humwatch.features.extract import SOURCES, extract
from humwatch.progress import Progress


def main(args: argparse.Namespace) -> None:
    parameters = json.loads(args.feature)
    feature = SOURCES[parameters.pop("source")](**parameters)
    clips = parquet.read(args.clips)
    channel = args.channel if args.channel == "mix" else int(args.channel)
    extract(
        args.folder, clips, feature, channel, args.out, Progress("clips", len(clips)), args.threads, cli.code_checksum()
    )


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="data folder")
    parser.add_argument("--clips", type=Path, required=True, help="clip table")
    parser.add_argument("--feature", required=True, help="JSON: source and its parameters")
    parser.add_argument("--channel", default="0", help='channel number, or "mix"')
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    cli.run(main, parser.parse_args())
