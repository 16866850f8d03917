"""Names of machine types, ids and files: which ones no clip may have, and how a sentence shows them.

Anything that a person would type is a name: spaces, quotes, umlauts, braces, `3`, `NA`. Refused is what cannot be printed,
what looks like nothing, and what the tables and folders of results use themselves.
"""

import logging
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from humwatch.datasets.clip_name import ClipName
from humwatch.errors import InputError

log = logging.getLogger("humwatch")

LISTED = 10  # names, or sentences, that one message holds
LONGEST = 200  # characters of a machine type or id
RESERVED_IDS = {"mean", "pooled", "pooled_standardised"}  # rows of the tables beside those of the ids
RESERVED_TYPE = "all"  # the model of all types
TYPE_FROM_ID = "_id_"  # between them in the name of a model
SURROGATES = re.compile("[\ud800-\udfff]")  # what os.fsdecode makes of bytes that are not UTF-8
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # all line breaks among them
UNPRINTABLE = re.compile(f"{SURROGATES.pattern}|{CONTROLS.pattern}")
BLANK_FILE = re.compile(r"(?:^|/)\s+(?:\.[^./]*)?$")


class ClipError(InputError):
    """What is wrong with one clip.

    Parameters
    ----------
    what
        The clip, as the sentence begins.
    wrong
        The sentence's end, the same for all clips with this fault.
    where
        What comes before, such as a file and its line.
    """

    def __init__(self, what: str, wrong: str, where: str = "") -> None:
        super().__init__(f"{where}{shown(what)} {shown(wrong)}")
        self.what, self.kind = what, (where, wrong)


def shown(text: object) -> str:
    """The text, with backslash escapes for control characters, line breaks and bytes that are not UTF-8."""
    return UNPRINTABLE.sub(lambda match: _escaped(match[0]), str(text))


def listing(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(map(shown, names[:LISTED])) + more


def refuse(errors: Iterable[ClipError]) -> None:
    """Raise one InputError with a sentence for each kind of error, if there are any."""
    kinds = defaultdict(list)
    for error in errors:
        kinds[error.kind].append(error)
    if not kinds:
        return
    sentences = [
        str(first) + (f"; likewise {listing(error.what.removesuffix(':') for error in others)}" if others else "")
        for first, *others in kinds.values()
    ]
    if len(sentences) > LISTED:
        sentences[LISTED - 1 :] = [f"... and {len(sentences) - LISTED + 1} more sentences of this sort"]
    raise InputError("\n".join(sentences))


def check(clips: Sequence[ClipName], from_table: bool) -> None:
    """Refuse clips that have a name that no clip may have; warn of names that only look the same.

    Parameters
    ----------
    from_table
        Whether the names stand in a CSV or Parquet file, where more can be written than in a folder's name.
    """
    problems = []
    for clip in clips:
        text = clip.clip if not clip.attributes else f"{clip.clip}{clip.attributes}"
        if UNPRINTABLE.search(text):
            problems.append(ClipError(clip.clip, f"{_unprintable(text)}: rename it"))
        elif BLANK_FILE.search(clip.clip):
            problems.append(ClipError(f"'{clip.clip}'", "has a blank name: rename it"))
    refuse(problems)
    for column, problem in (("machine_type", type_problem), ("machine_id", id_problem), ("domain", _text_problem)):
        first = {getattr(clip, column): clip.clip for clip in reversed(clips)}  # the first clip of each name
        for name, path in first.items():
            wrong = problem(name) if name is not None else None
            if from_table and column != "domain":
                wrong = wrong or _folder_problem(name)
            if wrong:
                problems.append(ClipError(f"{column} '{name}' (of {path})", f"{wrong}: rename it"))
        _warn_of_lookalikes(column, filter(None, first))
    refuse(sorted(problems, key=str))


def type_problem(name: str) -> str | None:
    """Why a machine type may not have this name."""
    if name == RESERVED_TYPE or TYPE_FROM_ID in name:
        return "would name a model of another scope"
    return _text_problem(name)


def id_problem(name: str) -> str | None:
    """Why a machine id may not have this name."""
    if name in RESERVED_IDS:
        return "is the name of a row that the tables add"
    return _text_problem(name)


def check_files(folder: Path, clips: Sequence[ClipName]) -> None:
    """Refuse a recording that is there twice: one file by two names, or `a.wav` beside `a.flac`."""
    real_folders: dict[str, str] = {}
    seen: dict[str, tuple[str, str]] = {}  # path without suffix -> clip, path
    problems = []
    for clip in clips:
        path = f"{folder}/{clip.clip}"
        directory, name = os.path.split(path)
        if directory not in real_folders:
            real_folders[directory] = os.path.realpath(directory)
        # Resolved where it is a link only: a whole resolution of each file would double the time of finding them.
        real = os.path.realpath(path) if os.path.islink(path) else f"{real_folders[directory]}/{name}"
        key = os.path.splitext(real)[0]
        if key not in seen:
            seen[key] = clip.clip, real
            continue
        first, first_real = seen[key]
        same = (
            "are the same file"
            if real == first_real
            else "differ in the suffix only, as one recording saved twice does"
        )
        problems.append(ClipError(f"{first} and {clip.clip}", f"{same}: no clip may count twice, keep one of the two"))
    refuse(problems)


def _text_problem(name: str) -> str | None:
    if UNPRINTABLE.search(name):
        return _unprintable(name)
    if not any(character.isprintable() and not character.isspace() for character in name):
        return "is blank"
    if name in (".", ".."):
        return "is the name of a folder, and of no machine"
    if len(name) > LONGEST:
        return f"has {len(name)} characters, it may have {LONGEST}"
    return None


def _folder_problem(name: str) -> str | None:
    return "has a slash or backslash" if "/" in name or "\\" in name else None


def _unprintable(text: str) -> str:
    return "is not UTF-8" if SURROGATES.search(text) else "has a control character or a line break"


def _escaped(character: str) -> str:
    byte = ord(character) - 0xDC00  # of a character that os.fsdecode made of a byte
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else character.encode("unicode_escape").decode()


def _warn_of_lookalikes(column: str, names: Iterable[str]) -> None:
    forms = defaultdict(list)
    for name in names:
        forms[unicodedata.normalize("NFC", name)].append(name)
    for alike in forms.values():
        if len(alike) > 1:
            log.warning(
                "%s: %s look the same and differ in their Unicode normal form: they are taken for different machines",
                *(column, " and ".join(sorted(map(ascii, alike)))),
            )
