"""Kill `humwatch watch` at random moments while recordings arrive slowly, and count what is lost or judged twice.

    python benchmarks/watch_kills.py results/demo/detectors/fan.humwatch --kills 50

For each kind of history: the watch is started again after every kill, recordings arrive in pieces all the while, and at the end
every recording must have exactly one row, with the score that `humwatch score` gives it.
"""

import argparse
import contextlib
import io
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

import humwatch
from humwatch.use.detector import Detector
from humwatch.use.history import Record, open_history

START = 30.0  # seconds in which a watch begins to work, on a machine that is busy
ROUND = 3.0  # seconds in which a kill comes
PIECE = 50_000  # bytes
EVERY = 0.25  # seconds between recordings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detector", type=Path, help="a .humwatch file")
    parser.add_argument("--kills", type=int, default=50, help="for each kind of history; default: 50")
    parser.add_argument("--seed", type=int, default=0, help="of the moments; default: 0")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder for the CSV")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [
            campaign(args.detector, Path(folder, suffix), suffix, args.kills, random.Random(args.seed))
            for suffix in ("csv", "sqlite")
        ]
    table = pd.DataFrame(found)
    args.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(args.out / "watch_kills.csv", index=False)
    print(table.to_string(index=False))
    sys.exit(bool(table[["lost", "twice", "other_score"]].to_numpy().any()))


def campaign(detector: Path, folder: Path, suffix: str, kills: int, chance: random.Random) -> dict[str, object]:
    """A row of the table."""
    incoming, history = folder / "incoming", folder / f"history.{suffix}"
    incoming.mkdir(parents=True)
    command = [sys.executable, "-m", "humwatch", "watch", str(detector), str(incoming), "--history", str(history)]
    enough, moments = threading.Event(), Counter()
    arrival = threading.Thread(target=arrive, args=[humwatch.load(detector), incoming, enough])
    arrival.start()
    for _ in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if chance.random() < 0.2:  # perhaps before it works at all
            time.sleep(chance.uniform(0, ROUND))
        else:
            threading.Thread(target=drain, args=[process, started := threading.Event()]).start()
            started.wait(START)
            time.sleep(chance.uniform(0, ROUND))
        process.kill()
        process.wait()
        moments["at work" if history.exists() else "before the first row"] += 1
    enough.set()
    arrival.join()
    files = {path.name for path in incoming.glob("*.wav")}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not process.stderr.readline().startswith("promised"):
        pass
    time.sleep(2)
    end, last = time.monotonic() + 600, -1
    while time.monotonic() < end and last < len(files):
        time.sleep(1)
        last = rows_of(history)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    process.wait()
    records = records_of(history)
    counted = Counter(record.file for record in records)
    made = humwatch.load(detector)
    others = [r.file for r in records if r.score != made.score(incoming / r.file, machine=made.machines[0])[0].score]
    return {
        "history": suffix,
        "kills": kills,
        "at_work": moments["at work"],
        "recordings": len(files),
        "lost": len(files - counted.keys()),
        "twice": sum(count > 1 for count in counted.values()),
        "other_score": len(others),
    }


def arrive(detector: Detector, folder: Path, enough: threading.Event) -> None:
    """Recordings of noise, written in pieces, until it is enough."""
    noise = np.random.default_rng(0)
    number = 0
    while not enough.is_set():
        out = io.BytesIO()
        soundfile.write(out, noise.normal(0, 0.1, detector.samples), detector.sample_rate, format="WAV")
        data = out.getvalue()
        with open(folder / f"{number:05d}.wav", "wb") as file:
            for first in range(0, len(data), PIECE):
                file.write(data[first : first + PIECE])
                file.flush()
                time.sleep(0.02)
        number += 1
        time.sleep(EVERY)


def drain(process: subprocess.Popen, started: threading.Event) -> None:
    """Read what it prints; the first line is there when it begins."""
    for _ in process.stdout:
        started.set()


def records_of(history: Path) -> list[Record]:
    with contextlib.closing(open_history(history)) as found:
        return [*found.records()]


def rows_of(history: Path) -> int:
    """While a watch holds it."""
    if history.suffix == ".csv":
        return history.read_bytes().count(b"\n") - 1
    with contextlib.closing(sqlite3.connect(history)) as base:
        return base.execute("SELECT count(*) FROM clips").fetchone()[0]


if __name__ == "__main__":
    main()
