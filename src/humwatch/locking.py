"""One run at a time in a folder, without a lock that a killed run leaves behind."""

import fcntl
from pathlib import Path
from typing import IO

from humwatch.errors import InputError

_held: list[IO[str]] = []  # open for the life of the process: closing the file releases the lock


def hold_lock(path: str | Path) -> None:
    """Hold an exclusive lock on `path` until this process ends, however it ends.

    Raises InputError when another process holds it.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise InputError("another run is working in this folder: wait for it to end, or stop it") from None
    _held.append(file)
