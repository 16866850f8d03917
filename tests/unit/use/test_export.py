"""An ONNX file scores as its detector does, in a process that has neither torch nor librosa."""

import argparse
import json
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

onnxruntime = pytest.importorskip("onnxruntime")

ROOT = Path(__file__).parents[3]
MACHINES = (("fan", "00"), ("fan", "02"))
LENGTHS = (0.6, 0.7, 0.8)  # seconds
CLIPS = 102
SMALL = {"hidden": [16], "batch_size": 32}
LOGMEL = {"source": "logmel"}
WAVEFORM = {"source": "waveform", "seconds": 0.7}
# Detector, hyper-parameters, feature, score of each member.
FORMS: dict[str, list[tuple]] = {
    "mahalanobis": [("mahalanobis", {}, LOGMEL, "score")],
    "mahalanobis-modspec": [("mahalanobis", {}, {"source": "modspec"}, "score")],
    "knn": [("knn", {}, {"source": "logmel", "n_fft": 1000, "hop_length": 441, "power": 1.0}, "score")],
    "gmm": [("gmm", {}, LOGMEL, "score")],
    "vae": [("vae", SMALL | {"latent": 2}, LOGMEL, "mean")],
    "autoencoder": [("autoencoder", SMALL | {"bottleneck": 2, "recipe": "fast"}, LOGMEL, "top_k")],
    "idnn": [("idnn", SMALL | {"window": 3, "transform": "log"}, {"source": "modspec"}, "median")],
    "mlp": [("id_classifier", {"hidden": [16], "embedding": 8, "members": 2}, LOGMEL, "score")],
    "stgram": [("id_classifier", {"network": "stgram", "batch_size": 8, "learning_rate": 0.003}, WAVEFORM, "score")],
    "dual_branch": [("id_classifier", {"network": "dual_branch", "batch_size": 8}, WAVEFORM, "score")],
    "auto": [("auto", {"candidates": ["knn", "gmm"]}, LOGMEL, "score")],
    "ensemble": [
        ("vae", SMALL | {"latent": 2}, LOGMEL, "std"),
        ("mahalanobis", {"statistics": "moments"}, LOGMEL, "score"),
        ("knn", {"whitening": "none", "parts": "none"}, {"source": "modspec"}, "minimum"),
    ],
}


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
        model.fit(train, held_out, base.FitContext(epochs=5 if stated == WAVEFORM else 1))
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
    return {form: packed(folder / f"{form}.humwatch", members) for form, members in FORMS.items()}


@pytest.fixture(scope="module")
def files(detectors) -> dict[str, Path]:
    found = {form: path.with_suffix(".onnx") for form, path in detectors.items()}
    for form, path in detectors.items():
        run(path, found[form])
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


@pytest.fixture(scope="module")
def results(files, heard, tmp_path_factory) -> dict[str, tuple[np.ndarray, ...]]:
    """What the files make of the clips, in a process of its own: scores and p-values (clips, machines), the map of the first."""
    folder = tmp_path_factory.mktemp("results")
    np.savez(folder / "clips.npz", *heard)
    arguments = [folder / "clips.npz", folder / "results.npz", *files.values()]
    subprocess.run([sys.executable, "-c", ELSEWHERE, *map(str, arguments)], check=True)
    found = np.load(folder / "results.npz")
    return {form: tuple(found[f"{path}{name}"] for name in OUTPUTS) for form, path in files.items()}


@pytest.mark.parametrize("form", FORMS)
def test_equal_to_the_detector(form, detectors, results, heard):
    detector = humwatch.load(detectors[form])
    score, p_value, _ = results[form]
    for k, name in enumerate(detector.machines):
        decisions = [detector.judge(clip, machine=name, why=0) for clip in heard]
        spread = detector.calibration(detector.known(name)).scores.std()
        np.testing.assert_allclose(score[:, k], [d.score for d in decisions], rtol=1e-4, atol=1e-4 * spread)
        np.testing.assert_allclose(p_value[:, k], [d.p_value for d in decisions], rtol=1e-3)
        alarms = np.array([d.alarm for d in decisions])
        np.testing.assert_array_equal(p_value[:, k] <= detector.false_alarm_rate, alarms)
        assert 0 < alarms.sum() < CLIPS


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
    detector = humwatch.load(detectors["gmm"])
    session = onnxruntime.InferenceSession(files["gmm"], providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["humwatch"])
    assert about["machines"] == detector.machines and about["sample_rate"] == RATE
    assert (about["samples"], about["longest_samples"], about["seconds"]) == (11200, 12800, 0.7)
    for name in detector.machines:
        for row in about["thresholds"][name]:
            same = humwatch.load(detectors["gmm"], row["rate"]).calibration(detector.known(name))
            assert (row["threshold"], row["extrapolated"]) == (same.threshold, same.extrapolated)
        assert 0.1 in [row["rate"] for row in about["thresholds"][name]]


def test_other_lengths_get_no_score(files):
    """Windows that `humwatch score` would cut, or refuse."""
    session = onnxruntime.InferenceSession(files["vae"], providers=["CPUExecutionProvider"])
    score, p_value = session.run(["score", "p_value"], {"samples": np.zeros((1, 12801), np.float32)})
    assert np.isnan(score).all() and np.isnan(p_value).all()


def test_same_input_same_bytes_and_nothing_of_this_place(detectors, files, tmp_path):
    run(detectors["mahalanobis"], tmp_path / "again.onnx")
    again = (tmp_path / "again.onnx").read_bytes()
    assert again == files["mahalanobis"].read_bytes()
    assert str(ROOT).encode() not in again and b".py" not in again


@pytest.mark.parametrize(("precision", "share"), [("float16", 0.6), ("int8", 0.35)])
def test_smaller_files(precision, share, detectors, files, tmp_path, capsys):
    small = tmp_path / "small.onnx"
    run(detectors["mahalanobis"], small, "--precision", precision)
    assert small.stat().st_size < share * files["mahalanobis"].stat().st_size
    session = onnxruntime.InferenceSession(small, providers=["CPUExecutionProvider"])
    (score,) = session.run(["score"], {"samples": sound(0.7)[None]})
    assert score.shape == (2,) and np.isfinite(score).all()
    assert "its scores differ by" in capsys.readouterr().out


def test_one_machine(detectors, files, tmp_path, heard, results):
    run(detectors["knn"], tmp_path / "one.onnx", "--machine", "fan/02", "--false-alarm-rate", "0.2")
    session = onnxruntime.InferenceSession(tmp_path / "one.onnx", providers=["CPUExecutionProvider"])
    (score,) = session.run(["score"], {"samples": heard[0][None]})
    assert score == pytest.approx(results["knn"][0][0, 1:])
    about = json.loads(session.get_modelmeta().custom_metadata_map["humwatch"])
    assert (about["machines"], about["false_alarm_rate"]) == (["fan/02"], 0.2)


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


def test_a_file_that_would_score_otherwise_is_not_written(detectors, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    with pytest.raises(InputError, match=r"fan\.onnx is not written: on 20 generated clips its scores differ by up to"):
        run(detectors["mahalanobis"], tmp_path / "fan.onnx")
    assert not [*tmp_path.iterdir()]


def test_what_cannot_be_exported(detectors, tmp_path):
    description, arrays = pack.read(detectors["mahalanobis"])
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
        run(detectors["mahalanobis"], tmp_path / "a.onnx", "--machine", "fan/99")
    with pytest.raises(InputError, match="is the detector's own file"):
        run(detectors["mahalanobis"], detectors["mahalanobis"])
    (tmp_path / "foreign").write_text("foreign")
    with pytest.raises(InputError, match="no detector of humwatch"):
        run(tmp_path / "foreign", tmp_path / "a.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"far.humwatch", "foreign"}


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_the_extra(package, detectors, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"export needs {package}: pip install 'humwatch\[onnx\]'"):
        run(detectors["mahalanobis"], tmp_path / "a.onnx")
