"""From WAV file to decision on one core: how many times faster than real time each packed detector scores ten-second clips.

The detectors have their default sizes, trained for an epoch on the generated demo. start_s: of `humwatch score` as a process,
from its call to its end with one recording, all libraries loaded. cpu_*: CPU seconds, which suffer less from other work on the
machine. times_real_time: of one `humwatch score` over all recordings, its start left out, by CPU time and by the clock.

In a second table, each as ONNX: CPU milliseconds of a clip of one machine in the same process with its libraries loaded, by the
detector without (ms_own) and with the map of deviations (ms_own_map), and by onnxruntime with one thread, the map included
(ms_onnx); times_faster and times_faster_map compare them. For each precision the size of the file of all machines, the AUC over
test clips of the generated demo (mean over machine ids), and the largest deviation of a score (of itself, or of the standard
deviation of normal ones).
"""

import argparse
import copy
import os
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import yaml
from common import ROOT, parser, per_clip, run, write
from sklearn.metrics import roc_auc_score

import humwatch
from humwatch.study.config import read_schema, validate
from humwatch.study.study import Study
from humwatch.use import explain
from humwatch.use.assemble import Finished, assemble
from humwatch.use.onnx.export import compared, converted
from humwatch.use.onnx.storage import PRECISIONS, store
from humwatch.use.onnx.whole import Whole

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
    """The row of a detector as ONNX."""
    detector = humwatch.load(path)
    machines = [detector.known(name) for name in detector.machines]
    test = {p: detector.read(p) for p in sorted(Path("results/use/recordings/slider/test").iterdir())}
    some = [*test.values()][:20]
    first, normal = detector.machines[0], detector.reference(machines[0])
    alone = session(converted(Whole(detector, machines[:1]).eval(), detector.samples))

    def mapped(clip: np.ndarray) -> np.ndarray:
        return explain.deviation_map(explain.levels(clip, detector.sample_rate), normal)

    sides = {
        "own": lambda: [detector.judge(clip, machine=first, why=0) for clip in some],
        "own with map": lambda: [(detector.judge(clip, machine=first, why=0), mapped(clip)) for clip in some],
        "onnx": lambda: [alone.run(None, {"samples": clip[None]}) for clip in some],
    }
    times = per_clip({side: (call, len(some)) for side, call in sides.items()}, repeats, time.process_time)
    own, own_map, onnx_ms = times["ms_per_clip"]
    row = {"ms_own": own, "ms_own_map": own_map, "ms_onnx": onnx_ms}
    row |= {"times_faster": own / onnx_ms, "times_faster_map": own_map / onnx_ms}
    whole = Whole(detector, machines).eval()
    model = converted(whole, detector.samples)
    anomaly = np.array(["anomaly" in p.name for p in test])
    heard = np.array([detector.machine_of(p) for p in test])
    for precision in PRECISIONS:
        smaller = copy.deepcopy(model)
        store(smaller, precision)
        made = session(smaller)
        scores = np.array([made.run(["score"], {"samples": clip[None]})[0] for clip in test.values()])
        aucs = [
            roc_auc_score(anomaly[heard == name], scores[heard == name, k]) for k, name in enumerate(detector.machines)
        ]
        deviation, _ = compared(made, detector, machines, whole.least, whole.most)
        row |= {f"mb_{precision}": smaller.ByteSize() / 1e6, f"auc_{precision}": float(np.mean(aucs))}
        row[f"deviation_{precision}"] = deviation
    return row


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """On one thread."""
    one = onnxruntime.SessionOptions()
    one.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), one, providers=["CPUExecutionProvider"])


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
