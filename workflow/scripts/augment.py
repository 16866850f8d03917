"""Draw SpecAugment's masks for the training clips of one machine type; write them as a table."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
import json
from pathlib import Path

import numpy as np

from humwatch import parquet
from humwatch.detectors.reconstruction import specaugment as augment
from humwatch.features import store


def main(args: argparse.Namespace) -> None:
    clips, frames, bins = [], [], 0
    for group in store.groups(args.features):
        clips += group.clips["clip"].tolist()
        frames += np.diff(group.starts).tolist()
        bins = group.values.shape[1]
    masks = augment.draw(clips, np.array(frames), bins, augment.SpecAugment(**json.loads(args.settings)))
    parquet.write(masks, args.out)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--features", type=Path, required=True, help="feature file of the training clips")
    parser.add_argument("--settings", required=True, help="JSON: copies, frequency_masks, frequency_width, ...")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    cli.run(main, parser.parse_args())
