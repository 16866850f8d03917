"""From sweeps to trials: a trial is detector x its hyper-parameters x feature x scope x seed x epochs x score."""

import functools
import hashlib
import importlib.util
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from humwatch.datasets import source as sources
from humwatch.detectors.base import detector_class
from humwatch.errors import InputError, shown
from humwatch.features.base import make
from humwatch.study import costs as sizes
from humwatch.study.config import MOST_GB, SCHEMA_NAME, Schema, described, fits, trial_parameters

# Chosen after training: they name no model. `epochs` is a milestone of a model, `score` a column of its scores.
NOT_IN_NAME = ("detector", "epochs", "score")
NOT_HYPERPARAMETERS = (*NOT_IN_NAME, "feature", "scope", "augmentation", "seed")
# What a trial may be whatever its other parameters are.
INDEPENDENT = {"seed", "epochs", "learning_rate", "kl_weight", "patience", "recipe", "precision", "weight_decay"}
# Trials that differ in these alone minimise the same loss on the same held-out clips; `score` is chosen after training.
SAME_LOSS = {"learning_rate", "batch_size", "epochs", "seed", "hidden", "latent", "bottleneck", "score"}
LONGEST_NAME = 160
MOST_TRIALS = 20_000


@dataclass(frozen=True)
class Trial:
    """One point of a sweep.

    Attributes
    ----------
    name
        The model's folder.
    parameters
        All of them, with their defaults.
    members
        The trials that an ensemble combines; other trials have none.
    """

    name: str
    parameters: Mapping[str, Any]
    members: tuple["Trial", ...] = ()

    @property
    def epochs(self) -> int:
        """The milestone at which the trial's model is read; 0 for detectors without epochs."""
        return self.parameters.get("epochs", 0)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The parameters that the detector's constructor takes."""
        return {k: v for k, v in self.parameters.items() if k not in NOT_HYPERPARAMETERS}

    @property
    def detectors(self) -> list[str]:
        """Its detector, and those that this one fits: whose program code a training depends on."""
        name = self.parameters["detector"]
        return [name, *detector_class(name).made_of(self.parameters)]

    @property
    def key(self) -> tuple[str, int, str]:
        """Two trials with the same key are the same trial."""
        return self.name, self.epochs, self.parameters["score"]


def sweeps(config: Mapping[str, Any], schema: Schema) -> dict[str, list[Trial]]:
    """The trials of every sweep of a validated configuration, duplicates within a sweep removed.

    Without sweeps there is one, named `trial`, with the one trial of `config["trial"]`. Ensembles make one more, `ensembles`:
    each of them and all its members.

    Raises
    ------
    InputError
        There are too many trials, or one of them is not possible.
    """
    named = config["sweeps"] or ({} if config["ensembles"] else {"trial": {}})
    grids = {f"sweeps.{name}": grid for name, grid in named.items()}
    every = grids | {where: grid for name in config["ensembles"] for where, grid in _members(name, config)}
    _check_count(every)
    _check_use(every, config, schema)
    found = {
        name: unique(_expand(where, grids[where], config, schema)) for name, where in zip(named, grids, strict=True)
    }
    if combined := ensembles(config, schema):
        found["ensembles"] = unique([*combined, *(member for ensemble in combined for member in ensemble.members)])
    return found


def ensembles(config: Mapping[str, Any], schema: Schema) -> list[Trial]:
    """Every ensemble as a trial."""
    parameters = {"scope": "machine_type", "seed": 0, "score": "score"}
    found = []
    for name in config["ensembles"]:
        expanded = (_expand(where, grid, config, schema) for where, grid in _members(name, config))
        members = unique(itertools.chain.from_iterable(expanded))
        found.append(Trial(f"ensemble-{name}", {"detector": f"ensemble-{name}", **parameters}, tuple(members)))
    return found


def unique(trials: Iterable[Trial]) -> list[Trial]:
    """The trials without repetitions, in order."""
    return list({trial.key: trial for trial in trials}.values())


def judges(
    trials: Sequence[Trial], config: Mapping[str, Any], schema: Schema
) -> dict[tuple[str, int, str], list[Trial]]:
    """The trials whose models are judged by machine ids left out of training (detectors.leave_id_out), for each trial's key.

    A judgement takes a training, so that one trial stands for all that minimise the same loss: that which differs least from
    what the configuration says of every trial of its detector. Ensembles are judged by their members, each of which is. Where
    all trials have one loss, none is judged.
    """
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(str([(k, v) for k, v in trial.parameters.items() if k not in SAME_LOSS]), []).append(trial)
    if len(groups) == 1 and len({trial.parameters["score"] for trial in trials}) < 2:
        return {}
    members = {(member.name, member.epochs) for trial in trials for member in trial.members}

    @functools.cache
    def usual(detector: str) -> dict[str, Any]:
        defaults = {key: part.get("default") for key, part in _parameters(detector, schema).items()}
        return defaults | config["trial"] | config["detectors"].get(detector, {})

    def distance(trial: Trial) -> int:
        p = trial.parameters
        return sum(p[key] != usual(p["detector"])[key] for key in SAME_LOSS & p.keys())

    found: dict[tuple[str, int, str], list[Trial]] = {}
    for group in groups.values():
        chosen = [*{(t.name, t.epochs): t for t in group if t.members or (t.name, t.epochs) in members}.values()]
        found |= dict.fromkeys((trial.key for trial in group), chosen or [min(group, key=distance)])
    return found


def _members(name: str, config: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    for i, grid in enumerate(config["ensembles"][name]):
        yield f"ensembles.{name}.{i}", grid


def _check_count(grids: Mapping[str, dict[str, list[Any]]]) -> None:
    """Before a product is expanded that would take hours."""
    counts = {where: math.prod(map(len, grid.values())) for where, grid in grids.items()}
    if (total := sum(counts.values())) > MOST_TRIALS:
        largest = max(counts, key=lambda where: counts[where])
        raise InputError(
            f"config: there are {total:,} trials, {counts[largest]:,} of them in {largest}, at most {MOST_TRIALS:,} are planned: "
            "give fewer values, or several sweeps of a few parameters each, or split the study into several configurations"
        )


def _check_use(grids: Mapping[str, dict[str, list[Any]]], config: Mapping[str, Any], schema: Schema) -> None:
    """Every parameter under `trial` must be one of a detector that is used."""
    used = {detector: None for grid in grids.values() for detector in _detectors(grid, config)}
    known = {key for detector in used for key in _parameters(detector, schema)}
    for key in config["trial"]:
        if key not in known:
            raise InputError(
                f"config: trial.{key} is no parameter of {', '.join(used)}: remove it, or correct its name"
            )


def _detectors(grid: Mapping[str, list[Any]], config: Mapping[str, Any]) -> list[str]:
    return grid.get("detector", [config["trial"]["detector"]])


def _parameters(detector: str, schema: Schema) -> dict[str, Schema]:
    """As `trial_parameters`, with a score where the detector's entry in the schema states none."""
    parameters = trial_parameters(schema, detector)
    if not importlib.util.find_spec(f"humwatch.detectors.{detector}"):
        raise InputError(
            f"config: {SCHEMA_NAME} names a detector {detector}, but there is no src/humwatch/detectors/{detector}.py: write it, "
            "or run `make schema`"
        )
    return parameters | {"score": {"default": detector_class(detector).default_score} | parameters.get("score", {})}


def _expand(where: str, grid: dict[str, list[Any]], config: Mapping[str, Any], schema: Schema) -> list[Trial]:
    """The trials of one grid, whose key in the configuration is `where`."""
    known = {detector: _parameters(detector, schema) for detector in _detectors(grid, config)}
    for key in grid:
        if not any(key in parameters for parameters in known.values()):
            raise InputError(f"config: {where}.{key} is no parameter of {', '.join(known)}: remove it")
    # More specific beats less: sweep > detectors.<name> > trial > the schema's default.
    given = {detector: config["trial"] | config["detectors"].get(detector, {}) for detector in known}

    def origin(detector: str, key: str) -> str:
        if key in grid:
            return f"{where}.{key}"
        return f"detectors.{detector}.{key}" if key in config["detectors"].get(detector, {}) else f"trial.{key}"

    def whole(point: Mapping[str, Any]) -> dict[str, Any]:
        detector = point.get("detector", config["trial"]["detector"])
        values = given[detector] | point
        return {
            key: values[key] if key in values else part["default"]
            for key, part in known[detector].items()
            if key in values or "default" in part
        }

    names = {"feature": [*config["features"]], "augmentation": ["none", *config["augmentations"]]}
    for detector, parameters in known.items():
        for key, part in parameters.items():
            own = given[detector].get(key, part.get("default"))
            for value in grid.get(key, [own]):
                if key in names and value not in names[key]:
                    raise InputError(
                        f"config: {origin(detector, key)} is {shown(value)}, it must be one of {', '.join(names[key])}"
                    )
                if (
                    key not in schema["properties"]["trial"]["properties"]
                    and value != part.get("default")
                    and not fits(value, part)
                ):
                    raise InputError(
                        f"config: {origin(detector, key)} is {shown(value)}, for {detector} it must be {described(part)}: "
                        f"correct it, or set detectors.{detector}.{key}"
                    )
    together = {key: values for key, values in grid.items() if key not in INDEPENDENT}
    for values in itertools.product(*together.values()):
        point = whole(dict(zip(together, values, strict=True)))
        detector = point["detector"]
        for problem in _problems(point, known[detector], config, functools.partial(origin, detector)):
            raise InputError(f"config: {problem}")
    trials = (whole(dict(zip(grid, values, strict=True))) for values in itertools.product(*grid.values()))
    return [Trial(_name(parameters, known[parameters["detector"]]), parameters) for parameters in trials]


def _problems(
    p: Mapping[str, Any], known: Mapping[str, Schema], config: Mapping[str, Any], origin: Callable[[str], str]
) -> Iterator[str]:
    """A sentence for each problem of parameters that are allowed, but not together.

    `origin` gives a parameter's key in the configuration.
    """
    detector, feature = detector_class(p["detector"]), make(config["features"][p["feature"]])
    rate, seconds = sources.of(config["dataset"]).known_clips() if "dataset" in config else (None, None)
    known_frames = feature.from_recordings and feature.has_known_frames(rate, seconds)
    frames = bins = 0
    if feature.from_recordings:  # of others, sizes are not known beforehand
        frames, bins = feature.shape(rate or sizes.SAMPLE_RATE, seconds or 1)
    for key, problem in detector.problems(p, feature, frames if known_frames else None):
        yield f"{origin(key)} {problem}"
    if not feature.from_recordings:
        return
    widths = {"frequency_width": (bins, "bins")}
    if known_frames:
        widths = {"time_width": (frames, "frames")} | widths
    masks = config["augmentations"].get(p["augmentation"], {})
    for name, (size, what) in widths.items():
        if masks.get(name, 0) > size:
            yield (
                f"augmentations.{p['augmentation']}.{name} is {masks[name]}, a clip has only {size} {what} ({p['feature']}): "
                "lower it"
            )
    needed = detector.training_bytes(p, frames, bins)
    if needed / 1e9 > MOST_GB:
        large = [
            f"{origin(key)} {shown(value)}"
            for key, value in p.items()
            if isinstance(value, int | float | list)
            and "default" in known[key]
            and detector.training_bytes({**p, key: known[key]["default"]}, frames, bins) < needed
        ]
        yield (
            f"a trial of {p['detector']} needs about {needed / 1e9:,.0f} GB of memory, at most {MOST_GB} are allowed: lower "
            f"{' or '.join([*large[:4], 'the size of features.' + p['feature']])}"
        )


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
