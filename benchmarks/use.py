"""From WAV file to decision on one core: how many times faster than real time each packed detector scores ten-second clips.

The detectors have their default sizes, trained for an epoch on the generated demo. start_s: of `humwatch score` as a process,
from its call to its end with one recording, all libraries loaded. cpu_*: CPU seconds, which suffer less from other work on the
machine. times_real_time: of one `humwatch score` over all recordings, its start left out, by CPU time and by the clock.

In a second table, each as an ONNX file: milliseconds of a clip in the same process with its libraries loaded, by the detector
without (ms_own) and with the map of deviations (ms_own_map), and by onnxruntime with one thread, the map included (ms_onnx);
times_faster and times_faster_map compare them. For each precision the size of the file, the AUC over test clips of the generated
demo (mean over machine ids), and the largest deviation of a score (of itself, or of the standard deviation of normal ones).
"""

import argparse
import contextlib
import io
import json
import os
import tempfile
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core

import numpy as np
import onnxruntime
import pandas as pd
import yaml
from common import ROOT, parser, per_clip, run, write
from sklearn.metrics import roc_auc_score

import humwatch
from humwatch.__main__ import main as command
from humwatch.study.config import read_schema, validate
from humwatch.study.study import Study
from humwatch.use import explain
from humwatch.use.assemble import Finished, assemble
from humwatch.use.onnx.export import KEY, compared
from humwatch.use.onnx.storage import PRECISIONS

SECONDS = 10
CONFIG = {
    "dataset": {"name": "use", "source": "demo", "size": {"train": 40, "test_normal": 40, "test_anomaly": 40}},
    "features": {"logmel": {}, "modulation": {"source": "modspec"}},
    "trial": {"epochs": 1},
    "sweeps": {
        "all": {"detector": ["mahalanobis", "knn", "gmm", "vae", "autoencoder", "idnn", "id_classifier"]},
        "modulation": {"detector": ["knn"], "feature": ["modulation"]},
    },
    "device": "cpu",
}


def main(args: argparse.Namespace) -> None:
    rows, onnx_rows, out = [], [], args.out.absolute()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
        snakemake = ["-m", "snakemake", "-s", ROOT / "Snakefile", "--configfile", "config.yaml"]
        run([*snakemake, "--profile", ROOT / "profiles/default", "--cores", 1, "--quiet", "all"], folder)
        os.chdir(folder)
        normal = sorted(Path("results/use/recordings/slider/train").iterdir())
        for i in range(args.clips):  # of normal sound, of which few are alarms: those cost an explanation each
            path = Path("heard", str(i), normal[i % len(normal)].name)
            path.parent.mkdir(parents=True)
            path.symlink_to(normal[i % len(normal)].absolute())
        schema = read_schema()
        finished = Finished(Study(validate(CONFIG, schema), schema))
        for trial in finished.study.trials:
            assemble(finished, trial, finished.heard(None), folder / "d.humwatch")
            score = ["score", "d.humwatch", "--false-alarm-rate", "1e-6", "--csv", "-"]
            one = normal[0]
            start, start_cpu = zip(*(timed([*score, one], folder) for _ in range(args.repeats)), strict=True)
            whole, whole_cpu = zip(*(timed([*score, "heard"], folder) for _ in range(args.repeats)), strict=True)
            sound = SECONDS * (args.clips - 1)
            rows.append(
                {
                    "trial": trial.name.removesuffix("_seed-0"),
                    "start_s": median(start),
                    "cpu_start_s": median(start_cpu),
                    "cpu_ms_per_clip": 1e3 * (median(whole_cpu) - median(start_cpu)) / (args.clips - 1),
                    "times_real_time_cpu": sound / (median(whole_cpu) - median(start_cpu)),
                    "times_real_time": sound / (median(whole) - median(start)),
                    "mb": (folder / "d.humwatch").stat().st_size / 1e6,
                }
            )
            onnx_rows.append({"trial": rows[-1]["trial"], **as_onnx(folder / "d.humwatch", args.repeats)})
    write(pd.DataFrame(rows), out, "use")
    write(pd.DataFrame(onnx_rows), out, "use_onnx", 4)


def as_onnx(path: Path, repeats: int) -> dict[str, float]:
    """The row of a detector's ONNX files."""
    detector = humwatch.load(path)
    test = {p: detector.read(p) for p in sorted(Path("results/use/recordings/slider/test").iterdir())}
    first = detector.machines[0]
    alone = session(path, "float32", "--machine", first)
    some = [*test.values()][:20]
    normal = detector.reference(detector.known(first))

    def mapped(clip: np.ndarray) -> np.ndarray:
        return explain.deviation_map(explain.levels(clip, detector.sample_rate), normal)

    timed = {
        "own": lambda: [detector.judge(clip, machine=first, why=0) for clip in some],
        "own with map": lambda: [(detector.judge(clip, machine=first, why=0), mapped(clip)) for clip in some],
        "onnx": lambda: [alone.run(["score", "p_value", "map"], {"samples": clip[None]}) for clip in some],
    }
    times = per_clip({side: (call, len(some)) for side, call in timed.items()}, repeats).set_index("side")[
        "ms_per_clip"
    ]
    row = {"ms_own": times["own"], "ms_own_map": times["own with map"], "ms_onnx": times["onnx"]}
    row |= {"times_faster": times["own"] / times["onnx"], "times_faster_map": times["own with map"] / times["onnx"]}
    for precision in PRECISIONS:
        made = session(path, precision)
        about = json.loads(made.get_modelmeta().custom_metadata_map[KEY])
        scores = np.array([made.run(["score"], {"samples": clip[None]})[0] for clip in test.values()])
        anomaly = np.array(["anomaly" in p.name for p in test])
        aucs = []
        for k, name in enumerate(detector.machines):
            own = np.array([detector.machine_of(p) == name for p in test])
            aucs.append(roc_auc_score(anomaly[own], scores[own, k]))
        machines = [detector.known(name) for name in detector.machines]
        row[f"mb_{precision}"] = path.with_suffix(f".{precision}.onnx").stat().st_size / 1e6
        row[f"auc_{precision}"] = float(np.mean(aucs))
        row[f"deviation_{precision}"] = compared(
            made, detector, machines, about["least_samples"], about["most_samples"]
        )[0]
    return row


def session(path: Path, precision: str, *options: str) -> onnxruntime.InferenceSession:
    """The detector, exported, on one thread."""
    file = path.with_suffix(f".{precision}.onnx")
    with contextlib.redirect_stdout(io.StringIO()):
        command(["export", str(path), "--onnx", str(file), "--precision", precision, *options])
    one = onnxruntime.SessionOptions()
    one.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(file, one, providers=["CPUExecutionProvider"])


def timed(command: list, folder: Path) -> tuple[float, float]:
    """Seconds and CPU seconds; noise is an alarm, whose exit code is 3."""
    code = "import runpy, sys; sys.argv[0] = 'humwatch'\ntry: runpy.run_module('humwatch', run_name='__main__')\n"
    code += "except SystemExit as ended: sys.exit(0 if ended.code == 3 else ended.code)"
    seconds, cpu, _ = run(["-c", code, *command], folder)
    return seconds, cpu


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--clips", type=int, default=200)
    arguments.add_argument("--repeats", type=int, default=3)
    main(arguments.parse_args())
