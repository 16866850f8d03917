"""Pack, for each machine type, the trial chosen without labels over all sweeps into one file: the detector to use."""

from humwatch import cli  # first: from here on Ctrl-C is one line

# isort: split
import argparse
import json
from pathlib import Path

import yaml

from humwatch.errors import InputError
from humwatch.files import write_checksums
from humwatch.study.layout import Scope
from humwatch.study.study import Study
from humwatch.use.assemble import Finished, assemble


def main(args: argparse.Namespace) -> None:
    finished = Finished(Study(json.loads(args.config), yaml.safe_load(args.schema.read_text())))
    written = []
    for machine_type in dict.fromkeys(machine_type for machine_type, _ in finished.machines(Scope())):
        heard = Scope(machine_type)
        path = args.out.with_name(f"{heard.name}.humwatch")
        try:
            trial = finished.trial(heard)
            assemble(finished, trial, heard, path)
        except InputError as reason:  # a study is worth its tables all the same
            cli.log.warning("there is no detector of %s to use: %s", machine_type, reason)
            path.unlink(missing_ok=True)
        else:
            cli.log.info("%s: %s", path, trial.name)
            written.append(path)
    write_checksums(args.out, written)


if __name__ == "__main__":
    parser = cli.parser(__doc__)
    parser.add_argument("--config", required=True, help="JSON: the configuration")
    parser.add_argument("--schema", type=Path, required=True, help="the configuration's schema")
    parser.add_argument("--out", type=Path, required=True, help="listing of the detectors, in their folder")
    cli.run(main, parser.parse_args())
