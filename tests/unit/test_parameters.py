"""Parameters as dataclasses, and the schema that is made from them."""

from dataclasses import dataclass

from humwatch.parameters import REQUIRED, parameter, schema_of


@dataclass
class Example:
    path: str = parameter(REQUIRED, "Where it lies.", minLength=1)
    hidden: list[int] = parameter([4, 2], "Sizes.", minItems=1, items={"type": "integer", "minimum": 1})
    fmax: float | None = parameter(None, "Hz.", exclusiveMinimum=0)
    kind: str = parameter("a", "Which.", enum=["a", "b"])


def test_schema_of_a_dataclass():
    assert schema_of(Example) == {
        "path": {"description": "Where it lies.", "type": "string", "minLength": 1},
        "hidden": {
            "description": "Sizes.",
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "minItems": 1,
            "default": [4, 2],
        },
        "fmax": {"description": "Hz.", "type": ["number", "null"], "exclusiveMinimum": 0, "default": None},
        "kind": {"description": "Which.", "enum": ["a", "b"], "default": "a"},
    }


def test_instances_do_not_share_lists():
    first, second = Example("x"), Example("x")
    first.hidden.append(1)
    assert second.hidden == [4, 2]
