"""Locks that go with the process that holds them, however it ends: one run in a folder, one training of a model and on a GPU."""

import errno
import glob
import itertools
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from humwatch.errors import InputError

log = logging.getLogger("humwatch")
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}
_held: dict[str, FileLock] = {}  # for the life of the process


def hold_lock(path: str | Path) -> None:
    """Hold an exclusive lock on `path` until this process ends.

    Raises
    ------
    InputError
        Another process holds it.
    """
    if not try_lock(path):
        raise InputError("another run is working in this folder: wait for it to end, or stop it")


def try_lock(path: str | Path) -> bool:
    """Hold an exclusive lock on `path` until this process ends; False where another process holds it."""
    path = os.path.abspath(path)
    if path in _held:
        return True
    lock = _lock(path)
    if not _acquire(lock, blocking=False):
        return False
    _held[path] = lock
    return True


def is_free(path: Path) -> bool:
    """Whether no process holds the lock."""
    lock = _lock(path)
    free = _acquire(lock, blocking=False)
    lock.release()
    return free


@contextmanager
def alone(path: Path, what: str) -> Iterator[bool]:
    """Be the only process that has `path` locked, after waiting for any other; the file is gone afterwards.

    Parameters
    ----------
    path
        The file to lock.
    what
        What the other process is doing, for the sentence that is logged.

    Yields
    ------
    bool
        Whether another process had to be waited for.
    """
    lock = _lock(path)
    waited = not _acquire(lock, blocking=False)
    if waited:
        log.warning("another process is still %s: waiting for it to end (%s)", what, path)
        _acquire(lock, blocking=True)
    try:
        yield waited
    finally:
        path.unlink(missing_ok=True)  # who waits for it locks the next one
        lock.release()


def claim_gpu() -> None:
    """Leave this process one of the GPUs that it sees, in CUDA_VISIBLE_DEVICES: the one that the fewest trainings use.

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


def _lock(path: str | Path) -> FileLock:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


def _acquire(lock: FileLock, blocking: bool) -> bool:
    """Whether this process holds the lock now; on a file system without locks it always does, with a warning."""
    try:
        lock.acquire(blocking=blocking)
    except Timeout:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.warning(
            "%s: this file system has no locks (%s): see to it that one run at a time works here", lock.lock_file, error
        )
    return True
