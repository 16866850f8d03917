"""Write the parameters of sources, features and detectors from their source code into config.schema.yaml: `make schema`.

Each part stands between two comments, which name it; the rest of the file is written by hand. Planning reads the file alone.
"""

import re
import textwrap
from collections.abc import Callable
from typing import Any

import yaml

from humwatch.datasets import source as sources
from humwatch.detectors import base as detectors
from humwatch.detectors.base import BaseDetector
from humwatch.features import base as features
from humwatch.parameters import schema_of
from humwatch.study.config import SCHEMA, Schema

EPOCHS = {"description": "Passes over the training clips.", "type": "integer", "minimum": 1, "maximum": 100_000}
PART = re.compile(r"^( *)# From here to its end, `make schema` writes: (\w+)\n(.*?)^\1# End of \2\n", re.M | re.S)
LONGEST = 122  # letters of a line, without its indentation


# What each part holds. A new part is a line here, and its two comments in the file.
PARTS: dict[str, Callable[[], Schema]] = {
    "dataset": sources.schemas,
    "features": lambda: {"features": features.schemas()},
    "detectors": lambda: {
        "detectors": {name: of_detector(detectors.detector_class(name)) for name in detectors.names()}
    },
}


def of_detector(detector: type[BaseDetector]) -> Schema:
    """The schema of the parameters that a trial of this detector has besides those of every trial."""
    epochs = {"epochs": EPOCHS | {"default": detector.epochs}} if detector.epochs else {}
    score = {"score": detector.scores | {"default": detector.default_score}} if detector.scores else {}
    return epochs | schema_of(detector.Hyperparameters) | score


def written(text: str) -> str:
    """The text of the schema's file with its parts made anew."""

    def part(found: re.Match[str]) -> str:
        indent, name, old = found.groups()
        new = textwrap.indent(_yaml(PARTS[name]()), indent)
        return found[0].replace(old, new) if old else found[0]

    return PART.sub(part, text)


def main() -> None:
    SCHEMA.write_text(written(SCHEMA.read_text(encoding="utf-8")), encoding="utf-8")


def _yaml(part: dict[str, Any]) -> str:
    """A mapping of mappings down to the parameters: each on one line, if it fits, else each of its rules."""
    lines = []
    for key, value in part.items():
        if value and "description" not in value:
            lines.append(f"{key}:\n{textwrap.indent(_yaml(value), '  ')}")
        elif len(line := _line(key, value)) < LONGEST:
            lines.append(line)
        else:
            rules = "".join(_text(r, v) if isinstance(v, str) else _line(r, v) for r, v in value.items())
            lines.append(f"{key}:\n{textwrap.indent(rules, '  ')}")
    return "".join(lines)


def _line(key: str, value: Any) -> str:
    return yaml.safe_dump({key: value}, default_flow_style=True, sort_keys=False, width=10**6).strip()[1:-1] + "\n"


def _text(key: str, value: str) -> str:
    return yaml.safe_dump({key: value}, default_flow_style=False, width=LONGEST)


if __name__ == "__main__":
    main()
