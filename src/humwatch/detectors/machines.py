"""Which machine a clip is of: "type/id"."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd


def machines(clips: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """Each machine's "type/id", sorted, and the numbers of its clips' rows."""
    names = machine_names(clips)
    for name in sorted(set(names)):
        yield name, np.flatnonzero(names == name)


def machine_names(clips: pd.DataFrame) -> np.ndarray:
    """The "type/id" of each clip's machine.

    Returns
    -------
    (clips,) object
    """
    columns = (clips[column].to_numpy(object) for column in ("machine_type", "machine_id"))
    return np.array([f"{machine_type}/{machine_id}" for machine_type, machine_id in zip(*columns, strict=True)], object)


def domains_of(clips: pd.DataFrame) -> np.ndarray:
    """The number of each clip's domain among those that there are; clips that do not tell it are one of their own.

    Returns
    -------
    (clips,) int
    """
    if "domain" not in clips:
        return np.zeros(len(clips), int)
    return np.unique(clips["domain"].fillna("").to_numpy(str), return_inverse=True)[1]


def type_of(machine: str) -> str:
    return machine.rsplit("/", 1)[0]


def similar(machine: str, known: Iterable[str]) -> list[str]:
    """The machine itself if known, else those known of its type, else all."""
    known = list(known)
    if machine in known:
        return [machine]
    return [name for name in known if type_of(name) == type_of(machine)] or known
