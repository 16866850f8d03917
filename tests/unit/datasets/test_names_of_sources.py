"""Names that users have: which ones a source reads as they stand, and the sentence for those that it cannot."""

import logging
import os
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from humwatch.datasets import source as sources
from humwatch.datasets.names import shown
from humwatch.datasets.recordings import audio_files
from humwatch.errors import InputError

FINE = [
    *(
        "Bob's pump",
        "a'$(touch x)'b",
        "Pümpe 3",
        "#1",
        "a,b",
        "100%",
        "A & B",
        "[x]",
        "{3}",
        "<x>",
        "-pump",
        "x ",
        " x",
    ),
    *("3", "003", "NA", "null", "nan", "True", "1e5", "-", "~", "*", "a\\b", 'say "x"', "Насос", "p" * 200),
]


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def read(source, folder, **keys):
    return sources.of({"source": source, "path": str(folder)} | keys).recordings(folder)


def refused(source, folder, **keys):
    """The sentence, which can be printed."""
    with pytest.raises(InputError) as error:
        read(source, folder, **keys)
    str(error.value).encode()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", str(error.value))
    return str(error.value)


def write_csv(folder, rows):
    """A CSV of files that are there; rows: (machine, machine_id)."""
    quoted = [
        [f'"{cell}"' for cell in (f"{i}.wav", *(name.replace('"', '""') for name in row))] for i, row in enumerate(rows)
    ]
    touch(folder, *(f"{i}.wav" for i in range(len(rows))))
    text = "file,machine,machine_id,split,label\n" + "".join(f"{','.join(row)},train,\n" for row in quoted)
    (folder / "list.csv").write_text(text)
    return {"csv": str(folder / "list.csv")}


def write_parquet(folder, machine_type, machine_id="00", **columns):
    table = {
        "clip": ["a.wav"],
        "machine_type": [machine_type],
        "machine_id": [machine_id],
        "split": ["train"],
        "label": pa.array([0], pa.int8()),
        "frames": pa.array([[[0.0]]], pa.list_(pa.list_(pa.float32(), 1))),
    } | columns
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), folder / f"{machine_type}.parquet")
    return folder


def test_names_stay_as_they_are(tmp_path):
    """In folders; in a CSV, blanks at the ends of a cell are no part of it; in a Parquet file."""
    touch(tmp_path, *(f"{name}/normal/{name}.wav" for name in FINE))
    assert {clip.machine_type for clips in read("folder", tmp_path).values() for clip in clips} == set(FINE)
    touch(tmp_path / "ids", *(f"fan/train/normal_id_{name}_0.wav" for name in FINE))
    assert {clip.machine_id for clip in read("directory", tmp_path / "ids")["fan", "train"]} == set(FINE)
    listed = [name for name in FINE if "\\" not in name]
    clips = read("folder", tmp_path / "list", **write_csv(touch(tmp_path / "list"), [(name, name) for name in listed]))
    assert set(clips) == {(name.strip(), "train") for name in listed}
    assert all(clip.machine_id == name for (name, _), of in clips.items() for clip in of)
    for name in listed:
        write_parquet(tmp_path / "parquet", name, name)
    clips = read("parquet", tmp_path / "parquet")
    assert {(name, clip.machine_id) for (name, _), of in clips.items() for clip in of} == {(n, n) for n in listed}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (b"pump\xff/normal/a.wav", r"pump\xff/normal/a.wav is not UTF-8: rename it"),
        (b"pump/normal/\xe4.wav", r"pump/normal/\xe4.wav is not UTF-8: rename it"),
        (b"pump\n2/normal/a.wav", r"pump\n2/normal/a.wav has a control character or a line break: rename it"),
        (b"pump/normal/a\x1b[31m.wav", r"pump/normal/a\x1b[31m.wav has a control character or a line break"),
        ("pump\u2028/normal/a.wav".encode(), r"pump\u2028/normal/a.wav has a control character or a line break"),
        ("pump\x85/normal/a.wav".encode(), r"pump\x85/normal/a.wav has a control character or a line break"),
        (b" /normal/a.wav", "machine_type ' ' (of  /normal/a.wav) is blank: rename it"),
        ("\u200b/normal/a.wav".encode(), "is blank: rename it"),
        (b"pump/normal/ .wav", "'pump/normal/ .wav' has a blank name: rename it"),
        (b"p" * 201 + b"/normal/a.wav", "has 201 characters, it may have 200: rename it"),
        (
            b"all/normal/a.wav",
            "machine_type 'all' (of all/normal/a.wav) would name a model of another scope: rename it",
        ),
        (b"a_id_b/normal/a.wav", "machine_type 'a_id_b' (of a_id_b/normal/a.wav) would name a model of another scope"),
        (
            b"pump/train/section_mean_source_train_normal_0000.wav",
            "is the name of a row that the tables add: rename it",
        ),
        (b"pump/train/section_.._source_train_normal_0000.wav", "is the name of a folder, and of no machine"),
    ],
)
def test_names_of_files_that_are_refused(tmp_path, name, sentence):
    path = os.path.join(os.fsencode(tmp_path), name)
    os.makedirs(os.path.dirname(path))
    open(path, "wb").close()
    assert sentence in refused("folder", tmp_path)
    assert refused("folder", tmp_path).count("\n") == 0
    touch(tmp_path, "fan/normal/a.wav")
    assert set(read("folder", tmp_path, machine_types=["fan"])) == {("fan", "train")}


@pytest.mark.parametrize(
    "machine_id", ["mean", "pooled", "pooled_standardised", ".", "..", "../../x", "a/b", "a\\b", "\x00"]
)
def test_machine_ids_that_are_refused(tmp_path, machine_id):
    sentence = f"machine_id '{shown(machine_id)}' (of "
    if machine_id != "\x00":
        assert sentence in refused("folder", tmp_path, **write_csv(touch(tmp_path), [("pump", machine_id)]))
    assert sentence in refused("parquet", write_parquet(tmp_path / "parquet", "pump", machine_id))
    assert read("parquet", tmp_path / "parquet", machine_ids=["00"]) == {}


def test_machine_types_of_a_csv_that_are_refused(tmp_path):
    for name in ("..", ".", "\\", "x" * 201, "all", "a\nb"):
        said = refused("folder", tmp_path, **write_csv(touch(tmp_path), [(name, "00")]))
        assert f"machine_type '{shown(name)}' (of 0.wav)" in said and "\n" not in said


def test_bad_text_in_parquet(tmp_path):
    text = pa.array([b"\xff"], pa.binary()).view(pa.string())
    assert "cannot be read as Parquet" in refused("parquet", write_parquet(tmp_path / "a", "fan", clip=text))
    assert "attributes is 3, it must be text" in refused(
        "parquet", write_parquet(tmp_path / "b", "fan", attributes=[3])
    )
    assert "clip is ' ', it must be a name" in refused("parquet", write_parquet(tmp_path / "c", "fan", clip=[" "]))
    (tmp_path / os.fsdecode(b"d\xff.parquet")).write_bytes(b"")
    assert r"d\xff.parquet cannot be read as Parquet" in refused("parquet", tmp_path)
    label = {"label": pa.array([0.0], pa.float64())}
    (clip,) = read("parquet", write_parquet(tmp_path / "e", "fan", **label))["fan", "train"]
    assert clip.label == 0 and isinstance(clip.label, int)


def test_many_bad_names_are_one_sentence(tmp_path):
    touch(tmp_path, *(f"fan/normal/a\n{i:02d}.wav" for i in range(30)), *(f"fan/odd/{i}.wav" for i in range(3)))
    (tmp_path / "fan/normal/b.wav").touch()
    said = refused("folder", tmp_path, machine_types=["fan"])
    assert said.startswith("fan/odd/0.wav does not fit") and said.endswith("; likewise fan/odd/1.wav, fan/odd/2.wav")
    for i in range(3):
        (tmp_path / f"fan/odd/{i}.wav").unlink()
    said = refused("folder", tmp_path)
    assert r"fan/normal/a\n00.wav has a control character" in said and said.endswith(r"a\n10.wav and 19 more")


def test_names_that_look_the_same_are_two_machines_and_a_warning(tmp_path, caplog):
    touch(tmp_path, "Pu\u0308mp/normal/a.wav", "P\u00fcmp/normal/a.wav")
    assert len(read("folder", tmp_path)) == 2
    assert r"machine_type: 'P\xfcmp' and 'Pu\u0308mp' look the same" in caplog.text


# Which source fits

LAYOUTS = {
    "directory": [f"fan/train/normal_id_00_{i}.wav" for i in range(5)] + ["fan/test/anomaly_id_00_1.wav"],
    "folder": [f"fan/normal/{i}.wav" for i in range(5)] + ["fan/test/anomaly/1.wav"],
    "mimii": [f"min6dB/fan/id_00/normal/{i}.wav" for i in range(5)] + ["0dB/fan/id_00/abnormal/1.wav"],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("source", LAYOUTS)
def test_another_layout_is_one_sentence_with_its_source(tmp_path, source, layout):
    touch(tmp_path / "data", *LAYOUTS[layout])
    if source == layout:
        assert sum(map(len, read(source, tmp_path / "data").values())) == 6
        return
    touch(tmp_path / "data", "fan/train/anomaly_id_02_9.wav")
    said = refused(source, tmp_path / "data")
    assert said.endswith(f"do not fit its layout: set dataset.source to {layout}") and "\n" not in said


@pytest.mark.parametrize("source", LAYOUTS)
def test_a_path_beside_the_right_one(tmp_path, source):
    touch(tmp_path / "data", *(name.removeprefix("min6dB/").removeprefix("0dB/") for name in LAYOUTS[source]))
    assert refused(source, tmp_path).endswith(f"set dataset.path to {tmp_path}/data")
    assert refused(source, tmp_path / "data/fan").endswith(f"set dataset.path to {tmp_path}/data")


def test_one_machine_in_another_layout(tmp_path):
    touch(tmp_path, *LAYOUTS["folder"], "pump/train/normal_id_00_1.wav", "pump/train/normal_id_02_1.wav")
    said = refused("folder", tmp_path)
    assert said.startswith("pump/train/normal_id_00_1.wav is named as DCASE 2020 names clips") and "\n" not in said
    assert "set dataset.source to directory" in said and said.endswith("; likewise pump/train/normal_id_02_1.wav")


def test_recordings_outside_machines(tmp_path, caplog):
    assert "has 1 recordings, but no folder of a machine" in refused("folder", touch(tmp_path, "a.wav"))
    read("folder", touch(tmp_path, "fan/normal/a.wav"))
    assert "1 recordings in no machine's folder are left out" in caplog.text


def test_formats_that_are_not_read(tmp_path, caplog):
    touch(tmp_path, "fan/normal/a.m4a", "fan/normal/b.WMA", "fan/normal/notes.txt", "pump/normal/c.wv")
    said = refused("folder", tmp_path)
    assert "has no recordings but 3 in a format that is not read (the first is fan/normal/a.m4a): convert them" in said
    touch(tmp_path, "fan/normal/d.wave", "fan/normal/e.BWF", "fan/normal/.f.m4a")
    assert len(read("folder", tmp_path, machine_types=["fan"])["fan", "train"]) == 2
    (said,) = caplog.messages
    assert "2 in a format that is not read (the first is fan/normal/a.m4a) are left out: convert them" in said


# The same recording twice, links, folders that cannot be read


@pytest.mark.parametrize(
    ("link", "target", "sentence"),
    [
        ("fan/test/normal/b.wav", "../../normal/a.wav", "fan/test/normal/b.wav and fan/normal/a.wav are the same file"),
        ("fan/test/normal", "../normal", "fan/test/normal/a.wav and fan/normal/a.wav are the same file"),
        ("pump", "fan", "fan/normal/a.wav and pump/normal/a.wav are the same file"),
        ("fan/test/b.flac", "../normal/a.wav", "fan/test/b.flac and fan/normal/a.wav are the same file"),
    ],
)
def test_one_recording_by_two_names(tmp_path, link, target, sentence):
    touch(tmp_path, "fan/normal/a.wav")
    (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / link).symlink_to(target)
    assert sentence in refused("folder", tmp_path)


def test_one_recording_in_two_formats(tmp_path):
    touch(tmp_path, *(f"fan/train/normal_id_00_{i}{suffix}" for i in range(2) for suffix in (".wav", ".flac")))
    said = refused("directory", tmp_path)
    assert "normal_id_00_0.flac and fan/train/normal_id_00_0.wav differ in the suffix only" in said and "\n" not in said
    touch(tmp_path / "two", "fan/test/normal/0.wav", "fan/test/anomaly/0.wav", "fan/normal/0.flac")
    assert sum(map(len, read("folder", tmp_path / "two").values())) == 3


def test_links(tmp_path):
    """Links to files and folders are followed; broken and circular clips stay, for the check of clips; no folder twice."""
    touch(tmp_path, "elsewhere/deep/a.wav", "data/fan/normal/b.wav", "data/fan/normal/.hidden/d.wav")
    data = tmp_path / "data"
    for name, target in {
        "fan/normal/broken.wav": "nowhere.wav",
        "fan/normal/loop.wav": "loop.wav",
        "fan/normal/up": "..",
        "fan/loop": "loop",
        "fan/out": "/",
        "fan/self": str(tmp_path),
        "fan/train": str(tmp_path / "elsewhere"),
    }.items():
        (data / name).symlink_to(target)
    (tmp_path / "elsewhere/back").symlink_to(data / "fan")
    (tmp_path / "elsewhere/deep/more").symlink_to("..")
    assert audio_files(data) == [
        *(f"fan/normal/{name}.wav" for name in ("b", "broken", "loop")),
        "fan/train/deep/a.wav",
    ]
    (data / "fan/train").unlink()
    assert len(read("folder", data)["fan", "train"]) == 3


def test_links_that_multiply_end(tmp_path):
    folders = [tmp_path / "pool" / str(i) for i in range(12)]
    for folder in folders:
        folder.mkdir(parents=True)
        for other in folders:
            if other != folder:
                (folder / other.name).symlink_to(other)
    touch(tmp_path, "pool/0/a.wav", "data/fan/b.wav")
    (tmp_path / "data/pool").symlink_to(tmp_path / "pool")
    assert len(audio_files(tmp_path / "data")) < 500


def test_what_cannot_be_read(tmp_path, monkeypatch):
    touch(tmp_path, "fan/normal/a.wav")
    os.mkfifo(tmp_path / "fan/normal/pipe.wav")
    assert "fan/normal/pipe.wav is a pipe or a device" in refused("folder", tmp_path)
    (tmp_path / "fan/normal/pipe.wav").unlink()
    scandir = os.scandir

    def closed(path):
        if str(path).rstrip("/").endswith("normal"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert f"the folder {tmp_path}/fan/normal/ cannot be read (Permission denied)" in refused("folder", tmp_path)


@pytest.mark.parametrize(
    ("source", "files", "keys", "sentence"),
    [
        (
            "directory",
            ["fan/train/normal_id_00_1.wav"],
            {"machine_types": ["Fan"]},
            "no clips of Fan in .*, only of fan",
        ),
        ("folder", ["a/normal/1.wav", "b/normal/1.wav"], {"machine_types": ["a", "B"]}, "of B in .*, only of a, b:"),
        ("directory", ["fan/train/normal_id_00_1.wav"], {"machine_ids": ["0"]}, "no clips of 0 in .*, only of 00:"),
        (
            "directory",
            ["fan/train/normal_id_00_1.wav", "pump/train/normal_id_02_1.wav"],
            {"machine_types": ["fan"], "machine_ids": ["02"]},
            "no clips of 02 in .*, only of 00:",
        ),
        (
            "directory",
            ["fan/train/normal_id_00_1.wav", "pump/train/normal_id_02_1.wav"],
            {"machine_types": ["fan", "pump"], "machine_ids": ["02"]},
            "machine_types: fan has no clips of the ids that dataset.machine_ids names in ",
        ),
        (
            "mimii",
            [f"{level}_dB_fan/fan/id_00/normal/{i}.wav" for level in (0, 6) for i in range(2)],
            {"machine_types": ["fan"]},
            "no clips of fan in .*, only of fan_0_dB, fan_6_dB",
        ),
        ("folder", [], {"machine_types": ["fan"]}, "has no recordings of fan: add some"),
        ("folder", ["a/normal/1.wav", "all/normal/1.wav"], {"machine_types": ["fan"]}, "has no recordings of fan: add"),
        (
            "folder",
            ["a/normal/1.wav", "all/normal/1.wav"],
            {"machine_types": ["a", "b"]},
            "no clips of b in .*, only of a:",
        ),
        ("parquet", [], {}, "has no files of features: add some"),
    ],
)
def test_what_is_there_instead(tmp_path, source, files, keys, sentence):
    touch(tmp_path, *files)
    dataset = {"source": source, "path": str(tmp_path), "machine_types": [], "machine_ids": []} | keys
    with pytest.raises(InputError, match=sentence):
        sources.of(dataset).machines(sources.of(dataset).recordings(tmp_path))


@pytest.mark.parametrize("machine_ids", [["mean"], ["../../x"], ["00", "99"]])
def test_ids_of_the_demo(machine_ids):
    dataset = {"name": "x", "source": "demo", "machine_types": [], "machine_ids": machine_ids}
    with pytest.raises(InputError, match=f"no clips of {machine_ids[-1]} in results/x/recordings, only of 00, 02, 04:"):
        sources.of(dataset).machines({})
    ids = sources.of(dataset | {"machine_ids": ["02"]}).machines({})
    assert ids == {("slider", "test"): ["02"], ("slider", "train"): ["02"]}


def test_names_of_the_configuration(tmp_path, caplog):
    """Said as they are, also where there are many."""
    caplog.set_level(logging.WARNING)
    found = read("folder", touch(tmp_path, *(f"machine {i:02d}/normal/a.wav" for i in range(30))))
    dataset = {"source": "folder", "path": str(tmp_path), "machine_types": ["fan"], "machine_ids": []}
    with pytest.raises(
        InputError, match=r"no clips of fan in .*, only of machine 00, .* machine 09 and 20 more: correct"
    ):
        sources.of(dataset | {"machine_types": ["fan", "machine 00"]}).machines(found)
