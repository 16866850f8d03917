"""Data sources, each as far as its tables: DCASE 2020 from a local server, MIMII, one's own folder, features made elsewhere."""

import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from conftest import ROOT, TINY_TRIAL, Project, write_clip
from scipy.stats import hmean
from sklearn.metrics import roc_auc_score

from humwatch.datasets import source as sources
from humwatch.detectors.reconstruction.scaling import LogEnergy
from humwatch.errors import InputError
from humwatch.evaluation.comparison import comparison_table
from humwatch.features import imported, store
from humwatch.features.store import Features
from humwatch.use.detector import load

SMALL = {"trial": TINY_TRIAL | {"epochs": 2}, "bootstrap": {"samples": 20}}
ALL = {"machine_types": [], "machine_ids": []}


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def found(source, folder, **keys):
    """(machine_type, split) -> sorted (file name, machine_id, label)."""
    clips = sources.of({"source": source, "path": str(folder)} | keys).recordings(folder)
    return {key: sorted((c.clip.rsplit("/")[-1], c.machine_id, c.label) for c in names) for key, names in clips.items()}


def auc_rows(project):
    return pd.read_csv(project.results / "tables/auc.csv", dtype={"machine_id": str, "domain": str}).fillna(
        {"domain": ""}
    )


def humwatch_data(project, *arguments, ok=True):
    done = subprocess.run(
        [sys.executable, "-m", "humwatch", "data", "--configfile", "config.yaml", *arguments],
        **{"cwd": project.folder, "env": project.environment(), "capture_output": True, "text": True, "timeout": 60},
    )
    assert (done.returncode == 0) == ok and "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


# DCASE 2020


def wav(seed):
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(seed).normal(0, 0.1, 8000), 16000, format="WAV")
    return file.getvalue()


def zip_of(names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for n, name in enumerate(names):
            archive.writestr(f"slider/{name}", wav(n))
    return file.getvalue()


@pytest.fixture
def dcase2020(server, tmp_path):
    """A project that believes the server's three small archives to be the published ones; id 00 is dev, 01 is evaluation."""
    archives = {
        ("3678171", "dev_data_slider.zip"): [f"train/normal_id_00_{i:08d}.wav" for i in range(5)]
        + [f"test/{label}_id_00_{i:08d}.wav" for label in ("normal", "anomaly") for i in range(3)],
        ("3727685", "eval_data_train_slider.zip"): [f"train/normal_id_01_{i:08d}.wav" for i in range(4)],
        ("3841772", "eval_data_test_slider.zip"): [f"test/id_01_{i:08d}.wav" for i in range(6)],
    }
    labels = "slider\n" + "".join(f"id_01_{i:08d}.wav,x_{i}.wav,{int(i in (1, 4))}\n" for i in (5, 3, 1, 0, 2, 4))
    server.files = {record: {name: zip_of(names)} for (record, name), names in archives.items()}
    server.files["3951620"] = {"eval_data_list.csv": labels.encode()}
    config = {"name": "small", "source": "dcase2020", "machine_types": ["slider"], "base_url": server.url}
    project = Project(tmp_path / "project", SMALL | {"dataset": config})
    md5 = {name: hashlib.md5(data).hexdigest() for files in server.files.values() for name, data in files.items()}
    with open(project.folder / "src/humwatch/datasets/dcase_tables.py", "a") as file:
        file.write(
            f"\nDCASE2020.md5.update({md5})\nfrom dataclasses import replace\nlabels = Labels('eval_data_list.csv', '3951620', "
            f"{md5['eval_data_list.csv']!r}, {len(labels)})\n"
            "DCASE2020 = CHALLENGES[2020] = replace(DCASE2020, labels=labels)\n"
            'for part, ids in {"dev": {"00": (5, 3, 3)}, "additional": {"01": (4,)}, "eval": {"01": (6,)}}.items():\n'
            '    DCASE2020.parts[part].clips["slider"] = ids\n'
        )
    return project


def test_dcase2020_from_the_archives_to_the_tables(dcase2020, server):
    assert (
        "dev_data_slider.zip" in (said := humwatch_data(dcase2020))
        and "Not there yet: slider test, slider train" in said
    )
    dcase2020.run(*dcase2020.tables)
    clips = pd.read_parquet(dcase2020.results / "clips.parquet")
    counts = clips.groupby(["split", "machine_id"]).size().to_dict()
    assert counts == {("train", "00"): 5, ("train", "01"): 4, ("test", "00"): 6, ("test", "01"): 6}
    labels = clips[(clips["split"] == "test") & (clips["machine_id"] == "01")].set_index("clip")["label"]
    assert {clip[-5] for clip, label in labels.items() if label == 1} == {"1", "4"}, "labels are joined by name"
    rows = auc_rows(dcase2020)
    assert (
        rows["machine_id"].tolist() == ["00", "01", "mean", "pooled", "pooled_standardised"]
        and rows["heard"].all()
        and rows["auc"].notna().all()
    )

    compared = pd.read_csv(dcase2020.results / "tables/comparison.csv", dtype={"machine_ids": str})
    official = compared[(compared["machine_ids"] == "00") & (compared["method"] == "official autoencoder (100 epochs)")]
    assert official["auc"].tolist()[0] == 0.9633 and set(compared[compared["ours"]]["machine_ids"]) >= {"00", "01"}

    said = humwatch_data(dcase2020, "--checksums")
    assert said.count("as published") == 4 and "21 of 21 clips are as in the manifests" in said
    assert "21 of 21 clips are as in results/small/clips.parquet" in said and "All clips that the study needs" in said

    # Another study, from a mirror, after `make clean`: the data are there.
    shutil.rmtree(dcase2020.folder / ".snakemake")
    shutil.rmtree(dcase2020.folder / "results")
    server.asked.clear()
    report = {"name": "report", "parts": ["dev", "eval"], "machine_ids": ["00", "01"], "base_url": "http://127.0.0.1:9"}
    dcase2020.configure(SMALL | {"dataset": dcase2020.config["dataset"] | report})
    planned = dcase2020.planned()
    assert {"clips": 2, "features": 2, "train": 1}.items() <= planned.items()
    assert not {"download", "unpack", "ground_truth"} & planned.keys() and not server.asked
    machines = sources.of(
        ALL | report | {"source": "dcase2020", "data_folder": "data", "machine_types": ["slider"]}
    ).machines({})
    assert ("slider", "train") in machines and "01" not in machines["slider", "train"], (
        "the evaluation ids stay unheard"
    )

    data = {"source": "dcase2020", "parts": ["eval"], "machine_types": ["slider"]}
    unlabelled = sources.of(data | {"ground_truth": False}).recordings(dcase2020.folder / "data")
    assert {clip.label for clip in unlabelled["slider", "test"]} == {None}
    (dcase2020.folder / "data/dcase2020/eval_data_list.csv").write_text("slider\nid_01_00000000.wav,x,0\n")
    with pytest.raises(InputError, match=r"it has no label of dcase2020/eval/slider/test/id_01_00000001.wav"):
        sources.of(data | {"ground_truth": True}).recordings(dcase2020.folder / "data")


def test_dcase2020_without_its_server_is_one_sentence(dcase2020):
    (dcase2020.folder / "src/humwatch/datasets/zenodo.py").open("a").write(
        "\nfetch.__kwdefaults__.update(retries=0, backoff=0.0)\n"
    )
    dcase2020.configure(
        SMALL | {"dataset": dcase2020.config["dataset"] | {"parts": ["dev"], "base_url": "http://127.0.0.1:9"}}
    )
    done = dcase2020.run("--retries", "0", check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "Cannot restore" not in done.stderr
    assert "no answer about dev_data_slider.zip (it cannot be reached), so check dataset.base_url" in done.stderr
    assert not list((dcase2020.folder / "data").rglob("*.zip"))


def section_zip(machine_type, names, level=0.1):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for n, name in enumerate(names):
            clip = io.BytesIO()
            loud = 3 * level if "anomaly" in name else level
            soundfile.write(clip, np.random.default_rng(n).normal(0, loud, 8000), 16000, format="WAV")
            archive.writestr(f"{machine_type}/{name}", clip.getvalue())
    return file.getvalue()


def test_dcase2023_from_the_archives_to_the_official_score(server, tmp_path):
    """Development of one machine type, first-shot evaluation of another; labels from an address."""
    train = [f"train/section_00_{d}_train_normal_{i:04d}_v_1.wav" for d in ("source", "target") for i in range(4)]
    kinds = [(d, label) for label in ("normal", "anomaly") for d in ("source", "target")] * 3
    test = [f"section_00_{d}_test_{label}_{i:04d}_v_2.wav" for i, (d, label) in enumerate(kinds)]
    hidden = [f"section_00_{i:04d}.wav" for i in range(len(test))]
    server.files = {
        "7882613": {"dev_fan.zip": section_zip("fan", [*train, *(f"test/{name}" for name in test)])},
        "7830345": {"eval_data_Vacuum_train.zip": section_zip("Vacuum", train, 0.2)},
        "7860847": {"eval_data_Vacuum_test.zip": section_zip("Vacuum", [f"test/{name}" for name in hidden], 0.2)},
        "labels": {"list.csv": ("Vacuum\n" + "".join(map("{},{}\n".format, hidden, test))).encode()},
    }
    dataset = {
        "name": "first",
        "source": "dcase",
        "year": 2023,
        "machine_types": ["fan", "Vacuum"],
        "base_url": server.url,
    }
    dataset["ground_truth"] = f"{server.url}/records/labels/files/list.csv"
    config = {"trial": {"detector": "mahalanobis"}, "bootstrap": {"samples": 20}}
    project = Project(tmp_path / "project", config | {"dataset": dataset, "alarm": {"false_alarm_rate": 0.2}})
    project.run(*project.tables)
    tables = project.results / "tables"
    official = pd.read_csv(tables / "official.csv")
    trial = official["trial"][0]
    scores = {t: pd.read_parquet(project.results / f"scores/{t}/{trial}/epochs-0.parquet") for t in ("fan", "Vacuum")}
    figures = {}
    for machine_type, clips in scores.items():
        assert clips["domain"].notna().all() and clips["label"].notna().all()
        labels, values = clips["label"].astype(int), clips["score"]
        own = [(clips["domain"] == domain) | (labels == 1) for domain in ("source", "target")]
        figures[machine_type] = [roc_auc_score(labels[rows], values[rows]) for rows in own]
        figures[machine_type].append(roc_auc_score(labels, values, max_fpr=0.1))
    rows = official[official["trial"] == trial].set_index(["set", "machine_type"])
    both = figures["fan"] + figures["Vacuum"]
    expected = {
        ("development", "fan"): figures["fan"],
        ("evaluation", "Vacuum"): figures["Vacuum"],
        ("all", "all"): both,
    }
    for key, values in expected.items():
        assert rows.loc[key]["official"] == pytest.approx(hmean(np.maximum(values, 1e-16)), abs=1e-5)
    named = {"auc_source", "auc_target", "official"}
    assert named <= {*pd.read_csv(tables / "summary.csv")} & {*pd.read_csv(tables / "sweeps/trial.csv")}
    selected = pd.read_csv(tables / "selected.csv").set_index("machine_type")
    assert selected.loc["fan", "selected_official"] == pytest.approx(rows.loc["development", "fan"]["official"])
    assert not {"comparison.csv"} & {path.name for path in tables.iterdir()}, "published figures are of 2020"

    decisions = pd.read_csv(tables / "decisions.csv", dtype={"machine_id": str}).fillna({"domain": ""})
    for machine_type, clips in scores.items():
        row = decisions[(decisions["trial"] == trial) & (decisions["machine_type"] == machine_type)].iloc[0]
        folder = project.results / f"submission/{machine_type}/{trial}/epochs-0"
        submitted = pd.read_csv(folder / f"anomaly_score_{machine_type}_section_00_test.csv", header=None)
        decided = pd.read_csv(folder / f"decision_result_{machine_type}_section_00_test.csv", header=None)
        assert submitted[0].tolist() == decided[0].tolist() == [clip.rsplit("/")[-1] for clip in clips["clip"]]
        assert decided[1].tolist() == (clips["score"] > row["threshold"]).astype(int).tolist()
    said = humwatch_data(project, "--checksums")
    assert said.count("as published") == 4 and "All clips that the study needs are there" in said


def two_channel_zip(machine_type, names):
    """Clips of 0.6, 1.0 and 1.6 s; the far channel hears the same noise, and anomalies hum."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for n, name in enumerate(names):
            noise, clip = np.random.default_rng(n).normal(0, 0.1, (9600, 16000, 25600)[n % 3]), io.BytesIO()
            hum = np.sin(np.arange(len(noise)) / 3) * (0.02 if "anomaly" in name else 0)
            soundfile.write(clip, np.stack([hum + np.roll(noise, 5), noise], axis=1), 16000, format="WAV")
            archive.writestr(f"{machine_type}/{name}", clip.getvalue())
    return file.getvalue()


def test_dcase2026_two_microphones_and_clips_of_several_lengths(server, tmp_path):
    """The replaced archive of dev, and an evaluation without labels; then the packed detector, which hears both channels."""
    train = [f"train/section_00_{d}_train_normal_{i:04d}_p_1.wav" for d in ("source", "target") for i in range(6)]
    kinds = [(d, label) for label in ("normal", "anomaly") for d in ("source", "target")] * 2
    test = [f"test/section_00_{d}_test_{label}_{i:04d}_p_2.wav" for i, (d, label) in enumerate(kinds)]
    server.files = {
        "19336329": {"dev_ToyCar_r2.zip": two_channel_zip("ToyCar", train + test), "dev_ToyCarEmu.zip": b""},
        "20151556": {"eval_data_Sander_train.zip": two_channel_zip("Sander", train)},
        "20437238": {"eval_data_Sander_test.zip": two_channel_zip("Sander", ["test/section_00_0000.wav"])},
    }
    dataset = {"name": "two", "source": "dcase", "year": 2026, "base_url": server.url, "channel": {"near": 0, "far": 1}}
    config = {
        "dataset": dataset | {"machine_types": ["ToyCar", "Sander"]},
        "features": {"clean": {"source": "noise_aware"}},
        "trial": {"detector": "mahalanobis", "feature": "clean"},
        "bootstrap": {"samples": 20},
        "alarm": {"false_alarm_rate": 0.2},
    }
    project = Project(tmp_path / "project", config)
    project.run("results/two/tables/auc.csv", "results/two/detectors/sha256sums.txt")
    clips = pd.read_parquet(project.results / "clips.parquet")
    assert set(clips["seconds"]) == {0.6, 1.0, 1.6} and set(clips["channels"]) == {2}
    table = pd.read_csv(project.results / "tables/sweeps/trial.csv").set_index("machine_type")
    assert table.loc["ToyCar", "auc"] == 1, "a hum that the near microphone alone drowns in noise"
    assert np.isnan(table.loc["Sander", "official"])
    official = pd.read_csv(project.results / "tables/official.csv")
    assert set(official["set"]) == {"development"} and set(official["machine_type"]) == {"ToyCar"}
    (decided,) = project.results.glob("submission/Sander/*/epochs-0/decision_*")
    assert decided.name == "decision_result_Sander_section_00_test.csv"

    packed = load(project.results / "detectors/ToyCar.humwatch")
    assert packed.channel == [0, 1]
    scores = pd.concat(
        pd.read_parquet(p) for p in project.results.glob(f"scores/ToyCar/{packed.description['trial']}/*")
    )
    recording = project.folder / "data" / scores["clip"].iloc[0]
    (decision,) = packed.score(recording)
    assert decision.score == pytest.approx(scores["score"].iloc[0], rel=1e-4)
    samples, _ = soundfile.read(recording)
    assert packed.score(samples, 16000)[0].score == pytest.approx(decision.score, rel=1e-4)
    with pytest.raises(InputError, match=r"has 1 channel.*the detector hears channels 0 and 1"):
        packed.score(samples[:, 0], 16000)


@pytest.mark.parametrize(
    ("config", "jobs"),
    [
        ("report", {"download": 2, "unpack": 2, "ground_truth": 1, "clips": 2, "features": 2, "train": 5 + 17 + 1}),
        ("dcase2024", {"download": 25, "unpack": 25, "ground_truth": 1, "clips": 32, "features": 32, "train": 3 * 16}),
    ],
)
def test_whole_study_is_planned_without_data(config, jobs, tmp_path):
    project = Project(tmp_path / "project", {})
    shutil.copy(ROOT / f"config/{config}.yaml", project.folder / "config.yaml")
    assert jobs.items() <= project.planned().items()


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"machine_types": ["robot"]}, "DCASE 2020 has no 'robot', so choose from fan"),
        ({"machine_ids": ["00", "08"]}, "dataset.machine_ids: there are no clips of 08"),
        ({"parts": ["eval"]}, "has no training clips"),
    ],
)
def test_what_dcase2020_has_not(keys, sentence):
    dataset = ALL | {"source": "dcase2020", "data_folder": "data", "parts": ["dev", "eval"]} | keys
    with pytest.raises(InputError, match=sentence):
        sources.of(dataset).machines({})


def test_means_over_different_ids_never_stand_side_by_side():
    """Ours, over 4 ids, 3 ids and each id, beside those published for just these ids; then the average over types."""
    ours = {"slider": {"00": 0.9, "02": 0.8, "04": 0.7, "06": 0.2}, "fan": {"00": 0.6, "02": 0.6, "04": 0.6, "06": 0.4}}
    rows = [(t, i, a) for t, ids in ours.items() for i, a in {**ids, "mean": 0.0, "pooled": 0.0}.items()]
    measured = pd.DataFrame(rows, columns=["machine_type", "machine_id", "auc"])
    measured = measured.assign(trial="vae", epochs=5, score="mean", pauc=0.5, heard=True, domain="")
    references = pd.read_csv(ROOT / "workflow/references.csv", dtype=str)
    table = comparison_table(measured, [("vae", 5, "mean")], references)
    auc = table.set_index(["machine_type", "machine_ids", "method"])["auc"].sort_index()
    mine, official, course = "vae, 5 epochs, mean", "official autoencoder (100 epochs)", "course VAE (100 epochs)"
    assert auc["slider", "00 02 04 06"][[mine, official]].tolist() == pytest.approx([0.65, 0.8499])
    assert auc["slider", "00 02 04"][[mine, official, course]].tolist() == pytest.approx([0.8, 0.8991, 0.8478])
    assert auc["slider", "00"][[mine, course]].tolist() == pytest.approx([0.9, 0.9367])
    assert course not in auc["slider", "00 02 04 06"] and "01 03 05" not in set(table["machine_ids"])
    assert auc["average of fan, slider", ""][[mine, official]].tolist() == pytest.approx([0.6, (0.8499 + 0.6516) / 2])
    assert table.groupby(["machine_type", "machine_ids"], sort=False)["auc"].is_monotonic_decreasing.iloc[:-1].all()


# MIMII


def mimii(folder, top="", normal=10, abnormal=4):
    for label, count in (("normal", normal), ("abnormal", abnormal)):
        touch(folder, *(f"{top}fan/id_00/{label}/{i:08d}.wav" for i in range(count)))
    return folder


@pytest.mark.parametrize("top", ["", "6_dB_fan/", "-6_dB_fan/"])
def test_mimii_split(tmp_path, top):
    mimii(tmp_path, top)
    split = found("mimii", tmp_path, seed=0)
    labels = [label for _, _, label in split["fan", "test"]]
    assert (labels.count(0), labels.count(1)) == (4, 4), "as many normal test clips as abnormal ones"
    assert len(split["fan", "train"]) == 6 and {label for _, _, label in split["fan", "train"]} == {0}
    assert found("mimii", tmp_path, seed=0) == split != found("mimii", tmp_path, seed=1)


def test_mimii_levels_of_noise_are_machine_types_of_their_own(tmp_path):
    mimii(mimii(tmp_path, "-6_dB_fan/"), "0_dB_fan/")
    assert {machine_type for machine_type, _ in found("mimii", tmp_path)} == {"fan_-6_dB", "fan_0_dB"}


def test_mimii_as_its_baseline_unpacks_it(tmp_path):
    for top in ("min6dB/", "0dB/", "6dB/"):
        mimii(tmp_path / "all", top)
    split = found("mimii", tmp_path / "all")
    assert {machine_type for machine_type, _ in split} == {"fan_-6_dB", "fan_0_dB", "fan_6_dB"}
    assert len(split["fan_-6_dB", "train"]) == 6
    assert set(found("mimii", mimii(tmp_path / "one", "min6dB/"))) == {("fan", "train"), ("fan", "test")}


def test_stray_file_of_another_machine_stops_no_restricted_run(tmp_path):
    touch(mimii(mimii(tmp_path, "0_dB_fan/"), "min6dB/"), "min6dB/pump/stray.wav", "0_dB_pump/stray.wav", "pump/x.wav")
    assert set(found("mimii", tmp_path, machine_types=["fan_0_dB"])) == {("fan_0_dB", "train"), ("fan_0_dB", "test")}
    with pytest.raises(
        InputError, match=r"^0_dB_pump/stray.wav does not fit .*; likewise min6dB/pump/stray.wav, pump/x.wav$"
    ):
        found("mimii", tmp_path)
    touch(tmp_path, "0_dB_fan/stray.wav")
    with pytest.raises(InputError, match=r"^0_dB_fan/stray.wav does not fit [^\n]*$"):
        found("mimii", tmp_path, machine_types=["fan_0_dB"])


def test_mimii_layout_is_checked(tmp_path):
    touch(mimii(tmp_path), "fan/id_00/normal/deep/1.wav")
    with pytest.raises(InputError, match=r"fan/id_00/normal/deep/1.wav does not fit"):
        found("mimii", tmp_path)


def test_real_mimii(real_data, tmp_path):
    dataset = {"name": "mimii", "source": "mimii", "path": str(real_data / "mimii_raw_subset"), "channel": "mix"}
    project = Project(tmp_path / "project", SMALL | {"dataset": dataset})
    project.run(*project.tables)
    row = auc_rows(project).set_index("machine_id").loc["00"]
    assert (row["n_normal"], row["n_anomaly"]) == (3, 6) and np.isfinite(row["auc"])
    assert pd.read_parquet(project.results / "clips.parquet")["channels"].unique().tolist() == [8]


# A maintenance engineer's folder


def test_folder_layouts(tmp_path):
    touch(tmp_path, "Pump 3/normal/a.wav", "Pump 3/test/normal/b.wav", "Pump 3/test/anomaly/c.wav", "Pump 3/test/d.wav")
    touch(tmp_path, "fan/train/section_00_source_train_normal_0001_strength_1_ambient.wav")
    touch(tmp_path, "fan/source_test/section_00_source_test_anomaly_0002.wav", "fan/test/section_01_0003.wav")
    touch(tmp_path, "fan/supplemental/section_00_clean_0001.wav")
    assert found("folder", tmp_path) == {
        ("Pump 3", "train"): [("a.wav", "00", 0)],
        ("Pump 3", "test"): [("b.wav", "00", 0), ("c.wav", "00", 1), ("d.wav", "00", None)],
        ("fan", "train"): [("section_00_source_train_normal_0001_strength_1_ambient.wav", "00", 0)],
        ("fan", "test"): [("section_00_source_test_anomaly_0002.wav", "00", 1), ("section_01_0003.wav", "01", None)],
    }
    (clip,) = sources.of({"source": "folder", "machine_types": ["fan"]}).recordings(tmp_path)["fan", "train"]
    assert (clip.domain, clip.attributes) == ("source", "strength_1_ambient")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("pump/bad/1.wav", "pump/bad/1.wav does not fit <machine>/normal/"),
        ("pump/train/section_00_source_train_anomaly_0000.wav", "is in train but labelled anomaly"),
        (
            "pump/normal/anomaly_3.wav",
            r"says anomaly in its name where its folder normal/ does not: move it to test/anomaly/",
        ),
        ("pump/train/Abnormal noise.wav", "says anomaly in its name where its folder train/ does not"),
        ("pump/test/normal/3 anomalous.wav", "says anomaly in its name where its folder test/normal/ does not"),
        ("pump/test/anomaly/normal_3.wav", "says normal in its name where its folder test/anomaly/ does not"),
        ("pump/test/anomaly-3.wav", "says anomaly in its name where its folder test/ does not"),
        ("pump/normal/section_00.wav", "begins with section_ but does not fit"),
        ("pump/test/section_00_0000_anomaly.wav", "begins with section_ but does not fit"),
        ("pump/test/section_00_train_test_normal_0000.wav", "begins with section_ but does not fit"),
        ("pump/test/section_00_source_train_normal_0000.wav", "says train in its name and test in its folder"),
        (
            "pump/test/anomaly/section_00_source_test_normal_0000.wav",
            "says normal in its name and anomaly in its folder",
        ),
        ("pump/source_test/section_00_target_test_0000.wav", "says target in its name and source in its folder"),
        ("pump/train/normal_id_00_00000000.wav", "do not fit its layout: set dataset.source to directory$"),
    ],
)
def test_folder_names_are_checked(tmp_path, name, sentence):
    with pytest.raises(InputError, match=sentence):
        found("folder", touch(tmp_path, name))


@pytest.mark.parametrize(
    ("source", "name", "sentence"),
    [
        ("directory", "fan/train/id_00_anomaly_01.wav", "says anomaly in its name where the beginning of it does not"),
        ("directory", "fan/train/normal_id_00_01_anomaly.wav", "says anomaly .*: begin it with anomaly_id_ or rename"),
        ("directory", "fan/train/normal_id_abnormal_01.wav", "says anomaly in its name"),
        ("directory", "fan/test/id_00_anomaly_2.wav", "says anomaly in its name"),
        ("directory", "fan/test/id_00_2_Normal.wav", "says normal in its name"),
        ("directory", "fan/test/normal_id_00_3_anomaly.wav", "says anomaly in its name"),
        ("mimii", "fan/id_00/normal/anomaly_1.wav", "says anomaly in its name where its folder normal/ does not"),
        ("mimii", "fan/id_00/abnormal/normal_1.wav", "says normal in its name where its folder abnormal/ does not"),
        ("folder", "fan/test/section_00_source_test_normal_0000_anomaly.wav", "says anomaly in its name"),
    ],
)
def test_no_name_that_says_anomaly_is_overruled(tmp_path, source, name, sentence):
    with pytest.raises(InputError, match=sentence):
        found(source, touch(tmp_path, name))


def test_labels_that_agree(tmp_path):
    touch(
        tmp_path,
        *(f"fan/{name}.wav" for name in ("train/id_00_normal_1", "test/anomaly_id_00_not_normal", "test/id_00_1")),
    )
    assert {clip[::2] for clips in found("directory", tmp_path).values() for clip in clips} == {
        ("id_00_normal_1.wav", None),
        ("anomaly_id_00_not_normal.wav", 1),
        ("id_00_1.wav", None),
    }


def test_folder_reads_what_is_unambiguous(tmp_path):
    touch(
        tmp_path, "Pump/Normal/a.wav", "Pump/Test/Anomaly/b.wav", "Pump/TEST/abnormal/c.wav", "Pump/test/NORMAL/d.wav"
    )
    touch(tmp_path, "Pump/normal/normality, abnormally.wav", "Pump/test/anomaly/no longer normal, anomaly.wav")
    touch(
        tmp_path,
        "fan/train/section_00_source_train_normal_0000_.wav",
        "fan/test/Section_00_target_Test_Abnormal_01_.wav",
    )
    touch(tmp_path, "fan/test/section_03_source_test_0000.wav", "fan/test/anomaly/section_04_0000.wav")
    touch(tmp_path, "fan/normal/section_05_0000_a_normal.wav".replace("_normal.", "."))
    assert found("folder", tmp_path) == {
        ("Pump", "train"): [("a.wav", "00", 0), ("normality, abnormally.wav", "00", 0)],
        ("Pump", "test"): [
            ("b.wav", "00", 1),
            ("c.wav", "00", 1),
            ("d.wav", "00", 0),
            ("no longer normal, anomaly.wav", "00", 1),
        ],
        ("fan", "train"): [
            ("section_00_source_train_normal_0000_.wav", "00", 0),
            ("section_05_0000_a.wav", "05", 0),
        ],
        ("fan", "test"): [
            ("Section_00_target_Test_Abnormal_01_.wav", "00", 1),
            ("section_03_source_test_0000.wav", "03", None),
            ("section_04_0000.wav", "04", 1),
        ],
    }
    clips = {
        clip.clip: (clip.domain, clip.attributes)
        for names in sources.of({"source": "folder"}).recordings(tmp_path).values()
        for clip in names
    }
    assert clips["fan/train/section_00_source_train_normal_0000_.wav"] == ("source", None)
    assert clips["fan/test/Section_00_target_Test_Abnormal_01_.wav"] == ("target", None)


def test_ids_in_names_that_the_folder_source_does_not_read(tmp_path, caplog):
    found("folder", touch(tmp_path, "pump/normal/normal_id_00_1.wav"))
    assert not caplog.messages
    found("folder", touch(tmp_path, "pump/normal/normal_id_02_1.wav"))
    assert "pump: its clips are named by several ids (00, 02), which source folder does not read" in caplog.text


def test_csv(tmp_path):
    touch(tmp_path, "a.wav", "b.wav", "deep/c.flac")
    list_ = tmp_path / "list.csv"
    list_.write_text(
        "file,machine,split,label,machine_id\na.wav,pump,train,,7\nb.wav,pump,test,normal,7\ndeep/c.flac,pump,test,1,7\n"
    )
    assert found("folder", tmp_path, csv=str(list_)) == {
        ("pump", "train"): [("a.wav", "7", 0)],
        ("pump", "test"): [("b.wav", "7", 0), ("c.flac", "7", 1)],
    }


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("a.wav,pump,training,normal", "row 2: split is 'training', it must be train or test"),
        ("a.wav,pump,test,broken", "row 2: label is 'broken', it must be normal, anomaly or empty"),
        ("deep/anomaly 1.wav,pump,train,", "row 2: deep/anomaly 1.wav trains as normal, and its name says anomaly"),
        ("b.wav,pump,test,normal", "row 2: .*b.wav is no file: correct"),
        ("deep/b.m4a,pump,test,normal", "row 2: .*b.m4a is no recording in a format that is read: convert it"),
        ("a.wav,,test,normal", "row 2: machine is ''"),
        ("a.wav,pump,test,normal\na.wav,pump,test,normal", "row 3: a.wav is listed twice"),
        ("a.wav,pump,test,normal\n./a.wav,pump,train,normal", "row 3: a.wav is listed twice"),
        ("a.wav,pump,train,normal\n{folder}/a.wav,pump,test,normal", "row 3: a.wav is listed twice"),
        ("a.wav,pump,train,normal\ndeep/../a.wav,pump,test,normal", "deep/../a.wav and a.wav are the same file"),
        ("a.wav,pump,train,normal\nlink.wav,pump,test,normal", "link.wav and a.wav are the same file"),
        ("a.wav,pump,train,normal\na.flac,pump,train,normal", "a.flac and a.wav differ in the suffix only"),
        ("a.wav,pump,train,anomaly", "a.wav is in train but labelled anomaly"),
    ],
)
def test_csv_is_checked(tmp_path, row, sentence):
    touch(tmp_path, "a.wav", "a.flac", "deep/b.wav")
    (tmp_path / "link.wav").symlink_to("a.wav")
    row = row.replace("{folder}", str(tmp_path))
    (tmp_path / "list.csv").write_text(f"file,machine,split,label\n{row}\n")
    with pytest.raises(InputError, match=sentence):
        found("folder", tmp_path, csv=str(tmp_path / "list.csv"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file,machine,split\n", r"lacks the column\(s\) label"),
        (
            "name;machine;split;label\na.wav;b;train;\n",
            r"lacks the column\(s\) file: .* between semicolons, name, machine, split, label",
        ),
        ("file,machine,split,label,File\n", r"names the column\(s\) file twice"),
        ("", r"lacks the column\(s\) file, machine, split, label"),
    ],
)
def test_csv_without_a_column(tmp_path, text, sentence):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        found("folder", tmp_path, csv=str(tmp_path / "list.csv"))


TABLE = "file,machine,split,label\na.wav,Pümp 3,train,\nb.wav,Pümp 3,test,anomaly\n"


@pytest.mark.parametrize(
    "text",
    [
        TABLE.encode(),
        TABLE.replace(",", ";").encode(),
        TABLE.replace(",", "\t").encode("utf-16"),
        b"sep=;\r\n" + TABLE.replace(",", ";").replace("\n", "\r\n").encode(),
        TABLE.replace("file,machine,split", " File , MACHINE,Split")
        .replace("test,anomaly", " Test ,Abnormal")
        .encode("utf-8-sig"),
        TABLE.replace("\n", ",,\n").encode() + b",,,,,\n\n ,,,,,\n",
        TABLE.replace("b.wav", ".\\\\b.wav").replace("\\\\", "\\").encode(),
        TABLE.replace(",", ";").encode("utf-16-le"),
        TABLE.encode("utf-16-be"),
        b"\r\n,,,\r\n  \n" + TABLE.encode(),
        b";;;\nsep=;\n\n;;;\n" + TABLE.replace(",", ";").encode(),
    ],
    ids=[
        "plain",
        "semicolons",
        "tabs, UTF-16",
        "sep=",
        "capitals, BOM",
        "blank rows",
        "backslash",
        "UTF-16",
        "big-endian",
        "blank first",
        "blank first, sep=",
    ],
)
def test_csv_from_spreadsheets(tmp_path, text):
    touch(tmp_path, "a.wav", "b.wav")
    (tmp_path / "list.csv").write_bytes(text)
    assert found("folder", tmp_path, csv=str(tmp_path / "list.csv")) == {
        ("Pümp 3", "train"): [("a.wav", "00", 0)],
        ("Pümp 3", "test"): [("b.wav", "00", 1)],
    }


@pytest.mark.parametrize("name", ["machine-id", "Machine ID", "machine_id", "MACHINE - id"])
def test_csv_optional_columns(tmp_path, caplog, name):
    touch(tmp_path, "a.wav")
    (tmp_path / "list.csv").write_text(f"file,machine,split,label,{name},\na.wav,pump,train,,7,\n")
    assert found("folder", tmp_path, csv=str(tmp_path / "list.csv")) == {("pump", "train"): [("a.wav", "7", 0)]}
    assert not caplog.messages


def test_csv_columns_that_are_not_read(tmp_path, caplog):
    touch(tmp_path, "a.wav")
    (tmp_path / "list.csv").write_text("file,machine,split,label,machineid,Id\na.wav,pump,train,,7,\n")
    found("folder", tmp_path, csv=str(tmp_path / "list.csv"))
    (said,) = caplog.messages
    assert "has columns that are not read: machineid, id (known are file, machine, split, label, machine_id," in said


def test_csv_that_cannot_be_read(tmp_path):
    for content, sentence in (
        (TABLE.encode("cp1252"), r"list.csv is not UTF-8 \(row 2\): save it as CSV UTF-8$"),
        (TABLE.encode("utf-16")[:-1], r"list.csv is not UTF-16 \(row"),
    ):
        (tmp_path / "list.csv").write_bytes(content)
        with pytest.raises(InputError, match=sentence):
            found("folder", tmp_path, csv=str(tmp_path / "list.csv"))
    with pytest.raises(InputError, match="is a folder: name the CSV file"):
        found("folder", tmp_path, csv=str(tmp_path))
    with pytest.raises(InputError, match=r"no.csv cannot be read \(No such file or directory\): correct the path"):
        found("folder", tmp_path, csv=str(tmp_path / "no.csv"))


def test_csv_says_which_row(tmp_path):
    """Rows as an editor counts them, blank ones too; those of machines that are not wanted are not looked at."""
    touch(tmp_path, "a.wav", "b.wav")
    rows = ["a.wav,pump,train,", "", *["b.wav,fan,exam,"] * 13, "c,d.wav,pump,test,normal"]
    (tmp_path / "list.csv").write_text("file,machine,split,label\n" + "\n".join(rows) + "\n")
    assert set(found("folder", tmp_path, csv=str(tmp_path / "list.csv"), machine_types=["pump"])) == {("pump", "train")}
    with pytest.raises(InputError) as error:
        found("folder", tmp_path, csv=str(tmp_path / "list.csv"))
    first, second = str(error.value).splitlines()
    assert "row 4: split is 'exam'" in first and first.endswith(
        "; likewise row 5, row 6, row 7, row 8, row 9, row 10, row 11, row 12, row 13, row 14 and 2 more"
    )
    assert "row 17: has more cells than the first line has columns" in second


def test_csv_with_files_elsewhere(tmp_path):
    """A path that leads out of the folder, and an absolute one, are relative to the folder afterwards."""
    touch(tmp_path, "in/a.wav", "out/b.wav", "out/c.wav")
    (tmp_path / "list.csv").write_text(
        f"file,machine,split,label\na.wav,pump,train,\n../out/b.wav,pump,train,\n{tmp_path}/out/c.wav,pump,train,\n"
    )
    (clips,) = sources.of({"source": "folder", "csv": str(tmp_path / "list.csv")}).recordings(tmp_path / "in").values()
    assert {clip.clip for clip in clips} == {"a.wav", "../out/b.wav", "../out/c.wav"}


def test_folder_with_domains_from_recordings_to_tables(tmp_path):
    recordings = tmp_path / "my recordings"
    for n in range(6):
        write_clip(
            recordings / f"Pump 3/train/section_00_{('source', 'target')[n % 2]}_train_normal_{n:04d}_speed_{n}.wav",
            seed=n,
        )
    for n in range(16):
        domain, label = ("source", "target")[n % 2], ("normal", "anomaly")[n // 8]
        write_clip(recordings / f"Pump 3/test/section_00_{domain}_test_{label}_{n:04d}_speed_1.wav", seed=100 + n)
    project = Project(
        tmp_path / "project", SMALL | {"dataset": {"name": "own", "source": "folder", "path": "../my recordings"}}
    )
    project.run()
    clips = pd.read_parquet(project.results / "clips.parquet")
    assert set(clips["domain"].dropna()) == {"source", "target"} and "speed_3" in set(clips["attributes"].dropna())
    (scores,) = (pd.read_parquet(path) for path in project.results.glob("scores/Pump=203/*/*.parquet"))
    rows = auc_rows(project).set_index(["domain", "machine_id"])["auc"]
    assert {domain for domain, _ in rows.index} == {"", "source", "target"}
    for domain, expected in (("", scores), ("source", scores[(scores["domain"] == "source") | (scores["label"] == 1)])):
        assert rows[domain, "00"] == pytest.approx(
            roc_auc_score(expected["label"].astype(int), expected["score"]), abs=1e-5
        )
    figures = [rows["source", "00"], rows["target", "00"]]
    figures.append(roc_auc_score(scores["label"].astype(int), scores["score"], max_fpr=0.1))
    official = pd.read_csv(project.results / "tables/official.csv")
    assert official["official"].tolist() == [pytest.approx(hmean(figures), abs=1e-5)], "as of DCASE 2022 to 2026"
    assert "All clips that the study needs are there" in humwatch_data(project)
    assert project.planned() == {}


def test_a_broken_clip_is_never_all_clips(tmp_path):
    """Exit code 1 and the names; also of a link that leads nowhere, which the folder lists."""
    write_clip(tmp_path / "recordings/fan/normal/a.wav")
    project = Project(tmp_path / "project", {"dataset": {"name": "own", "source": "folder", "path": "../recordings"}})
    assert "All clips that the study needs are there" in humwatch_data(project)
    (tmp_path / "recordings/fan/normal/b.wav").symlink_to("nowhere.wav")
    (tmp_path / "recordings/fan/normal/c.wav").write_text("no audio")
    said = humwatch_data(project, ok=False)
    assert "fan/normal/b.wav, fan/normal/c.wav cannot be read as audio" in said and "All clips" not in said


def test_no_recordings_is_a_sentence_of_humwatch_data(tmp_path):
    project = Project(tmp_path / "project", {"dataset": {"name": "own", "source": "folder", "path": "nowhere"}})
    assert "dataset.path: nowhere is no folder" in humwatch_data(project, ok=False)


# Features that were computed elsewhere


def write_features(path, rows, bins=4, frames=3, values=None, **columns):
    """Energies in the store's schema, as another program might write them; rows: (machine_id, split, label)."""
    rng = np.random.default_rng(0)
    values = values or [rng.lognormal(-20 + 2 * (label or 0), 1, (frames, bins)).tolist() for _, _, label in rows]
    table = {
        "clip": [f"{path.stem}/{split}/{i}.wav" for i, (_, split, _) in enumerate(rows)],
        "machine_type": [path.stem] * len(rows),
        "machine_id": [row[0] for row in rows],
        "split": [row[1] for row in rows],
        "label": pa.array([row[2] for row in rows], pa.int8()),
        "frames": values,
    } | columns
    table["frames"] = pa.array(table["frames"], pa.list_(pa.list_(pa.float32(), bins)))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), path, row_group_size=len(rows))
    return path


ROWS = [("00", "train", 0)] * 80 + [("00", "test", 0)] * 10 + [("00", "test", 1)] * 10


def parquet_config(folder, **dataset):
    return SMALL | {
        "dataset": {"name": "elsewhere", "source": "parquet", "path": str(folder)} | dataset,
        "features": {"energies": {"source": "parquet"}},
        "trial": TINY_TRIAL | {"feature": "energies", "window": 3, "transform": "log", "epochs": 2},
    }


def test_features_from_elsewhere_to_tables(tmp_path):
    """A type with both splits, one without test clips, one without train clips; one model per type and one of all."""
    write_features(tmp_path / "data/fan.parquet", ROWS)
    write_features(tmp_path / "data/ToyCar.parquet", ROWS[:80])
    write_features(tmp_path / "data/valve.parquet", ROWS[80:])
    project = Project(
        tmp_path / "project", parquet_config(tmp_path / "data") | {"sweeps": {"s": {"scope": ["machine_type", "all"]}}}
    )
    assert "valve: no training clips" in (done := project.run()).stdout + done.stderr
    assert {path.parts[-3] for path in project.results.glob("models/*/*/epochs-2")} == {"fan", "ToyCar", "all"}
    rows = auc_rows(project)
    rows = rows[rows["machine_id"] == "00"].set_index(["scope", "machine_type"])
    assert set(rows.index) == {("machine_type", "fan"), ("all", "fan"), ("all", "valve")}
    assert rows.loc[("machine_type", "fan"), "auc"] > 0.9, "anomalies have seven times the energy"
    source = pq.read_table(tmp_path / "data/fan.parquet").slice(0, 80)
    stored = pq.ParquetFile(project.results / "features/energies/fan/train.parquet")
    assert stored.num_row_groups == 2 and stored.read(["frames"])["frames"].to_pylist() == source["frames"].to_pylist()
    made = json.loads(next(project.results.glob("models/fan/*/epochs-2/model.json")).read_text())
    assert made["feature"] == {"source": "parquet", "bins": 4} and made["hyperparameters"]["transform"] == "log"
    # Nobody can compute such features of a new recording: the run decides on its clips, but makes no detector.
    assert (project.results / "tables/decisions.csv").exists() and not (project.results / "detectors").exists()
    assert project.planned() == {}


@pytest.mark.parametrize(
    ("rows", "columns", "sentence"),
    [
        ([("00", "train", 1)], {}, r"row 0: fan/train/0.wav is in train but labelled anomaly"),
        ([("00", "train", 2)], {}, r"row 0: label is 2"),
        ([("00", "training", 0)], {}, r"row 0: split is 'training'"),
        ([("00", "train", 0)], {"machine_type": ["pump"]}, r"machine_type is 'pump' where the file's name says 'fan'"),
        ([("00", "train", 0)] * 2, {"clip": ["a", "a"]}, r"row 1: a is there twice"),
        ([("00", "train", 0)], {"machine_id": [0]}, r"row 0: machine_id is 0, it must be text"),
    ],
)
def test_described_wrongly_elsewhere(tmp_path, rows, columns, sentence):
    write_features(tmp_path / "fan.parquet", rows, **columns)
    with pytest.raises(InputError, match=sentence):
        sources.of({"source": "parquet"}).recordings(tmp_path)


def test_values_from_elsewhere_are_checked(tmp_path):
    for frames, sentence in (
        ([[[1.0, np.nan]]], r"the frames of fan/train/0.wav are NaN or infinite"),
        ([[]], r"has no frames of fan/train/0.wav"),
    ):
        path = write_features(tmp_path / "fan.parquet", [("00", "train", 0)], bins=2, values=frames)
        names = sources.of({"source": "parquet"}).recordings(tmp_path)["fan", "train"]
        with pytest.raises(InputError, match=sentence):
            imported.clip_table(path, names)
    pq.write_table(pa.table({"clip": ["a"]}), path)
    with pytest.raises(InputError, match=r"fan.parquet lacks the column\(s\) machine_type"):
        sources.of({"source": "parquet"}).recordings(tmp_path)


def test_features_from_elsewhere_must_be_of_the_same_clips(tmp_path):
    path = write_features(tmp_path / "fan.parquet", ROWS)
    clips = imported.clip_table(path, sources.of({"source": "parquet"}).recordings(tmp_path)["fan", "test"])
    other = clips.assign(clip=clips["clip"] + "x")
    with pytest.raises(InputError, match=r"has no features of fan/test/80.wavx and 19 more"):
        imported.copy(path, other, tmp_path / "out.parquet")
    with pytest.raises(InputError, match=r"its label of fan/test/80.wav and 9 more is not that of the clip table"):
        imported.copy(path, clips.assign(label=pd.array([1] * 20, "Int8")), tmp_path / "out.parquet")
    imported.copy(path, clips, tmp_path / "out.parquet")
    copied = store.read([tmp_path / "out.parquet"])
    assert copied.clips["clip"].tolist() == clips["clip"].tolist() and copied.parameters == {"source": "parquet"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"trial": {"feature": "logmel"}, "features": {"logmel": {}}},
            "the feature logmel is computed from recordings",
        ),
        ({"features": {"energies": {"source": "parquet", "path": "elsewhere"}}}, "elsewhere/fan.parquet is not there"),
        (
            {"features": {"energies": {"source": "parquet"}, "logmel": {"path": "x"}}},
            "logmel.path is for source embedding or parquet only",
        ),
    ],
)
def test_configuration_of_features_from_elsewhere(tmp_path, change, sentence):
    write_features(tmp_path / "data/fan.parquet", ROWS)
    project = Project(tmp_path / "project", parquet_config(tmp_path / "data") | change)
    done = project.run("--dry-run", check=False)
    assert done.returncode == 1 and sentence in done.stdout and "Traceback" not in done.stdout + done.stderr


def test_log_energies_are_standardised_by_the_training_windows():
    rng = np.random.default_rng(0)
    values = rng.lognormal(-20, [1, 3], (400, 2)).astype(np.float32)
    values[7, 0] = 0
    clips = pd.DataFrame({"clip": [f"{i}" for i in range(50)]})
    scale = LogEnergy(8, 2)
    scale.fit(Features.of(np.split(values, 50), clips, {}))
    windows = values.reshape(50, 16)
    floor = [np.quantile(values[values[:, b] > 0, b], 0.001) for b in range(2)] * 8
    logs = np.log(windows + floor)
    expected = np.clip((logs - logs.mean(0)) / logs.std(0) / 10 + 0.5, 0, 1)
    np.testing.assert_allclose(scale(torch.from_numpy(windows)), expected, atol=1e-4)
    assert scale.state_dict().keys() == {"floor", "mean", "std"}
    with pytest.raises(InputError, match="negative values"):
        scale.fit(Features.of(np.split(-values, 50), clips, {}))


# Real recordings


def test_real_dcase2020_subset(real_data, tmp_path):
    dataset = {"name": "subset", "source": "directory", "path": str(real_data / "dcase2020_dev_subset")}
    project = Project(tmp_path / "project", SMALL | {"dataset": dataset})
    done = project.run(*project.tables)
    assert "ToyCar, ToyConveyor, fan, pump, valve: no training clips" in done.stdout + done.stderr
    rows = auc_rows(project)
    heard = rows[rows["machine_id"].str.isdigit()].groupby("heard")["machine_id"].agg(list)
    assert heard[True] == ["00"] and heard[False] == ["02", "04", "06"]


def test_real_modulation_spectra(real_data, tmp_path):
    config = parquet_config(real_data / "dcase2020_dev_modspec", machine_types=["valve"], machine_ids=["00", "04"])
    config["trial"] |= {"window": 8, "hidden": [64]}
    project = Project(tmp_path / "project", config)
    project.run(*project.tables)
    rows = auc_rows(project).set_index("machine_id")
    assert rows.loc[["00", "04"], "n_normal"].tolist() == [100, 100] and (rows.loc[["00", "04"], "auc"] > 0.7).all()
