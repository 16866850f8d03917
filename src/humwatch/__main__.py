"""humwatch: listens to machines and says which ones sound wrong, having heard only machines that sound right.

Training and tables are a Snakemake workflow (`snakemake --cores 2`); these commands look at what it works on.
"""

import argparse
import importlib

from humwatch import cli

COMMANDS = {
    "calibrate": "humwatch.commands.calibrate",
    "data": "humwatch.study.overview",
    "listen": "humwatch.commands.listen",
    "pack": "humwatch.commands.pack",
    "plan": "humwatch.study.plan",
    "score": "humwatch.commands.score",
    "watch": "humwatch.commands.watch",
}  # a module with `add_arguments(parser)` and `main(args)`; its docstring is the help


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        "humwatch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module_name in COMMANDS.items():
        module = importlib.import_module(module_name)
        text = module.__doc__ or ""
        command = commands.add_parser(
            name,
            help=text.splitlines()[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(stage=module.main, log=None, title="")
    chosen = parser.parse_args(arguments)
    cli.run(chosen.stage, chosen)


if __name__ == "__main__":
    main()
