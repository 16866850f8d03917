"""Which files of a package a script depends on, from its source alone."""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from humwatch.errors import InputError


def imported_files(roots: Iterable[str | Path], source: Path) -> list[str]:
    """The files `roots`, then every file below `source` that they import, directly or not, sorted.

    Only import statements count, except those under `if TYPE_CHECKING`, which never run: a module that is imported by a
    computed name must be among the roots.

    Raises
    ------
    InputError
        A file is not Python.
    """
    found: set[Path] = set()
    first = [Path(root) for root in roots]
    waiting = list(first)
    while waiting:
        path = waiting.pop()
        if path not in found and path.is_file():
            found.add(path)
            waiting.extend(_files_of(name, source) for name in _imported_names(path))
    return [*map(str, first), *sorted(str(path) for path in found - set(first))]


def code_checksum(script: str | Path, *modules: str) -> str:
    """The SHA-256 of a script, modules of humwatch that it imports by computed names, and all of humwatch that they import.

    What they import within functions counts too, so that the checksum is the same whatever has been loaded so far.
    """
    source = Path(__file__).parents[2]
    files = imported_files([script, *(_files_of(module, source) for module in modules)], source)
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()


@cache
def _imported_names(path: Path) -> list[str]:
    names: list[str] = []
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:  # of NUL bytes, and of what is not UTF-8
        raise InputError(f"{path} is no Python ({error}): correct it") from None
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            waiting.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            names.extend(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def _files_of(name: str, source: Path) -> Path:
    module = source.joinpath(*name.split("."))
    return module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
