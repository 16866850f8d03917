import logging

import numpy as np
import pandas as pd
import pytest
from conftest import load_script

from humwatch import parquet
from humwatch.datasets.clips import frame_of
from humwatch.errors import InputError

merge = load_script("clips_merge")


def clips(split, count, machine_type="fan", machine_id="00", label=None, sample_rate=16000, **columns):
    rows = []
    for i in range(count):
        clip = f"{machine_type}/{split}/{label}_id_{machine_id}_{i:08d}.wav"
        row = {"clip": clip, "machine_type": machine_type, "machine_id": machine_id, "split": split, "label": label}
        rows.append(row | {"sample_rate": sample_rate, "sha256": clip} | columns)
    return frame_of(rows)


def merged(tmp_path, caplog, *tables) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The table, the warnings, and what else is said."""
    paths = []
    for n, table in enumerate(tables):
        paths.append(tmp_path / f"{n}.parquet")
        parquet.write(table, paths[-1])
    with caplog.at_level(logging.INFO):
        merge.main(merge.argparse.Namespace(tables=paths, out=tmp_path / "out.parquet"))
    said = {
        level: [r.message for r in caplog.records if r.levelno == level] for level in (logging.WARNING, logging.INFO)
    }
    return pd.read_parquet(tmp_path / "out.parquet"), said[logging.WARNING], said[logging.INFO]


def test_a_line_per_machine_type_says_what_was_understood(tmp_path, caplog):
    table, warnings, lines = merged(
        tmp_path,
        caplog,
        clips("train", 25, label=0),
        clips("train", 15, machine_id="02", label=0),
        clips("test", 12, label=0),
        clips("test", 9, label=1),
        clips("test", 3),
        clips("train", 2, "pump", label=0),
        clips("test", 1, "pump"),
        clips("train", 2, "valve", label=0),
        clips("test", 2, "slider", label=1),
    )
    assert lines == [
        "fan: 2 ids, 40 train, 12 normal and 9 anomalous test clips, 3 unlabelled",
        "pump: 1 id, 2 train, 1 unlabelled test clips: scored, not measured",
        "slider: 1 id, 0 train, 0 normal and 2 anomalous test clips: nothing is measured, as an AUC needs both",
        "valve: 1 id, 2 train, no test clips: nothing is scored",
    ]
    assert not warnings and len(table) == 71


def test_equal_clips_are_named(tmp_path, caplog):
    train, test = clips("train", 4, label=0), clips("test", 6, label=1)
    train.loc[3, "sha256"] = train.loc[0, "sha256"]
    test.loc[1:5, "sha256"] = train.loc[1, "sha256"]
    _, warnings, _ = merged(tmp_path, caplog, train, test)
    leak, twice_in_train, twice_in_test = warnings
    assert leak.startswith("5 test clips are equal to training clips") and "and 2 more" in leak
    assert f"{test['clip'][1]} is {train['clip'][1]}, " in leak
    assert f"1 train clip is there twice, byte for byte ({train['clip'][3]} is {train['clip'][0]})" in twice_in_train
    assert twice_in_test.startswith("4 test clips are there twice")


@pytest.mark.parametrize("few", ["fan", "pump"])
def test_another_sample_rate_in_another_table_blames_the_few(tmp_path, caplog, few):
    tables = [clips("train", 2 if t == few else 5, t, sample_rate=8000 if t == few else 16000) for t in ("fan", "pump")]
    with pytest.raises(InputError, match=rf"^2 clips \({few} train\) have 8000 Hz, the other 5 have 16000 Hz"):
        merged(tmp_path, caplog, *tables)
    assert not (tmp_path / "out.parquet").exists()


def test_features_without_recordings(tmp_path, caplog):
    train = clips("train", 3, label=0, sample_rate=None)
    train["clip"] = ["fan.1", "fan.2", "fan.3"]
    table, warnings, lines = merged(tmp_path, caplog, train, clips("test", 1, label=0, sample_rate=None))
    assert not warnings and len(lines) == 1
    assert table["sample_rate"].isna().all() and np.array_equal(table["clip"][:3], train["clip"])
