"""Watch a folder: score recordings as they arrive in it, and raise alarms.

    humwatch watch fan.humwatch incoming/
    humwatch watch fan.humwatch incoming/ --alarm-after 3/5 --on-alarm 'notify-send humwatch' --history fan.sqlite
    humwatch watch fan.humwatch incoming/ --webhook https://example.org/alarms --mqtt broker/plant/fan

A recording is scored when it is whole, and once, also when this is stopped and started again: the history (history.csv in the
folder, unless --history names another file) holds a row for each. With --alarm-after 3/5 a recording raises an alarm if it has
an alarming window and 3 of the last 5 windows of its machine are such. A microphone that is silent, constant or clipped, or no
recording for long (--silent-after), is an alarm of its own kind; so is a normal sound that has moved, which asks for `humwatch
calibrate`. Alarms that stand when this is started are raised again. Ctrl-C stops it.
"""

import argparse
from pathlib import Path

from humwatch.commands._options import add_alarm_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("detector", type=Path, metavar="DETECTOR", help="a .humwatch file")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where recordings arrive, also in folders below it")
    parser.add_argument(
        "--hop", type=float, metavar="SECONDS", help="between windows of long recordings; default: a window"
    )
    parser.add_argument("--machine", metavar="TYPE/ID", help="which machine it is")
    add_alarm_options(parser, silent_after=3600, backlog=1000, what="recording")


def main(args: argparse.Namespace) -> None:
    from humwatch.use.watch import watch

    watch(args)
