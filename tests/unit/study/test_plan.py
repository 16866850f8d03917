"""What a study will need (humwatch plan), what its rules ask a cluster for, and GPUs dealt out to trainings."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT

from humwatch import __main__
from humwatch.detectors import base
from humwatch.study import plan
from humwatch.study.config import read_schema, validate
from humwatch.study.study import Study

SCHEMA = read_schema()


def study(config: dict) -> plan.Plan:
    return plan.Plan(Study(validate(config, SCHEMA), SCHEMA))


def of_file(name: str) -> plan.Plan:
    return study(yaml.safe_load((ROOT / "config" / name).read_text()))


@pytest.mark.parametrize("detector", ["vae", "autoencoder", "idnn"])
def test_weights_are_the_networks(detector):
    made = base.detector_class(detector)()
    weights = sum(p.numel() for p in made.build(128).parameters() if p.ndim == 2)
    parameters = {"detector": detector} | vars(made.hyperparameters)
    assert made.weights(parameters, 128) == pytest.approx(weights, rel=0.02)


@pytest.mark.parametrize("detector", ["vae", "autoencoder", "idnn"])
@pytest.mark.parametrize("recipe", ["report", "fast"])
@pytest.mark.parametrize("window", [3, 5])
def test_scored_windows_are_the_detectors(detector, recipe, window):
    made = base.detector_class(detector)(recipe=recipe, window=window)
    parameters = {"detector": detector} | vars(made.hyperparameters)
    every = plan.scoring_seconds(parameters | {"recipe": "report"}, 1000, 128)
    assert plan.scoring_seconds(parameters, 1000, 128) == pytest.approx(every / made.hop)


def test_clips_of_the_report():
    """The published numbers: 968 + 968 + 434 training clips; labelled test clips 456 + 367 + 278; 3 x 278 of the evaluation."""
    report = of_file("report.yaml")
    assert sum(n for (_, split, _), n in report.study.clips.items() if split == "train") == 2370
    assert sum(n for (_, split, _), n in report.study.clips.items() if split == "test") == 1101 + 834


def test_milestones_continue_each_other():
    """Epochs 5, 20 and 100 of one model are 100 epochs of training, in three jobs that follow each other."""
    made = study({"dataset": {"name": "x", "source": "demo"}, "sweeps": {"epochs": {"epochs": [5, 20, 100]}}})
    assert [[t.epochs for t in chain] for chain in made.chains] == [[5, 15, 80]]


def test_trainings_without_an_id_are_counted():
    """One of each loss, up to the milestone that is judged; of models of one machine id, none."""
    sweeps = {"a": {"epochs": [5, 20], "window": [5, 8]}, "b": {"detector": "knn", "scope": "machine_id"}}
    made = study({"dataset": {"name": "x", "source": "demo"}, "sweeps": sweeps})
    assert [[t.epochs for t in chain] for chain in made.judged] == [[20], [20]]
    assert dict(zip(made.table()["stage"], made.table()["jobs"], strict=True))["trainings without an id"] == 2
    assert not of_file("report.yaml").judged


def test_masked_copies_cost_time():
    config = {"dataset": {"name": "x", "source": "demo"}, "trial": {"detector": "autoencoder"}}
    plain = study(config).chains[0][0].seconds(gpu=False)
    augmentation = {"augmentations": {"spec": {"copies": 3}}}
    config["trial"]["augmentation"] = "spec"
    assert study(config | augmentation).chains[0][0].seconds(gpu=False) == pytest.approx(4 * plain, rel=0.01)


@pytest.mark.parametrize("name", ["report.yaml", "dcase2020.yaml", "best.yaml", "detectors.yaml"])
def test_wall_time_within_bounds(name):
    """No shorter than the longest model or the work over the GPUs; never longer with more of them."""
    made = of_file(name)
    chains = [sum(t.seconds(True) for t in chain) for chain in made.chains]
    times = [made.on(gpus)["wall time, hours"] * 3600 for gpus in (1, 8, 64)]
    for gpus, wall in zip((1, 8, 64), times, strict=True):
        assert wall >= max(max(chains), sum(chains) / gpus) - 36  # printed to a hundredth of an hour
    assert times == sorted(times, reverse=True)


def test_command_line(capsys):
    __main__.main(["plan", "--configfile", str(ROOT / "config/report.yaml"), "--gpus", "2", "4"])
    shown = capsys.readouterr().out
    assert "report: 23 trials, 4305 clips" in shown
    assert re.search(r"^ +2 .*\n +4 ", shown, re.M)


def test_requests_cover_what_local_runs_measure(finished):
    """`benchmark:` files of the smallest demo: peak memory is at most what the rules ask for, and at least half of it.

    Snakemake samples it every half second at first: of jobs of less than two, the peak may be missed.
    """
    asked = {
        "features": plan.stage_mb("features"),
        "score": plan.scoring_mb({"detector": "vae"}),
        "train": plan.training_mb(
            (finished.results / "features/logmel/slider/train.parquet").stat().st_size / 1e6, False
        ),
    }
    for stage, mb in asked.items():
        files = (finished.results / "benchmarks" / stage).rglob("*.tsv")
        sampled = pd.concat(pd.read_csv(path, sep="\t", na_values="-") for path in files)
        stated = mb - plan.SNAKEMAKE_MB
        assert sampled["max_rss"].fillna(0).max() <= stated, stage
        long = sampled[sampled["s"] >= 2]
        assert long.empty or stated <= 2 * long["max_rss"].max(), stage


def test_gpus_dealt_out(tmp_path):
    """Trainings take the free GPUs first, then share; one that ends gives its GPU back."""
    code = "import os; from humwatch.locking import claim_gpu; claim_gpu()"
    code += "; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); input()"
    held = []

    def claim(visible: str = "3,5") -> str:
        environment = os.environ | {
            "CUDA_VISIBLE_DEVICES": visible,
            "TMPDIR": str(tmp_path),
            "PYTHONPATH": str(ROOT / "src"),
        }
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        held.append(subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes))
        return held[-1].stdout.readline().strip()

    assert [claim(), claim(), claim()] == ["3", "5", "3"]
    held[1].communicate("\n")
    assert claim() == "5"
    assert claim(visible="7") == "7"
    for process in held:
        if process.poll() is None:
            process.communicate("\n")


def test_profile_paths():
    """`snakemake --profile slurm` finds the profile from the root."""
    assert Path(ROOT, "slurm").resolve() == ROOT / "profiles/slurm"
    for profile in ("slurm", "gpu", "kubernetes"):
        settings = yaml.safe_load((ROOT / "profiles" / profile / "config.yaml").read_text())
        assert ("executor" in settings) == (profile != "gpu")
        assert profile != "gpu" or settings["resources"]["gpu"] >= 1
    assert (
        not {"executor", "cores", "jobs"} & yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text()).keys()
    )


@pytest.mark.parametrize("year", range(2020, 2027))
def test_whole_challenges_are_planned_without_data_and_network(year):
    """Of each year, as many archives as Zenodo has, and a model of each of its machine types."""
    made = of_file(f"dcase{year}.yaml").study
    files = {file for machine, split in made.machines for file in made.source.inputs(machine, split)}
    archives = {2020: 18, 2024: 25, 2025: 23, 2026: 17}.get(year, 21)
    assert len(files) == archives + (year < 2026), "manifests, and the list of labels but of 2026"
    machine_types = {2020: 6, 2021: 7, 2022: 7, 2023: 14, 2024: 16, 2025: 15, 2026: 12}[year]
    assert len(made.scopes["machine_type"]) == len(made.machine_types("test")) == machine_types
