"""The recipes of CONTRIBUTING.md, word for word: the file, its entry in the schema, the test."""

import importlib
import re
import sys

import pytest
import yaml
from conftest import ROOT

from humwatch.datasets import source as sources
from humwatch.study import plan, trials
from humwatch.study.config import SCHEMA, validate
from humwatch.study.schema import written
from humwatch.study.study import Study


def recipe(name: str) -> list[str]:
    """The blocks of code of a recipe."""
    text = (ROOT / "CONTRIBUTING.md").read_text().partition(f"<!-- recipe: {name} -->")[2]
    return re.findall(r"```python\n(.*?)```", text.partition("<!-- end of recipe -->")[0], re.S)


@pytest.fixture
def followed(tmp_path, monkeypatch):
    """Follow a recipe in a folder whose files count as the package's: the names that its test defines."""
    made = []

    def follow(name: str, package: str, module: str) -> dict:
        file, test = recipe(name)
        (tmp_path / f"{module}.py").write_text(file)
        found = importlib.import_module(f"humwatch.{package}")
        monkeypatch.setattr(found, "__path__", [*found.__path__, str(tmp_path)])
        made.append(f"humwatch.{package}.{module}")
        names: dict = {}
        exec(test, names)
        return names

    sources.source_class.cache_clear()
    yield follow
    sources.source_class.cache_clear()
    for name in made:
        sys.modules.pop(name, None)


def checked(**sections) -> tuple[dict, dict]:
    """A configuration with its defaults, and the schema that `make schema` would write."""
    schema = yaml.safe_load(written(SCHEMA.read_text()))
    return validate({"dataset": {"name": "x", "source": "demo"}} | sections, schema), schema


def test_the_recipe_for_a_detector(followed, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tests/unit/detectors")  # where the recipe puts the test
    followed("detector", "detectors", "loudness")["test_louder_clips_are_anomalous"]()
    config, schema = checked(trial={"detector": "loudness"})
    (trial,) = trials.sweeps(config, schema)["trial"]
    assert trial.name == "loudness_seed-0" and trial.parameters["score"] == "score" and trial.epochs == 0
    assert trial.hyperparameters == {"quantile": 0.5}
    assert plan.Plan(Study(config, schema)).on(1)["cluster jobs of trainings"] == 1


def test_the_recipe_for_a_feature(followed):
    followed("feature", "features", "peaks")["test_the_largest_sample_of_each_part"]()
    config, _ = checked(features={"peaks": {"source": "peaks"}}, trial={"feature": "peaks"})
    assert config["features"]["peaks"] == {"source": "peaks", "parts": 10}


def test_the_recipe_for_a_source(followed, tmp_path):
    (tmp_path / "recordings").mkdir()
    followed("source", "datasets", "presses")["test_good_ones_train_and_bad_ones_are_tested"](tmp_path / "recordings")
    config, _ = checked(dataset={"name": "presses", "source": "presses", "path": "my_presses"})
    assert config["dataset"]["every"] == 1
