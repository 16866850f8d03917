"""Compute one feature of every clip in a clip table and write them to the feature store."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
import json
from pathlib import Path

from humwatch import parquet
from humwatch.features import base
from humwatch.features.extract import extract
from humwatch.progress import Progress
from humwatch.study.imports import code_checksum


def main(args: argparse.Namespace) -> None:
    feature = base.make(json.loads(args.feature))
    clips = parquet.read(args.clips)
    progress = Progress("clips", len(clips))
    code = code_checksum(__file__, type(feature).__module__)
    extract(args.folder, clips, feature, args.channel, args.out, progress, code)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="data folder")
    parser.add_argument("--clips", type=Path, required=True, help="clip table")
    parser.add_argument("--feature", required=True, help="JSON: source and its parameters")
    parser.add_argument(
        "--channel", type=json.loads, default=0, help='JSON: channel number, "mix", or a list of numbers'
    )
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    cli.run(main, parser.parse_args())
