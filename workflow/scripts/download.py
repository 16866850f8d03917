"""Fetch one file of DCASE 2020: an archive of clips, or the labels of the evaluation set."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
from pathlib import Path

from humwatch.datasets import dcase_fetch, zenodo
from humwatch.datasets.dcase_tables import DCASE2020


def main(args: argparse.Namespace) -> None:
    if args.name == DCASE2020.labels.name:
        dcase_fetch.fetch_labels(DCASE2020, args.data_folder, base_url=args.base_url)
    else:
        dcase_fetch.fetch(DCASE2020.archive_named(args.name), args.data_folder, base_url=args.base_url)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--name", required=True, help="dev_data_slider.zip, ..., or eval_data_list.csv")
    parser.add_argument("--data-folder", type=Path, required=True, help="folder that studies share")
    parser.add_argument("--base-url", default=zenodo.BASE_URL, help="Zenodo, or a mirror with its paths")
    cli.run(main, parser.parse_args())
