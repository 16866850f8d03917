"""Read YAML and JSON files of configurations, and say in which line one is wrong."""

import json
import re
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from humwatch.errors import InputError, shown

LARGEST_FILE = 1_000_000  # bytes
MOST_VALUES = 100_000  # in one configuration
DEEPEST = 20  # mappings and lists in each other
MOST_PROBLEMS = 20  # sentences at once

# libyaml is ten times as fast, where PyYAML was built with it.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PLAIN_TAGS = {None, *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float"))}
MERGE, NULL = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:null"


def read(paths: Iterable[str | Path]) -> dict[str, Any]:
    """A configuration in one or several YAML or JSON files, merged as `snakemake --configfile A B` merges them.

    Later files override earlier ones; nested mappings are merged.

    Raises
    ------
    InputError
        With file and line, for a file that cannot be read, for bad YAML, and for what YAML allows and nobody means: keys
        given twice, several documents, tags, aliases that expand without end.
    """
    config: dict[str, Any] = {}
    for path in paths:
        _merge(config, read_file(Path(path)))
    return config


def check_files(paths: Iterable[str | Path]) -> None:
    """Raise InputError where `read` would; pipes are left out, as they can be read only once."""
    for path in map(Path, paths):
        if path.is_file() or path.is_dir() or not path.exists():
            read_file(path)


def read_file(path: Path) -> dict[str, Any]:
    """The configuration in one file; InputError as for `read`."""
    text = _text(path)
    try:  # as Snakemake does: of JSON, 1e-3 is a number
        found = json.loads(text)
        text = text.replace("\t", " ")  # which YAML does not take for space
        as_json = True
    except (ValueError, RecursionError):
        as_json = False
    try:
        _check_events(path, text)
        loader = LOADER(text)
        node = loader.get_single_node()
        if node is None or node.tag == NULL:
            raise InputError(f"{path} is empty: write a configuration into it, see config/README.md")
        if not isinstance(node, yaml.MappingNode):
            kind = "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
            raise InputError(f"{path} holds {kind}, it must be a mapping (dataset: ...): see config/README.md")
        twice: list[str] = []
        _check_node(node, loader, path, (), {}, twice)
        refuse(twice)
        return found if as_json else loader.construct_document(node)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(
            f"{path}, line {line}: the character U+{ord(text[error.position]):04X} is not allowed in YAML: remove it"
        ) from None
    except yaml.MarkedYAMLError as error:
        raise InputError(_syntax_sentence(path, text, error)) from None


def refuse(problems: Iterable[str]) -> None:
    """Raise InputError with the problems, if there are any."""
    found = [*islice(dict.fromkeys(problems), MOST_PROBLEMS + 1)]
    if len(found) > MOST_PROBLEMS:
        found[-1] = f"config: there are more problems than these {MOST_PROBLEMS}: correct them first"
    if found:
        raise InputError("\n".join(found))


def shortened(text: str) -> str:
    """A name or a cause, shortened where it is long."""
    return text if len(text) <= 60 else f"{text[:40]}...{text[-15:]}"


def _merge(config: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict):
            if not isinstance(config.get(key), dict):
                config[key] = {}
            _merge(config[key], value)
        else:
            config[key] = value


def _text(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise InputError(f"{path} is not there: correct --configfile") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, no configuration: name a file in it") from None
    except (OSError, ValueError) as error:  # a ValueError for a name that no file can have
        raise InputError(f"{path} cannot be read ({getattr(error, 'strerror', error)}): correct --configfile") from None
    if len(data) > LARGEST_FILE:
        raise InputError(f"{path} has more than {LARGEST_FILE // 1_000_000} MB: that is no configuration")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} is in UTF-16: save it as UTF-8")
    if (position := data.find(b"\0")) >= 0:
        line = data.count(b"\n", 0, position) + 1
        raise InputError(f"{path}, line {line}: there is a NUL byte, so that this is no UTF-8 text: save it as UTF-8")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: the byte 0x{data[error.start]:02x} is not UTF-8 (Latin-1?): save the file as UTF-8"
        ) from None


def _check_events(path: Path, text: str) -> None:
    """Refuse, before anything is built, what would expand without end, and what Snakemake would read differently."""
    depth = documents = 0
    event: Any
    for event in yaml.parse(text, LOADER):
        where = f"{path}, line {event.start_mark.line + 1}"
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if depth > DEEPEST:
            raise InputError(f"{where}: there are more than {DEEPEST} lists or mappings in each other: flatten them")
        if documents > 1:
            raise InputError(
                f"{where}: a second document begins (---): a file holds one configuration, remove the line"
            )
        if getattr(event, "tag", None) not in PLAIN_TAGS:
            raise InputError(f"{where}: the tag {shown(event.tag)} is not allowed: remove it")


def _check_node(
    node: yaml.Node, loader: Any, path: Path, keys: tuple[str, ...], counted: dict[int, int], twice: list[str]
) -> int:
    """Number of values, with those of an alias at each of its places; `twice` gets a sentence for each key given twice."""
    if id(node) in counted:
        return counted[id(node)]
    line = node.start_mark.line + 1
    if len(keys) > DEEPEST:
        raise InputError(
            f"{path}, line {line}: there are more than {DEEPEST} lists or mappings in each other, by aliases"
        )
    count = 1
    if isinstance(node, yaml.ScalarNode):
        _scalar(node, loader, path)
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            count += _check_node(item, loader, path, (*keys, str(i)), counted, twice)
    else:
        lines: dict[Any, int] = {}
        for key_node, value in node.value:
            here = key_node.start_mark.line + 1
            if isinstance(key_node, yaml.ScalarNode):
                key = _scalar(key_node, loader, path)
                if key in lines:
                    name = ".".join(map(shortened, (*keys, str(key))))
                    twice.append(f"{path}, lines {lines[key]} and {here}: {name} is given twice: remove one of them")
                lines[key] = here
            count += _check_node(value, loader, path, (*keys, str(key_node.value)), counted, twice)
    if count > MOST_VALUES:
        raise InputError(
            f"{path}, line {line}: there are more than {MOST_VALUES} values, those of aliases counted: write less"
        )
    counted[id(node)] = count
    return count


def _scalar(node: yaml.ScalarNode, loader: Any, path: Path) -> Any:
    if node.tag == MERGE:
        return node.value
    try:
        return loader.construct_object(node)
    except ValueError as error:  # a date that is none, a number of thousands of digits
        reason = shortened(str(error).split(";")[0])
        raise InputError(
            f"{path}, line {node.start_mark.line + 1}: {shown(node.value)} cannot be read ({reason}): correct it, or put it in "
            "quotes if it is text"
        ) from None


def _syntax_sentence(path: Path, text: str, error: yaml.MarkedYAMLError) -> str:
    try:
        deque(yaml.parse(text, yaml.SafeLoader), 0)
    except yaml.MarkedYAMLError as same:  # libyaml's words and places are worse
        error = same
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return f"{path} is no YAML ({error.problem}): correct it"
    lines = text.split("\n")
    line = lines[mark.line] if mark.line < len(lines) else ""
    what = error.problem or error.context or "is no YAML"
    advice = "indent with spaces, not with tabs" if re.match(r" *\t", line) else "correct it"
    found = f" in {shown(line.strip())}" if line.strip() else ""
    return f"{path}, line {mark.line + 1}, column {mark.column + 1}: {shortened(what)}{found}: {advice}"
