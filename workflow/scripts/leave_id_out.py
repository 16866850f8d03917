"""Judge a trial by training clips alone: it scores machine ids left out of its training as if they were others."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
from argparse import Namespace
from functools import partial
from pathlib import Path

from humwatch import parquet
from humwatch.detectors import base
from humwatch.detectors.leave_id_out import leave_id_out, of_one_machine
from humwatch.study.training import add_arguments, claimed_device, context_of, new_detector, read_parts


def main(args: Namespace) -> None:
    detector = new_detector(args)
    device = claimed_device(args, detector)
    train, validation, _ = read_parts(args, detector, None)
    if args.model:
        normal = validation.select((validation.clips["machine_id"] == args.machine_id).to_numpy())
        table = of_one_machine(base.load(args.model), train, normal)
    else:
        table = leave_id_out(partial(new_detector, args), train, validation, context_of(args, device))
    parquet.write(table, args.out)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    add_arguments(parser)
    parser.add_argument("--model", type=Path, help="folder of the model, where it is one of a machine id alone")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    cli.run(main, parser.parse_args())
