"""Break runs on purpose and count what becomes of them: kills at random moments, damaged files of every kind, hostile names.

Every trial works on a small study of generated recordings in a copy of the project, next to the bytes of an undisturbed run. The
last two columns of the table must be 0: a traceback on the screen, and results that are wrong without a word.
Example: python benchmarks/campaign.py --kills 100 --repeats 2
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import yaml
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
PARTS = ["Snakefile", "workflow", "src", "profiles", "config"]
SIGNALS = {
    "SIGKILL to all": (signal.SIGKILL, True),
    "SIGKILL to Snakemake alone": (signal.SIGKILL, False),
    "SIGTERM to all": (signal.SIGTERM, True),
    "Ctrl-C": (signal.SIGINT, True),
}
CONFIG = {
    "dataset": {"name": "campaign", "source": "folder", "path": "../recordings"},
    "augmentations": {"masks": {"copies": 2, "frequency_width": 8, "time_width": 4}},
    "trial": {"hidden": [16], "latent": 2},
    "bootstrap": {"samples": 20},
    "sweeps": {"a": {"epochs": [1, 3], "augmentation": ["masks"]}, "b": {"detector": ["knn"]}},
    "ensembles": {"both": [{"detector": "knn"}, {"epochs": 3, "augmentation": "masks"}]},
}
R = "results/campaign"
MODEL, LATER = "models/pump/vae_augmentation-masks_hidden-16_latent-2_seed-0/epochs-1", "epochs-3"
# Kind of file -> the file, and what is taken away so that somebody has to read it.
DAMAGED = {
    "clip table of a split": ("clips/pump/train.parquet", "features/logmel/pump/train.parquet"),
    "clip table": ("clips.parquet", "report.html"),
    "features, train": ("features/logmel/pump/train.parquet", f"{MODEL}/model.json"),
    "features, test": ("features/logmel/pump/test.parquet", f"scores{MODEL.removeprefix('models')}.parquet"),
    "masks": ("masks/masks/logmel/pump/masks.parquet", f"{MODEL}/model.json"),
    "model.safetensors": (f"{MODEL}/model.safetensors", f"scores{MODEL.removeprefix('models')}.parquet"),
    "model.json": (f"{MODEL}/model.json", f"scores{MODEL.removeprefix('models')}.parquet"),
    "training.safetensors": (f"{MODEL}/training.safetensors", f"{MODEL}/../{LATER}/model.json"),
    "log.csv": (f"{MODEL}/log.csv", "tables/auc.csv"),
    "held-out scores": (f"{MODEL}/validation.parquet", "tables/auc.csv"),
    "scores": (f"scores{MODEL.removeprefix('models')}.parquet", "tables/auc.csv"),
    "scores, for the ensemble": (
        "scores/pump/knn_seed-0/epochs-0.parquet",
        "scores/pump/ensemble-both/epochs-0.parquet",
    ),
    "ensemble's held-out scores": ("models/pump/ensemble-both/epochs-0/validation.parquet", "tables/auc.csv"),
    "auc.csv": ("tables/auc.csv", "report.html"),
    "summary.csv": ("tables/summary.csv", "report.html"),
    "selected.csv": ("tables/selected.csv", "report.html"),
    "times.csv": ("tables/times.csv", "report.html"),
    "a sweep's table": ("tables/sweeps/a.csv", "report.html"),
    "a sweep's report table": ("tables/sweeps/a_report.csv", "report.html"),
    "checksums of the tables": ("tables/sha256sums.txt", "report.html"),
    "a figure": ("figures/sweeps/a.svg", "report.html"),
    "checksums of the figures": ("figures/figures.txt", "report.html"),
    "report.html": ("report.html", "figures/figures.txt"),
}
NAMES = [
    "a'$(touch PWNED)'b", "Bob's pump", "pump {3}", "{wildcards.x} {0} {input}", "<results> <y>", "-pump", "--help",
    "Größe #1, 50 % & mehr [x]", "3", "NA", "1e5", "true", "$x$ `touch PWNED`; touch PWNED", "<b>&amp;</b>",
    "a" * 100, "ab" * 60, " leading and trailing ", "=2E=2E", "a\\b", "*?!", "~root", "日本語", "\U0001f600",
]  # fmt: skip
COLUMNS = ["tried", "recovered with equal bytes", "one sentence", "traceback", "silently wrong"]


def main(args: argparse.Namespace) -> None:
    rng = random.Random(args.seed)
    counts: dict[str, Counter] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_recordings(folder / "recordings")
        finished = project(folder / "finished", CONFIG)
        begun = time.monotonic()
        assert run(finished)[0] == 0, "the undisturbed run failed"
        seconds = time.monotonic() - begun
        expected = contents(finished / R)
        for kind, outcome in tqdm(kills(folder, expected, args.kills, seconds, rng), "kills", total=args.kills):
            counts.setdefault(f"kill: {kind}", Counter())[outcome] += 1
        cases = [(kind, how) for kind in DAMAGED for how in ("cut", "empty", "flipped") for _ in range(args.repeats)]
        for kind, how in tqdm(cases, "damage"):
            counts.setdefault(f"damage: {kind}, {how}", Counter())[damage(finished, expected, kind, how, rng)] += 1
        for kind, outcome in tqdm(hostile_names(folder), "names", total=len(NAMES)):
            counts.setdefault(f"name: {kind}", Counter())[outcome] += 1
    table = pd.DataFrame(
        [[count.total(), *(count[c] for c in COLUMNS[1:])] for count in counts.values()], columns=COLUMNS
    )
    table.insert(0, "kind", [*counts])
    groups = table.groupby(table["kind"].str.split(":").str[0], sort=False)[COLUMNS].sum().reset_index()
    args.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(args.out / "campaign.csv", index=False)
    print(table.to_string(index=False), end="\n\n")
    print(groups.to_string(index=False))
    sys.exit(1 if table[COLUMNS[-2:]].to_numpy().any() else 0)


def kills(folder: Path, expected: dict, count: int, seconds: float, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Kill runs at random moments, again and again, until one gets through; then all of its kills are judged by its results."""
    done = 0
    while done < count:
        place, suffered = project(folder / "killed", CONFIG), []
        while done + len(suffered) < count and len(suffered) < 8:
            kind = rng.choice([*SIGNALS])
            number, to_all = SIGNALS[kind]
            process = start(place)
            time.sleep(rng.uniform(0.3, seconds * 0.5))
            if process.poll() is not None:
                break
            (os.killpg if to_all else os.kill)(process.pid, number)
            suffered.append((kind, process.communicate(timeout=600)[0] if to_all else wait_alone(process)))
        code, output = run(place)
        for kind, said in suffered:
            outcome = judged(code, output, contents(place / R) == expected)
            yield kind, "traceback" if "Traceback (most" in said else outcome
        done += len(suffered)
        shutil.rmtree(place)


def wait_alone(process: subprocess.Popen) -> str:
    process.wait()
    return ""  # its jobs live on and hold the pipe


def damage(finished: Path, expected: dict, kind: str, how: str, rng: random.Random) -> str:
    """Damage one file, take away what was made of it, and run; where that ends in a sentence, do what it says, and run again."""
    place = finished.with_name("damaged")
    shutil.copytree(finished, place, symlinks=True)
    try:
        path, taken = (place / R / name for name in DAMAGED[kind])
        times = path.stat()
        data = bytearray(path.read_bytes())
        if how == "flipped":
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes({"cut": data[: rng.randrange(1, len(data))], "empty": b"", "flipped": data}[how])
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # a disk that errs does not say so
        if path != taken:
            taken.unlink()
        code, output = run(place)
        outcome = judged(code, output, contents(place / R) == expected)
        if outcome == "one sentence":
            for named in set(re.findall(rf"delete (?:the folder )?({R}\S*?)(?: and|:|$)", output)):
                shutil.rmtree(place / named) if (place / named).is_dir() else (place / named).unlink(missing_ok=True)
            code, output = run(place)
            if code or contents(place / R) != expected:
                print(output[-1500:], file=sys.stderr)
                return "silently wrong"
        elif outcome != "recovered with equal bytes":
            print(kind, how, output[-1500:], file=sys.stderr)
        return outcome
    finally:
        shutil.rmtree(place)


def hostile_names(folder: Path) -> Iterator[tuple[str, str]]:
    """Machines and recordings with such names, in one data set: every one must be scored, under its own name."""
    data = folder / "named"
    for name in NAMES:
        write_machine(data / name, f"clip of {name}".replace("/", ""), 3)
    config = CONFIG | {"dataset": {"name": "campaign", "source": "folder", "path": "../named"}}
    place = project(folder / "names", config | {"ensembles": {}, "sweeps": {"b": {"detector": ["knn"]}}})
    code, output = run(place)
    scored = set()
    if code == 0:
        table = pd.read_csv(place / R / "tables/auc.csv", dtype=str, keep_default_na=False)
        scored = set(table["machine_type"][table["auc"] != ""])
    else:
        print(output[-3000:], file=sys.stderr)
    harmed = list(folder.rglob("PWNED"))
    for name in NAMES:
        bad = "traceback" if "Traceback (most" in output else "silently wrong"
        yield name, "recovered with equal bytes" if name in scored and not harmed else bad


def judged(code: int, output: str, equal: bool) -> str:
    if "Traceback (most" in output:
        return "traceback"
    if code:
        return "one sentence" if "delete" in output else "traceback"
    return "recovered with equal bytes" if equal else "silently wrong"


def project(folder: Path, config: dict) -> Path:
    """A copy of the project with one configuration."""
    folder.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, symlinks=True, ignore=ignored)
        else:
            shutil.copy2(ROOT / part, folder / part)
    # A checkpoint after every epoch, so that there is something to go on from.
    script = folder / "workflow/scripts/train.py"
    script.write_text(script.read_text().replace("default=10.0", "default=0.0"))
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def start(place: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", "--configfile", "config.yaml", "--cores", "2"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(place / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )  # fmt: skip


def run(place: Path) -> tuple[int, str]:
    process = start(place)
    output = process.communicate(timeout=1800)[0]
    return process.returncode, output


def contents(results: Path) -> dict[str, bytes]:
    """The bytes of all results but times, and what shows times: logs, the last column of training logs, figures and report."""
    apart = {"logs", "benchmarks", "figures"}
    found = {}
    for path in sorted(results.rglob("*")):
        name = path.relative_to(results)
        if (
            path.is_file()
            and name.parts[0] not in apart
            and name.name not in ("times.csv", "sha256sums.txt", "report.html")
        ):
            data = path.read_bytes()
            found[str(name)] = re.sub(rb",[^,\n]*\n", b"\n", data) if name.name == "log.csv" else data
    return found


def write_recordings(folder: Path) -> None:
    for number, machine in enumerate(("pump", "fan")):
        write_machine(folder / machine, "clip", 6, number)


def write_machine(folder: Path, name: str, train: int, seed: int = 0) -> None:
    """Half a second of generated noise per clip; anomalies are louder."""
    rng = np.random.default_rng(seed)
    for place, count, level in (("normal", train, 0.1), ("test/normal", 2, 0.1), ("test/anomaly", 2, 0.2)):
        (folder / place).mkdir(parents=True)
        for n in range(count):
            soundfile.write(folder / place / f"{name} {n}.wav", rng.normal(0, level, 8000), 16000)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="how many runs are killed (100)")
    parser.add_argument("--repeats", type=int, default=2, help="how often each kind of file is damaged in each way (2)")
    parser.add_argument("--seed", type=int, default=0, help="of moments, places and bits")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder for the CSV")
    main(parser.parse_args())
