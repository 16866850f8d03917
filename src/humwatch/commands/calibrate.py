"""Take a detector's thresholds from new normal recordings, without training.

    humwatch calibrate fan.humwatch normal/ --out fan-new.humwatch          in place of the old calibration clips
    humwatch calibrate fan.humwatch normal/ --add --out fan-new.humwatch    beside them

What the detector has learnt stays. The levels that alarms are explained by are taken from the new recordings as well.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("detector", type=Path, metavar="DETECTOR", help="a .humwatch file")
    parser.add_argument(
        "inputs", nargs="+", metavar="NORMAL_RECORDINGS", help="recordings, folders, patterns, - as of score"
    )
    parser.add_argument(
        "--machine", metavar="TYPE/ID", help="which machine they are of; default: what folders and names say"
    )
    parser.add_argument("--add", action="store_true", help="keep the calibration clips that are there")
    parser.add_argument("--group", metavar="REGEX", help="what in a recording's path names its session")
    parser.add_argument("--resample", action="store_true", help="take recordings of any sample rate")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")


def main(args: argparse.Namespace) -> None:
    from humwatch.use.recalibrate import recalibrate

    recalibrate(args)
