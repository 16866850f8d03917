"""Whole runs as new users make them: machines with hostile names, a run that is interrupted, what stands last on the screen."""

import os
import re
import shutil
import signal

import pandas as pd
import pytest
from conftest import Project, tiny_config, write_clip, write_recordings

from humwatch.slugs import slug

MACHINES = ["-a'$(touch PWNED)'b & \"c\"; {3} <y> #1, 50 % Größe $x$", "3"]
FILE = "{x} <z>'s $(touch PWNED) %20 ü.wav"


def write_machine(folder, train=4):
    for n in range(train):
        write_clip(folder / "normal" / f"{n} {FILE}", seconds=0.5, seed=n)
    for n in range(2):
        write_clip(folder / "test/normal" / f"{n}.wav", seconds=0.5, seed=10 + n)
        write_clip(folder / "test/anomaly" / f"{n}.wav", seconds=0.5, seed=20 + n)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A finished run over machines with hostile names: two detectors, masks, an ensemble, models per type and per id."""
    folder = tmp_path_factory.mktemp("hostile")
    for machine in MACHINES:
        write_machine(folder / "data {x} <y>" / machine)
    config = tiny_config(
        dataset={"name": "hostile", "source": "folder", "path": "../data {x} <y>"},
        augmentations={"masks": {"copies": 1, "frequency_width": 4, "time_width": 4}},
        trial={"hidden": [8], "latent": 2, "epochs": 1},
        sweeps={"a": {"augmentation": ["masks"]}, "b": {"detector": ["knn"], "scope": ["machine_id"]}},
        ensembles={"both": [{"detector": "knn", "scope": "machine_id"}, {"augmentation": "masks"}]},
    )
    project = Project(folder / "project", config)
    done = project.run()
    project.said = done.stdout + done.stderr
    return project


def test_hostile_names_are_measured_under_their_own_name(hostile):
    auc = pd.read_csv(hostile.results / "tables/auc.csv", dtype=str, keep_default_na=False)
    assert set(auc["machine_type"]) == set(MACHINES)
    assert (auc.loc[auc["machine_id"] == "00", "auc"] != "").sum() == 3 * len(MACHINES)
    clips = pd.read_parquet(hostile.results / "clips.parquet")
    assert set(clips["machine_type"]) == set(MACHINES) and clips["clip"].str.endswith(FILE).sum() == 4 * len(MACHINES)
    assert not list(hostile.folder.parent.rglob("PWNED"))
    assert "Traceback" not in hostile.said


def test_hostile_names_stay_within_their_folders(hostile):
    slugs = {slug(machine) for machine in MACHINES}
    assert {path.name for path in (hostile.results / "clips").iterdir()} == slugs
    assert {path.name for path in (hostile.results / "models").iterdir()} == slugs | {f"{s}_id_00" for s in slugs}
    assert {path.name for path in hostile.folder.iterdir()} <= {
        *("Snakefile", "workflow", "src", "profiles", "config", "config.yaml", "results", ".snakemake")
    }
    for path in hostile.results.rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9_.~+=-]+", path.name), path


def test_the_report_shows_hostile_names_as_they_are(hostile):
    page = (hostile.results / "report.html").read_text()
    assert "$(touch PWNED)" in page and "; {3} &lt;y&gt; #1, 50 % Größe $x$" in page and "<y>" not in page
    assert any("$x$" in path.read_text() for path in (hostile.results / "figures").rglob("*.svg"))


def test_nothing_to_do_after_hostile_names(hostile):
    assert hostile.planned() == {}


def test_recordings_of_one_name_are_told_apart(hostile):
    scope = slug(MACHINES[1])
    (path,) = (hostile.results / f"submission/{scope}").glob("vae*/epochs-1/submission.csv")
    names = pd.read_csv(path)["file_name"].tolist()
    assert names == [f"3/test/{label}/{n}.wav" for label in ("anomaly", "normal") for n in range(2)]


@pytest.fixture
def own(tmp_path):
    write_recordings(tmp_path / "recordings", train=4, test=2, seconds=0.5)
    config = tiny_config(dataset={"name": "own", "source": "directory", "path": "../recordings"})
    return Project(tmp_path / "project", config | {"sweeps": {}, "trial": {"detector": "knn"}})


def test_touched_links_and_broken_links(own, tmp_path):
    """A link to nowhere and one to itself are broken clips; touching recordings and going back reruns nothing."""
    train = tmp_path / "recordings/slider/train"
    (train / "normal_id_00_00000070.wav").symlink_to("nowhere.wav")
    (train / "normal_id_00_00000071.wav").symlink_to("normal_id_00_00000071.wav")
    done = own.run(*own.tables, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in output and "MissingInput" not in output
    for n in (70, 71):
        assert re.search(rf"normal_id_00_000000{n}.wav .*: replace or remove it", output)


def test_what_failed_stands_last(own, tmp_path):
    """The sentences of all failed jobs, and where more is; no command line, no exception of Snakemake's."""
    for split, n in (("train", 1), ("test", 0)):
        path = tmp_path / f"recordings/slider/{split}/normal_id_00_{n:08d}.wav"
        path.write_bytes(path.read_bytes()[:-1000])
    done = own.run(*own.tables, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 1
    for unwanted in ("Traceback", "CalledProcessError", "RuleException", "python workflow/scripts", "WorkflowError"):
        assert unwanted not in output
    ending = output.strip().splitlines()[-5:]
    assert ending[0].startswith("the run failed; nothing that is finished is lost")
    assert sum("is truncated (1000 bytes are missing" in line for line in ending) == 2
    assert {line.split()[-1] for line in ending if "more in" in line} == {
        f"results/own/logs/clips/slider/{split}.log" for split in ("train", "test")
    }


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a: [1\nb: 2\n", "config.yaml, line"),
        (b"dataset: {name: \xff}\n", "UTF-8"),
        (b"dataset: {name: x, source: demo}\ntrial: {epochs: 1}\ntrial: {epochs: 2}\n", "trial"),
        (None, "config.yaml"),
    ],
)
def test_configurations_that_snakemake_cannot_read(own, content, sentence):
    path = own.folder / "config.yaml"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    done = own.run("--dry-run", check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 1 and sentence in output
    assert "Traceback" not in output and "WorkflowError" not in output


def test_bad_values_are_the_sentence_alone(own):
    own.configure(own.config | {"trial": {"detector": "knn", "neighbours": 0}})
    done = own.run("--dry-run", check=False)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "Using workflow specific profile" not in line]
    assert done.returncode == 1 and len([line for line in lines if line.strip()]) == 1
    assert "trial.neighbours is 0, it must be" in lines[-1]


def test_ctrl_c(own):
    """At any moment: one line, no traceback, and the plain command goes on.

    A job that Python is still starting, with none of our code loaded, shows Python's traceback (docs/reliability.md): then again.
    """
    own.configure(own.config | {"trial": {"detector": "vae", "hidden": [256], "epochs": 30_000}})
    for begun in ("clips/slider/train.parquet", "interim/slider"):
        for _ in range(3):
            process = own.start_until(f"{begun}*", *own.tables)
            os.killpg(process.pid, signal.SIGINT)
            output = process.communicate(timeout=60)[0]
            if "Traceback" not in output:
                break
            shutil.rmtree(own.results)
        assert process.returncode == 1 and "Traceback" not in output and "KeyboardInterrupt" not in output, output[
            -2000:
        ]
        assert "CalledProcessError" not in output
        assert not list(own.results.rglob("*.tmp"))


def test_a_run_without_test_clips_says_so(own, tmp_path):
    for path in (tmp_path / "recordings/slider/test").iterdir():
        path.unlink()
    done = own.run()
    assert "Nothing was measured" in done.stdout + done.stderr


def test_types_that_no_model_hears(own, tmp_path):
    """Tested machines without training clips: models per type leave them out, one of all scores them."""
    write_recordings(tmp_path / "other", train=0, test=2, seconds=0.5)
    (tmp_path / "other/slider").rename(tmp_path / "recordings/fan")
    for path in (tmp_path / "recordings/slider/test").iterdir():
        path.unlink()
    sweeps = {"types": {"detector": ["knn"]}, "all": {"detector": ["knn"], "scope": ["all"]}}
    own.configure(own.config | {"sweeps": sweeps})
    done = own.run(*own.tables)
    assert "Traceback" not in done.stdout + done.stderr
    auc = pd.read_csv(own.results / "tables/auc.csv")
    assert set(auc["machine_type"]) == {"fan"} and set(auc["scope"]) == {"all"}


def test_every_pooling_of_a_sweep_is_submitted(own):
    trial = {"detector": "vae", "hidden": [8], "latent": 2, "epochs": 1}
    own.configure(own.config | {"trial": trial, "sweeps": {"poolings": {"score": ["mean", "std"]}}})
    own.run(*own.tables)
    (scores,) = (pd.read_parquet(path) for path in own.results.glob("scores/slider/*/epochs-1.parquet"))
    (folder,) = own.results.glob("submission/slider/*/epochs-1")
    assert "score" not in scores
    for path, score in ((folder, "mean"), (folder / "std", "std")):
        submitted = pd.read_csv(path / "submission.csv")["anomaly_score"]
        pd.testing.assert_series_equal(submitted, scores[score], check_names=False)
