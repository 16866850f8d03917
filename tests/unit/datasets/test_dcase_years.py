"""DCASE 2021 to 2026: small archives of each year's layout, from a local server to the clip table."""

import hashlib
import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from humwatch.datasets import clips, zenodo
from humwatch.datasets import source as sources
from humwatch.datasets.dcase import evaluation_labels
from humwatch.datasets.dcase_fetch import fetch, fetch_labels, unpack
from humwatch.datasets.dcase_tables import CHALLENGES, Labels
from humwatch.errors import InputError

FAST = {"retries": 1, "backoff": 0.001}
# Of each year: a machine type of dev, one of the evaluation, sections of either, an attribute as names have it there.
YEARS = {
    2021: ("pump", "pump", ("00", "01", "02"), ("03", "04", "05"), ""),
    2022: ("bearing", "bearing", ("00", "01", "02"), ("03", "04", "05"), "_vel_4"),
    2023: ("bearing", "Vacuum", ("00",), ("00",), "_m-n_W"),
    2024: ("gearbox", "3DPrinter", ("00",), ("00",), "_noAttribute"),
    2025: ("fan", "AutoTrash", ("00",), ("00",), "_volt_1.5_wt_0"),
    2026: ("ToyCar", "Sander", ("00",), ("00",), "_pos_2"),
}
SUPPLEMENTAL = ["section_00_clean_0000.wav", "noise_0001.wav"]


def wav(year, n):
    """Short stand-ins for clips: of 2026 two channels and three lengths."""
    file = io.BytesIO()
    shape = (160 * (6, 10, 16)[n % 3], 2) if year == 2026 else 1600
    soundfile.write(file, np.random.default_rng(n).normal(0, 0.1, shape), 16000, format="WAV")
    return file.getvalue()


def small_zip(year, machine_type, names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{machine_type}/attributes_00.csv", "file_name,d1p,d1v\n")
        for n, name in enumerate(names):
            archive.writestr(f"{machine_type}/{name}", wav(year, n))
    return file.getvalue()


def names_of(year, part):
    """Names of clips as the year's archives have them, and the evaluation clips' names with labels."""
    dev_type, eval_type, dev_ids, eval_ids, attributes = YEARS[year]
    listed, labelled = [], {}
    for section in dev_ids if part == "dev" else eval_ids:
        start = f"section_{section}"
        if part != "eval":
            for domain in ("source", "target"):
                listed += [f"train/{start}_{domain}_train_normal_{i:04d}{attributes}.wav" for i in range(3)]
        for n, (domain, label) in enumerate((d, k) for d in ("source", "target") for k in ("normal", "anomaly")):
            folder = f"{domain}_test" if year == 2021 else "test"
            full = f"{start}_{domain}_test_{label}_{n:04d}{attributes}.wav"
            if part == "dev":
                listed.append(f"{folder}/{full}")
            elif part == "eval":
                hidden = f"{start}_{domain}_test_{n:04d}.wav" if year == 2021 else f"{start}_{n:04d}.wav"
                listed.append(f"{folder}/{hidden}")
                labelled[hidden] = full
    if year == 2025 and part != "eval":
        listed += [f"supplemental/{name}" for name in SUPPLEMENTAL]
    return (dev_type if part == "dev" else eval_type), listed, labelled


def serve(server, year):
    """The year's archives of two machine types on the server; returns the list of labels."""
    lines = []
    for part, known in CHALLENGES[year].parts.items():
        machine_type, names, labelled = names_of(year, part)
        (archive,) = CHALLENGES[year].archives([machine_type], [part])
        name = archive.name
        if (year, part) == (2026, "eval"):  # whose names nobody has published: the record's list tells
            name = f"t2_{machine_type}_hidden_r2.zip"
        server.files.setdefault(known.record, {"readme.zip": b"", "Sander.txt": b""})[name] = small_zip(
            year, machine_type, names
        )
        if labelled:
            lines += [machine_type, *(f"{hidden},{full}" for hidden, full in labelled.items())]
    return "\n".join(lines) + "\n"


def source_of(year, folder, **keys):
    dev_type, eval_type, *_ = YEARS[year]
    types = list(dict.fromkeys([dev_type, eval_type]))
    return sources.of({"source": "dcase", "year": year, "machine_types": types, "data_folder": str(folder)} | keys)


def fetch_all(server, source, folder):
    for archive in source.archives:
        unpack(fetch(archive, folder, base_url=server.url, **FAST), archive, folder)


def one_sentence(error):
    text = str(error.value)
    assert text and "\n" not in text
    return text


@pytest.mark.parametrize("year", YEARS)
def test_from_the_archives_to_the_clip_table(year, server, tmp_path):
    server.files["labels"] = {"list.csv": serve(server, year).encode()}
    dev_type, eval_type, dev_ids, eval_ids, attributes = YEARS[year]
    address = f"{server.url}/records/labels/files/list.csv"
    source = source_of(year, tmp_path, ground_truth=address)
    planned = source.machines({})
    fetch_all(server, source, tmp_path)

    unlabelled = source.recordings(tmp_path)
    fetch_labels(source.labels, source.labels_path(tmp_path), server.url, **FAST)
    found = source.recordings(tmp_path)
    assert source.machines(found) == planned
    assert {part: {c.machine_id for c in found[part]} for part in found} == {
        (machine_type, split): {*dev_ids, *eval_ids} if dev_type == eval_type else {*ids}
        for machine_type, ids in ((dev_type, dev_ids), (eval_type, eval_ids))
        for split in ("train", "test")
    }
    for recordings, labelled in ((unlabelled, False), (found, True)):
        for (_, split), listed in recordings.items():
            for clip in listed:
                known = labelled or "/eval/" not in clip.clip
                assert (clip.label is not None) == known
                assert (clip.domain is not None) == (known or year == 2021)
                assert clip.attributes == ((attributes[1:] or None) if known else None)
                assert split == "test" or clip.label == 0
    tested = [clip for (_, split), listed in found.items() if split == "test" for clip in listed]
    counts = {(d, k): sum((c.domain, c.label) == (d, k) for c in tested) for d in ("source", "target") for k in (0, 1)}
    assert set(counts.values()) == {len(dev_ids) + len(eval_ids)}

    table = clips.table(tmp_path, tested, 16000)
    assert set(table["channels"]) == {2 if year == 2026 else 1}
    assert table["seconds"].nunique() == (3 if year == 2026 else 1)
    assert not [path for path in tmp_path.rglob("*") if "supplemental" in path.name]


def test_archives_are_pinned_at_first_sight_and_changed_ones_refused(server, tmp_path):
    serve(server, 2023)
    source = source_of(2023, tmp_path, machine_types=["Vacuum"], parts=["eval", "additional"])
    eval_archive, train_archive = source.archives
    path, record = fetch(eval_archive, tmp_path, base_url=server.url, **FAST), eval_archive.record
    checksums = json.loads((tmp_path / "dcase2023/checksums.json").read_text())
    assert checksums[record][path.name]["md5"] == hashlib.md5(path.read_bytes()).hexdigest()
    assert source.fetched()[0].checksum == checksums[record][path.name]["md5"]

    other = small_zip(2023, "Vacuum", ["test/section_00_0009.wav"])
    with pytest.raises(InputError, match=r"its MD5 is .* is expected"):  # put in its place by hand
        path.write_bytes(other)
        unpack(path, eval_archive, tmp_path)
    path.unlink()
    for content in (other, other + bytes(10_000), other[:100]):
        server.files[record][path.name] = content
        with pytest.raises(InputError) as error:
            fetch(eval_archive, tmp_path, base_url=server.url, **FAST)
        assert f"{path.name} has the MD5" in one_sentence(error) and "seen first" in str(error.value)
    assert json.loads((tmp_path / "dcase2023/checksums.json").read_text()) == checksums and not path.exists()
    # A file that the record has got since is taken in, and forgets none of the others.
    server.files[train_archive.record].pop(train_archive.name)
    server.files[record][train_archive.name] = b""
    fetch_new = replace(train_archive, record=record)
    with pytest.raises(InputError):  # an empty file is no archive
        unpack(fetch(fetch_new, tmp_path, base_url=server.url, **FAST), fetch_new, tmp_path)
    pinned = json.loads((tmp_path / "dcase2023/checksums.json").read_text())[record]
    assert pinned[path.name] == checksums[record][path.name] and train_archive.name in pinned


def test_jobs_side_by_side_forget_no_checksum(server, tmp_path):
    """Each of a record of its own, in one file of checksums."""
    server.files = {str(record): {f"{record}.zip": b"x" * record} for record in range(1, 9)}
    checksums = tmp_path / "checksums.json"

    def job(record):
        zenodo.fetch(record, tmp_path / f"{record}.zip", checksums, base_url=server.url, **FAST)

    with ThreadPoolExecutor(8) as pool:
        assert len([*pool.map(job, server.files)]) == 8
    assert json.loads(checksums.read_text()).keys() == server.files.keys()


def test_archive_that_lacks_a_section(server, tmp_path):
    (archive,) = CHALLENGES[2022].archives(["bearing"], ["additional"])
    clips = [f"train/section_{i}_source_train_normal_0000_vel_4.wav" for i in ("03", "05")]
    path = archive.path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(small_zip(2022, "bearing", clips))
    with pytest.raises(InputError) as error:
        unpack(path, archive, tmp_path)
    assert "it has 0 clips bearing/train/section_04_* where some are expected" in one_sentence(error)
    assert [found.name for found in tmp_path.rglob("*") if found.is_file()] == [path.name]


def test_names_that_lead_elsewhere(tmp_path):
    (archive,) = CHALLENGES[2023].archives(["Vacuum"], ["eval"])
    path = archive.path(tmp_path)
    path.parent.mkdir(parents=True)
    for name in ("test/../../section_00_0000.wav", "test/section_00_../0000.wav", "test/section_00_..\\0000.wav"):
        path.write_bytes(small_zip(2023, "Vacuum", ["test/section_00_0001.wav", name]))
        with pytest.raises(InputError, match="is a link, is there twice or is not named"):
            unpack(path, archive, tmp_path)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"year": 2019}, "dataset has the year 2019: give one of 2020, 2021, 2022, 2023, 2024, 2025, 2026"),
        ({"year": None}, "dataset lacks year"),
        ({"source": "dcase2020", "year": 2023}, "set dataset.source to dcase"),
        ({"parts": ["dev", "test"]}, "DCASE 2023 has no 'test', so choose from dev, additional, eval"),
        ({"machine_types": ["robot"]}, "DCASE 2023 has no 'robot', so choose from bearing"),
        (
            {"machine_types": ["bearing"], "parts": ["additional", "eval"]},
            r"DCASE 2023 has no 'bearing' in its part\(s\) additional, eval, so choose from bandsaw",
        ),
        ({"machine_ids": ["03"]}, "dataset.machine_ids: there are no clips of 03"),
        ({"parts": ["eval"]}, "has no training clips"),
    ],
)
def test_what_a_year_has_not(keys, sentence):
    with pytest.raises(InputError, match=sentence) as error:
        sources.of({"source": "dcase", "year": 2023} | keys).machines({})
    one_sentence(error)


# Labels


def test_list_of_labels_is_pinned_or_published(server, tmp_path):
    server.files["1"] = {"list.csv": b"Vacuum\n"}
    address = f"{server.url}/records/1/files/list.csv"
    own = Labels("own.csv", url=address)
    path = fetch_labels(own, tmp_path / "own.csv", "", **FAST)
    assert path.read_bytes() == b"Vacuum\n"
    published = Labels("its.csv", url=address, sha256=hashlib.sha256(b"Vacuum\n").hexdigest())
    fetch_labels(published, tmp_path / "its.csv", "", **FAST)
    server.files["1"]["list.csv"] = b"Vacuum\nsection_00_0000.wav,section_00_source_test_normal_0000.wav\n"
    for labels, where in ((own, "(it was seen first with that"), (published, "is expected, so check the address")):
        with pytest.raises(InputError) as error:
            fetch_labels(labels, tmp_path / "again.csv", "", **FAST)
        assert address in one_sentence(error) and where in str(error.value)
    assert not (tmp_path / "again.csv").exists() and path.read_bytes() == b"Vacuum\n"
    with pytest.raises(InputError, match="404"):
        fetch_labels(Labels("x.csv", url=f"{server.url}/records/1/files/none.csv"), tmp_path / "x.csv", "", **FAST)


def test_published_lists_are_known_by_address_and_checksum():
    for year in range(2021, 2026):
        labels = source_of(year, "data").labels
        assert labels.url.endswith(f"/datasets/eval_data_list_{year}.csv") and len(labels.sha256) == 64
    assert source_of(2026, "data").labels is None, "true asks for what is published"
    assert source_of(2023, "data", ground_truth=False).labels is None


@pytest.mark.parametrize(
    ("year", "text", "line"),
    [
        (2024, "3DPrinter\nsection_00_0000.wav,section_00_source_test_normal_0000.wav\nToyDrone\n", 3),  # of 2023
        (2022, "fan\nsection_03_0000.wav,section_03_source_test_normal_0000.wav\npump\n", 3),  # of 2021
        (2023, "Vacuum\nid_01_00000000.wav,anomaly_id_01_00000035.wav,1\n", 2),  # of 2020
        (2020, "slider\nsection_00_0000.wav,section_00_source_test_normal_0000.wav\n", 2),
        (2023, "Vacuum\nsection_00_0000.wav,section_00_source_test_0000.wav\n", 2),  # no label
        (2023, "Vacuum\nsection_00_0000.wav,section_01_source_test_normal_0000.wav\n", 2),
        (2023, "section_00_0000.wav,section_00_source_test_normal_0000.wav\n", 1),
        (2023, "Vacuum\n" + 2 * "section_00_0000.wav,section_00_source_test_normal_0000.wav\n", 3),
    ],
)
def test_list_of_another_year_or_with_bad_lines(year, text, line, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        evaluation_labels(path, CHALLENGES[year])
    assert one_sentence(error).startswith(f"{path}, line {line}:")


def test_list_in_a_file(server, tmp_path):
    path = tmp_path / "own.csv"
    source = source_of(2023, tmp_path, ground_truth=str(path))
    with pytest.raises(InputError, match=r"dataset.ground_truth: .*own.csv is not there"):
        source.machines({})
    path.write_text(serve(server, 2023))
    assert source.inputs("Vacuum", "test") == [f"{tmp_path}/dcase2023/eval_Vacuum.json", str(path)]
    assert source.inputs("Vacuum", "train") == [f"{tmp_path}/dcase2023/additional_Vacuum.json"]
    fetch_all(server, source, tmp_path)
    assert {clip.label for clip in source.recordings(tmp_path)["Vacuum", "test"]} == {0, 1}
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(InputError, match=r"it has no label of dcase2023/eval/Vacuum/test/section_00_0003.wav"):
        source.recordings(tmp_path)
