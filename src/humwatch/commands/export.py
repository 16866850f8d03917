"""Write a detector as an ONNX file, for a place without Python: from samples to p-value, everything inside.

    humwatch export fan.humwatch --onnx fan.onnx

The file takes a window, `samples` (1, samples) float32 at the detector's rate, and gives for each machine its `score`, its
`p_value`, and a `map` of how many dB the window is above normal, over time and frequency. Its metadata (key humwatch, JSON) have
machines, sample rate, length of windows, and thresholds for several false-alarm rates. It is compared with the detector on
generated clips, and written where scores are equal. Needs the extra humwatch[onnx].
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("detector", type=Path, metavar="DETECTOR", help="a .humwatch file")
    parser.add_argument("--onnx", type=Path, required=True, metavar="FILE", help="the file to write")
    parser.add_argument("--machine", metavar="TYPE/ID", help="for this machine alone; default: all")
    parser.add_argument(
        "--false-alarm-rate", type=float, metavar="RATE", help="to promise; default: that of the detector"
    )
    parser.add_argument(
        "--precision",
        choices=["float32", "float16", "int8"],
        default="float32",
        help="in which large arrays are kept; default: float32",
    )


def main(args: argparse.Namespace) -> None:
    from humwatch.use.onnx.export import export

    export(args)
