"""From sweeps to trials: a trial is detector x its hyper-parameters x feature x scope x seed x epochs x score."""

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from humwatch.config import Schema, trial_parameters
from humwatch.errors import InputError

# Chosen after training: they name no model. `epochs` is a milestone of a model, `score` a column of its scores.
NOT_IN_NAME = ("detector", "epochs", "score")
NOT_HYPERPARAMETERS = (*NOT_IN_NAME, "feature", "scope", "augmentation", "seed")
LONGEST_NAME = 160


@dataclass(frozen=True)
class Trial:
    """One line of a sweep. name: the model's folder; parameters: all of them, with their defaults."""

    name: str
    parameters: Mapping[str, Any]

    @property
    def epochs(self) -> int:
        """Milestone at which the trial is read; 0 for detectors without epochs."""
        return self.parameters.get("epochs", 0)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """What the detector's constructor takes."""
        return {k: v for k, v in self.parameters.items() if k not in NOT_HYPERPARAMETERS}

    @property
    def key(self) -> tuple[str, int, str]:
        """Two trials with the same key are the same trial."""
        return self.name, self.epochs, self.parameters["score"]


def sweeps(config: Mapping[str, Any], schema: Schema) -> dict[str, list[Trial]]:
    """The trials of every sweep of a validated configuration, duplicates within a sweep removed.

    Without sweeps there is one, named `trial`, with the one trial of `config["trial"]`. Ensembles make one more, `ensembles`:
    each of them and all its members.
    """
    grids: Mapping[str, dict[str, list[Any]]] = config["sweeps"] or ({} if config["ensembles"] else {"trial": {}})
    found = {sweep: unique(_expand(f"sweeps.{sweep}", grid, config, schema)) for sweep, grid in grids.items()}
    if combined := ensembles(config, schema):
        members = [member for listed in combined.values() for member in listed]
        found["ensembles"] = unique([*(_ensemble(name) for name in combined), *members])
    return found


def ensembles(config: Mapping[str, Any], schema: Schema) -> dict[str, list[Trial]]:
    """The members of every ensemble, by the ensemble's name as a trial."""
    return {
        f"ensemble-{name}": unique(
            trial for i, grid in enumerate(listed) for trial in _expand(f"ensembles.{name}.{i}", grid, config, schema)
        )
        for name, listed in config["ensembles"].items()
    }


def unique(trials: Iterable[Trial]) -> list[Trial]:
    """The trials without repetitions, in order."""
    return list({trial.key: trial for trial in trials}.values())


def _ensemble(name: str) -> Trial:
    return Trial(name, {"detector": name, "scope": "machine_type", "seed": 0, "score": "score"})


def _expand(where: str, grid: dict[str, list[Any]], config: Mapping[str, Any], schema: Schema) -> list[Trial]:
    """The trials of one product of grids. where: the grid's key in the configuration."""
    detectors = grid.get("detector", [config["trial"]["detector"]])
    for key in grid:
        if not any(key in trial_parameters(schema, detector) for detector in detectors):
            raise InputError(f"config: {where}.{key} is no parameter of {', '.join(detectors)}: remove it")
    return [
        _trial(dict(zip(grid, values, strict=True)), config, schema) for values in itertools.product(*grid.values())
    ]


def _trial(point: dict[str, Any], config: Mapping[str, Any], schema: Schema) -> Trial:
    """More specific beats less: sweep > detectors.<name> > trial > the schema's default."""
    detector = point.get("detector", config["trial"]["detector"])
    known = trial_parameters(schema, detector)
    given = config["trial"] | config["detectors"].get(detector, {}) | point
    parameters = {key: given.get(key, part.get("default")) for key, part in known.items()}
    for key, names in (("feature", [*config["features"]]), ("augmentation", ["none", *config["augmentations"]])):
        if parameters[key] not in names:
            raise InputError(f"config: trial.{key} is {parameters[key]!r}, it must be one of {', '.join(names)}")
    allowed = known.get("score", {})
    if "enum" in allowed and parameters["score"] not in allowed["enum"]:
        raise InputError(
            f"config: score is {parameters['score']!r}, for {detector} it must be one of {', '.join(allowed['enum'])}"
        )
    if "pattern" in allowed and not re.search(allowed["pattern"], parameters["score"]):
        raise InputError(
            f"config: score is {parameters['score']!r}, for {detector} it must be text like {allowed['pattern']}"
        )
    return Trial(_name(parameters, known), parameters)


def _name(parameters: Mapping[str, Any], known: Mapping[str, Schema]) -> str:
    """A readable folder name: the detector, what differs from the defaults, the seed."""
    different = [
        f"{key}-{_text(value)}"
        for key, value in parameters.items()
        if key not in NOT_IN_NAME and key != "seed" and value != known[key].get("default")
    ]
    name = "_".join([parameters["detector"], *different, f"seed-{parameters['seed']}"])
    if len(name) > LONGEST_NAME:
        name = name[:LONGEST_NAME] + "-" + hashlib.sha256(name.encode()).hexdigest()[:8]
    return name


def _text(value: Any) -> str:
    text = "x".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join(letter if letter.isalnum() or letter in ".-+" else "." for letter in text)
