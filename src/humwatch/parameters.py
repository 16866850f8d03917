"""A parameter stands once, as a field of a dataclass: its name, type, default, meaning and range. The schema is made from it."""

import dataclasses
import types
from typing import Any, get_args, get_origin, get_type_hints

TYPES = {int: "integer", float: "number", str: "string", bool: "boolean", types.NoneType: "null"}
# In place of a default: a configuration must state it, or may leave it out where the type allows None.
REQUIRED = object()


def parameter(default: Any, description: str, **rules: Any) -> Any:
    """A field of a dataclass of parameters.

    Parameters
    ----------
    default
        `REQUIRED` for none. A list is copied for each instance.
    description
        A sentence for the schema.
    **rules
        Those of JSON Schema (minimum, exclusiveMaximum, enum, pattern, items, ...), and `says`, a pattern in words. The rule
        None takes back one that the type implies.
    """
    metadata = {"description": description, **rules}
    if default is REQUIRED:
        return dataclasses.field(metadata=metadata)
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def schema_of(parameters: type) -> dict[str, dict[str, Any]]:
    """The JSON schema of each field of a dataclass, in their order: description, type, rules, default."""
    hints = get_type_hints(parameters)
    return {field.name: _schema(field, hints[field.name]) for field in dataclasses.fields(parameters)}


def _schema(field: dataclasses.Field, hint: Any) -> dict[str, Any]:
    found = {"description": field.metadata["description"]}
    if not {"enum", "anyOf"} & field.metadata.keys():
        found |= _type(hint)
    found |= {rule: value for rule, value in field.metadata.items() if rule != "description"}
    if field.default is not dataclasses.MISSING:
        found["default"] = field.default
    elif field.default_factory is not dataclasses.MISSING:
        found["default"] = field.default_factory()
    return {rule: value for rule, value in found.items() if value is not None or rule == "default"}


def _type(hint: Any) -> dict[str, Any]:
    if get_origin(hint) is list:
        return {"type": "array", "items": _type(get_args(hint)[0])}
    if get_origin(hint) is types.UnionType:
        return {"type": [TYPES[part] for part in get_args(hint)]}
    return {"type": TYPES[hint]}
