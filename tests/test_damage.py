"""Files of ours that were cut, emptied or flipped are refused with a sentence; what can be made again is."""

import json
import random
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import Project, write_recordings
from test_bad_input import clips, script

from humwatch import files, models, parquet
from humwatch.errors import InputError
from humwatch.features import store

FLIPS = 300


def flipped(data: bytes, seed: int) -> bytes:
    draw, changed = random.Random(seed), bytearray(data)
    changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def damaged_versions(data: bytes):
    yield b""
    for seed in range(20):
        yield data[: random.Random(seed).randrange(1, len(data))]
    for seed in range(FLIPS):
        yield flipped(data, seed)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "clip": [f"{i}.wav" for i in range(20)],
            "score": rng.normal(size=20),
            "label": pd.array([0, None] * 10, "Int8"),
        }
    )


def test_tables(table, tmp_path):
    path = tmp_path / "t.parquet"
    parquet.write(table, path)
    data = path.read_bytes()
    pd.testing.assert_frame_equal(parquet.read(path), table)
    pd.testing.assert_frame_equal(pd.read_parquet(path), table)  # for every other tool it is a Parquet file
    for version in damaged_versions(data):
        path.write_bytes(version)
        with pytest.raises(InputError, match=r"t.parquet is damaged \(.*delete it"):
            parquet.read(path)
    parquet.write(table, path)
    assert path.read_bytes() == data
    with pytest.raises(InputError, match="does not exist"):
        parquet.read(tmp_path / "none.parquet")
    table.to_parquet(path)  # nothing that humwatch wrote
    with pytest.raises(InputError, match="is damaged"):
        parquet.read(path)


def test_feature_store(tmp_path):
    path, rng = tmp_path / "f.parquet", np.random.default_rng(0)
    names = pd.DataFrame(
        {"clip": [f"{i}.wav" for i in range(70)], "machine_type": "fan", "machine_id": "00", "split": "train"}
    )
    names = names.assign(label=pd.array([0] * 70, "Int8"), sha256="ab")
    frames = [rng.normal(size=(5, 4)).astype(np.float32) for _ in range(70)]
    store.write(path, names, frames, 4, {"source": "x"}, "s")
    data, good = path.read_bytes(), store.read([path])
    refused = 0
    for version in damaged_versions(data):
        path.write_bytes(version)
        try:
            read = store.read([path])
        except InputError as error:
            refused += 1
            assert "is damaged" in str(error)
        else:  # a column that is not read, or a hint
            np.testing.assert_array_equal(read.values, good.values)
            pd.testing.assert_frame_equal(read.clips, good.clips)
            assert read.parameters == good.parameters
    assert refused > FLIPS / 2


def test_model_folders(tmp_path):
    log = [dict(zip(models.LOG_COLUMNS, row, strict=True)) for row in ((1, 3.0, 4.0, 0.5), (2, 2.0, 3.0, 0.6))]
    models.write(tmp_path, {"model": {"w": np.arange(4.0)}}, log, {"detector": "vae", "diverged": False})
    readers = {
        "model.json": models.description,
        "model.safetensors": lambda folder: models.arrays(folder, "model"),
        "log.csv": models.log,
    }
    for name, read in readers.items():
        data, good = (tmp_path / name).read_bytes(), read(tmp_path)
        for version in damaged_versions(data):
            (tmp_path / name).write_bytes(version)
            try:
                found = read(tmp_path)
            except InputError as error:
                assert "damaged" in str(error) and str(tmp_path) in str(error)
                continue
            assert name in ("log.csv", "model.json")
            if name == "log.csv":  # the seconds are not checked: they differ from run to run
                pd.testing.assert_frame_equal(found.drop(columns="seconds"), good.drop(columns="seconds"))
            else:  # white space
                assert found == good
        (tmp_path / name).write_bytes(data)


def test_logs_of_the_same_training_have_one_checksum(tmp_path):
    sums = []
    for seconds in (0.1, 0.2):
        models.write(tmp_path, {}, [dict(zip(models.LOG_COLUMNS, (1, 3.0, 4.0, seconds), strict=True))], {})
        sums.append((tmp_path / "model.json").read_bytes())
    assert sums[0] == sums[1]


def test_checksums_are_those_of_sha256sum(tmp_path):
    (tmp_path / "sweeps").mkdir()
    paths = [tmp_path / "auc.csv", tmp_path / "sweeps/a.csv"]
    for path in paths:
        path.write_text(f"{path}\n")
    listing = tmp_path / "sha256sums.txt"
    files.write_checksums(listing, paths)
    done = __import__("subprocess").run(["sha256sum", "-c", listing.name], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "sweeps/a.csv: OK" in done.stdout
    assert files.damaged(listing) == []
    paths[1].write_text("other\n")
    assert files.damaged(listing) == [paths[1]] and files.is_damaged(paths[1], listing)
    assert not files.is_damaged(paths[0], listing)
    (tmp_path / "new.csv").write_text("")
    assert files.is_damaged(tmp_path / "new.csv", listing)  # nobody vouches for it


def test_leftovers(tmp_path):
    with files.replacing(tmp_path / "interim/a/x.txt") as temporary:
        temporary.write_text("whole")
    (tmp_path / "interim/b/c").mkdir(parents=True)
    dead = tmp_path / f".x.parquet.{files.HOST}.4194304.tmp"  # no process has so high a number
    elsewhere = tmp_path / ".x.parquet.other-host.1.tmp"
    mine = tmp_path / f".x.parquet.{files.HOST}.{__import__('os').getpid()}.tmp"
    for path in (dead, elsewhere, mine):
        path.write_text("half")
    files.remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(
        [elsewhere.name, mine.name, "interim", "a", "x.txt"]
    )


@pytest.fixture
def features(tmp_path):
    recordings = write_recordings(tmp_path / "recordings", train=4, seconds=0.5)
    clips(recordings, "train", tmp_path / "clips.parquet", ok=True)
    arguments = ["--folder", recordings, "--clips", tmp_path / "clips.parquet", "--out", tmp_path / "f.parquet"]
    script("features", *arguments, "--feature", '{"source": "logmel", "n_mels": 16}', ok=True)
    return tmp_path / "f.parquet"


def masks(path, seed):
    table = pd.DataFrame(
        {"clip": "slider/train/normal_id_00_00000000.wav", "copy": [1], "axis": "time", "start": [seed], "width": [5]}
    )
    parquet.write(table, path)
    return path


def train(features, tmp_path, *arguments, epochs=4):
    settings = ["--detector", "vae", "--hyperparameters", '{"hidden": [8], "latent": 2}', "--features", features]
    settings += ["--epochs", epochs, "--interim", tmp_path / "interim", "--save-every", 0, "--device", "cpu"]
    return script("train", *settings, *arguments, "--out", tmp_path / "model", ok=True)


def interrupted(features, tmp_path, *arguments):
    """The state that a training leaves when it is killed after its second epoch: that of one that was to have three."""
    saved = tmp_path / "saved"
    code = "import sys, runpy; import humwatch.models as m; w = m.write\n"
    code += f"def write(folder, *a):\n    w(folder, *a)\n    if 'interim/2' in str(folder): __import__('shutil').copytree(folder, {str(saved)!r})\n"
    code += "m.write = write; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    import subprocess
    import sys

    from conftest import ROOT

    command = [sys.executable, "-c", code, ROOT / "workflow/scripts/train.py", "--detector", "vae", "--device", "cpu"]
    command += ["--hyperparameters", '{"hidden": [8], "latent": 2}', "--features", features, "--epochs", "4"]
    command += ["--interim", tmp_path / "interim", "--save-every", "0", *arguments, "--out", tmp_path / "model"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    whole = (tmp_path / "model/model.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "model")
    shutil.copytree(saved, tmp_path / "interim/2")
    return whole


def test_a_training_goes_on_only_with_the_same_masks(features, tmp_path):
    one, other = (masks(tmp_path / f"{n}.parquet", n) for n in (1, 7))
    whole = interrupted(features, tmp_path, "--masks", one)
    state = tmp_path / "interim/2"
    shutil.copytree(state, tmp_path / "kept")
    assert "going on from epoch 2" in train(features, tmp_path, "--masks", one)
    assert (tmp_path / "model/model.safetensors").read_bytes() == whole
    for changed in (
        ["--masks", other],
        ["--masks", one, "--mask-target", "clean"],
        [],
        ["--masks", one, "--validation-seed", 3],
    ):
        shutil.copytree(tmp_path / "kept", state)
        assert "going on" not in train(features, tmp_path, *changed)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "training.safetensors", "log.csv"])
def test_a_damaged_checkpoint_is_no_checkpoint(features, tmp_path, name):
    whole = interrupted(features, tmp_path)
    path = tmp_path / "interim/2" / name
    path.write_bytes(path.read_bytes()[:30])
    said = train(features, tmp_path)
    assert "going on" not in said and ("training starts afresh" in said or name == "model.json")
    assert (tmp_path / "model/model.safetensors").read_bytes() == whole
    assert not (tmp_path / "interim").exists()


def test_tables_that_were_damaged_are_made_again(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    before = {path: path.read_bytes() for path in (project.results / "tables").rglob("*.csv")}
    assert len(before) == 6
    for path in before:
        path.write_bytes(flipped(path.read_bytes(), 1))
    (project.results / "clips/slider/train.parquet").write_bytes(b"")
    done = project.run()
    assert "auc.csv is empty or damaged: removed" in done.stdout + done.stderr
    for path, data in before.items():
        assert path.name == "times.csv" or path.read_bytes() == data, path
    assert project.planned() == {}


def test_a_damaged_file_is_one_sentence_and_is_named_last(finished, tmp_path):
    project: Project = finished.copy(tmp_path / "project")
    path = next(project.results.glob("scores/slider/*/epochs-1.parquet"))
    path.write_bytes(flipped(path.read_bytes(), 3))
    (project.results / "tables/auc.csv").unlink()
    done = project.run(check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in output and "CalledProcessError" not in output
    name = path.relative_to(project.folder)
    *_, sentence, more = output.strip().splitlines()
    assert (
        sentence == f"tables.py: {name} is damaged (its checksum does not match): delete it and run `snakemake` again"
        or (str(name) in sentence and "delete it" in sentence)
    )
    assert "more in results/tiny/logs/tables.log" in more
    path.unlink()
    project.run(*project.tables)
    assert json.loads((next(project.results.glob("models/slider/*/epochs-1")) / "model.json").read_text())["sha256"]
