"""humwatch: listens to machines and says which ones sound wrong, having heard only machines that sound right.

Training and tables are a Snakemake workflow (`snakemake --cores 2`); these commands look at what it works on.
"""

import argparse
import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from humwatch import cli, commands


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command: a file of commands/, whose docstring is its help, and which is imported when it is called alone."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        "humwatch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    listed = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for file in sorted(file for folder in commands.__path__ for file in Path(folder).glob("[a-z]*.py")):
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        command = listed.add_parser(
            file.stem,
            help=text.partition("\n")[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if file.stem in arguments[:1]:
            module = importlib.import_module(f"humwatch.commands.{file.stem}")
            module.add_arguments(command)
            command.set_defaults(stage=module.main, log=None, title="")
    chosen = parser.parse_args(arguments)
    cli.run(chosen.stage, chosen)


if __name__ == "__main__":
    main()
