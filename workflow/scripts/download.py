"""Fetch one file of a DCASE Challenge: an archive of clips, or the labels of the evaluation set."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
import json
from pathlib import Path

from humwatch.datasets import dcase_fetch, zenodo
from humwatch.datasets.dcase_tables import CHALLENGES, Labels


def main(args: argparse.Namespace) -> None:
    if args.labels:
        dcase_fetch.fetch_labels(Labels(**args.labels), args.out, args.base_url)
    else:
        archive = CHALLENGES[args.year].archive_named(args.out.name)
        dcase_fetch.fetch(archive, args.out.parents[2], base_url=args.base_url)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--year", type=int, required=True)
    parser.add_argument("--labels", type=json.loads, help="JSON: what is known of the list of labels to fetch")
    parser.add_argument("--base-url", default=zenodo.BASE_URL, help="Zenodo, or a mirror with its paths")
    parser.add_argument(
        "--out", type=Path, required=True, help="<data folder>/dcase<year>/archives/<name> or .../<list>"
    )
    cli.run(main, parser.parse_args())
