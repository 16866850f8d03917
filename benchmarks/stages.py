"""Every stage of the chain at 1x, 2x and 4x clips: seconds, peak memory, growth, and how much faster than real time it is.

Each stage is its script in workflow/scripts, in a process of its own on one core, on generated slide rails; 4x is the full size
of the real set unless said otherwise. CPU time is what is compared: it suffers least from other work on the machine.
`exponent`: slope of log CPU time over log clips, start-up (the stage on a handful of clips) taken off. `ms_per_clip`: what one
more clip costs, between 1x and 4x; `times_real_time`: a clip's ten seconds over that.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from common import ROOT, parser, run, write

IDS = 3  # machine ids of the demo
SECONDS = 10.0  # of a clip
FEATURE = {"source": "logmel", "n_mels": 128, "n_fft": 1024, "hop_length": 512}
MASKS = {"copies": 10, "frequency_masks": 1, "frequency_width": 16, "time_masks": 1, "time_width": 32}


def stages(clips_per_id: int) -> dict[str, list]:
    """Command lines of the chain, in its order. Training clips are scored, so that every stage has as many."""
    size = {"train": clips_per_id, "test_normal": 0, "test_anomaly": 0}
    dataset = {"source": "directory", "path": ".", "machine_ids": []}
    of_split = ["--machine-type", "slider", "--split", "train"]
    features = ["--features", "features.parquet"]
    train = ["train.py", "--detector", "vae", *features, "--device", "cpu", "--epochs", 1]
    score = ["score.py", *features, "--score", "mean", "--submission", "submission", "--out", "scores.parquet"]
    commands = {
        "demo": ["demo.py", "--folder", ".", "--split", "train", "--size", json.dumps(size), "--manifest", "demo.txt"],
        "clips": ["clips.py", "--dataset", json.dumps(dataset), *of_split, "--out", "clips.parquet"],
        "features": ["features.py", "--folder", ".", "--clips", "clips.parquet", "--feature", json.dumps(FEATURE)],
        "masks, 10 copies": ["augment.py", *features, "--settings", json.dumps(MASKS), "--out", "masks.parquet"],
        "training, an epoch": [*train, "--hyperparameters", '{"recipe": "report"}', "--out", "model"],
        "training, an epoch, fast": [*train, "--hyperparameters", '{"recipe": "fast"}', "--out", "fast"],
        "scoring": [*score, "--model", "model"],
        "scoring, fast": [*score, "--model", "fast"],
    }
    commands["features"] += ["--out", "features.parquet"]
    return {stage: [ROOT / "workflow/scripts" / script, *rest] for stage, (script, *rest) in commands.items()}


def main(args: argparse.Namespace) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for factor in (0, 1, 2, 4):
            clips_per_id = max(args.clips * factor // 4 // IDS, 2)
            for stage, command in stages(clips_per_id).items():
                found = [run(command, Path(folder)) for _ in range(args.repeats if stage != "demo" else 1)]
                seconds, cpu, peak = (statistics.median(values) for values in zip(*found, strict=True))
                rows.append([stage, clips_per_id * IDS, seconds, cpu, peak])
    result = pd.DataFrame(rows, columns=["stage", "clips", "seconds", "cpu_seconds", "peak_mb"])
    write(result, args.out, "stages")
    write(growth(result), args.out, "growth")


def growth(measured: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for stage, table in measured.groupby("stage", sort=False):
        clips, cpu = table["clips"].to_numpy(float), table["cpu_seconds"].to_numpy()
        exponent = np.polyfit(np.log(clips[1:]), np.log(np.maximum(cpu[1:] - cpu[0], 1e-3)), 1)[0]
        each = (cpu[-1] - cpu[1]) / (clips[-1] - clips[1])
        rows.append([stage, cpu[0], exponent, each * 1e3, table["peak_mb"].max()])
    result = pd.DataFrame(rows, columns=["stage", "start_up_s", "exponent", "ms_per_clip", "peak_mb"])
    each = result.set_index("stage")["ms_per_clip"]
    for scoring in ("scoring", "scoring, fast"):
        both = each["features"] + each[scoring]
        result.loc[len(result)] = [f"features and {scoring}", np.nan, np.nan, both, np.nan]
    result["times_real_time"] = 1e3 * SECONDS / result["ms_per_clip"]
    return result


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--clips", type=int, default=2370, help="of the largest data set")
    arguments.add_argument("--repeats", type=int, default=1)
    main(arguments.parse_args())
