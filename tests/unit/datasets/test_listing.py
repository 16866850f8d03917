"""The list of a clip table's recordings changes with their content, and not with their time of change."""

import hashlib
import os

import pandas as pd
import pytest

from humwatch import parquet
from humwatch.datasets import listing
from humwatch.datasets.clip_name import ClipName


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "fan").mkdir()
    for n in range(3):
        (tmp_path / f"fan/{n}.wav").write_bytes(bytes([n]) * 100)
    return tmp_path


def update(folder, *more):
    clips = [ClipName(f"fan/{n}.wav", "fan", "00", "train", 0) for n in (*range(3), *more)]
    return listing.update(folder / "list.jsonl", folder, clips, folder / "clips.parquet").read_bytes()


def make_table(folder):
    rows = [(f"fan/{n}.wav", hashlib.sha256((folder / f"fan/{n}.wav").read_bytes()).hexdigest()) for n in range(3)]
    parquet.write(pd.DataFrame(rows, columns=["clip", "sha256"]), folder / "clips.parquet")


def touch(path, seconds):
    os.utime(path, (seconds, seconds))


def test_touched(folder):
    first = update(folder)
    touch(folder / "fan/1.wav", 1e9)
    assert update(folder) != first  # nobody knows its content yet
    second = update(folder)
    make_table(folder)
    touch(folder / "fan/1.wav", 2e9)
    assert update(folder) == second
    written = (folder / "list.jsonl").stat().st_mtime_ns
    assert update(folder) == second and (folder / "list.jsonl").stat().st_mtime_ns == written


def test_changed(folder):
    first = update(folder)
    make_table(folder)
    (folder / "fan/1.wav").write_bytes(b"x" * 100)
    touch(folder / "fan/1.wav", 1e9)
    changed = update(folder)
    assert changed != first
    assert [a == b for a, b in zip(first.splitlines(), changed.splitlines(), strict=True)] == [True, False, True]


def test_added_removed_and_said_otherwise(folder):
    first = update(folder)
    (folder / "fan/3.wav").symlink_to("nowhere")
    assert update(folder, 3).startswith(first)
    assert update(folder) == first
    clips = [ClipName(f"fan/{n}.wav", "fan", "00", "train", 0, "source") for n in range(3)]
    assert listing.update(folder / "list.jsonl", folder, clips, folder / "none.parquet").read_bytes() != first


@pytest.mark.parametrize("damage", [b"", b"[", b"\xff\xfe", b'{"a": 1}\n[]\n[1]\n'])
def test_a_damaged_list_is_made_again(folder, damage):
    first = update(folder)
    (folder / "list.jsonl").write_bytes(damage)
    assert update(folder) == first


def test_links_for_paths_that_snakemake_would_interpret(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert listing.link("fan/0.wav") == "fan/0.wav"
    for name in ("{x}.parquet", "<y>.parquet"):
        (folder / name).write_text(name)
        made = listing.link(name)
        assert not set(made) & set("{}<>") and (folder / made).read_text() == name and listing.link(name) == made
