"""Break runs on purpose and count what becomes of them: kills at random moments, damaged files of every kind, hostile names.

Every trial works on a small study of generated recordings in a copy of the project, next to the bytes of an undisturbed run. The
last two columns of the table must be 0: a traceback on the screen, and results that are wrong without a word.
Example: python benchmarks/campaign.py --kills 100 --repeats 2
"""

import argparse
import itertools
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import yaml

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
V = "pump/vae_augmentation-masks_hidden-16_latent-2_seed-0/epochs-1"
CHOSEN = V.replace("epochs-1", "epochs-3")  # the report's
AFTER = {"report.html", "figures/figures.txt"}
# Kind of file -> the file, and what is taken away so that somebody has to read it.
DAMAGED = {
    "clip table of a split": (
        "clips/pump/train.parquet",
        {"features/logmel/pump/train.parquet", f"models/{V}/model.json"},
    ),
    "clip table": ("clips.parquet", AFTER),
    "features, train": ("features/logmel/pump/train.parquet", {f"models/{V}/model.json"}),
    "features, test": ("features/logmel/pump/test.parquet", {f"scores/{V}.parquet"}),
    "masks": ("masks/masks/logmel/pump/masks.parquet", {f"models/{V}/model.json"}),
    "model.safetensors": (f"models/{V}/model.safetensors", {f"scores/{V}.parquet"}),
    "model.json": (f"models/{V}/model.json", {f"scores/{V}.parquet"}),
    "training.safetensors": (
        f"models/{V}/training.safetensors",
        {f"models/{V.replace('epochs-1', 'epochs-3')}/model.json"},
    ),
    "log.csv": (f"models/{V}/log.csv", {"tables/auc.csv", *AFTER}),
    "held-out scores": (f"models/{V}/validation.parquet", {"tables/auc.csv", *AFTER}),
    "held-out scores, for the report": (f"models/{CHOSEN}/validation.parquet", AFTER),
    "scores": (f"scores/{V}.parquet", {"tables/auc.csv", *AFTER}),
    "scores, for the report": (f"scores/{CHOSEN}.parquet", AFTER),
    "scores, for the ensemble": (
        "scores/pump/knn_seed-0/epochs-0.parquet",
        {"scores/pump/ensemble-both/epochs-0.parquet"},
    ),
    "ensemble's held-out scores": ("models/pump/ensemble-both/epochs-0/validation.parquet", {"tables/auc.csv"}),
    "auc.csv": ("tables/auc.csv", AFTER),
    "summary.csv": ("tables/summary.csv", AFTER),
    "selected.csv": ("tables/selected.csv", AFTER),
    "times.csv": ("tables/times.csv", AFTER),
    "a sweep's table": ("tables/sweeps/a.csv", AFTER),
    "a sweep's report table": ("tables/sweeps/a_report.csv", AFTER),
    "checksums of the tables": ("tables/sha256sums.txt", AFTER),
    "a figure": ("figures/sweeps/a.svg", {"report.html"}),
    "checksums of the figures": ("figures/figures.txt", {"report.html"}),
}
LATEST = 10  # seconds into a run, which takes some 20 on two cores
NAMES = [
    "a'$(touch PWNED)'b", "Bob's pump", "pump {3}", "{wildcards.x} {0} {input}", "<results> <y>", "-pump", "--help",
    "Größe #1, 50 % & mehr [x]", "3", "NA", "1e5", "true", "$x$ `touch PWNED`; touch PWNED", "<b>&amp;<b>",
    "a" * 100, "ab" * 60, " leading and trailing ", "=2E=2E", "a\\b", "*?!", "~root", "日本語", "\U0001f600",
]  # fmt: skip
COLUMNS = ["tried", "recovered with equal bytes", "one sentence", "traceback", "silently wrong"]


def main(args: argparse.Namespace) -> None:
    rng = random.Random(args.seed)
    counts: dict[str, Counter] = {}

    def count(kind: str, outcome: str) -> None:
        """The table is written as it grows: a campaign that is stopped has lost nothing."""
        print(f"{kind}: {outcome}", file=sys.stderr)
        counts.setdefault(kind, Counter())[outcome] += 1
        table(counts).to_csv(args.out / "campaign.csv", index=False)

    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_recordings(folder / "recordings")
        finished = project(folder / "finished", CONFIG)
        assert run(finished)[0] == 0, "the undisturbed run failed"
        expected = contents(finished / R)
        for kind, outcome in kills(folder, expected, args.kills, rng):
            count(f"kill: {kind}", outcome)
        ways = itertools.product((True, False), ("flipped", "cut", "empty"), DAMAGED, range(args.repeats))
        cases = [(kind, how, taken, random.Random(f"{args.seed} {n}")) for n, (taken, how, kind, _) in enumerate(ways)]
        cases = cases[args.skip :]
        with ThreadPoolExecutor(2) as pool:  # runs wait much: two at a time
            outcomes = pool.map(lambda case: damage(finished, expected, *case), cases)
            for (kind, how, *_), outcome in zip(cases, outcomes, strict=True):
                count(f"damage: {kind}, {how}", outcome)
        for kind, outcome in hostile_names(folder):
            count(f"name: {kind}", outcome)
    every = table(counts)
    print(every.to_string(index=False), end="\n\n")
    print(every.groupby(every["kind"].str.split(":").str[0], sort=False)[COLUMNS].sum().to_string())
    sys.exit(1 if every[COLUMNS[-2:]].to_numpy().any() else 0)


def table(counts: dict[str, Counter]) -> pd.DataFrame:
    """A row per kind: how many were tried, and what became of them."""
    rows = [[kind, count.total(), *(count[c] for c in COLUMNS[1:])] for kind, count in counts.items()]
    return pd.DataFrame(rows, columns=["kind", *COLUMNS])


def kills(folder: Path, expected: dict, count: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Kill runs at random moments, again and again, until one gets through; then all of its kills are judged by its results."""
    done = 0
    while done < count:
        place, suffered = project(folder / "killed", CONFIG), []
        while done + len(suffered) < count and len(suffered) < 8:
            kind = rng.choice([*SIGNALS])
            number, to_all = SIGNALS[kind]
            process = start(place)
            time.sleep(rng.uniform(0.3, LATEST))
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


def damage(finished: Path, expected: dict, kind: str, how: str, taken: bool, rng: random.Random) -> str:
    """Damage one file and run, with what was made of it taken away, or left; after a sentence, do what it says, and run again."""
    place = finished.with_name(f"damaged {rng.random()}")
    shutil.copytree(finished, place, symlinks=True)
    name, products = DAMAGED[kind]
    path = place / R / name
    try:
        times = path.stat()
        data = bytearray(path.read_bytes())
        if how == "flipped":
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        written = {"cut": bytes(data[: rng.randrange(1, len(data))]), "empty": b"", "flipped": bytes(data)}[how]
        path.write_bytes(written)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # a disk that errs does not say so
        for product in products if taken else ():
            (place / R / product).unlink()
        code, output = run(place)
        if code and "Traceback (most" not in output and (named := to_delete(output)):
            for found in named:
                shutil.rmtree(place / found) if (place / found).is_dir() else (place / found).unlink(missing_ok=True)
            code, output = run(place)
            outcome = "one sentence" if not code and contents(place / R) == expected else "silently wrong"
        else:
            if not code and not path.exists():  # removed, and nobody needed it: it must come back when somebody does
                for product in products:
                    (place / R / product).unlink(missing_ok=True)
                code, output = run(place)
            there = contents(place / R)
            if path.exists() and path.read_bytes() == written:
                there[name] = expected.get(name)  # nobody has read it yet, and all else is as it should be
            outcome = judged(code, output, there == expected)
        if outcome not in COLUMNS[1:3]:
            print(kind, how, taken, output[-1500:], file=sys.stderr)
        return outcome
    finally:
        shutil.rmtree(place)


def to_delete(output: str) -> set[str]:
    """The files and folders that a sentence asks to delete."""
    folders = re.findall(rf"delete (?:the folder )?({R}\S*?)(?: and|$)", output)
    return {*folders, *re.findall(rf"({R}\S*) is damaged \([^)]*\): delete it", output)}


def hostile_names(folder: Path) -> Iterator[tuple[str, str]]:
    """Machines and recordings with such names, in one data set: every one must be scored, under its own name."""
    data = folder / "named"
    for name in NAMES:
        write_machine(data / name, f"clip of {name}".replace("/", ""), 3)
    config = CONFIG | {"dataset": {"name": "campaign", "source": "folder", "path": "../named"}}
    place = project(folder / "names", config | {"ensembles": {}, "trial": {}, "sweeps": {"b": {"detector": ["knn"]}}})
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
    """What became of a run; an end without a way out counts as a traceback."""
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
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def start(place: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", "--configfile", "config.yaml", "--cores", "2"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(place / "src"), "OMP_NUM_THREADS": "1"}
    environment["HUMWATCH_SAVE_EVERY"] = "0"  # after every epoch, so that there is something to go on from
    return subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )  # fmt: skip


def run(place: Path) -> tuple[int, str]:
    process = start(place)
    output = process.communicate(timeout=1800)[0]
    return process.returncode, output


def contents(results: Path) -> dict[str, bytes]:
    """The bytes of all results; without times: those of logs, of a training log's last column, and all numbers of the report."""
    found = {}
    for path in sorted(results.rglob("*")):
        name = path.relative_to(results).as_posix()
        if path.is_file() and name.split("/")[0] not in ("logs", "benchmarks") and name != "tables/times.csv":
            data = path.read_bytes()
            if path.name == "log.csv":
                data = re.sub(rb",[^,\n]*\n", b"\n", data)
            elif path.name in ("report.html", "sha256sums.txt"):
                data = re.sub(rb"[0-9a-f]*[0-9][0-9a-f.]*", b"", data)
            found[name] = data
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
    parser.add_argument(
        "--skip", type=int, default=0, help="damaged files that a campaign has got through before it was stopped"
    )
    parser.add_argument("--seed", type=int, default=0, help="of moments, places and bits")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder for the CSV")
    main(parser.parse_args())
