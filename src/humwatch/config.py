"""Check a configuration against the schema, in plain sentences, and fill in the defaults."""

import copy
import difflib
from collections.abc import Iterator
from typing import Any

import jsonschema

from humwatch.errors import InputError

Schema = dict[str, Any]


def validate(config: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """Return `config` with every default filled in.

    schema: workflow/schemas/config.schema.yaml as read. Raises one InputError with a sentence per faulty key: its name,
    what was got, what is allowed.
    """
    config = copy.deepcopy(config)
    for grid in _grids(config):
        grid.update({key: value if isinstance(value, list) else [value] for key, value in grid.items()})
    full = _with_trial_parameters(schema)
    _place_feature_parameters(full, config.get("features"))
    validator = jsonschema.Draft202012Validator(full)
    problems = [
        _sentence(error) for error in sorted(validator.iter_errors(config), key=lambda e: list(map(str, e.path)))
    ]
    if problems:
        raise InputError("\n".join(dict.fromkeys(problems)))
    _fill_defaults(config, full)
    return config


def trial_parameters(schema: Schema, detector: str) -> dict[str, Schema]:
    """Schema of each parameter that a trial of `detector` has, in the schema's order."""
    detectors = schema["$defs"]["detectors"]
    if detector not in detectors:
        raise InputError(f"config: trial.detector is {detector!r}, it must be one of {', '.join(sorted(detectors))}")
    return schema["properties"]["trial"]["properties"] | detectors[detector]


def _with_trial_parameters(schema: Schema) -> Schema:
    """The schema with the detectors' hyper-parameters placed under trial, detectors and sweeps."""
    full = copy.deepcopy(schema)
    detectors = full["$defs"]["detectors"]
    common = full["properties"]["trial"]["properties"]
    common["detector"]["enum"] = sorted(detectors)
    every: dict[str, Schema] = dict(common)
    for hyperparameters in detectors.values():
        for name, parameter in hyperparameters.items():
            # One detector's default is not another's, nor is the pattern of its scores' names: `trials` checks what is whose.
            union = {key: value for key, value in parameter.items() if key not in ("default", "pattern")}
            known = every.setdefault(name, union)
            if "enum" in known and name not in common:  # detectors may name their scores differently
                if "enum" in parameter:
                    known["enum"] = [*dict.fromkeys([*known["enum"], *parameter["enum"]])]
                else:
                    del known["enum"]  # one detector's names follow a pattern
    full["properties"]["trial"]["properties"] = every
    full["properties"]["detectors"] |= {
        "properties": {
            detector: {
                "type": "object",
                "additionalProperties": False,
                "properties": {k: {kk: vv for kk, vv in v.items() if kk != "default"} for k, v in parameters.items()},
            }
            for detector, parameters in detectors.items()
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


def _place_feature_parameters(full: Schema, given: Any) -> None:
    """Give the schema of each named feature the parameters of that feature's own source, and no others."""
    features, sources = full["properties"]["features"], full["$defs"]["features"]
    base = features["additionalProperties"]["properties"]
    owners: dict[str, list[str]] = {}
    for source, parameters in sources.items():
        for name in parameters:
            owners.setdefault(name, []).append(source)
    features["properties"] = {
        name: {
            "type": "object",
            "properties": base | sources[source],
            "additionalProperties": False,
            "sources_with": owners,  # for the sentence
        }
        for name, feature in (given if isinstance(given, dict) else features["default"]).items()
        if isinstance(feature, dict)
        and (source := feature.get("source", base["source"]["default"])) in base["source"]["enum"]
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


def _sentence(error: Any) -> str:
    key = ".".join(str(part) for part in error.absolute_path) or "the configuration"
    got = f"{error.instance!r}"
    if error.validator == "additionalProperties":
        allowed = sorted(error.schema["properties"])
        unknown = sorted(set(error.instance) - set(allowed))
        prefix = f"{key}." if error.absolute_path else ""
        sources = error.schema.get("sources_with", {})
        return "; ".join(
            f"config: {prefix}{name} is for source {' or '.join(sources[name])} only: remove it or set the source"
            if name in sources
            else f"config: {prefix}{name} is unknown{_meant(str(name), allowed)}, allowed here: {', '.join(allowed)}"
            for name in unknown
        )
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"config: {key} lacks {', '.join(missing)}: add it"
    if error.validator in ("minItems", "minProperties"):
        return f"config: {key} is empty: give at least one value or remove it"
    return f"config: {key} is {got}, it must be {' and '.join(_allowed(error.schema))}{_yaml_hint(error)}"


def _meant(name: str, allowed: list[str]) -> str:
    close = difflib.get_close_matches(name, allowed, 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _yaml_hint(error: Any) -> str:
    """YAML 1.1 reads 1e-3 as text."""
    numeric = {"number", "integer"} & set(_as_list(error.schema.get("type", [])))
    if isinstance(error.instance, str) and numeric:
        try:
            return f" (YAML reads it as text: write {float(error.instance)})"
        except ValueError:
            return ""
    return ""


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _allowed(schema: Schema) -> Iterator[str]:
    words = {
        "minimum": "at least {}",
        "maximum": "at most {}",
        "exclusiveMinimum": "above {}",
        "exclusiveMaximum": "below {}",
        "pattern": "text like {}",
        "const": "{!r}",
    }
    if "enum" in schema:
        yield f"one of {', '.join(map(str, schema['enum']))}"
    elif "anyOf" in schema:
        yield " or ".join(" and ".join(_allowed(part)) for part in schema["anyOf"])
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


def check_files(paths):
    """Stub until merged."""
