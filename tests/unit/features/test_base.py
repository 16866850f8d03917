"""What every feature answers, and that a file is all it takes to have another."""

import subprocess
import sys

import numpy as np
import pytest

from humwatch import features
from humwatch.errors import InputError
from humwatch.features import base
from humwatch.study import plan, trials
from humwatch.study.config import read_schema, validate
from humwatch.study.study import Study

STATED = [
    {},
    {"hop_length": 300, "n_mels": 40},
    {"source": "modspec"},
    {"source": "modspec", "bands": 20, "modulation_bands": 3},
    {"source": "waveform"},
    {"source": "waveform", "hop_length": 100, "seconds": 0.7},
]


def test_the_schema_is_that_of_the_classes():
    assert base.schemas() == read_schema()["$defs"]["features"]


@pytest.mark.parametrize("seconds", [0.5, 1.01, 2])
@pytest.mark.parametrize("stated", STATED)
def test_the_shape_that_planning_goes_by(stated, seconds):
    feature = base.make({"source": "logmel"} | stated)
    samples = np.random.default_rng(0).normal(0, 0.1, int(seconds * 16000)).astype(np.float32)
    frames = feature(samples, 16000)
    assert frames.shape == feature.shape(16000, seconds) and frames.shape[1] == feature.bins
    assert not (frames < 0).any() or feature.is_negative


def test_what_a_file_states_gives_the_axes():
    """Of features that were computed elsewhere, too, where their files state what ours do."""
    stated = base.make({"source": "logmel", "n_mels": 64, "hop_length": 400}).parameters(16000)
    for source in ("logmel", "parquet"):
        scale = base.feature_class(source).scale(stated | {"source": source}, 64)
        assert scale.hop_seconds == 0.025 and len(scale.frequencies) == 64 and (np.diff(scale.frequencies) > 0).all()
        assert base.feature_class(source).scale({"source": source}, 64) == base.Scale()
        assert base.feature_class(source).scale(stated, 4).frequencies is None
    assert base.feature_class("waveform").scale({"hop_length": 512, "sample_rate": 16000}, 512) == base.Scale(0.032)


def test_planning_loads_no_library_of_sounds():
    """They take longer to load than a study of a thousand trials to check."""
    script = "import sys; from humwatch.features import base; base.schemas(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "humwatch.features.logmel" in loaded
    assert not {"librosa", "scipy", "soundfile", "pandas", "pyarrow"} & {*loaded}


# Another feature

PEAKS = '''
from dataclasses import dataclass

import numpy as np

from humwatch.features.base import BaseFeature
from humwatch.parameters import parameter


@dataclass(frozen=True)
class Feature(BaseFeature):
    """The largest sample of each part of a clip."""

    parts: int = parameter(10, "Parts of a clip.", minimum=1, maximum=1000)

    @property
    def bins(self):
        return 1

    def shape(self, sample_rate, seconds):
        return self.parts, 1

    def __call__(self, samples, sample_rate):
        return np.array([[part.max()] for part in np.array_split(samples, self.parts)], np.float32)
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder whose files count as features."""
    monkeypatch.setattr(features, "__path__", [*features.__path__, str(tmp_path)])
    yield tmp_path
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(f"humwatch.features.{path.stem}", None)


def with_feature(**stated) -> tuple[dict, dict]:
    """A configuration with this feature, checked, and the schema."""
    schema = read_schema()
    schema["$defs"]["features"] = base.schemas()
    made = {"dataset": {"name": "x", "source": "demo"}, "features": {"f": stated}, "trial": {"feature": "f"}}
    return validate(made, schema), schema


def test_a_file_is_a_feature(folder):
    (folder / "peaks.py").write_text(PEAKS)
    made, schema = with_feature(source="peaks")
    assert made["features"]["f"] == {"source": "peaks", "parts": 10}
    assert len(plan.Plan(Study(made, schema)).table())
    feature = base.make(made["features"]["f"])
    assert feature.parameters(16000) == {"source": "peaks", "sample_rate": 16000, "parts": 10}
    assert feature(np.ones(100, np.float32), 16000).shape == feature.shape(16000, 1)
    with pytest.raises(InputError, match=r"features\.f\.parts is 0, it must be a whole number and at least 1"):
        with_feature(source="peaks", parts=0)


def test_a_trial_must_fit_the_feature(folder):
    (folder / "peaks.py").write_text(PEAKS)
    made, schema = with_feature(source="peaks", parts=3)
    with pytest.raises(InputError, match=r"trial\.window is 5, longer than the 3 frames of a clip \(f\)"):
        trials.sweeps(made | {"trial": made["trial"] | {"detector": "vae", "window": 5}}, schema)
    with pytest.raises(InputError, match="set feature to one of source waveform, f is of source peaks"):
        trials.sweeps(made | {"trial": made["trial"] | {"detector": "id_classifier", "network": "stgram"}}, schema)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def f(:\n\nclass Feature(", "broken.py cannot be imported (invalid syntax"),
        ("import nothing_at_all\n\nclass Feature(BaseFeature): ...", "broken.py cannot be imported (No module named 'nothing"),
        (PEAKS.replace("def shape", "def size"), "features/broken.py: Can't instantiate abstract class Feature"),
    ],
)  # fmt: skip
def test_a_file_with_a_mistake(folder, text, sentence):
    (folder / "broken.py").write_text(text)
    with pytest.raises(InputError) as error:
        with_feature(source="broken")
    assert sentence in str(error.value) and "\n" not in str(error.value)
