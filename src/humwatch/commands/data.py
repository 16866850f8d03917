"""What a study's data set has: what is there, what is missing, clips and hours of each machine.

Nothing is fetched, nothing is changed. Examples:

    humwatch data                                          the demo (config/config.yaml)
    humwatch data --configfile config/dcase2023.yaml       archives and clips of DCASE 2023
    humwatch data --configfile own.yaml --checksums        reads every file again

The exit code is 1 where the configuration or a name is refused or a recording cannot be read, else 0, also where recordings
are still to be fetched or generated.
"""

import argparse
from pathlib import Path

from humwatch.datasets import source as sources
from humwatch.datasets.names import listing
from humwatch.errors import InputError
from humwatch.study.config import read_schema, validate
from humwatch.study.overview import checksum_lines, clip_table, fetched_table, read_seconds
from humwatch.study.reading import read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--configfile", type=Path, default=Path("config/config.yaml"), help="default: config/config.yaml"
    )
    parser.add_argument("--checksums", action="store_true", help="compare every file with the checksums known of it")


def main(args: argparse.Namespace) -> None:
    dataset = validate(read([args.configfile]), read_schema())["dataset"]
    source = sources.of(dataset)
    folder = Path(source.folder())
    print(f"Data set {source.name}, source {source.source}, in {folder}\n")
    if fetched := source.fetched():
        print(fetched_table(fetched, args.checksums).to_string(index=False), end="\n\n")
    found = {} if source.is_made and not folder.exists() else source.recordings(folder)
    clips = [clip for names in found.values() for clip in names]
    if clips:
        seconds = read_seconds(folder, clips) if source.has_recordings else {}
        print(clip_table(source, clips, seconds).to_string(index=False), end="\n\n")
        if args.checksums and seconds:
            print(checksum_lines(source, folder, clips), end="\n\n")
        if unreadable := sorted(clip for clip, length in seconds.items() if length is None):
            raise InputError(f"{folder}: {listing(unreadable)} cannot be read as audio: replace or remove them")
    known = source.machines(found)  # says what is missing
    missing = [f"{machine_type} {split}" for machine_type, split in known if not found.get((machine_type, split))]
    if missing:
        print(f"Not there yet: {', '.join(missing)}; make them by: snakemake --cores 2 --configfile {args.configfile}")
    else:
        print("All clips that the study needs are there.")
