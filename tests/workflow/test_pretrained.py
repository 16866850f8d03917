"""A study of embeddings of a network of one's own: the same scores in use, and what another file in its place changes."""

import pytest
from conftest import Project, write_recordings
from network_file import onnx_file

import humwatch as package
from humwatch import parquet
from humwatch.errors import InputError

CONFIG = {
    "dataset": {"name": "own", "source": "directory", "path": "../recordings"},
    "features": {"net": {"source": "embedding", "path": "../network.onnx", "window": 0.5, "hop": 0.25}},
    "trial": {"feature": "net", "detector": "knn"},
    "bootstrap": {"samples": 10},
}


def test_a_network_from_a_file(tmp_path, monkeypatch):
    write_recordings(tmp_path / "recordings", train=12)
    onnx_file(tmp_path / "network.onnx")
    project = Project(tmp_path / "project", CONFIG)
    targets = [*project.tables, "results/own/detectors/sha256sums.txt"]
    project.run(*targets)

    monkeypatch.chdir(project.folder)
    packed = project.results / "detectors/slider.humwatch"
    (path,) = project.results.glob("scores/slider/*/*.parquet")
    scores = parquet.read(path)
    detector = package.load(packed)
    for clip, score in zip(scores["clip"], scores["score"], strict=True):
        (decision,) = detector.score(tmp_path / "recordings" / clip)
        assert decision.score == pytest.approx(score, abs=1e-9)

    onnx_file(tmp_path / "network.onnx", scale=2)
    assert project.planned(*targets) == {"features": 2, "train": 1, "score": 1, "tables": 1, "pack": 1}
    with pytest.raises(InputError, match=r"\.\./network\.onnx is another network"):
        package.load(packed)
