"""Listen to live sound: score a window of it every few seconds, and raise alarms.

    humwatch listen fan.humwatch --hop 1                                        the default microphone
    arecord -f S16_LE -r 16000 -t raw | humwatch listen fan.humwatch -          PCM, or WAV, on standard input
    ffmpeg -i rtsp://camera -f s16le -ar 16000 -ac 1 - | humwatch listen fan.humwatch - --alarm-after 3/5

A window is as long as the training clips; each is a line. With --alarm-after 3/5 an alarm is raised when 3 of the last 5
windows are alarms, and again only after that has ended. A microphone that is silent, constant or clipped, or gives nothing for
long (--silent-after), is an alarm of its own kind; so is a normal sound that has moved, which asks for `humwatch calibrate`.
Sound that comes faster than it sounds, from a file, waits; live sound does not: the oldest windows are left out and counted
where this machine is too slow. When the sound ends, the exit code is 3 if there was an alarm, else 0.
"""

import argparse
from pathlib import Path

from humwatch.commands._options import add_alarm_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("detector", type=Path, metavar="DETECTOR", help="a .humwatch file")
    parser.add_argument(
        "source", nargs="?", choices=["-"], metavar="-", help="standard input; default: the default microphone"
    )
    parser.add_argument("--hop", type=float, metavar="SECONDS", help="between windows; default: a window")
    parser.add_argument(
        "--rate", type=int, metavar="HZ", help="sample rate of PCM on standard input; default: the detector's"
    )
    parser.add_argument("--channels", type=int, default=1, help="of PCM on standard input; default: 1")
    parser.add_argument(
        "--format",
        default="s16le",
        help="of PCM on standard input: u8, s16le, s24le, s32le, f32le, f64le; default: s16le",
    )
    parser.add_argument("--machine", metavar="TYPE/ID", help="which machine it is")
    add_alarm_options(parser, silent_after=60, backlog=30, what="sound")


def main(args: argparse.Namespace) -> None:
    from humwatch.use.listen import listen

    listen(args)
