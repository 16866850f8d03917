"""Score the recordings of a folder with a detector that `humwatch export` wrote, without humwatch.

    python onnx_runner.py fan.onnx recordings/ --machine fan/00 --rate 0.01

Needs onnxruntime, numpy and soundfile. A line for each window: file, start in seconds, machine, score, p-value, and ALARM where
the p-value is at most the false-alarm rate. Without --machine, each window is compared with the machine it is most normal for.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the ONNX file")
    parser.add_argument("folder", type=Path, help="of WAV or FLAC files")
    parser.add_argument("--machine", help="type/id; default: the one that sounds most normal")
    parser.add_argument("--rate", type=float, help="of false alarms; default: the detector's")
    args = parser.parse_args()
    session = onnxruntime.InferenceSession(args.model, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["humwatch"])
    rate = args.rate or about["false_alarm_rate"]
    for path in sorted(path for path in args.folder.rglob("*") if path.suffix.lower() in (".wav", ".flac")):
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
        wrong = sample_rate != about["sample_rate"] or len(samples) < about["least_samples"]
        if wrong or about["channel"] not in ["mix", *range(samples.shape[1])]:
            wanted = "{least_samples} samples or more at {sample_rate} Hz, channel {channel}".format(**about)
            print(f"{path}: has {len(samples)} samples at {sample_rate} Hz, the detector hears {wanted}")
            continue
        one = samples.mean(axis=1) if about["channel"] == "mix" else samples[:, about["channel"]]
        for start, window in windows(one, about["samples"], about["longest_samples"]):
            score, p_value = session.run(["score", "p_value"], {"samples": window[None]})
            i = about["machines"].index(args.machine) if args.machine else int(np.argmax(p_value))
            alarm = "ALARM" if p_value[i] <= rate + 1e-9 else ""
            print(
                f"{path} {start / sample_rate:.1f} {about['machines'][i]} {score[i]:.5g} {p_value[i]:.3g} {alarm}".rstrip()
            )


def windows(samples: np.ndarray, size: int, longest: int):
    """Where each window begins, and its samples: the whole recording, or windows of which the last ends with it."""
    if len(samples) <= longest:
        yield 0, samples
        return
    last = len(samples) - size
    for first in [*range(0, last, size), last]:
        yield first, samples[first : first + size]


if __name__ == "__main__":
    main()
