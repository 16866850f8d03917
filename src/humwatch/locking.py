"""Locks that go with the process that holds them, however it ends: one run in a folder, one training of a model and on a GPU."""

import errno
import fcntl
import glob
import itertools
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from humwatch.errors import InputError

log = logging.getLogger("humwatch")
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}
_held: dict[str, IO[str]] = {}  # open for the life of the process: closing a file releases its lock


def hold_lock(path: str | Path) -> None:
    """Hold an exclusive lock on `path` until this process ends.

    Raises InputError when another process holds it.
    """
    if not try_lock(path):
        raise InputError("another run is working in this folder: wait for it to end, or stop it")


def try_lock(path: str | Path) -> bool:
    """Hold an exclusive lock on `path` until this process ends, unless another process does: whether that worked."""
    path = os.path.abspath(path)
    if path in _held:
        return True
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a")  # noqa: SIM115
    if not _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
        file.close()
        return False
    _held[path] = file
    return True


def is_free(path: Path) -> bool:
    """Whether no process holds the lock."""
    with open(path, "a") as file:
        return _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def alone(path: Path, what: str) -> Iterator[bool]:
    """Be the only process that has `path` locked, after waiting for another: yields whether there was one.

    what: the sentence's words for what that process does. The file is gone afterwards.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    waited = False
    while True:
        with open(path, "a") as file:
            if not _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
                log.warning("another process is still %s: waiting for it to end (%s)", what, path)
                waited = True
                _lock(file, fcntl.LOCK_EX)
            if not _is_file(file, path):
                continue  # the other one has removed it meanwhile: lock the new one
            try:
                yield waited
            finally:
                path.unlink(missing_ok=True)
            return


def claim_gpu() -> None:
    """Leave this process one of the GPUs that it sees, in CUDA_VISIBLE_DEVICES: the one with the fewest such processes.

    To be called before CUDA starts. Where a scheduler like Slurm shows a job its own GPU alone, nothing is changed.
    """
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = [*map(str, range(len(glob.glob("/dev/nvidia[0-9]*"))))] if shown is None else shown.split(",")
    if len(gpus) < 2:
        return
    for place in itertools.count():
        for gpu in gpus:
            if try_lock(Path(tempfile.gettempdir(), f"humwatch-{os.getuid()}-gpu-{gpu}-{place}.lock")):
                os.environ["CUDA_VISIBLE_DEVICES"] = gpu
                return


def _lock(file: IO[str], how: int) -> bool:
    """Lock an open file: False where another process has. A file system without locks lets everybody through, with a warning."""
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.warning(
            "%s: this file system has no locks (%s): see to it that one run at a time works here", file.name, error
        )
    return True


def _is_file(file: IO[str], path: Path) -> bool:
    """Whether the open file is the one that has the path's name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
