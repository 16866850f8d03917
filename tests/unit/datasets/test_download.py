"""DCASE 2020 from a local server that has Zenodo's paths, small archives and bad days."""

import hashlib
import io
import json
import re
import shutil
import zipfile
from collections import namedtuple
from dataclasses import replace

import pytest

from humwatch.datasets.dcase import evaluation_labels
from humwatch.datasets.dcase_fetch import fetch, fetch_labels, unpack
from humwatch.datasets.dcase_tables import DCASE2020
from humwatch.errors import InputError

MACHINE_TYPES, archives = DCASE2020.machine_types, DCASE2020.archives
FAST = {"retries": 3, "backoff": 0.001}
DEV = {
    f"slider/{group}_{i:08d}.wav": 900 + i
    for group in ("train/normal_id_00", "test/normal_id_00", "test/anomaly_id_02")
    for i in range(3)
}


def make_zip(clips, compression=zipfile.ZIP_STORED):
    """A zip of names and lengths; stored, so that it is as long as its clips."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, length in clips.items():
            archive.writestr(name, hashlib.shake_128(str(name).encode()).digest(length))
    return file.getvalue()


@pytest.fixture
def slider(server):
    """The development archive of slide rails, in small, on the server."""
    server.files["3678171"] = {"dev_data_slider.zip": make_zip(DEV), "dev_data_fan.zip": b"never wanted"}
    return archives(["slider"], ["dev"], pinned=False)[0]


def one_sentence(error):
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text and not re.search(r"[a-z)]\. ", text), text
    return text


def files_under(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# What there is, before anything is fetched


def test_archives_are_those_needed_and_no_others():
    wanted = archives(["slider", "fan"], ["dev", "eval"])
    assert [(a.record, a.name) for a in wanted] == [
        ("3678171", "dev_data_slider.zip"),
        ("3678171", "dev_data_fan.zip"),
        ("3841772", "eval_data_test_slider.zip"),
        ("3841772", "eval_data_test_fan.zip"),
    ]
    every = archives(MACHINE_TYPES, DCASE2020.parts)
    assert len(every) == 18 and {a.name for a in every} == set(DCASE2020.md5) and len({a.md5 for a in every}) == 18


@pytest.mark.parametrize(("types", "parts"), [(["drill"], ["dev"]), (["fan"], ["devel"])])
def test_unknown_machine_type_or_part(types, parts):
    with pytest.raises(InputError) as error:
        archives(types, parts)
    assert "choose from" in one_sentence(error)


def test_41_machines_none_in_dev_and_additional_both():
    ids = {part: {(t, i) for t in MACHINE_TYPES for i in DCASE2020.expected_ids(t, part)} for part in DCASE2020.parts}
    assert not ids["dev"] & ids["additional"] and ids["additional"] == ids["eval"]
    assert len(ids["dev"]) == 23 and len(ids["dev"] | ids["additional"]) == 41


def total(machine_type, split):
    return sum(
        count for group, count in DCASE2020.expected_clips(machine_type, "dev").items() if group.startswith(split)
    )


def test_counts_agree_with_mimii():
    """The four machines come from MIMII, whose normal and anomalous clips are all used (Purohit et al. 2019, Table 1)."""
    for machine_type, normal, anomalous in [
        ("fan", 4075, 1475),
        ("pump", 3749, 456),
        ("slider", 3204, 890),
        ("valve", 3691, 479),
    ]:
        assert total(machine_type, "train/normal") + total(machine_type, "test/normal") == normal
        assert total(machine_type, "test/anomaly") == anomalous
    ids = DCASE2020.expected_clips("slider", "dev")
    assert (
        sum(n for group, n in ids.items() if group[-2:] != "06" and "train" in group) == 2370
    )  # the course report's training set


# Fetching


def test_all_parts_from_server_to_manifest(server, tmp_path):
    names = {
        "dev": list(DEV),
        "additional": ["slider/train/normal_id_01_00000000.wav"],
        "eval": ["slider/test/id_01_00000000.wav"],
    }
    for archive in archives(["slider"], names, pinned=False):
        clips = dict.fromkeys(names[archive.part], 500) | {
            "slider/readme.txt": 9,
            "__MACOSX/slider/train/._normal_id_01_00000000.wav": 9,
        }
        server.files[archive.record] = {archive.name: make_zip(clips, zipfile.ZIP_DEFLATED)}
        path = fetch(archive, tmp_path, base_url=server.url, **FAST)
        assert path == tmp_path / "dcase2020" / "archives" / archive.name
        manifest = json.loads(unpack(path, archive, tmp_path).read_text())
        content = server.files[archive.record][archive.name]
        assert manifest["md5"] == hashlib.md5(content).hexdigest()
        assert [c["clip"] for c in manifest["clips"]] == sorted(
            f"dcase2020/{archive.part}/{name}" for name in names[archive.part]
        )
        with zipfile.ZipFile(path) as source:
            for clip in manifest["clips"]:
                data = (tmp_path / clip["clip"]).read_bytes()
                assert data == source.read(clip["clip"].removeprefix(f"dcase2020/{archive.part}/"))
                assert clip["bytes"] == len(data) and int(clip["crc32"], 16) == zipfile.crc32(data)
    root = tmp_path / "dcase2020"
    assert sorted(path.name for path in root.iterdir()) == sorted(
        ["archives", "checksums.json", *names, "dev_slider.json", "additional_slider.json", "eval_slider.json"]
    )
    assert len(files_under(root)) == 3 + 1 + 3 + len(DEV) + 2  # archives, checksums, manifests, clips: and no readme


def test_nothing_is_asked_of_the_server_when_the_archive_is_there(server, slider, tmp_path):
    content = server.files["3678171"]["dev_data_slider.zip"]
    slider = replace(slider, md5=hashlib.md5(content).hexdigest())
    path = slider.path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert fetch(slider, tmp_path, base_url=server.url, **FAST) == path and server.asked == []


def test_metadata_is_asked_once_and_locked(server, slider, tmp_path):
    server.files["3678171"]["dev_data_fan.zip"] = make_zip({"fan/train/normal_id_00_00000000.wav": 10})
    fetch(slider, tmp_path, base_url=server.url, **FAST)
    lock = json.loads((tmp_path / "dcase2020" / "checksums.json").read_text())
    content = server.files["3678171"]["dev_data_slider.zip"]
    assert lock["3678171"]["dev_data_slider.zip"] == {"md5": hashlib.md5(content).hexdigest(), "size": len(content)}
    fetch(archives(["fan"], ["dev"], pinned=False)[0], tmp_path, base_url=server.url, **FAST)
    assert [path for path, _ in server.asked if "/api/" in path] == ["/api/records/3678171"]
    # What the lock says holds, whatever the server has by now.
    slider.path(tmp_path).unlink()
    server.files["3678171"]["dev_data_slider.zip"] = content[:-1] + b"x"
    with pytest.raises(InputError) as error:
        fetch(slider, tmp_path, base_url=server.url, **FAST)
    assert "MD5" in one_sentence(error)


def test_published_md5_against_metadata(server, slider, tmp_path):
    with pytest.raises(InputError) as error:
        fetch(archives(["slider"], ["dev"])[0], tmp_path, base_url=server.url, **FAST)
    assert "da24a757719f0d94d5aa2d646bbfdc86" in one_sentence(error)
    assert [path for path, _ in server.asked] == ["/api/records/3678171"] and not slider.path(tmp_path).exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"3678171": {"dev_data_slider.zip": {"md5": "0"}}}'])
def test_bad_lock_file(server, slider, tmp_path, content):
    lock = tmp_path / "dcase2020" / "checksums.json"
    lock.parent.mkdir()
    lock.write_text(content)
    with pytest.raises(InputError) as error:
        fetch(slider, tmp_path, base_url=server.url, **FAST)
    assert "checksums.json" in one_sentence(error)


def test_archive_that_the_record_lacks(server, tmp_path):
    server.files["3678171"] = {}
    with pytest.raises(InputError) as error:
        fetch(archives(["slider"], ["dev"])[0], tmp_path, base_url=server.url, **FAST)
    assert "dev_data_slider.zip" in one_sentence(error)


def test_checksum_mismatch_leaves_nothing(server, slider, tmp_path):
    fetch(slider, tmp_path, base_url=server.url, **FAST)
    slider.path(tmp_path).unlink()
    content = bytearray(server.files["3678171"]["dev_data_slider.zip"])
    content[500] ^= 1
    server.files["3678171"]["dev_data_slider.zip"] = bytes(content)
    with pytest.raises(InputError) as error:
        fetch(slider, tmp_path, base_url=server.url, **FAST)
    assert server.url in one_sentence(error) and "MD5" in str(error.value)
    assert files_under(tmp_path) == ["dcase2020/checksums.json"]


def test_503_and_429_then_success(server, slider, tmp_path):
    server.faults = [("status", 503), ("status", 429)]
    fetch(slider, tmp_path, base_url=server.url, **FAST)
    assert len(server.asked) == 1 + 3


def test_503_for_ever(server, slider, tmp_path):
    server.faults = [("status", 503)] * 9
    with pytest.raises(InputError) as error:
        fetch(slider, tmp_path, base_url=server.url, **FAST)
    assert "503" in one_sentence(error) and len(server.asked) == 1 + 1 + FAST["retries"]


def test_no_server(tmp_path):
    with pytest.raises(InputError) as error:
        fetch(archives(["slider"], ["dev"])[0], tmp_path, base_url="http://127.0.0.1:9", **FAST)
    assert "http://127.0.0.1:9/api/records/3678171" in one_sentence(error)


def test_cut_connections_are_resumed_and_no_byte_is_fetched_twice(server, slider, tmp_path):
    server.faults = [("cut", 1000), ("cut", 0), ("cut", 2345)]
    path = fetch(slider, tmp_path, base_url=server.url, **FAST)
    content = server.files["3678171"]["dev_data_slider.zip"]
    assert [wanted for where, wanted in server.asked if "/files/" in where] == [
        None,
        "bytes=1000-",
        "bytes=1000-",
        "bytes=3345-",
    ]
    assert path.read_bytes() == content and server.sent == len(content)


def test_killed_download_goes_on_in_the_next_call(server, slider, tmp_path):
    server.faults = [("cut", 4000)]
    with pytest.raises(InputError) as error:
        fetch(slider, tmp_path, base_url=server.url, retries=0, backoff=0)
    assert "4000 of" in one_sentence(error) and files_under(tmp_path / "dcase2020/archives") == [
        "dev_data_slider.zip.part"
    ]
    path = fetch(slider, tmp_path, base_url=server.url, **FAST)
    content = server.files["3678171"]["dev_data_slider.zip"]
    assert server.asked[-1][1] == "bytes=4000-" and server.sent == len(content) and path.read_bytes() == content
    assert files_under(tmp_path / "dcase2020/archives") == ["dev_data_slider.zip"]


def test_server_that_drops_every_connection_but_gets_on_is_borne(server, slider, tmp_path):
    server.faults = [("cut", 500)] * 15
    fetch(slider, tmp_path, base_url=server.url, **FAST)
    assert server.sent == len(server.files["3678171"]["dev_data_slider.zip"])


def test_range_refused_starts_over(server, slider, tmp_path):
    server.faults = [("cut", 3000), ("no ranges", None)]
    path = fetch(slider, tmp_path, base_url=server.url, **FAST)
    content = server.files["3678171"]["dev_data_slider.zip"]
    assert server.asked[-1][1] == "bytes=3000-" and path.read_bytes() == content and server.sent == 3000 + len(content)


def test_range_refused_and_cut_for_ever_ends(server, slider, tmp_path):
    server.faults = [("no ranges", 3000)] * 99
    with pytest.raises(InputError) as error:
        fetch(slider, tmp_path, base_url=server.url, **FAST)
    assert "run again" in one_sentence(error) and len(server.asked) == 1 + 1 + FAST["retries"]


def test_416_and_a_part_that_is_too_long_start_over(server, slider, tmp_path):
    content = server.files["3678171"]["dev_data_slider.zip"]
    part = slider.path(tmp_path).with_name("dev_data_slider.zip.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(content + b"too long")
    assert fetch(slider, tmp_path, base_url=server.url, **FAST).read_bytes() == content
    assert [wanted for _, wanted in server.asked[1:]] == [f"bytes={len(content) + 8}-", None]


def test_whole_part_is_taken_without_a_request(server, slider, tmp_path):
    part = slider.path(tmp_path).with_name("dev_data_slider.zip.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(server.files["3678171"]["dev_data_slider.zip"])
    fetch(slider, tmp_path, base_url=server.url, **FAST)
    assert [path for path, _ in server.asked] == ["/api/records/3678171"]


def test_content_length_too_small_is_not_believed(server, slider, tmp_path):
    server.faults = [("short", 2000), ("short", 100)]
    path = fetch(slider, tmp_path, base_url=server.url, **FAST)
    assert server.asked[-1][1] == "bytes=2100-" and path.read_bytes() == server.files["3678171"]["dev_data_slider.zip"]


def test_body_too_long(server, slider, tmp_path):
    server.faults = [("long", 7)] * 9
    with pytest.raises(InputError) as error:
        fetch(slider, tmp_path, base_url=server.url, **FAST)
    assert "more than" in one_sentence(error) and not slider.path(tmp_path).exists()


def test_404_is_final(server, slider, tmp_path):
    server.faults = [("status", 404)]
    with pytest.raises(InputError) as error:
        fetch(slider, tmp_path, base_url=server.url, **FAST)
    assert "404" in one_sentence(error) and len(server.asked) == 2


def full_disk(monkeypatch, free):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12 - free, free))


def test_disk_too_small_to_fetch(server, slider, tmp_path, monkeypatch):
    full_disk(
        monkeypatch, 2 * len(server.files["3678171"]["dev_data_slider.zip"])
    )  # the archive would fit, its clips would not
    with pytest.raises(InputError) as error:
        fetch(slider, tmp_path, base_url=server.url, **FAST)
    assert "GB" in one_sentence(error) and server.sent == 0


# Unpacking


def put(archive, data_folder, clips):
    path = archive.path(data_folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(clips if isinstance(clips, bytes) else make_zip(clips))
    return path


def refused(path, archive, tmp_path):
    """Unpack a bad archive: one sentence, and nothing but the archive on the disk."""
    before = files_under(tmp_path)
    with pytest.raises(InputError) as error:
        unpack(path, archive, tmp_path)
    assert files_under(tmp_path) == before and not archive.folder(tmp_path).exists()
    assert not [p for p in (tmp_path / "dcase2020").iterdir() if p.name.startswith(".")]
    return one_sentence(error)


@pytest.mark.parametrize(
    "name",
    [
        "../slider/train/normal_id_00_00000009.wav",
        "slider/train/../../../normal_id_00_00000009.wav",
        "/slider/train/normal_id_00_00000009.wav",
        "C:/slider/train/normal_id_00_00000009.wav",
        "slider/train/..\\normal_id_00_00000009.wav",
        "fan/train/normal_id_00_00000009.wav",
        "slider/valid/normal_id_00_00000009.wav",
        "slider/train/odd name.wav",
    ],
)
def test_names_that_lead_elsewhere(slider, tmp_path, name):
    data = tmp_path / "data"
    assert f"{name!r} is a link, is there twice or is not named" in refused(
        put(slider, data, DEV | {name: 10}), slider, data
    )
    assert files_under(tmp_path) == ["data/dcase2020/archives/dev_data_slider.zip"]


def test_links(slider, tmp_path):
    link = zipfile.ZipInfo("slider/train/normal_id_00_00000009.wav")
    link.external_attr = 0o120777 << 16
    assert "link" in refused(put(slider, tmp_path, DEV | {link: 11}), slider, tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_name_twice(slider, tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for _ in range(2):
            archive.writestr("slider/train/normal_id_00_00000000.wav", b"clip")
    assert "twice" in refused(put(slider, tmp_path, file.getvalue()), slider, tmp_path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_corrupt_zip(slider, tmp_path, compression):
    content = bytearray(make_zip(DEV, compression))
    content[len(content) // 2] ^= 0xFF  # within a clip: its CRC tells
    assert "not a sound zip file" in refused(put(slider, tmp_path, bytes(content)), slider, tmp_path)
    assert "not a sound zip file" in refused(put(slider, tmp_path, bytes(content[:-100])), slider, tmp_path)


def test_archive_that_is_not_the_published_one(slider, tmp_path):
    assert "MD5" in refused(put(slider, tmp_path, DEV), replace(slider, md5="0" * 32), tmp_path)


def test_archive_without_clips(slider, tmp_path):
    assert "no clips" in refused(put(slider, tmp_path, {"slider/readme.txt": 5}), slider, tmp_path)


def test_missing_archive(slider, tmp_path):
    with pytest.raises(InputError) as error:
        unpack(slider.path(tmp_path), slider, tmp_path)
    assert "dev_data_slider.zip" in one_sentence(error)


def test_disk_too_small_to_unpack(slider, tmp_path, monkeypatch):
    path = put(slider, tmp_path, DEV)
    full_disk(monkeypatch, sum(DEV.values()) - 1)
    assert "GB" in refused(path, slider, tmp_path)


def test_clip_counts(tmp_path, caplog):
    """The published evaluation archive of slide rails has 278 clips of each of three ids; of fans it is not known how many."""
    slider, fan = (replace(archive, md5=None) for archive in archives(["slider", "fan"], ["eval"]))
    whole = {f"slider/test/id_{i}_{n:08d}.wav": 5 for i in ("01", "03", "05") for n in range(278)}
    unpack(put(slider, tmp_path, whole), slider, tmp_path)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]

    missing = dict(list(whole.items())[:-1])
    assert "277 clips slider/test/id_05_* where 278" in refused(
        put(slider, tmp_path / "missing", missing), slider, tmp_path / "missing"
    )
    strange = whole | {"slider/test/id_07_00000000.wav": 5}
    assert "slider/test/id_07_" in refused(put(slider, tmp_path / "strange", strange), slider, tmp_path / "strange")

    clips = {f"fan/test/id_{i}_00000000.wav": 5 for i in ("01", "03", "05")}
    manifest = json.loads(unpack(put(fan, tmp_path, clips), fan, tmp_path).read_text())
    assert manifest["not_checked"] == ["test/id_01", "test/id_03", "test/id_05"] and "not checked" in caplog.text
    clips.popitem()
    assert "fan/test/id_05_" in refused(put(fan, tmp_path / "missing", clips), fan, tmp_path / "missing")


def test_unpack_that_was_killed_is_cleaned_up_by_the_next(slider, tmp_path, monkeypatch):
    path, root = put(slider, tmp_path, DEV), tmp_path / "dcase2020"
    with monkeypatch.context() as patch:  # as a kill leaves it: some clips, no tidying up
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        patch.setattr(shutil, "copyfileobj", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            unpack(path, slider, tmp_path)
    (half,) = (p for p in root.iterdir() if p.name.startswith("."))
    (half / "train/normal_id_00_99999999.wav").write_bytes(b"from another time")
    assert not slider.folder(tmp_path).exists() and not slider.manifest(tmp_path).exists()
    unpack(path, slider, tmp_path)
    assert not half.exists() and len(files_under(slider.folder(tmp_path))) == len(DEV)


def test_unpacking_again_replaces_what_was_there(slider, tmp_path):
    path = put(slider, tmp_path, DEV)
    manifest = unpack(path, slider, tmp_path).read_text()
    slider.manifest(tmp_path).unlink()  # as Snakemake does before it runs a rule again
    (slider.folder(tmp_path) / "train/normal_id_00_99999999.wav").write_bytes(b"stray")
    assert unpack(path, slider, tmp_path).read_text() == manifest
    assert len(files_under(slider.folder(tmp_path))) == len(DEV)


# Labels of the evaluation set

LIST = """slider
id_01_00000000.wav,anomaly_id_01_00000035.wav,1
id_01_00000001.wav,normal_id_01_00000007.wav,0
fan
id_01_00000000.wav,normal_id_01_00000002.wav,0
"""


def test_ground_truth_is_fetched_and_joined_by_name(server, tmp_path):
    content = LIST.encode()
    assert DCASE2020.labels[:4] == ("eval_data_list.csv", "3951620", "f16aaa185df9906e588864aaf7cb58ea", 338426)
    labels = DCASE2020.labels._replace(md5=hashlib.md5(content).hexdigest(), size=len(content))
    server.files["3951620"] = {"eval_data_list.csv": content}
    path = tmp_path / "dcase2020" / "eval_data_list.csv"
    for _ in range(2):
        assert path == fetch_labels(labels, path, base_url=server.url + "/", **FAST)
    assert server.asked == [("/records/3951620/files/eval_data_list.csv?download=1", None)]
    labels = evaluation_labels(path, DCASE2020)
    assert {clip: label for clip, (label, *_) in labels.items()} == {
        ("slider", "id_01_00000000.wav"): 1,
        ("slider", "id_01_00000001.wav"): 0,
        ("fan", "id_01_00000000.wav"): 0,
    }
    first, *clips = LIST.splitlines()[:3]
    path.write_text(
        "\r\n".join([*LIST.splitlines()[3:], "", first, *reversed(clips)])
    )  # another order, another system's line ends
    assert evaluation_labels(path, DCASE2020) == labels


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("id_01_00000000.wav,anomaly_id_01_00000035.wav,1\n", 1),
        (LIST + "id_01_00000009.wav,normal_id_01_00000002.wav\n", 6),
        (LIST + "id_01_00000009.wav,normal_id_01_00000002.wav,2\n", 6),
        (LIST + "some,other,1\n", 6),
        (LIST + "drill\n", 6),
        (LIST + "id_01_00000000.wav,anomaly_id_01_00000002.wav,1\n", 6),
    ],
)
def test_bad_lines_of_the_ground_truth(tmp_path, text, line):
    path = tmp_path / "eval_data_list.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        evaluation_labels(path, DCASE2020)
    assert f"eval_data_list.csv, line {line}:" in one_sentence(error)


def test_missing_ground_truth(tmp_path):
    with pytest.raises(InputError) as error:
        evaluation_labels(tmp_path / "eval_data_list.csv", DCASE2020)
    assert "eval_data_list.csv" in one_sentence(error)
