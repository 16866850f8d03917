"""Which recordings a clip table is made of, as a file: Snakemake compares its content, and never sees the recordings' names.

A line per clip: what its name says of it, its size, and when it was changed last. A file whose time alone has changed, and whose
bytes are those of the clip table, keeps its line: touching recordings makes nothing run again.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from humwatch.datasets.clip_name import ClipName
from humwatch.errors import InputError
from humwatch.files import write_if_changed

Seen = tuple[int, int]  # of a file: size in bytes, time of the last change in ns


def update(path: Path, folder: Path, clips: Iterable[ClipName], table: Path) -> Path:
    """Bring the list `path` up to date with the clips below `folder`; it is written only where it changes.

    Parameters
    ----------
    table
        The clip table that was made of them, if there is one.

    Returns
    -------
    path
    """
    known = _read(path)
    checksums: dict[str, str] | None = None
    lines = []
    for clip in clips:
        seen, before = _seen(folder / clip.clip), known.get(clip.clip)
        if before and seen and before != seen and before[0] == seen[0]:
            checksums = _checksums(table) if checksums is None else checksums
            if checksums.get(clip.clip) == _sha256(folder / clip.clip):
                seen = before
        lines.append(json.dumps([*clip, *(seen or ("cannot be opened",))]) + "\n")
    write_if_changed(path, "".join(lines))
    return path


def link(path: str | Path) -> str:
    """A path to the same file that is safe in a Snakemake pattern: itself, or a symbolic link in .snakemake."""
    if not set(str(path)) & set("{}<>\n\r"):
        return str(path)
    made = Path(".snakemake/links", hashlib.sha256(os.fsencode(path)).hexdigest()[:16] + Path(path).suffix)
    target = os.path.abspath(path)
    if not made.is_symlink() or os.readlink(made) != target:
        made.parent.mkdir(parents=True, exist_ok=True)
        made.unlink(missing_ok=True)
        made.symlink_to(target)
    return str(made)


def _read(path: Path) -> dict[str, Seen]:
    """Clip -> what was seen of it; nothing of a list that is missing or damaged, which is then made anew."""
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return {row[0]: (row[-2], row[-1]) for row in rows if isinstance(row[-1], int)}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _seen(path: Path) -> Seen | None:
    try:
        found = path.stat()
    except OSError:  # a link to nowhere or to itself: the clip's own check says so
        return None
    return found.st_size, found.st_mtime_ns


def _checksums(table: Path) -> dict[str, str]:
    from humwatch import parquet  # pyarrow takes time to load, and is needed where recordings were touched alone

    try:
        frame = parquet.read(table)
    except InputError:
        return {}
    return dict(zip(frame["clip"], frame["sha256"], strict=True))


def _sha256(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
