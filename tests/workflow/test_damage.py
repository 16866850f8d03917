"""Files of ours that were cut, emptied or flipped are refused with a sentence; what can be made again is."""

import argparse
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from conftest import Project, load_script

from humwatch import files, parquet
from humwatch.detectors import models
from humwatch.errors import InputError
from humwatch.features import store
from humwatch.locking import alone

FLIPS = 300
train_script = load_script("train")


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
    done = subprocess.run(["sha256sum", "-c", listing.name], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "sweeps/a.csv: OK" in done.stdout
    assert files.damaged(listing) == []
    paths[1].write_text("other\n")
    assert files.damaged(listing) == [paths[1], listing] and files.is_damaged(paths[1], listing)
    assert not files.is_damaged(paths[0], listing)
    (tmp_path / "new.csv").write_text("")
    assert files.is_damaged(tmp_path / "new.csv", listing)  # nobody vouches for it
    paths[1].unlink()
    assert files.damaged(listing) == [listing]
    whole = listing.read_bytes()
    for damage in (b"", b"# 2 files\n", whole[:-30], whole.replace(b"auc", b"abc"), b"\xff" + whole, whole * 2):
        listing.write_bytes(damage)
        assert files.damaged(listing) == [listing] and files.is_damaged(paths[0], listing)


def test_leftovers(tmp_path):
    with files.replacing(tmp_path / "interim/a/x.txt") as temporary:
        temporary.write_text("whole")
    (tmp_path / "interim/b/c").mkdir(parents=True)
    dead = tmp_path / f".x.parquet.{files.HOST}.4194304.tmp"  # no process has so high a number
    free, held = tmp_path / ".epochs-5.lock", tmp_path / ".epochs-20.lock"
    free.touch()
    old = time.time() - 1000
    os.utime(tmp_path / "interim/b/c", (old, old))
    os.utime(tmp_path / "interim/b", (old, old))
    elsewhere = tmp_path / ".x.parquet.other-host.1.tmp"
    mine = tmp_path / f".x.parquet.{files.HOST}.{os.getpid()}.tmp"
    for path in (dead, elsewhere, mine):
        path.write_text("half")
    with alone(held, "training"):
        files.remove_leftovers(tmp_path)
        assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(
            [elsewhere.name, mine.name, held.name, "interim", "a", "x.txt"]
        )


def write_features(path, ids):
    rng = np.random.default_rng(0)
    clips = pd.DataFrame({"clip": [f"{i}.wav" for i in range(6)], "machine_type": "fan", "machine_id": ids})
    clips = clips.assign(split="train", label=pd.array([0] * 6, "Int8"), sha256="ab")
    frames = [rng.normal(-40, 5, (20, 16)).astype(np.float32) for _ in range(6)]
    store.write(path, clips, frames, 16, {"source": "x"}, "s")
    return path


@pytest.fixture
def features(tmp_path):
    return write_features(tmp_path / "f.parquet", ["00", "00", "02", "02", "00", "02"])


def masks(path, start):
    table = pd.DataFrame(
        {"clip": [f"{i}.wav" for i in range(6)], "copy": 1, "axis": "time", "start": start, "width": 5}
    )
    parquet.write(table, path)
    return path


def train(features, **changes):
    """workflow/scripts/train.py in this process: four epochs, a state saved after each. Returns the model's bytes."""
    folder = features.parent
    arguments = {
        "detector": "vae", "hyperparameters": '{"hidden": [8], "latent": 2}', "features": [features], "masks": [],
        "mask_target": "masked", "machine_id": None, "seed": 0, "epochs": 4, "continue_from": None, "device": "cpu",
        "validation_fraction": 0.1, "validation_seed": 0, "calibration_fraction": 0.0,
        "calibration_group": None, "interim": folder / "interim", "save_every": 0.0,
        "out": folder / "model",
    } | changes  # fmt: skip
    train_script.main(argparse.Namespace(**arguments))
    return (folder / "model/model.safetensors").read_bytes()


@pytest.fixture
def interrupted(features, monkeypatch):
    """`interrupted(**changes)`: a whole training's bytes, and what it would have left had it been killed after two epochs."""

    def make(**changes):
        folder, write = features.parent, models.write

        def keep(state, *rest):
            write(state, *rest)
            if state == folder / "interim/2":
                shutil.copytree(state, folder / "kept")

        monkeypatch.setattr(models, "write", keep)
        whole = train(features, **changes)
        monkeypatch.setattr(models, "write", write)
        restore()
        return whole

    def restore():
        shutil.rmtree(features.parent / "model")
        shutil.copytree(features.parent / "kept", features.parent / "interim/2")

    make.restore = restore
    return make


def test_a_training_goes_on_only_where_it_is_the_same(features, interrupted, caplog):
    caplog.set_level(logging.INFO)
    one, other = (masks(features.with_name(f"{n}.parquet"), n) for n in (1, 7))
    whole = interrupted(masks=[one])
    assert train(features, masks=[one]) == whole
    assert "going on from epoch 2" in caplog.text
    changes = [{"masks": [other]}, {"mask_target": "clean"}, {"masks": []}, {"validation_seed": 3}, {"seed": 1}]
    changes.append({"hyperparameters": '{"hidden": [8], "latent": 2, "precision": "bf16"}'})
    changes.append({})  # the same clips, some of them of another machine id
    for change in changes:
        caplog.clear()
        interrupted.restore()
        if not change:
            write_features(features, ["00", "02"] * 3)
        train(features, **{"masks": [one]} | change)
        assert "going on" not in caplog.text, change
        shutil.rmtree(features.parent / "interim", ignore_errors=True)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "training.safetensors", "log.csv"])
def test_a_damaged_checkpoint_is_no_checkpoint(features, interrupted, caplog, name):
    caplog.set_level(logging.INFO)
    whole = interrupted()
    path = features.parent / "interim/2" / name
    path.write_bytes(path.read_bytes()[:30])
    assert train(features) == whole
    assert "going on" not in caplog.text and ("training starts afresh" in caplog.text or name == "model.json")
    assert not (features.parent / "interim").exists()


def test_what_fails_after_a_fit_does_not_lose_it(features, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    whole = train(features)
    shutil.rmtree(features.parent / "model")
    monkeypatch.setattr(train_script, "pseudo_anomalies", lambda validation: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(features)
    monkeypatch.undo()
    caplog.set_level(logging.INFO)
    assert train(features) == whole and "going on from epoch 4" in caplog.text


def test_two_processes_do_not_train_one_model(features, tmp_path):
    """The second waits; what the first has finished meanwhile is not trained again."""
    code = "import sys, time; from pathlib import Path; from humwatch.locking import alone\n"
    code += (
        "with alone(Path(sys.argv[1]), 'training'):\n    print('locked', flush=True); time.sleep(float(sys.argv[2]))"
    )
    whole = train(features)
    made = (tmp_path / "model/model.json").stat().st_mtime_ns
    lock = tmp_path / ".model.lock"
    for seconds in ("1", "100"):
        other = subprocess.Popen([sys.executable, "-c", code, lock, seconds], stdout=subprocess.PIPE, text=True)
        assert other.stdout.readline() == "locked\n"
        if seconds == "100":
            other.kill()  # the lock goes with its process
            other.wait()
        assert train(features) == whole
        other.wait()
        if seconds == "1":
            assert (tmp_path / "model/model.json").stat().st_mtime_ns == made
    assert not lock.exists() and (tmp_path / "model/model.json").stat().st_mtime_ns != made


def test_tables_that_were_damaged_are_made_again(finished, tmp_path):
    project = finished.copy(tmp_path / "project")
    before = {path: path.read_bytes() for path in (project.results / "tables").rglob("*.csv")}
    assert len(before) == 7
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
    assert f"{name} is damaged (its checksum does not match): delete it and run `snakemake` again" in sentence
    assert "more in results/tiny/logs/tables.log" in more
    path.unlink()
    project.run(*project.tables)
    assert json.loads((next(project.results.glob("models/slider/*/epochs-1")) / "model.json").read_text())["sha256"]
