"""Score recordings with a packed detector: which of them sound wrong.

    humwatch score fan.humwatch recordings/                      a table of all recordings below a folder
    humwatch score fan.humwatch *.wav --why --map maps           with reasons, and pictures of where they are
    find . -name '*.wav' | humwatch score fan.humwatch - --csv scores.csv --json scores.jsonl

Recordings longer than the training clips are scored in windows of that length, each a row. The exit code is 0 where nothing is
an alarm, 3 where something is, 1 where an input is bad.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("detector", type=Path, metavar="DETECTOR", help="a .humwatch file")
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="recordings, folders, patterns; -: a list of names on standard input"
    )
    parser.add_argument("--machine", metavar="TYPE/ID", help="which machine it is; default: what folders and names say")
    parser.add_argument(
        "--hop", type=float, metavar="SECONDS", help="between windows of long recordings; default: a window"
    )
    parser.add_argument("--resample", action="store_true", help="take recordings of any sample rate")
    parser.add_argument(
        "--false-alarm-rate", type=float, metavar="RATE", help="to promise; default: that of the detector"
    )
    parser.add_argument("--skip-broken", action="store_true", help="broken recordings leave the exit code alone")
    parser.add_argument("--why", action="store_true", help="say up to three places where alarms sound wrong, not one")
    parser.add_argument(
        "--map", type=Path, metavar="DIR", help="folder for a picture of each alarm: spectrogram and deviations"
    )
    parser.add_argument("--csv", metavar="FILE", help="write rows as CSV; -: to standard output, in place of the table")
    parser.add_argument("--json", metavar="FILE", help="write rows as JSON lines; -: as for --csv")


def main(args: argparse.Namespace) -> None:
    from humwatch.use.recordings import score_recordings

    score_recordings(args)
