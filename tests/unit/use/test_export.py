"""An ONNX file scores as its detector does, in a process that has neither torch nor librosa."""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_detector import RATE, sound, write

import humwatch
from humwatch.commands import export as command
from humwatch.detectors import base
from humwatch.errors import InputError
from humwatch.features import base as feature_base
from humwatch.features.store import Features
from humwatch.use import explain, pack
from humwatch.use.onnx import export
from humwatch.use.onnx.parts import part

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

ROOT = Path(__file__).parents[3]
MACHINES = (("fan", "00"), ("fan", "02"))
LENGTHS = (0.6, 0.7, 0.8)  # seconds
DOMAINS = ("source", "source", "source", "target")
CLIPS = 102
SMALL = {"hidden": [16], "batch_size": 32}
LOGMEL = {"source": "logmel"}
ODD_LOGMEL = {"source": "logmel", "n_fft": 1000, "hop_length": 441, "power": 1.0, "fmax": 7000.0}
MODSPEC = {"source": "modspec"}
WAVEFORM = {"source": "waveform", "seconds": 0.7}
HEARS = {"batch_size": 8, "learning_rate": 0.003}
# Detector, hyper-parameters, feature, score.
ALONE = {
    "vae": ("vae", SMALL | {"latent": 2}, LOGMEL, "mean"),
    "autoencoder": ("autoencoder", SMALL | {"bottleneck": 2, "recipe": "fast"}, LOGMEL, "top_k"),
    "idnn": ("idnn", SMALL | {"window": 3, "transform": "log"}, MODSPEC, "median"),
    "gmm": ("gmm", {}, LOGMEL, "score"),
    "mahalanobis": ("mahalanobis", {"statistics": "moments"}, LOGMEL, "score"),
    "mahalanobis-rdp": ("mahalanobis", {"statistics": "rdp_4"}, LOGMEL, "score"),
    "mahalanobis-scales": ("mahalanobis", {"statistics": "scales"}, LOGMEL, "score"),
    "mahalanobis-modspec": ("mahalanobis", {}, MODSPEC, "score"),
    "knn": ("knn", {}, ODD_LOGMEL, "score"),
    "knn-whole": ("knn", {"whitening": "none", "parts": "none", "rescaling": "varmin"}, MODSPEC, "minimum"),
    "mlp": ("id_classifier", {"hidden": [16], "embedding": 8, "members": 2}, LOGMEL, "score"),
    "stgram": ("id_classifier", {"network": "stgram"} | HEARS, WAVEFORM, "score"),
    "dual_branch": ("id_classifier", {"network": "dual_branch"} | HEARS, WAVEFORM, "score"),
    "auto": ("auto", {"candidates": ["mahalanobis", "knn"]}, LOGMEL, "score"),
}
RARE = [
    "auto",
    "mahalanobis",
    "mahalanobis-rdp",
    "mahalanobis-scales",
    "knn-whole",
    "stgram",
    "dual_branch",
]  # in no fast test: each export takes seconds
TOGETHER = [name for name in ALONE if name not in RARE]


def clips(count: int, first: int, louder: float) -> list[np.ndarray]:
    return [
        sound(LENGTHS[i % 3], seed=first + i, whistle=0.02 * (i % 5 == 4), level=louder * (1 + i % 4))
        for i in range(count)
    ]


def packed(path: Path, members: list[tuple], machines=MACHINES) -> Path:
    """A detector that is fitted on 20 clips of each machine; 10 more serve calibration."""
    sounds = {machine: clips(30, 1000 * i, 0.1 + 0.1 * i) for i, machine in enumerate(machines)}
    arrays, described, scores = {}, [], 0
    for i, (name, hyperparameters, stated, score) in enumerate(members):
        feature = feature_base.make(stated)
        parameters = feature.parameters(RATE) | {"channel": 0}

        def heard(part: slice, feature=feature, parameters=parameters) -> Features:
            rows = [(f"{m[1]}/{i}", *m, "train", 0, DOMAINS[i % 4]) for m in machines for i in range(30)[part]]
            table = pd.DataFrame(rows, columns=["clip", "machine_type", "machine_id", "split", "label", "domain"])
            return Features.of([feature(c, RATE) for m in machines for c in sounds[m][part]], table, parameters)

        model = base.make(name, hyperparameters)
        train, held_out = heard(slice(20)), heard(slice(20, None))
        model.fit(train, held_out, base.FitContext(epochs=15 if stated == WAVEFORM else 1))
        arrays |= {f"members.{i}.models.0.{key}": array for key, array in model.state().items()}
        own = model.score(held_out)[score]
        scores = scores + (own - own.mean()) / own.std() / len(members) if len(members) > 1 else own
        made = [{"machines": machines, "feature": model.feature, "epoch": 1}]
        scales = [[*m, own.mean(), own.std()] for m in machines] if len(members) > 1 else []
        described.append(
            {
                "detector": name,
                "hyperparameters": hyperparameters,
                "feature": parameters,
                "score": score,
                "models": made,
            }
            | {"scales": scales}
        )
    table = held_out.clips.assign(score=scores, machine=np.repeat(np.arange(len(machines)), 10))
    arrays |= pack.calibration_arrays(table, grouped=False)
    for i, machine in enumerate(machines):
        normal = explain.reference(explain.levels(clip, RATE) for clip in sounds[machine])
        arrays |= {f"reference.{i}.median": normal.median, f"reference.{i}.spread": normal.spread}
    samples = [round(seconds * RATE) for seconds in LENGTHS]
    description = {
        "members": described,
        "machines": machines,
        "sample_rate": RATE,
        "channel": 0,
        "samples": samples[1],
        "longest_samples": samples[2],
        "false_alarm_rate": 0.1,
        "calibration": {"method": "held-out clips", "clips": len(table)},
    }
    pack.write(path, description, arrays)
    return path


def run(detector: Path, file: Path, *options: str) -> None:
    """The command, in this process."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.main(parser.parse_args([str(detector), "--onnx", str(file), *options]))


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory) -> Path:
    return packed(tmp_path_factory.mktemp("ensemble") / "fan.humwatch", [ALONE[name] for name in TOGETHER])


@pytest.fixture(scope="module")
def file(ensemble) -> Path:
    run(ensemble, ensemble.with_suffix(".onnx"), "--machine", "fan/02")
    return ensemble.with_suffix(".onnx")


@pytest.fixture(scope="module")
def heard() -> list[np.ndarray]:
    return clips(CLIPS, 50_000, 0.1)


ELSEWHERE = """
import sys
sys.modules["torch"] = sys.modules["librosa"] = None
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
outputs = [session.run(None, {"samples": clip[None]}) for clip in np.load(sys.argv[2]).values()]
np.savez(sys.argv[3], score=[o[0] for o in outputs], p_value=[o[1] for o in outputs], map=outputs[0][2])
"""


def elsewhere(file: Path, heard: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What a file makes of clips, in a process of its own: scores and p-values (clips, machines), the map of the first."""
    sounds, found = file.with_suffix(".sounds.npz"), file.with_suffix(".found.npz")
    np.savez(sounds, *heard)
    subprocess.run([sys.executable, "-c", ELSEWHERE, file, sounds, found], check=True)
    return np.load(found)


@pytest.fixture(scope="module")
def found(file, heard) -> dict[str, np.ndarray]:
    return elsewhere(file, heard)


def assert_equal(path: Path, machines: list[str], found: dict[str, np.ndarray], heard: list[np.ndarray]) -> None:
    """Scores, p-values and alarms are the detector's."""
    detector = humwatch.load(path)
    every = []
    for k, name in enumerate(machines):
        score, p_value = found["score"][:, k], found["p_value"][:, k]
        decisions = [detector.judge(clip, machine=name, why=0) for clip in heard]
        spread = detector.calibration(detector.known(name)).scores.std()
        np.testing.assert_allclose(score, [d.score for d in decisions], rtol=1e-4, atol=1e-4 * spread)
        np.testing.assert_allclose(p_value, [d.p_value for d in decisions], rtol=1e-3)
        every += [d.alarm for d in decisions]
        np.testing.assert_array_equal(p_value <= detector.false_alarm_rate, every[-CLIPS:])
    assert 0 < sum(every) < len(every)


def test_equal_to_the_detector(ensemble, found, heard):
    assert_equal(ensemble, ["fan/02"], found, heard)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALONE)
def test_each_detector_alone(name, heard, tmp_path):
    path = packed(tmp_path / "alone.humwatch", [ALONE[name]])
    run(path, tmp_path / "alone.onnx")
    assert_equal(path, ["fan/00", "fan/02"], elsewhere(tmp_path / "alone.onnx", heard), heard)


@pytest.mark.slow
def test_same_input_same_bytes(tmp_path):
    path = packed(tmp_path / "fan.humwatch", [ALONE["vae"]])
    for name in ("one", "two"):
        run(path, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_nothing_of_this_place(file):
    data = file.read_bytes()
    assert str(ROOT).encode() not in data and b".py" not in data


def test_map_in_decibels(ensemble, found, heard):
    """How far above normal the levels are, in that smoothing in which they are farthest from what is tolerated."""
    detector = humwatch.load(ensemble)
    found = found["map"][0]
    levels = explain.levels(heard[0], RATE)
    normal = detector.reference(("fan", "02"))
    strength = explain.deviation_map(levels, normal)
    spread = np.abs(normal.spread)  # tolerated, of each smoothing
    assert found.shape == levels.shape and (np.sign(found) == np.sign(strength)).mean() > 0.999
    of_each = [np.where(strength > 0, strength * s[1], strength * s[0]) for s in spread]
    assert (np.abs(np.array(of_each) - found).min(axis=0) < 0.01).mean() > 0.999


def test_what_the_file_says_of_itself(ensemble, file):
    detector = humwatch.load(ensemble)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["humwatch"])
    assert about["machines"] == ["fan/02"] and about["sample_rate"] == RATE
    assert (about["samples"], about["longest_samples"], about["seconds"]) == (11200, 12800, 0.7)
    rows = about["thresholds"]["fan/02"]
    for row in rows[::5]:
        same = humwatch.load(ensemble, row["rate"]).calibration(detector.known("fan/02"))
        assert (row["threshold"], row["extrapolated"]) == (same.threshold, same.extrapolated)
    assert 0.1 in [row["rate"] for row in rows]


def test_other_lengths_get_no_score(file):
    """Windows that `humwatch score` would cut, or refuse."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    score, p_value = session.run(["score", "p_value"], {"samples": np.zeros((1, 12801), np.float32)})
    assert np.isnan(score).all() and np.isnan(p_value).all()


def test_in_eight_bits(ensemble, file, heard, found, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "converted", lambda *_: onnx.load(file))
    run(ensemble, tmp_path / "fan.onnx", "--precision", "int8", "--machine", "fan/02")
    said = re.search(r"its scores differ by (\S+) at most", capsys.readouterr().out)
    assert 1e-4 < float(said[1]) < 0.5
    assert (tmp_path / "fan.onnx").stat().st_size < 0.5 * file.stat().st_size
    session = onnxruntime.InferenceSession(tmp_path / "fan.onnx", providers=["CPUExecutionProvider"])
    (score,) = session.run(["score"], {"samples": heard[0][None]})
    assert score == pytest.approx(found["score"][0], rel=0.2) and score != pytest.approx(found["score"][0], rel=1e-6)


def test_the_example_scores_a_folder(ensemble, file, heard, tmp_path):
    recordings = [write(tmp_path / f"{i:02d}.wav", clip) for i, clip in enumerate(heard[:6])]
    write(tmp_path / "long.flac", np.concatenate(heard[:2]))
    write(tmp_path / "slow.wav", heard[0], rate=8000)
    done = subprocess.run(
        [sys.executable, ROOT / "examples/onnx_runner.py", file, tmp_path, "--rate", "0.2"],
        check=True,
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    expected = [
        decision for path in recordings for decision in humwatch.load(ensemble, 0.2).score(path, machine="fan/02")
    ]
    assert len(lines) == len(expected) + 2 + 1
    for line, decision in zip(lines, expected, strict=False):
        name, start, machine, score, p_value, *alarm = line.split()
        assert (name, float(start), machine) == (decision.file, 0.0, decision.machine)
        assert float(score) == pytest.approx(decision.score, rel=1e-3)
        assert float(p_value) == pytest.approx(decision.p_value, rel=0.01)
        assert (alarm == ["ALARM"]) == decision.alarm
    assert [line.split()[1] for line in lines[-3:-1]] == ["0.0", "0.6"]
    assert "at 8000 Hz, the detector hears" in lines[-1]


def test_a_file_that_would_score_otherwise_is_not_written(ensemble, file, tmp_path, monkeypatch):
    other = onnx.load(file)
    weights = next(array for array in other.graph.initializer if "decoder" in array.name and len(array.dims) == 2)
    weights.CopyFrom(onnx.numpy_helper.from_array(1.01 * onnx.numpy_helper.to_array(weights), weights.name))
    monkeypatch.setattr(export, "converted", lambda *_: other)
    with pytest.raises(InputError, match=r"fan\.onnx is not written: on 20 generated clips its scores differ by up to"):
        run(ensemble, tmp_path / "fan.onnx", "--machine", "fan/02")
    assert not [*tmp_path.iterdir()]


def test_what_cannot_be_exported(ensemble, tmp_path):
    description, arrays = pack.read(ensemble)
    description["members"][0]["feature"] |= {"source": "noise_aware", "far": "subtract"}
    pack.write(tmp_path / "far.humwatch", description, arrays)
    with pytest.raises(InputError, match="the feature noise_aware hears several microphones"):
        run(tmp_path / "far.humwatch", tmp_path / "a.onnx")

    class Loudness(base.BaseDetector):
        Hyperparameters = base.detector_class("mahalanobis").Hyperparameters
        fit = score = state = set_state = None

    with pytest.raises(InputError, match=r"the detector .* cannot be exported: use/onnx/parts\.py does not say how"):
        part(Loudness(), ["fan/00"], "score", 128)
    with pytest.raises(InputError, match="does not know the machine fan/99"):
        run(ensemble, tmp_path / "a.onnx", "--machine", "fan/99")
    with pytest.raises(InputError, match="is the detector's own file"):
        run(ensemble, ensemble)
    (tmp_path / "foreign").write_text("foreign")
    with pytest.raises(InputError, match="no detector of humwatch"):
        run(tmp_path / "foreign", tmp_path / "a.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"far.humwatch", "foreign"}


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_the_extra(package, ensemble, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"export needs {package}: pip install 'humwatch\[onnx\]'"):
        run(ensemble, tmp_path / "a.onnx")
