"""The workflow by its two Snakefiles, from another folder, and as a module of another workflow."""

import subprocess
import sys
from pathlib import Path

import yaml
from conftest import Project, tiny_config

OTHER = """
configfile: "config.yaml"


module humwatch:
    snakefile:
        "../humwatch/workflow/Snakefile"
    config:
        config["sounds"]


use rule * from humwatch as humwatch_*


onstart:
    humwatch.onstart()


rule best:
    default_target: True
    input:
        "results/tiny/tables/summary.csv",
    output:
        "best.txt",
    shell:
        "sed -n 2p {input} > {output}"
"""


def snakemake(project: Project, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
        cwd=folder, env=project.environment(), capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    return done.stdout + done.stderr


def test_two_snakefiles_are_one_workflow(finished, tmp_path):
    assert finished.planned() == finished.planned("-s", "workflow/Snakefile") == {}
    config, snakefile = finished.folder / "config.yaml", finished.folder / "workflow/Snakefile"
    said = snakemake(finished, tmp_path, "-s", str(snakefile), "--dry-run", "--configfile", str(config))
    assert "Using workflow specific profile" in said and "train" in said


def test_another_workflow_uses_this_one(tmp_path):
    project = Project(tmp_path / "humwatch", tiny_config(sweeps={}))
    before = {path for path in project.folder.rglob("*") if "__pycache__" not in str(path)}
    other = tmp_path / "other"
    other.mkdir()
    (other / "Snakefile").write_text(OTHER)
    (other / "config.yaml").write_text(yaml.safe_dump({"sounds": project.config, "its own": 1}))
    said = snakemake(project, other)
    assert "localrule humwatch_tables" in said  # on the submitting host, by whatever name
    assert (other / "best.txt").read_text().startswith("slider,")
    assert "Nothing to be done" in snakemake(project, other, "--dry-run")
    assert {path for path in project.folder.rglob("*") if "__pycache__" not in str(path)} == before
