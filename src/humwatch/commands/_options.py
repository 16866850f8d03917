"""Arguments that several commands share."""

import argparse
from pathlib import Path


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Add the option for a study's configuration."""
    parser.add_argument(
        "--configfile",
        type=Path,
        nargs="+",
        default=[Path("config/config.yaml")],
        help="of the study; later files override earlier ones; default: config/config.yaml",
    )


def add_alarm_options(
    parser: argparse.ArgumentParser,
    silent_after: float,
    backlog: int,
    what: str,
    beyond: str = "the oldest are left out, and counted",
    history: str = "what is judged, a row each: .sqlite for SQLite, else CSV",
) -> None:
    """Add the options that `watch`, `listen` and `serve` share.

    Parameters
    ----------
    silent_after, backlog
        Defaults.
    what
        What arrives.
    beyond
        What becomes of more than the backlog.
    history
        What the history is, and where.
    """
    parser.add_argument("--resample", action="store_true", help="take sound of any sample rate")
    parser.add_argument(
        "--false-alarm-rate", type=float, metavar="RATE", help="to promise; default: that of the detector"
    )
    parser.add_argument(
        "--alarm-after",
        default="1/1",
        metavar="K/N",
        help="raise an alarm when K of the last N windows are; default: 1/1",
    )
    parser.add_argument(
        "--on-alarm",
        metavar="CMD",
        help="program to run on an alarm, without a shell: kind, machine, file and sentence are added to its arguments, and "
        "it reads the alarm as JSON from standard input; it has 10 s, and three tries where it fails, as all three ways out",
    )
    parser.add_argument("--webhook", metavar="URL", help="address to post alarms to, as JSON")
    parser.add_argument("--mqtt", metavar="HOST/TOPIC", help="MQTT broker and topic to publish alarms to, as JSON")
    parser.add_argument(
        "--silent-after",
        type=float,
        default=silent_after,
        metavar="SECONDS",
        help=f"no {what} for so long is an alarm of the microphone; default: {silent_after:g}",
    )
    parser.add_argument(
        "--backlog",
        type=int,
        default=backlog,
        metavar="N",
        help=f"how many may wait; of more, {beyond}; default: {backlog}",
    )
    parser.add_argument("--history", type=Path, metavar="FILE", help=history)
