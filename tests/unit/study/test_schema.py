"""The parts of the configuration's schema that are made from the code."""

import subprocess
import sys

import pytest
import yaml

import humwatch.detectors
from humwatch.detectors import base
from humwatch.study import schema
from humwatch.study.config import SCHEMA


def test_the_file_is_what_the_code_says():
    assert SCHEMA.read_text() == schema.written(SCHEMA.read_text()), "run `make schema`"


@pytest.mark.parametrize("name", base.names())
def test_every_detector_takes_its_defaults(name):
    entry = yaml.safe_load(SCHEMA.read_text())["$defs"]["detectors"][name]
    detector = base.detector_class(name)
    made = detector(**{key: part["default"] for key, part in entry.items() if key not in ("epochs", "score")})
    assert vars(made.hyperparameters) == vars(detector().hyperparameters)
    assert entry.get("score", {"default": "score"})["default"] == detector.default_score


def test_a_new_detector_is_entered(tmp_path, monkeypatch):
    """All of its parameters, where a reader expects them: the passes first, the choice of the score last."""
    before = yaml.safe_load(schema.written(SCHEMA.read_text()))
    (tmp_path / "mine.py").write_text(
        """
from dataclasses import dataclass

from humwatch.detectors.base import BaseDetector
from humwatch.parameters import parameter


@dataclass
class Hyperparameters:
    sizes: list[int] = parameter([3, 4], "A description: too long for one line. " * 4, minItems=1)
    quantile: float = parameter(0.5, "Of a clip's frames, which one counts.", minimum=0, maximum=1)


class Detector(BaseDetector):
    Hyperparameters = Hyperparameters
    epochs = 7
    default_score = "low"
    scores = {"description": "Which.", "enum": ["low", "high"]}
"""
    )
    monkeypatch.setattr(humwatch.detectors, "__path__", [*humwatch.detectors.__path__, str(tmp_path)])
    text = schema.written(SCHEMA.read_text())
    after = yaml.safe_load(text)
    mine = after["$defs"]["detectors"].pop("mine")
    assert after == before
    assert [*mine] == ["epochs", "sizes", "quantile", "score"]
    assert mine["epochs"]["default"] == 7 and mine["score"] == {
        "description": "Which.",
        "enum": ["low", "high"],
        "default": "low",
    }
    assert mine["sizes"]["default"] == [3, 4] and mine["sizes"]["items"] == {"type": "integer"}
    assert schema.written(text) == text
    sys.modules.pop("humwatch.detectors.mine")


def test_planning_loads_no_library_that_trains():
    """They take longer to load than a study of a thousand trials to plan."""
    script = "import sys; from humwatch.detectors import base; [*map(base.detector_class, base.names())]; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "humwatch.detectors.id_classifier" in loaded
    assert not {"torch", "sklearn", "scipy", "librosa"} & {*loaded}
