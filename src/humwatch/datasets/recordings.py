"""Recordings under a folder: which files they are, and what their names say.

Links are followed; hidden files, and what is no recording, are left out.
"""

import importlib
import logging
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from humwatch.datasets.clip_name import ClipName
from humwatch.datasets.formats import AUDIO_SUFFIXES, UNREAD_SUFFIXES
from humwatch.datasets.names import ClipError, refuse, shown
from humwatch.errors import InputError

log = logging.getLogger("humwatch")

LABELS = {"normal": 0, "anomaly": 1, None: None}
LABEL_WORD = re.compile(  # not within another word
    r"(?<![^\W\d_])(?:(?P<normal>normal)|(?P<anomaly>abnormal|anomal(?:y|ies|ous)))(?![^\W\d_])", re.IGNORECASE
)
Named = TypeVar("Named")


class LayoutError(ClipError):
    """A clip whose path does not fit the layout of its source."""


def stem(clip: str) -> str:
    """The file's name without its suffix."""
    return os.path.splitext(clip[clip.rfind("/") + 1 :])[0]


def suffix(clip: str) -> str:
    """The suffix of the file's name, in small letters."""
    return os.path.splitext(clip)[1].lower()


def audio_files(folder: Path, top_folders: Sequence[str] | None = None) -> list[str]:
    """Paths of all recordings below the folders in `folder`, relative to it.

    Hidden files and folders are left out, and, with a warning, formats that are not read. Links are followed, broken ones
    listed.

    Parameters
    ----------
    top_folders
        Folders in `folder` that are looked into; None or none: all.

    Raises
    ------
    InputError
        A folder cannot be read, or nothing is in a format that is read.
    """
    if not os.path.isdir(folder):
        raise InputError(f"dataset.path: {shown(folder)} is no folder: create it or correct the path")
    files: list[str] = []
    unread: list[str] = []
    for file in _walk(f"{folder}/", "", (os.path.realpath(folder),), set(), top_folders):
        (files if suffix(file) in AUDIO_SUFFIXES else unread).append(file)
    if unread:
        those = f"{len(unread)} in a format that is not read (the first is {shown(unread[0])})"
        if not files:
            raise InputError(
                f"dataset.path: {shown(folder)} has no recordings but {those}: convert them to WAV or FLAC"
            )
        log.warning("%s: of the recordings, %s are left out: convert them to WAV or FLAC", shown(folder), those)
    loose = [file for file in files if "/" not in file]
    if loose and len(loose) == len(files):
        raise InputError(
            f"dataset.path: {shown(folder)} has {len(loose)} recordings, but no folder of a machine: put them into one, "
            "see the source's layout in config/README.md"
        )
    if loose and not top_folders:
        log.warning("%s: %d recordings in no machine's folder are left out", shown(folder), len(loose))
    return [file for file in files if "/" in file]


def read_folder(source: str, folder: Path, files: Sequence[str], parse: Callable[[str], ClipName]) -> list[ClipName]:
    """As `read_names`, of a folder's files.

    Raises
    ------
    InputError
        Files do not fit: one sentence, where another source or another path would fit most of them.
    """
    problems: list[ClipError] = []
    clips = list(_parsed(files, parse, problems))
    unfit = [error.what for error in problems if isinstance(error, LayoutError)]
    if 2 * len(unfit) > len(files):
        # By name, so that what imports this file does not depend on all sources, as layouts does.
        advice = importlib.import_module("humwatch.datasets.layouts").advice(source, folder, unfit, len(files))
        if advice:
            raise InputError(advice)
    refuse(sorted(problems, key=str))
    return sorted(clips, key=_order)


def read_names(rows: Iterable[Named], parse: Callable[[Named], ClipName]) -> list[ClipName]:
    """Clips that are made by `parse`, sorted by machine type, split and name.

    Raises
    ------
    InputError
        A sentence for each kind of ClipError.
    """
    problems: list[ClipError] = []
    clips = sorted(_parsed(rows, parse, problems), key=_order)
    refuse(problems)
    return clips


def checked(clip: ClipName, where: str = "") -> ClipName:
    """The clip, unless it would teach a detector that an anomaly is normal."""
    if clip.split == "train" and clip.label == 1:
        raise ClipError(
            clip.clip, "is in train but labelled anomaly: training uses normal clips only, move it to test", where
        )
    return clip


def label_word(name: str) -> str | None:
    """The label that a file's name speaks of (normal, anomaly), anomaly where it speaks of both; None where of none."""
    words = {match.lastgroup for match in LABEL_WORD.finditer(name)}
    return "anomaly" if "anomaly" in words else "normal" if words else None


def agreeing(clip: ClipName, told_by: str, remedy: str) -> ClipName:
    """The clip, whose name must not speak of another label than the one that it has.

    Parameters
    ----------
    told_by
        Where its label is from, for the sentence.
    remedy
        What to do, besides renaming; {word} stands for the label that the name speaks of.

    Raises
    ------
    ClipError
        The name speaks of another label.
    """
    word = label_word(stem(clip.clip))
    trains = clip.split == "train" and clip.label is None  # as normal
    if word and clip.label != LABELS[word] and not (trains and word == "normal"):
        raise ClipError(
            clip.clip,
            f"says {word} in its name where {told_by} does not: {remedy.replace('{word}', word)} or rename it",
        )
    return clip


def _order(clip: ClipName) -> tuple[str, str, str]:
    return clip.machine_type, clip.split, clip.clip


def _parsed(rows: Iterable[Named], parse: Callable[[Named], ClipName], problems: list[ClipError]) -> Iterator[ClipName]:
    for row in rows:
        try:
            yield parse(row)
        except ClipError as error:
            problems.append(error)


def _walk(
    directory: str,
    prefix: str,
    above: tuple[str, ...],
    nested: set[str],
    only: Sequence[str] | None = None,
    linked: bool = False,
) -> Iterator[str]:
    """Audio files below `directory`, in any format; links to folders are followed, and end.

    above: real paths of the folders on the way here; linked: whether a link is among them; nested: folders that links
    within linked folders led to; only: which folders of this one to look into.
    """
    try:
        with os.scandir(directory) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"the folder {shown(directory)} cannot be read ({error.strerror}): make it readable") from None
    for entry in entries:
        name = entry.name
        audio = suffix(name) in AUDIO_SUFFIXES or suffix(name) in UNREAD_SUFFIXES
        if name.startswith("."):
            continue
        if entry.is_file(follow_symlinks=False):
            if audio:
                yield prefix + name
            continue
        try:
            mode = entry.stat().st_mode
        except OSError:  # a broken or circular link: where it is named as a clip, the check of clips says so
            mode = stat.S_IFREG
        if not stat.S_ISDIR(mode):
            if audio and not stat.S_ISREG(mode):
                raise InputError(f"{shown(directory + name)} is a pipe or a device and no recording: remove it")
            if audio:
                yield prefix + name
        elif not only or name in only:
            real, link = f"{above[-1]}/{name}", entry.is_symlink()
            if link:
                real = os.path.realpath(entry.path)
                if any(f"{path}/".startswith(f"{real.rstrip('/')}/") for path in above) or (linked and real in nested):
                    continue
                if linked:
                    nested.add(real)
            yield from _walk(f"{directory}{name}/", f"{prefix}{name}/", (*above, real), nested, linked=linked or link)
