"""The workflow on a real Slurm of one node: tests/slurm/start.sh makes one, tests/slurm/stop.sh removes it.

Two GPUs are pretended: Slurm hands them out and sets CUDA_VISIBLE_DEVICES, the trainings run on the CPU all the same.
"""

import itertools
import os
import re
import shutil
import signal
import subprocess
import time
from datetime import datetime
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from conftest import Project, tiny_config

from humwatch.features.base import feature_class
from humwatch.study import plan

SLURM = Path(os.environ.get("HUMWATCH_SLURM", "/tmp/humwatch-slurm"))
UNSEEN_SECONDS = 0.25  # of a job's end, on average: Snakemake's benchmark looks every half second
CONFIG = tiny_config(trial={"hidden": [16], "latent": 2, "epochs": 200, "recipe": "report"}) | {
    "sweeps": {"seeds": {"seed": [0, 1, 2, 3]}}
}
TABLES = ["tables/auc.csv", "tables/summary.csv", "tables/sweeps/seeds.csv"]


def answer(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout


if not shutil.which("sinfo") or not re.search("idle|mixed|allocated", answer("sinfo", "--noheader", "--format", "%T")):
    pytest.skip("no Slurm node answers sinfo: start one with tests/slurm/start.sh", allow_module_level=True)


def jobs(project: Project, states: str = "RUNNING,PENDING,COMPLETING") -> pd.DataFrame:
    """The project's jobs in Slurm, with what each asked for."""
    fields = {
        "id": "%i",
        "state": "%T",
        "partition": "%P",
        "memory": "%m",
        "minutes": "%l",
        "gpus": "%b",
        "folder": "%Z",
    }
    lines = answer("squeue", "--noheader", f"--states={states}", "--format", "|".join(fields.values())).splitlines()
    found = pd.DataFrame([line.split("|") for line in lines], columns=list(fields))
    return found[found["folder"] == str(project.folder)].reset_index(drop=True)


def start(project: Project, *arguments: str, path: str = "") -> subprocess.Popen:
    """path: a folder whose programs come before all others."""
    if not (project.folder / "slurm").exists():
        (project.folder / "slurm").symlink_to("profiles/slurm")
    quick = ["--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "10", "--jobs", "4"]
    environment = project.environment() | {"HUMWATCH_SAVE_EVERY": "0.5"}  # so that there is a middle
    with open(project.folder / "output.txt", "w") as output:
        return subprocess.Popen(
            ["snakemake", "--configfile", "config.yaml", "--profile", "slurm", *quick, *arguments],
            cwd=project.folder,
            env=environment | ({"PATH": f"{path}:{environment['PATH']}"} if path else {}),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # A shell's background job, this test perhaps, has Ctrl-C ignored, and so would its children.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )


def wait_for(condition, process: subprocess.Popen, what: str, seconds: float = 600):
    """Until `condition()` is true; its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if process.poll() is not None or time.monotonic() > deadline:
            process.send_signal(signal.SIGINT)  # and its jobs go
            raise AssertionError(f"{what} never came")
        time.sleep(0.1)
    return value


def finish(project: Project, process: subprocess.Popen) -> None:
    code = process.wait(timeout=900)
    assert code == 0, (project.folder / "output.txt").read_text()[-6000:]


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Project:
    """The same study on this machine alone."""
    project = Project(tmp_path_factory.mktemp("local") / "project", CONFIG)
    project.run(*(str((project.results / table).relative_to(project.folder)) for table in TABLES))
    return project


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory) -> tuple[Project, pd.DataFrame, str]:
    """The whole study on Slurm, trainings cancelled and slurmd restarted on the way; its jobs; a cancelled training's log."""
    project = Project(tmp_path_factory.mktemp("slurm") / "project", CONFIG)
    process = start(project, "--group-components", "short_trainings=2")
    wait_for(lambda: list(project.results.glob("interim/*/*/*/*/model.json")), process, "a training")
    for job in jobs(project, "RUNNING").query("partition == 'gpu'")["id"]:
        subprocess.run(["scancel", job], check=True)

    def stopped() -> str | None:
        texts = (log.read_text() for log in project.results.glob("logs/train/*/*/*.log"))
        return next((text for text in texts if "stopped after epoch" in text), None)

    first = wait_for(stopped, process, "the state saved")
    wait_for(lambda: jobs(project, "RUNNING").query("partition == 'gpu'")["id"].tolist(), process, "the next try")
    os.kill(int((SLURM / "run/slurmd.pid").read_text()), signal.SIGTERM)
    time.sleep(3)
    subprocess.run(["slurmd", "-N", os.uname().nodename.split(".")[0]], check=True)
    finish(project, process)
    return project, jobs(project, "all"), first


def test_tables_are_those_of_a_local_run(disturbed, local):
    project = disturbed[0]
    for table in TABLES:
        assert (project.results / table).read_bytes() == (local.results / table).read_bytes()
    assert (project.results / "report.html").exists()


def test_cancelled_training_continued(disturbed, local):
    """It saved on SIGTERM, went on from there, and became the model that an undisturbed training makes."""
    project, _, first = disturbed
    assert re.search(r"stopped after epoch \d+: the next run goes on from there", first)
    continued = [
        log for log in project.results.glob("logs/train/*/*/*.log") if "going on from epoch" in log.read_text()
    ]
    assert continued
    models = sorted(
        path.relative_to(project.results) for path in project.results.glob("models/*/*/*/model.safetensors")
    )
    assert len(models) == 4
    for model in models:
        assert (project.results / model).read_bytes() == (local.results / model).read_bytes()
    assert not list(project.results.glob("interim/*/*/*"))


def test_one_gpu_each(disturbed):
    """Every training saw exactly one GPU; no two that ran at the same time saw the same one."""
    times = []
    for log in disturbed[0].results.glob("logs/train/*/*/*.log"):
        lines = log.read_text().splitlines()
        gpu = re.search(r"training \d+ of 4, GPU (\d+)$", lines[0])
        assert gpu, f"{log} names no GPU, or several: {lines[0]}"
        begun, ended = (datetime.strptime(line[:8], "%H:%M:%S") for line in (lines[0], lines[-1]))
        times.append((gpu[1], begun, ended))
    assert {gpu for gpu, *_ in times} <= {"0", "1"}
    for gpu in ("0", "1"):
        spans = sorted((begun, ended) for g, begun, ended in times if g == gpu)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans)), spans


def test_what_jobs_asked_for(disturbed):
    """Trainings, two to a job, went to the GPU partition with a GPU, the others to the CPU partition; a retry got more memory."""
    _, asked, _ = disturbed
    trainings, others = asked[asked["partition"] == "gpu"], asked[asked["partition"] == "cpu"]
    memory = trainings["memory"].str.rstrip("M").astype(int)
    cancelled = trainings["state"] == "CANCELLED"
    assert (~cancelled).sum() == 2 and cancelled.any()
    assert memory[~cancelled].max() == 2 * memory[cancelled].max()
    assert (
        len(others) == 2 + 2 + 2 + 4 + 2
    )  # demo, clip tables, features, scores, figures and report; tables are made here
    assert set(others["state"]) == {"COMPLETED"}


def test_estimates_fit_measurements(disturbed):
    """Requests fit the `benchmark:` files.

    The memory asked for trainings is no less and at most twice as much, the CPU time of every stage within a half and twice.
    """
    project, asked, _ = disturbed

    def measured(stage: str, column: str) -> float:
        files = (project.results / "benchmarks" / stage).rglob("*.tsv")
        return pd.concat(pd.read_csv(path, sep="\t") for path in files)[column].max()

    first = asked.query("partition == 'gpu' and state == 'CANCELLED'")["memory"].str.rstrip("M").astype(int).max()
    assert 1 <= (first - plan.SNAKEMAKE_MB) / measured("train", "max_rss") <= 2
    parameters = {"detector": "vae", "window": 5, "batch_size": 200} | CONFIG["trial"]
    training = plan.Training(parameters, 5 * 309, 128, CONFIG["trial"]["epochs"])  # six clips, one of them held out
    work = {
        "features": 6 * feature_class("logmel").seconds_per_clip,
        "train": training.seconds(gpu=False),  # the longest was never cancelled
        "score": plan.scoring_seconds(parameters, 6 * 309, 128),
    }
    for stage, seconds in work.items():
        start = plan.LIGHT_START_SECONDS if stage in ("features", "score") else plan.START_SECONDS
        cpu = measured(stage, "cpu_time")
        assert 0.5 * cpu <= start + seconds <= 2 * (cpu + UNSEEN_SECONDS), (stage, cpu)


def test_interrupt_leaves_no_job(local, tmp_path):
    project = local.copy(tmp_path / "project")
    project.configure(CONFIG | {"sweeps": {"seeds": {"seed": [0, 1, 2, 3, 4, 5]}}})
    # The hardest moment: Snakemake forgets the jobs that it is just asking Slurm about. So let Slurm take its time to answer.
    slow = tmp_path / "bin" / "squeue"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\ntouch {tmp_path}/asked\nsleep 3\nexec {shutil.which("squeue")} "$@"\n')
    slow.chmod(0o755)
    process = start(project, path=str(slow.parent))
    wait_for(lambda: len(jobs(project, "RUNNING")), process, "a job")
    (tmp_path / "asked").unlink(missing_ok=True)
    wait_for((tmp_path / "asked").exists, process, "the question how the job is")
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=120) != 0
    deadline = time.monotonic() + 60
    while len(jobs(project)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert jobs(project).empty
