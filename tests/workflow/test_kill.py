"""kill -9 of everything at once, in the middle: the next run finishes, and its tables are those of an undisturbed run."""

import os
import signal
import time

import pytest
from conftest import Project, tiny_config

CONFIG = tiny_config(
    dataset={
        "name": "killed",
        "source": "demo",
        "size": {"train": 60, "test_normal": 8, "test_anomaly": 8},
        "machine_ids": ["00"],
    }
) | {"sweeps": {}, "trial": {"hidden": [64], "latent": 4, "epochs": 3}}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("undisturbed") / "project", CONFIG)
    project.run(*project.tables)
    return project


@pytest.mark.parametrize("begun", ["features/logmel/slider/.train.parquet.*", "interim/slider/*/epochs-3/1/model.json"])
def test_killed(undisturbed, tmp_path, begun):
    project = Project(tmp_path / "project", CONFIG)
    # A state is saved after every epoch, so that there is a middle.
    process = project.start_until(begun, *project.tables, environment={"HUMWATCH_SAVE_EVERY": "0"})
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (project.results / "tables/auc.csv").exists()

    project.run(*project.tables)
    for table in ("auc.csv", "summary.csv"):
        assert (project.results / "tables" / table).read_bytes() == (
            undisturbed.results / "tables" / table
        ).read_bytes()
    assert not list(project.results.glob("interim/*/*/*"))


def test_two_runs_in_one_folder(finished, tmp_path):
    """The second is told so; the lock goes with the process that holds it."""
    from humwatch.locking import hold_lock

    project = finished.copy(tmp_path / "project")
    project.configure(project.config | {"sweeps": {}})
    child = os.fork()
    if child == 0:
        hold_lock(project.folder / ".snakemake/humwatch.lock")
        time.sleep(60)
        os._exit(0)
    time.sleep(0.5)
    done = project.run(*project.tables, "--forcerun", "tables", check=False)
    assert done.returncode == 1 and "another run is working in this folder" in done.stdout + done.stderr
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    project.run(*project.tables, "--forcerun", "tables")
