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
from humwatch.use.onnx.whole import OUTPUTS

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

ROOT = Path(__file__).parents[3]
MACHINES = (("fan", "00"), ("fan", "02"))
LENGTHS = (0.6, 0.7, 0.8)  # seconds
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
    "mahalanobis-modspec": ("mahalanobis", {}, MODSPEC, "score"),
    "knn": ("knn", {}, ODD_LOGMEL, "score"),
    "knn-whole": ("knn", {"whitening": "none", "parts": "none", "rescaling": "varmin"}, MODSPEC, "minimum"),
    "mlp": ("id_classifier", {"hidden": [16], "embedding": 8, "members": 2}, LOGMEL, "score"),
    "stgram": ("id_classifier", {"network": "stgram"} | HEARS, WAVEFORM, "score"),
    "dual_branch": ("id_classifier", {"network": "dual_branch"} | HEARS, WAVEFORM, "score"),
    "auto": ("auto", {"candidates": ["mahalanobis", "knn"]}, LOGMEL, "score"),
}
ENSEMBLES = {
    "vae": ["vae"],
    "networks": ["autoencoder", "idnn", "mlp"],
    "neighbours": ["gmm", "knn", "knn-whole", "mahalanobis-modspec", "auto"],
}
SLOW = [name for name in ALONE if name != "vae"]


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
            rows = [(f"{m[1]}/{i}", *m, "train", 0) for m in machines for i in range(30)[part]]
            table = pd.DataFrame(rows, columns=["clip", "machine_type", "machine_id", "split", "label"])
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
def detectors(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exported")
    return {
        name: packed(folder / f"{name}.humwatch", [ALONE[member] for member in members])
        for name, members in ENSEMBLES.items()
    }


@pytest.fixture(scope="module")
def files(detectors) -> dict[str, Path]:
    found = {name: path.with_suffix(".onnx") for name, path in detectors.items()}
    for name, path in detectors.items():
        run(path, found[name])
    return found


@pytest.fixture(scope="module")
def heard() -> list[np.ndarray]:
    return clips(CLIPS, 50_000, 0.1)


ELSEWHERE = """
import sys
sys.modules["torch"] = sys.modules["librosa"] = None
import numpy as np, onnxruntime
clips, results = np.load(sys.argv[1]), {}
for path in sys.argv[3:]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = [session.run(None, {"samples": clip[None]}) for clip in clips.values()]
    for name, found in zip(("score", "p_value"), zip(*(o[:2] for o in outputs))):
        results[path + name] = np.array(found)
    results[path + "map"] = outputs[0][2]
np.savez(sys.argv[2], **results)
"""


def elsewhere(files: dict[str, Path], heard: list[np.ndarray], folder: Path) -> dict[str, tuple[np.ndarray, ...]]:
    """What the files make of the clips, in a process of its own: scores and p-values (clips, machines), the map of the first."""
    np.savez(folder / "clips.npz", *heard)
    arguments = [folder / "clips.npz", folder / "results.npz", *files.values()]
    subprocess.run([sys.executable, "-c", ELSEWHERE, *map(str, arguments)], check=True)
    found = np.load(folder / "results.npz")
    return {name: tuple(found[f"{path}{output}"] for output in OUTPUTS) for name, path in files.items()}


@pytest.fixture(scope="module")
def results(files, heard, tmp_path_factory) -> dict[str, tuple[np.ndarray, ...]]:
    return elsewhere(files, heard, tmp_path_factory.mktemp("results"))


def assert_equal(path: Path, score: np.ndarray, p_value: np.ndarray, heard: list[np.ndarray]) -> None:
    """Scores, p-values and alarms are the detector's."""
    detector = humwatch.load(path)
    every = []
    for k, name in enumerate(detector.machines):
        decisions = [detector.judge(clip, machine=name, why=0) for clip in heard]
        spread = detector.calibration(detector.known(name)).scores.std()
        np.testing.assert_allclose(score[:, k], [d.score for d in decisions], rtol=1e-4, atol=1e-4 * spread)
        np.testing.assert_allclose(p_value[:, k], [d.p_value for d in decisions], rtol=1e-3)
        alarms = np.array([d.alarm for d in decisions])
        np.testing.assert_array_equal(p_value[:, k] <= detector.false_alarm_rate, alarms)
        every.extend(alarms)
    assert 0 < sum(every) < len(every)


@pytest.mark.parametrize("name", ENSEMBLES)
def test_equal_to_the_detector(name, detectors, results, heard):
    score, p_value, _ = results[name]
    assert_equal(detectors[name], score, p_value, heard)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_each_detector_alone(name, heard, tmp_path):
    path = packed(tmp_path / "alone.humwatch", [ALONE[name]])
    run(path, tmp_path / "alone.onnx")
    score, p_value, _ = elsewhere({name: tmp_path / "alone.onnx"}, heard, tmp_path)[name]
    assert_equal(path, score, p_value, heard)


def test_map_in_decibels(detectors, results, heard):
    """How far above normal the levels are, in that smoothing in which they are farthest from what is tolerated."""
    detector = humwatch.load(detectors["vae"])
    found = results["vae"][2][0]
    levels = explain.levels(heard[0], RATE)
    normal = detector.reference(("fan", "00"))
    strength = explain.deviation_map(levels, normal)
    spread = np.abs(normal.spread)  # tolerated, of each smoothing
    assert found.shape == levels.shape and (np.sign(found) == np.sign(strength)).mean() > 0.999
    of_each = [np.where(strength > 0, strength * s[1], strength * s[0]) for s in spread]
    assert (np.abs(np.array(of_each) - found).min(axis=0) < 0.01).mean() > 0.999


def test_what_the_file_says_of_itself(detectors, files):
    detector = humwatch.load(detectors["networks"])
    session = onnxruntime.InferenceSession(files["networks"], providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["humwatch"])
    assert about["machines"] == detector.machines and about["sample_rate"] == RATE
    assert (about["samples"], about["longest_samples"], about["seconds"]) == (11200, 12800, 0.7)
    for name in detector.machines:
        for row in about["thresholds"][name]:
            same = humwatch.load(detectors["networks"], row["rate"]).calibration(detector.known(name))
            assert (row["threshold"], row["extrapolated"]) == (same.threshold, same.extrapolated)
        assert 0.1 in [row["rate"] for row in about["thresholds"][name]]


def test_other_lengths_get_no_score(files):
    """Windows that `humwatch score` would cut, or refuse."""
    session = onnxruntime.InferenceSession(files["vae"], providers=["CPUExecutionProvider"])
    score, p_value = session.run(["score", "p_value"], {"samples": np.zeros((1, 12801), np.float32)})
    assert np.isnan(score).all() and np.isnan(p_value).all()


def test_same_input_same_bytes_and_nothing_of_this_place(detectors, files, tmp_path):
    run(detectors["vae"], tmp_path / "again.onnx")
    again = (tmp_path / "again.onnx").read_bytes()
    assert again == files["vae"].read_bytes()
    assert str(ROOT).encode() not in again and b".py" not in again


def test_one_machine_in_eight_bits(tmp_path, capsys):
    path = packed(tmp_path / "d.humwatch", [ALONE["mahalanobis"]])
    run(path, tmp_path / "d.onnx", "--machine", "fan/02", "--false-alarm-rate", "0.2", "--precision", "int8")
    kept = [a for a in onnx.load(tmp_path / "d.onnx").graph.initializer if a.data_type == onnx.TensorProto.INT8]
    assert [[*array.dims] for array in kept] == [[256, 256]]
    said = re.search(r"its scores differ by (\S+) at most", capsys.readouterr().out)
    session = onnxruntime.InferenceSession(tmp_path / "d.onnx", providers=["CPUExecutionProvider"])
    (score,) = session.run(["score"], {"samples": sound(0.7)[None]})
    decision = humwatch.load(path).judge(sound(0.7), machine="fan/02")
    assert 1e-4 < float(said[1]) < 0.5
    assert score == pytest.approx([decision.score], rel=0.5) and score != pytest.approx([decision.score], rel=1e-6)
    about = json.loads(session.get_modelmeta().custom_metadata_map["humwatch"])
    assert (about["machines"], about["false_alarm_rate"], about["precision"]) == (["fan/02"], 0.2, "int8")


def test_the_example_scores_a_folder(detectors, files, heard, tmp_path):
    recordings = [write(tmp_path / f"{i:02d}.wav", clip) for i, clip in enumerate(heard[:6])]
    write(tmp_path / "long.flac", np.concatenate(heard[:2]))
    write(tmp_path / "slow.wav", heard[0], rate=8000)
    done = subprocess.run(
        [sys.executable, ROOT / "examples/onnx_runner.py", files["vae"], tmp_path, "--rate", "0.2"],
        check=True,
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    expected = [decision for path in recordings for decision in humwatch.load(detectors["vae"], 0.2).score(path)]
    assert len(lines) == len(expected) + 2 + 1
    for line, decision in zip(lines, expected, strict=False):
        file, start, machine, score, p_value, *alarm = line.split()
        assert (file, float(start), machine) == (decision.file, 0.0, decision.machine)
        assert float(score) == pytest.approx(decision.score, rel=1e-3)
        assert float(p_value) == pytest.approx(decision.p_value, rel=0.01)
        assert (alarm == ["ALARM"]) == decision.alarm
    assert [line.split()[1] for line in lines[-3:-1]] == ["0.0", "0.6"]
    assert "at 8000 Hz, the detector hears" in lines[-1]


def test_a_file_that_would_score_otherwise_is_not_written(detectors, files, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "converted", lambda *_: onnx.load(files["networks"]))
    with pytest.raises(InputError, match=r"fan\.onnx is not written: on 20 generated clips its scores differ by up to"):
        run(detectors["vae"], tmp_path / "fan.onnx")
    assert not [*tmp_path.iterdir()]


def test_what_cannot_be_exported(detectors, tmp_path):
    description, arrays = pack.read(detectors["vae"])
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
        run(detectors["vae"], tmp_path / "a.onnx", "--machine", "fan/99")
    with pytest.raises(InputError, match="is the detector's own file"):
        run(detectors["vae"], detectors["vae"])
    (tmp_path / "foreign").write_text("foreign")
    with pytest.raises(InputError, match="no detector of humwatch"):
        run(tmp_path / "foreign", tmp_path / "a.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"far.humwatch", "foreign"}


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_the_extra(package, detectors, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"export needs {package}: pip install 'humwatch\[onnx\]'"):
        run(detectors["vae"], tmp_path / "a.onnx")
