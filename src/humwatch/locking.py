"""Locks that go with the process that holds them, however it ends: one run at a time in a folder, one training on a GPU."""

import fcntl
import glob
import itertools
import os
import tempfile
from pathlib import Path
from typing import IO

from humwatch.errors import InputError

_held: list[IO[str]] = []  # open for the life of the process: closing the file releases the lock


def hold_lock(path: str | Path) -> None:
    """Hold an exclusive lock on `path` until this process ends.

    Raises InputError when another process holds it.
    """
    if not _locked(path):
        raise InputError("another run is working in this folder: wait for it to end, or stop it")


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
            if _locked(Path(tempfile.gettempdir(), f"humwatch-{os.getuid()}-gpu-{gpu}-{place}.lock")):
                os.environ["CUDA_VISIBLE_DEVICES"] = gpu
                return


def _locked(path: str | Path) -> bool:
    """Lock `path`, unless another process has: whether that worked."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    _held.append(file)
    return True
