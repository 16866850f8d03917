"""Serve detectors over HTTP: clips are posted, judged and kept in a history; a page shows how the machines are.

    humwatch serve fan.humwatch pump.humwatch
    curl --data-binary @clip.wav 'http://127.0.0.1:8080/v1/machines/fan/00/score?name=clip.wav'
    HUMWATCH_TOKEN=$(openssl rand -hex 32) humwatch serve fan.humwatch --host 0.0.0.0

A clip is in the history (history.sqlite in the current folder, unless --history names another file) before it is answered. The
page is at /, the interface is described at /docs. To be reached from other computers it needs a token: programs send it as a
bearer token, the page asks for it. Alarms, silent microphones and a normal sound that has moved are raised as by `humwatch
watch`. Ctrl-C stops it. It needs humwatch[serve].
"""

import argparse
import os
from pathlib import Path

from humwatch.commands._options import add_alarm_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("detectors", type=Path, nargs="+", metavar="DETECTOR", help=".humwatch files")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at; default: 127.0.0.1, this computer alone"
    )
    parser.add_argument("--port", type=int, default=8080, help="0: any that is free; default: 8080")
    parser.add_argument(
        "--insecure", action="store_true", help="let other computers in without a token (HUMWATCH_TOKEN)"
    )
    parser.add_argument(
        "--hop", type=float, metavar="SECONDS", help="between windows of long recordings; default: a window"
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, metavar="N", help="that judge; default: one for each core"
    )
    parser.add_argument(
        "--body-limit", type=float, default=50, metavar="MB", help="largest clip that is taken; default: 50"
    )
    parser.add_argument(
        "--keep",
        type=int,
        default=50,
        metavar="N",
        help="alarms whose sound is kept beside the history, for the page; 0 keeps none; default: 50",
    )
    parser.set_defaults(machine=None)  # said with each clip
    add_alarm_options(
        parser,
        silent_after=3600,
        backlog=16,
        what="clip",
        beyond="clips are refused (503)",
        history="SQLite file of what is judged, a row each; default: history.sqlite",
    )


def main(args: argparse.Namespace) -> None:
    from humwatch.use.serve.run import serve

    serve(args)
