import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side: threads would fight for the cores

import importlib.util
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from filelock import FileLock
from zenodo_server import server  # noqa: F401  # a fixture

ROOT = Path(__file__).parents[1]
PARTS = ["Snakefile", "workflow", "src", "profiles", "config"]
TINY_TRIAL = {"hidden": [16], "latent": 2, "epochs": 1}


@pytest.fixture(scope="session")
def real_data():
    folder = os.environ.get("HUMWATCH_DATA")
    if not folder:
        pytest.skip("HUMWATCH_DATA does not name a folder of real recordings")
    return Path(folder)


@pytest.fixture(scope="session")
def fan(tmp_path_factory):
    """The file of a packed detector of one generated fan, with windows of a second."""
    from small_detector import make_detector  # beside the tests of humwatch.use

    return make_detector(tmp_path_factory.mktemp("fan") / "fan.humwatch")


class Project:
    """A copy of the project in a folder of its own, with one configuration."""

    def __init__(self, folder: Path, config: dict) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(
                    ROOT / part,
                    folder / part,
                    symlinks=True,
                    ignore=shutil.ignore_patterns("*.pyc.*", "*.egg-info"),  # compiled once, for all copies
                )
            else:
                shutil.copy2(ROOT / part, folder / part)
        self.configure(config)

    def configure(self, config: dict) -> None:
        self.config = config
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config))

    def copy(self, folder: Path) -> "Project":
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project.at(folder)

    @classmethod
    def at(cls, folder: Path) -> "Project":
        """The project that is in this folder already."""
        project = cls.__new__(cls)
        project.folder, project.config = folder, yaml.safe_load((folder / "config.yaml").read_text())
        return project

    @property
    def results(self) -> Path:
        return self.folder / "results" / self.config["dataset"]["name"]

    @property
    def tables(self) -> list[str]:
        """Targets of a run without figures and report."""
        return [f"results/{self.config['dataset']['name']}/{name}" for name in ("clips.parquet", "tables/auc.csv")]

    def command(self, *arguments: str) -> list[str]:
        snakemake = [sys.executable, "-m", "snakemake", "--configfile", "config.yaml", "--cores", "2"]
        return [*snakemake, *arguments]

    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": path, "PYTHONPATH": str(self.folder / "src")}

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=500,
        )
        if check and done.returncode:
            raise AssertionError(f"snakemake failed:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
        return done

    def start_until(self, begun: str, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen:
        """A run that has come so far that a file like `begun` is there below its results, in a process group of its own."""
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment() | (environment or {}),
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        deadline = time.monotonic() + 240
        while not list(self.results.glob(begun)):
            assert process.poll() is None and time.monotonic() < deadline, f"{begun} never began"
            time.sleep(0.002)
        return process

    def planned(self, *arguments: str) -> dict[str, int]:
        """Jobs by rule that a run would do, rule all left out."""
        done = self.run("--dry-run", *arguments)
        stats = re.search(r"Job stats:\njob +count\n-+ +-+\n(.*?)\ntotal", done.stdout + done.stderr, re.S)
        if not stats:
            assert "Nothing to be done" in done.stdout + done.stderr
            return {}
        jobs = {line.split()[0]: int(line.split()[1]) for line in stats[1].splitlines()}
        return {rule: count for rule, count in jobs.items() if rule != "all"}


def load_script(name: str):
    """A script of the workflow as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"workflow/scripts/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tiny_config(**sections) -> dict:
    return {
        "dataset": {"name": "tiny", "source": "demo", "size": "small", "machine_ids": ["00"]},
        "trial": TINY_TRIAL,
        "sweeps": {"rates": {"learning_rate": [0.01, 0.001], "seed": [0, 1]}},
        "bootstrap": {"samples": 50},
    } | sections


def write_clip(
    path: Path, seconds: float = 1.0, sample_rate: int = 16000, channels: int = 1, seed: int = 0, **kwargs
) -> Path:
    """A clip of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 0.1, (int(seconds * sample_rate), channels))
    soundfile.write(path, noise, sample_rate, **kwargs)
    return path


def write_recordings(folder: Path, ids=("00",), train: int = 6, test: int = 2, **kwargs) -> Path:
    """A small data folder in the DCASE 2020 layout: short clips of noise, anomalies twice as long."""
    for machine_id in ids:
        for n in range(train):
            write_clip(folder / f"slider/train/normal_id_{machine_id}_{n:08d}.wav", seed=n, **kwargs)
        for n in range(test):
            for k, label in enumerate(("normal", "anomaly")):
                write_clip(folder / f"slider/test/{label}_id_{machine_id}_{n:08d}.wav", seed=100 + 2 * n + k, **kwargs)
    return folder


def once(tmp_path_factory, worker: str, name: str, make: Callable[[Path], Project]) -> Project:
    """A project that the workers of one test run share: the first to need it makes it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker == "master" else base.parent) / name
    with FileLock(f"{folder}.lock"):
        if (folder / "done").exists():
            return Project.at(folder / "project")
        folder.mkdir()
        project = make(folder)
        project.run()
        (folder / "done").touch()
        return project


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id) -> Project:
    """The demo at its smallest, run to the end. Copy it before changing anything."""
    return once(tmp_path_factory, worker_id, "finished", lambda folder: Project(folder / "project", tiny_config()))


@pytest.fixture(scope="session")
def finished_directory(tmp_path_factory, worker_id) -> Project:
    """The same for a folder of recordings."""

    def make(folder: Path) -> Project:
        write_recordings(folder / "recordings")
        config = tiny_config(dataset={"name": "own", "source": "directory", "path": "../recordings"})
        return Project(folder / "project", config | {"sweeps": {}})

    return once(tmp_path_factory, worker_id, "finished_directory", make)


USED = {
    "dataset": {"name": "used", "source": "directory", "path": "../recordings"},
    "trial": {"epochs": 3},
    "features": {"logmel": {}, "modulation": {"source": "modspec"}},
    "detectors": {
        "vae": {"hidden": [16], "latent": 2},
        "autoencoder": {"hidden": [16], "bottleneck": 2},
        "idnn": {"hidden": [16]},
        "id_classifier": {"subclusters": 2, "embedding": 8, "hidden": [16]},
    },
    "sweeps": {
        "detectors": {"detector": ["mahalanobis", "knn", "gmm", "vae", "autoencoder", "idnn", "id_classifier", "auto"]},
        "per_id": {"detector": ["mahalanobis"], "feature": ["modulation"], "scope": ["machine_id"]},
    },
    "ensembles": {"mixed": [{"detector": ["mahalanobis", "vae"]}], "fast": [{"detector": ["mahalanobis", "knn"]}]},
    "validation": {"fraction": 0.3},
    "alarm": {"false_alarm_rate": 0.1},
    "bootstrap": {"samples": 10},
    "device": "cpu",
}


@pytest.fixture(scope="session")
def used(tmp_path_factory, worker_id) -> Project:
    """A trial of every detector and two ensembles, on short clips of noise of two machines. Copy it before changing anything."""

    def make(folder: Path) -> Project:
        write_recordings(folder / "recordings", ids=("00", "02"), train=12, test=3)
        return Project(folder / "project", USED)

    return once(tmp_path_factory, worker_id, "used", make)


@pytest.fixture(scope="session")
def recordings(used) -> Path:
    """Of `used`, of its machine type slider."""
    return used.folder.parent / "recordings/slider"


@pytest.fixture(scope="session")
def detector(used) -> Path:
    """The file that the workflow has packed."""
    return used.results / "detectors/slider.humwatch"


def humwatch(*arguments: object, cwd: Path | None = None, **kwargs) -> subprocess.CompletedProcess:
    """The command line, as a process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "humwatch", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=200, **kwargs)
