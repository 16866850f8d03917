"""From WAV file to decision on one core: how many times faster than real time each packed detector scores ten-second clips.

The detectors have their default sizes, trained for an epoch on the generated demo. start_s: of `humwatch score` as a process,
from its call to its end with one recording, all libraries loaded. cpu_*: CPU seconds, which suffer less from other work on the
machine. times_real_time: of one `humwatch score` over all recordings, its start left out, by CPU time and by the clock.
"""

import argparse
import os
import tempfile
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core

import pandas as pd
import yaml
from common import ROOT, parser, run, write

from humwatch.study.config import read_schema, validate
from humwatch.study.study import Study
from humwatch.use.assemble import Finished, assemble

SECONDS = 10
CONFIG = {
    "dataset": {"name": "use", "source": "demo", "size": {"train": 40, "test_normal": 2, "test_anomaly": 2}},
    "features": {"logmel": {}, "modulation": {"source": "modspec"}},
    "trial": {"epochs": 1},
    "sweeps": {
        "all": {"detector": ["mahalanobis", "knn", "gmm", "vae", "autoencoder", "idnn", "id_classifier"]},
        "modulation": {"detector": ["knn"], "feature": ["modulation"]},
    },
    "device": "cpu",
}


def main(args: argparse.Namespace) -> None:
    rows, out = [], args.out.absolute()
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
    write(pd.DataFrame(rows), out, "use")


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
