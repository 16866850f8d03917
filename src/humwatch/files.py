"""Whole files or none: everything is written to a temporary name beside its target and renamed."""

import hashlib
import os
import re
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from humwatch.locking import is_free

HOST = socket.gethostname().split(".")[0][:20]
OLD_SECONDS = 24 * 3600  # of a temporary file of another host
QUIET_SECONDS = 60  # after which no process is about to write into an empty folder


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file or a folder whole or not at all.

    A file's bytes are on the disk before its name is: after a power cut there is the whole new file or what was there before.

    Yields
    ------
    Path
        A temporary path to write to. On success it becomes `path`; on an error it is removed, and `path` is left alone.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{HOST}.{os.getpid()}.tmp")
    try:
        yield temporary
        if temporary.is_file():
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def write_if_changed(path: Path, text: str) -> None:
    """Write a text, unless the file holds it already: its time of change, which others may go by, then stays as it is."""
    data = text.encode()
    if not path.exists() or path.read_bytes() != data:
        with replacing(path) as temporary:
            temporary.write_bytes(data)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes have left below `folder`: temporary files, locks that nobody holds, empty interim states."""
    quiet = time.time() - QUIET_SECONDS
    interim = [path for path in (folder / "interim").rglob("*") if path.is_dir() and path.lstat().st_mtime < quiet]
    for place, folders, names in os.walk(folder, topdown=False):
        for name in [*folders, *names]:
            path = Path(place, name)
            with suppress(OSError):  # a process that lives may be quicker
                if name.startswith(".") and name.endswith(".tmp") and _is_left(path):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                elif name.startswith(".") and name.endswith(".lock") and is_free(path):
                    path.unlink()
                elif path in interim:
                    path.rmdir()  # if it is empty


def write_checksums(listing: Path, paths: Iterable[Path]) -> None:
    """Write the SHA-256 of files in and below the listing's folder, as `sha256sum` does: `sha256sum -c` compares them."""
    lines = [f"{sha256(path)}  {path.relative_to(listing.parent).as_posix()}\n" for path in paths]
    with replacing(listing) as temporary:
        temporary.write_text("".join([f"# {len(lines)} files\n", *lines]))


def checksums(listing: Path) -> dict[Path, str] | None:
    """The SHA-256 of each path in a listing; None where the listing is not whole."""
    try:
        header, *lines = listing.read_text().splitlines()
    except (OSError, ValueError):
        return None
    found = [re.fullmatch("([0-9a-f]{64})  (.+)", line) for line in lines]
    if header != f"# {len(lines)} files" or not all(found):
        return None
    return {listing.parent / match[2]: match[1] for match in found if match}


def damaged(listing: Path) -> list[Path]:
    """What to remove so that a listing and its files are made again; nothing where all files are there and as it says."""
    if not listing.exists():
        return []
    if (said := checksums(listing)) is None:
        return [listing]
    wrong = [path for path, checksum in said.items() if not path.is_file() or sha256(path) != checksum]
    return [*filter(Path.is_file, wrong), listing] if wrong else []


def is_damaged(path: Path, listing: Path) -> bool:
    """Whether a file is not what its listing says, or the listing is not whole; False without a listing."""
    return listing.exists() and (checksums(listing) or {}).get(path) != sha256(path)


def empty(folder: Path) -> list[Path]:
    """Empty files below `folder` that a run made and that other jobs read."""
    apart = [folder / name for name in ("logs", "benchmarks", "submission")]  # no job reads these
    kinds = (".parquet", ".json", ".safetensors", ".csv", ".txt", ".html")
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if Path(place, name) not in apart]
        for path in (Path(place, name) for name in names if name.endswith(kinds)):
            with suppress(OSError):
                if not path.stat().st_size:
                    found.append(path)
    return found


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_left(temporary: Path) -> bool:
    """Whether the process that wrote it is gone, or on another host so long ago that it must be."""
    host, _, pid = temporary.name.removesuffix(".tmp").rpartition(".")
    if host.endswith(f".{HOST}") and pid.isdigit():
        return not _is_running(int(pid))
    return time.time() - temporary.lstat().st_mtime > OLD_SECONDS


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
