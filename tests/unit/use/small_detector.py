"""A detector of a generated fan that is made in a second, its sound, and commands as processes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from humwatch.detectors import base
from humwatch.features.logmel import Feature
from humwatch.features.store import Features
from humwatch.use import explain, pack

RATE = 16000
SRC = Path(__file__).parents[3] / "src"


def sound(seconds: float = 1.0, seed: int = 0, whistle: float = 0.0, level: float = 1.0) -> np.ndarray:
    """A hum in noise, 16 bits' worth; whistle: a tone that a normal fan has not. float32 (samples,)."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    hum = 0.1 * np.sin(2 * np.pi * 100 * time + random.uniform(0, 6)) * random.uniform(0.8, 1.2)
    made = (
        hum + random.normal(0, 0.02 * random.uniform(0.9, 1.1), len(time)) + whistle * np.sin(2 * np.pi * 3000 * time)
    )
    return (np.round(made * level * 32767).clip(-32768, 32767) / 32768).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """A WAV file of 16 bits, which appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}")
    soundfile.write(hidden, samples, rate, subtype="PCM_16", format="WAV")
    return hidden.rename(path)


def pcm(samples: np.ndarray) -> bytes:
    return (samples * 32768).astype("<i2").tobytes()


def two_channels(seconds: float = 1.0, seed: int = 0, whistle: float = 0.0) -> np.ndarray:
    """The fan beside a loud neighbour, which the second channel hears alone. float32 (samples, 2)."""
    near, neighbour = sound(seconds, seed, whistle), sound(seconds, seed + 1_000_000)
    return np.stack([near + neighbour, neighbour], axis=1)


def make_detector(
    path: Path, machines=(("fan", "00"),), clips: int = 120, rate: float = 0.02, feature=None, channel=0, sound=sound
) -> Path:
    """Mahalanobis on log-mel, windows of a second; half of the clips serve calibration."""
    feature = feature or Feature()
    parameters = feature.parameters(RATE) | {"channel": channel}
    every = [sound(seed=seed) for seed in range(clips)]

    def features(samples: list[np.ndarray], machines) -> Features:
        """The same clips of each machine."""
        frames = [feature(clip, RATE) for clip in samples] * len(machines)
        rows = [(str(i), *machine, "train", 0) for machine in machines for i in range(len(samples))]
        table = pd.DataFrame(rows, columns=["clip", "machine_type", "machine_id", "split", "label"])
        return Features.of(frames, table, parameters)

    model = base.make("mahalanobis", {})
    model.feature = parameters
    train, held_out = features(every[::2], machines), features(every[1::2], machines)
    model.fit(train, train, base.FitContext())
    scores = pd.DataFrame({"clip": held_out.clips["clip"], "score": model.score(held_out)[model.default_score]})
    scores["machine"] = np.repeat(np.arange(len(machines)), len(every[1::2]))
    normal = explain.reference(explain.levels(clip, RATE) for clip in every)
    arrays = {f"members.0.models.0.{name}": array for name, array in model.state().items()}
    arrays |= pack.calibration_arrays(scores, grouped=False)
    for i in range(len(machines)):
        arrays |= {f"reference.{i}.median": normal.median, f"reference.{i}.spread": normal.spread}
        arrays[f"reference.{i}.clips"] = np.array(clips)
    member = {"detector": "mahalanobis", "hyperparameters": {}, "feature": parameters, "score": model.default_score}
    description = {
        "members": [member | {"models": [{"machines": machines, "feature": parameters, "epoch": 0}]}],
        "machines": machines,
        "sample_rate": RATE,
        "channel": channel,
        "samples": RATE,
        "longest_samples": RATE,
        "false_alarm_rate": rate,
        "calibration": {"method": "held-out clips", "clips": len(scores)},
    }
    pack.write(path, description, arrays)
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "humwatch", *map(str, arguments)]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1"}


def start(*arguments: object, **kwargs) -> subprocess.Popen:
    return subprocess.Popen(command(*arguments), env=environment(), **kwargs)


def run(*arguments: object, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run(command(*arguments), env=environment(), capture_output=True, timeout=200, **kwargs)
