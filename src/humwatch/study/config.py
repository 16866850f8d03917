"""Check a configuration against the schema and itself, in plain sentences, and fill in the defaults."""

import copy
import difflib
import math
import re
import sys
import textwrap
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from humwatch.datasets import source as sources
from humwatch.detectors import base
from humwatch.errors import InputError, shown
from humwatch.features.base import make
from humwatch.slugs import PERIODIC
from humwatch.study import costs as sizes
from humwatch.study.reading import DEEPEST, LOADER, MOST_PROBLEMS, MOST_VALUES, read_file, refuse, shortened

Schema = dict[str, Any]

SCHEMA = Path(__file__).with_name("config.schema.yaml")
SCHEMA_NAME = "src/humwatch/study/config.schema.yaml"  # as a developer knows it
MOST_GB = 64  # of memory for one job

# Control characters, and halves of surrogate pairs.
UNREADABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def read_schema() -> Schema:
    """The schema of configurations."""
    try:
        return yaml.load(SCHEMA.read_text(encoding="utf-8"), LOADER)
    except (yaml.YAMLError, UnicodeDecodeError):
        return read_file(SCHEMA)  # which says where and what


def validate(config: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """Check a configuration, and return it with every default filled in and whole numbers as integers.

    Parameters
    ----------
    config
        As `reading.read` returns it; it is not changed.
    schema
        What `read_schema` returns.

    Raises
    ------
    InputError
        With a sentence for each faulty key: its name, what was given, what is allowed.
    """
    refuse(_strange_values(config))
    config = copy.deepcopy(config)
    for grid in _grids(config):
        grid.update({key: value if isinstance(value, list) else [value] for key, value in grid.items()})
    full = _with_trial_parameters(schema)
    _place_feature_parameters(full, config.get("features"))
    try:
        errors = list(islice(_Validator(full).iter_errors(config), 10 * MOST_PROBLEMS))
    except jsonschema.exceptions.UnknownType as error:
        raise InputError(
            f"{SCHEMA_NAME}: {error.type!r} is no type, of {shown(error.schema)}: use integer, number, string, boolean or array"
        ) from None
    errors.sort(key=lambda error: list(map(str, error.absolute_path)))
    refuse(sentence for error in errors for sentence in _sentences(error))
    config = _with_whole_numbers(config, full)
    refuse(_unused_keys(config["dataset"], full["properties"]["dataset"]["properties"]))
    _fill_defaults(config, full)
    refuse([*_clashing_names(config), *_feature_problems(config)])
    return config


def trial_parameters(schema: Schema, detector: str) -> dict[str, Schema]:
    """The schema of each parameter that a trial of `detector` has, in the schema's order.

    Raises
    ------
    InputError
        The schema has no such detector.
    """
    entries = schema["$defs"]["detectors"]
    if detector not in entries:
        raise InputError(f"config: trial.detector is {shown(detector)}, it must be one of {', '.join(sorted(entries))}")
    return schema["properties"]["trial"]["properties"] | (entries[detector] or {})


def fits(value: Any, schema: Schema) -> bool:
    """Whether a value is as its schema says."""
    return _Validator(schema).is_valid(value)


def described(schema: Schema) -> str:
    """What a value of this schema must be, in words."""
    return " and ".join(_allowed(schema))


# Checking


def _fullmatch(validator: Any, pattern: str, instance: Any, schema: Schema) -> Iterator[Any]:
    """Match a pattern against the whole text: `$` alone matches before a last line break too."""
    if isinstance(instance, str) and not re.fullmatch(pattern, instance):
        yield jsonschema.ValidationError(f"{instance!r} is not like {pattern!r}")


_Validator: Any = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": _fullmatch})


def _strange_values(config: Any) -> Iterator[str]:
    """A sentence for each value that no key of a configuration may have, whatever its schema says."""
    if not isinstance(config, dict):
        yield f"the configuration is {shown(config)}, it must be a mapping (dataset: ...): see config/README.md"
        return
    waiting: deque[tuple[tuple[Any, ...], Any]] = deque([((), config)])
    count = 1
    while waiting:
        path, value = waiting.popleft()
        count += len(value) if isinstance(value, (dict, list)) else 0
        if count > MOST_VALUES:
            yield f"the configuration has more than {MOST_VALUES} values: write less"
            return
        key = _key(path)
        if len(path) > DEEPEST:
            yield f"config: {key} lies in more than {DEEPEST} lists or mappings: flatten them"
        elif isinstance(value, dict):
            for name, part in value.items():
                if not isinstance(name, str):
                    said = "null" if name is None else str(name).lower() if isinstance(name, bool) else shown(str(name))
                    yield f"config: {key} has the key {said}, which YAML does not read as text: put it in quotes"
                elif UNREADABLE.search(name):
                    yield f"config: {key} has the key {shown(name)}, with a control character in it: remove that"
                else:
                    waiting.append(((*path, name), part))
        elif isinstance(value, list):
            waiting.extend(((*path, i), part) for i, part in enumerate(value))
        elif isinstance(value, str):
            if UNREADABLE.search(value):
                yield f"config: {key} is {shown(value)}, with a control character in it: remove that"
        elif isinstance(value, (int, float)):
            if not -sys.float_info.max <= value <= sys.float_info.max:
                yield f"config: {key} is {shown(value)}, it must be a finite number"
        elif value is not None:
            kind = "date" if hasattr(value, "year") else type(value).__name__
            yield f"config: {key} is {shown(str(value))}, which YAML reads as a {kind}: put it in quotes if it is text"


def _with_trial_parameters(schema: Schema) -> Schema:
    """The schema with the detectors' hyper-parameters placed under trial, detectors and sweeps."""
    full = copy.deepcopy(schema)
    entries = full["$defs"]["detectors"] = {
        detector: _parameters_of(f"detectors.{detector}", parameters)
        for detector, parameters in full["$defs"]["detectors"].items()
    }
    common = full["properties"]["trial"]["properties"]
    common["detector"]["enum"] = sorted(entries)
    every: dict[str, Schema] = dict(common)
    for hyperparameters in entries.values():
        for name, parameter in hyperparameters.items():
            # Detectors may differ in default and limits of a parameter: `trials` checks each against its own detector.
            known = every.setdefault(name, {key: value for key, value in parameter.items() if key != "default"})
            if name not in common and known != parameter:
                every[name] = _union(known, parameter)
    full["properties"]["trial"]["properties"] = every
    full["properties"]["detectors"] |= {
        "properties": {
            detector: {
                "type": "object",
                "additionalProperties": False,
                "properties": {k: {kk: vv for kk, vv in v.items() if kk != "default"} for k, v in own.items()},
            }
            for detector, own in ((name, {"scope": common["scope"]} | entry) for name, entry in entries.items())
        },
        "additionalProperties": False,
    }
    grid = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {name: {"type": "array", "minItems": 1, "items": parameter} for name, parameter in every.items()},
    }
    full["properties"]["sweeps"]["additionalProperties"] = grid
    full["properties"]["ensembles"]["additionalProperties"] = {"type": "array", "minItems": 1, "items": grid}
    return full


def _union(one: Schema, other: Schema) -> Schema:
    """What one schema or the other allows, or more: the rules that both have."""
    union = {rule: value for rule, value in one.items() if other.get(rule) == value}
    if "enum" in one and "enum" in other:
        union["enum"] = [*dict.fromkeys([*one["enum"], *other["enum"]])]
    if "type" in one and "type" in other:
        union["type"] = [*dict.fromkeys([*_as_list(one["type"]), *_as_list(other["type"])])]
        if len(union["type"]) == 1:
            union["type"] = union["type"][0]
    return union


def _parameters_of(name: str, parameters: Any) -> dict[str, Schema]:
    """The parameters of a detector's or a feature's entry in the schema, which may be empty."""
    for key, part in (parameters if isinstance(parameters, dict) else {}).items():
        if not isinstance(part, dict):
            raise InputError(
                f"{SCHEMA_NAME}: $defs.{name}.{key} is {shown(part)}, it must be a mapping like {{type: integer, default: 5}}"
            )
    if not isinstance(parameters, dict | None):
        raise InputError(f"{SCHEMA_NAME}: $defs.{name} is {shown(parameters)}, it must be a mapping of its parameters")
    return parameters or {}


def _place_feature_parameters(full: Schema, given: Any) -> None:
    """Give the schema of each named feature the parameters of that feature's own source, and no others."""
    features = full["properties"]["features"]
    sources = {name: _parameters_of(f"features.{name}", part) for name, part in full["$defs"]["features"].items()}
    common = features["additionalProperties"]["properties"]
    common["source"]["enum"] = list(sources)
    owners: dict[str, list[str]] = {}
    for source, parameters in sources.items():
        for name in parameters:
            owners.setdefault(name, []).append(source)
    features["properties"] = {
        name: {
            "type": "object",
            "properties": common | sources[source],
            "additionalProperties": False,
            "sources_with": owners,  # for the sentence
        }
        for name, feature in (given if isinstance(given, dict) else features["default"]).items()
        if isinstance(feature, dict)
        and (source := feature.get("source", common["source"]["default"])) in common["source"]["enum"]
    }


def _grids(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every mapping of a parameter to values, where a single value is a grid of one."""
    sweeps, ensembles = config.get("sweeps"), config.get("ensembles")
    members = (
        [m for listed in ensembles.values() if isinstance(listed, list) for m in listed]
        if isinstance(ensembles, dict)
        else []
    )
    for grid in [*(sweeps.values() if isinstance(sweeps, dict) else []), *members]:
        if isinstance(grid, dict):
            yield grid


def _with_whole_numbers(value: Any, schema: Schema) -> Any:
    """The value with integers where the schema asks for them: 2.0 would give other names of trials than 2."""
    for part in schema.get("anyOf", []):
        value = _with_whole_numbers(value, part)
    if isinstance(value, dict):
        named, others = schema.get("properties", {}), schema.get("additionalProperties")
        others = others if isinstance(others, dict) else {}
        return {key: _with_whole_numbers(part, named.get(key, others)) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(part, schema.get("items", {})) for part in value]
    return int(value) if isinstance(value, float) and "integer" in _as_list(schema.get("type")) else value


def _fill_defaults(value: Any, schema: Schema) -> None:
    if not isinstance(value, dict):
        return
    for key, part in schema.get("properties", {}).items():
        if key not in value and "default" in part:
            value[key] = copy.deepcopy(part["default"])
        if key in value:
            _fill_defaults(value[key], part)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        for key in value.keys() - schema.get("properties", {}).keys():
            _fill_defaults(value[key], extra)


# What is allowed by itself, but not together


def _unused_keys(dataset: Mapping[str, Any], properties: Schema) -> Iterator[str]:
    """Keys that the data source does not use, unless they say what is so anyway."""
    for key, value in dataset.items():
        sources = properties[key].get("sources")
        if sources and dataset["source"] not in sources and value != properties[key].get("default", ...):
            yield (
                f"config: dataset.{key} is for source {' or '.join(sources)} only, {dataset['source']} does not use it: "
                "remove it or set dataset.source"
            )


def _clashing_names(config: Mapping[str, Any]) -> Iterator[str]:
    """Names that would be the same file; on some disks upper and lower case are the same."""
    for section in ("features", "augmentations", "sweeps", "ensembles"):
        seen: dict[str, str] = {}
        for name in config[section]:
            if (other := seen.setdefault(name.lower(), name)) != name:
                yield f"config: {section}.{other} and {section}.{name} differ in case only: rename one of them"
    paths = {"dataset.name": [config["dataset"]["name"]]}  # parts of paths that Snakemake makes patterns of
    paths |= {section: [*config[section]] for section in ("features", "augmentations", "ensembles")}
    for where, names in paths.items():
        for name in names:
            if PERIODIC.search(name):
                yield f"config: {where} is {shown(name)}, which repeats itself: choose another name"
    if "none" in config["augmentations"]:
        yield "config: augmentations.none has the name that means no augmentation: rename it"
    tables = {name.lower(): name for name in config["sweeps"]}
    if config["ensembles"]:
        if "ensembles" in tables:
            yield f"config: sweeps.{tables['ensembles']} has the name of the ensembles' own table: rename it"
        tables["ensembles"] = "ensembles"
    for name in tables:
        if clash := tables.get(f"{name}_report"):
            yield f"config: sweeps.{clash} has the name of another table of {tables[name]}, {name}_report.csv: rename it"


def _feature_problems(config: Mapping[str, Any]) -> Iterator[str]:
    source = sources.of(config["dataset"])
    (rate, seconds), channels = source.known_clips(), source.channels
    if len(channels) != len({*channels}):
        yield f"config: dataset.channel.near and far are both {channels[0]}: give two channels, or channel: {channels[0]}"
    for name, stated in config["features"].items():
        here, feature = f"config: features.{name}", make(stated)
        yield from (f"{here}.{problem}" for problem in feature.problems(rate, seconds))
        if not feature.from_recordings:
            continue
        if feature.hears_far and len(channels) < 2:
            yield f"{here}.source is {feature.name}, which hears a far microphone too: set dataset.channel to {{near: 0, far: 1}}"
        needed = feature.memory(sizes.CLIPS_AT_ONCE, rate or sizes.SAMPLE_RATE, seconds or 1) / 1e9
        if needed > MOST_GB:
            yield (
                f"{here} needs about {needed:,.0f} GB of memory for {sizes.CLIPS_AT_ONCE} clips, at most {MOST_GB} are allowed: "
                "make it smaller, or hop_length longer"
            )


# Sentences


def _key(path: Iterable[Any]) -> str:
    return ".".join(shortened(str(part)) for part in path) or "the configuration"


def _sentences(error: Any) -> Iterator[str]:
    key = _key(error.absolute_path)
    if error.validator == "additionalProperties":
        allowed = sorted(error.schema["properties"])
        prefix = f"{key}." if error.absolute_path else ""
        sources = error.schema.get("sources_with", {})
        listed = textwrap.shorten(", ".join(allowed), 250, placeholder=" ...")
        for name in sorted(set(error.instance) - set(allowed)):
            yield (
                f"config: {prefix}{name} is for source {' or '.join(sources[name])} only: remove it or set the source"
                if name in sources
                else f"config: {prefix}{shortened(name)} is unknown{_meant(name, allowed)}, allowed here: {listed}"
            )
    elif error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        yield f"config: {key} lacks {', '.join(missing)}: add it"
    elif error.validator in ("minItems", "minProperties"):
        yield f"config: {key} is empty: give at least one value or remove it"
    elif error.validator == "anyOf" and isinstance(error.instance, dict) and _deeper(error):
        for part in _deeper(error):
            yield from _sentences(part)
    elif "propertyNames" in error.absolute_schema_path:
        yield f"config: {key} has the name {shown(error.instance)}, it must be {' and '.join(_allowed(error.schema))}"
    else:
        must = " and ".join(_allowed(error.schema))
        yield f"config: {key} is {shown(error.instance)}, it must be {must}{_hint(error)}"


def _deeper(error: Any) -> list[Any]:
    """Of several alternatives, what is wrong with the mapping that one of them is."""
    return [
        part for part in error.context if part.relative_path or part.validator in ("required", "additionalProperties")
    ]


def _meant(name: str, allowed: list[str]) -> str:
    close = difflib.get_close_matches(name[:100], allowed, 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _hint(error: Any) -> str:
    """YAML 1.1 reads 1e-3 as text, and 00 as a number."""
    value, types = error.instance, _as_list(error.schema.get("type"))
    if isinstance(value, str) and {"number", "integer"} & {*types}:
        try:
            number = float(value)
        except ValueError:
            return ""
        if not math.isfinite(number) or ("integer" in types and not number.is_integer()):
            return ""
        return f" (YAML reads it as text: write {shown(int(number) if 'integer' in types else number)})"
    if isinstance(value, (bool, int, float)) and "string" in types:
        return " (YAML reads it as something else: put it in quotes)"
    if (
        types == ["array"]
        and error.absolute_path[0] in ("sweeps", "ensembles")
        and isinstance(error.absolute_path[-1], int)
    ):
        return " (each value of a sweep is a list of its own: [[400, 400], [100]])"
    name = next((str(part) for part in reversed(error.absolute_path) if not isinstance(part, int)), "")
    if name == "detector" and value in base.names():
        return f" (of detectors/{value}.py the schema knows nothing yet: run `make schema`)"
    return ""


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _allowed(schema: Schema) -> Iterator[str]:
    words = {
        "minimum": "at least {}",
        "exclusiveMinimum": "above {}",
        "maximum": "at most {}",
        "exclusiveMaximum": "below {}",
        "minLength": "not empty",
        "maxLength": "at most {} characters long",
        "minItems": "not empty",
        "maxItems": "of at most {} values",
        "uniqueItems": "without repetitions",
        "const": "{!r}",
    }
    if "enum" in schema:
        yield f"one of {', '.join(map(str, schema['enum']))}"
    elif "anyOf" in schema:
        yield " or ".join(" and ".join(_allowed(part)) for part in schema["anyOf"])
    elif "says" in schema:
        yield schema["says"]
    elif "pattern" in schema:
        yield f"text like {schema['pattern']}"
    elif "type" in schema:
        names = {
            "null": "null",
            "integer": "a whole number",
            "array": "a list",
            "object": "a mapping",
            "string": "text",
        }
        yield " or ".join(names.get(kind, f"a {kind}") for kind in _as_list(schema["type"]))
    for rule, text in words.items():
        if rule in schema:
            yield text.format(schema[rule])
