"""Generate the demo's slide rails as WAV files in the DCASE 2020 layout, one split of them."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
import json
from pathlib import Path

from humwatch.datasets import demo, slide_rails
from humwatch.files import replacing
from humwatch.progress import Progress


def main(args: argparse.Namespace) -> None:
    ids = args.machine_ids or demo.MACHINE_IDS
    progress = Progress("clips generated", len(demo.clips(args.size, args.split, ids)))
    names = slide_rails.write(
        args.folder, args.size, args.split, seed=args.seed, machine_ids=ids, progress=progress.update, **args.noise
    )
    with replacing(args.manifest) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in names))


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="data folder to write into")
    parser.add_argument("--split", choices=["train", "test"], required=True)
    parser.add_argument("--size", type=json.loads, default="default", help='JSON: "small", "default", "full" or counts')
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise", type=json.loads, default={}, help="JSON: snr_db, far_microphone")
    parser.add_argument("--machine-ids", type=json.loads, default=[], help="JSON: ids to generate, all by default")
    parser.add_argument("--manifest", type=Path, required=True, help="list of the clips, written last")
    cli.run(main, parser.parse_args())
