"""Whole files or none: everything is written to a temporary name beside its target and renamed."""

import hashlib
import os
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

HOST = socket.gethostname().split(".")[0][:20]
OLD_SECONDS = 24 * 3600


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; on success it becomes `path`, on an error it is removed and `path` is left alone.

    A file's bytes are on the disk before its name is: after a power cut there is the whole new file or what was there before.
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
    """Write a text, unless the file holds it already: what only depends on the file's time of change then stays as it is."""
    data = text.encode()
    if not path.exists() or path.read_bytes() != data:
        with replacing(path) as temporary:
            temporary.write_bytes(data)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes have left below `folder`, and folders of interim states that are empty."""
    for path in [*folder.rglob(".*.tmp")]:
        if _is_left(path):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    for path in sorted((folder / "interim").rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def write_checksums(listing: Path, paths: Iterable[Path]) -> None:
    """Write the SHA-256 of files in and below the listing's folder, as `sha256sum` does: `sha256sum -c` compares them."""
    lines = (f"{sha256(path)}  {path.relative_to(listing.parent).as_posix()}\n" for path in paths)
    with replacing(listing) as temporary:
        temporary.write_text("".join(lines))


def damaged(listing: Path) -> list[Path]:
    """The files of a listing that are there and are not what it says."""
    try:
        names = [line.split("  ", 1)[-1] for line in listing.read_text().splitlines()]
    except (OSError, ValueError):
        return []
    return [path for name in names if (path := listing.parent / name).is_file() and is_damaged(path, listing)]


def empty(folder: Path) -> list[Path]:
    """Files of no bytes below `folder`; logs and recordings are somebody else's."""
    apart = {folder / name for name in ("logs", "benchmarks")}
    found = [path for path in folder.rglob("*") if path.is_file() and not path.stat().st_size]
    kinds = {".parquet", ".json", ".safetensors", ".csv", ".txt", ".html", ".svg", ".png"}
    return [path for path in found if path.suffix in kinds and not apart & {*path.parents}]


def is_damaged(path: Path, listing: Path) -> bool:
    """Whether a file is not what its listing says, or the listing is none. Without a listing nothing is known."""
    try:
        lines = [line.split("  ", 1) for line in listing.read_text().splitlines()]
        said = {name: checksum for checksum, name in lines}
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True
    return said.get(path.relative_to(listing.parent).as_posix()) != sha256(path)


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
