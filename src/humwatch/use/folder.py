"""Watch a folder in which recordings arrive: each is taken once, when it is whole."""

import hashlib
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from humwatch.datasets import audio
from humwatch.datasets.audio import UNKNOWN_LENGTH, Recording
from humwatch.datasets.formats import AUDIO_SUFFIXES
from humwatch.datasets.names import shown
from humwatch.errors import InputError
from humwatch.use.history import History

log = logging.getLogger("humwatch")

SETTLED = 1.0  # seconds without a change, after which a file is opened
PATIENCE = 60.0  # seconds without a change, after which what still looks cut or unfinished is taken as it is
RESCAN = 60.0  # seconds between listings; for network drives, and for files of which the system has not told
AT_A_TIME = 5.0  # seconds of yielding files before new ones are looked for
TICK_MS = 200


@dataclass(frozen=True)
class Clip:
    """A file to judge.

    Attributes
    ----------
    path
        Of the file.
    file
        How records name it.
    size, modified_ns, sha256
        Of the file: bytes, nanoseconds, and the checksum of its content.
    recording
        What is in it, or a sentence that says what is wrong with it; None where it is left out for want of time.
    """

    path: Path
    file: str
    size: int
    modified_ns: int
    sha256: str
    recording: Recording | str | None


@dataclass
class _Waiting:
    size: int
    modified_ns: int
    since: float  # when it was seen to have changed
    again: float  # when to look again
    old: bool  # it was there before the watch: the backlog has no limit for these


class Folder:
    """Iterating yields clips that the history does not have, oldest first, and None whenever there are none for the moment.

    Parameters
    ----------
    folder
        With all folders below it.
    history
        Of the clips that have been judged.
    backlog
        How many whole files that arrive may wait; of more, the oldest are yielded without their samples.

    Attributes
    ----------
    arrived
        When a file was last seen to arrive, by `time.monotonic`.

    Raises
    ------
    InputError
        The package watchfiles is missing.
    """

    def __init__(self, folder: Path, history: History, backlog: int) -> None:
        try:
            import watchfiles
        except ImportError:
            raise InputError("watch needs watchfiles: pip install 'humwatch[watch]'") from None
        logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells of every change
        self._watch = watchfiles.watch
        self.folder, self.history, self.backlog = folder.resolve(), history, backlog
        self.arrived = time.monotonic()
        self._waiting: dict[Path, _Waiting] = {}
        # Size and time of files that have a new time, and bytes that are known.
        self._touched: dict[Path, tuple[int, int]] = {}
        self._scanned = -float("inf")
        self._pause = RESCAN

    def __iter__(self) -> Iterator[Clip | None]:
        changes = self._watch(
            self.folder,
            watch_filter=None,
            debounce=TICK_MS,
            rust_timeout=TICK_MS,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        for changed in changes:
            for _, name in changed:
                self._note(Path(name), old=False)
            # The system tells of a folder that is moved here, but not of the files in it.
            if time.monotonic() - self._scanned > self._pause or any(os.path.isdir(name) for _, name in changed):
                self._scan()
            yield from self._whole()
            yield None

    def file(self, path: Path) -> str:
        """How records name a file: its path below the folder."""
        return shown(path.relative_to(self.folder).as_posix())

    def _scan(self) -> None:
        begun, first = time.monotonic(), self._scanned < 0
        for place, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                self._note(Path(place, name), old=first)
        self._scanned = time.monotonic()
        self._pause = max(RESCAN, 20 * (self._scanned - begun))

    def _note(self, path: Path, old: bool) -> None:
        """Wait until a file is whole; start again if it has changed."""
        hidden = any(part.startswith(".") for part in path.relative_to(self.folder).parts)
        if hidden or path.suffix.lower() not in AUDIO_SUFFIXES:
            return
        try:
            found = path.stat()
        except OSError:  # gone again
            return
        known = self._waiting.get(path)
        if known and (known.size, known.modified_ns) == (found.st_size, found.st_mtime_ns):
            return
        if not known and (
            self._touched.get(path) == (found.st_size, found.st_mtime_ns)
            or self.history.has_file(self.file(path), found.st_size, found.st_mtime_ns)
        ):
            return
        now = time.monotonic()
        self.arrived = now
        self._waiting[path] = _Waiting(found.st_size, found.st_mtime_ns, now, now + SETTLED, old and not known)

    def _whole(self) -> Iterator[Clip]:
        begun = time.monotonic()
        ready = sorted((known.modified_ns, path) for path, known in self._waiting.items() if known.again <= begun)
        arriving = [path for _, path in ready if not self._waiting[path].old]
        left_out = arriving[: max(0, len(arriving) - self.backlog)]
        gone = {*left_out}
        for path in left_out:
            yield from self._taken(path, leave_out=True)
        for path in [path for _, path in ready if path not in gone]:
            yield from self._taken(path)
            if time.monotonic() - begun > AT_A_TIME:
                return

    def _taken(self, path: Path, leave_out: bool = False) -> Iterator[Clip]:
        """Yield the clip, if its file is whole and not in the history; it waits on if it has changed or may change."""
        known = self._waiting[path]
        self._note(path, old=False)
        if not path.exists():
            log.warning("%s has gone before it was judged", path)
            del self._waiting[path]
        elif self._waiting[path] is known and (clip := self._read(path, known, leave_out)):
            del self._waiting[path]
            if self.history.has(clip.file, clip.sha256):
                self._touched[path] = clip.size, clip.modified_ns
            else:
                yield clip

    def _read(self, path: Path, known: _Waiting, leave_out: bool) -> Clip | None:
        """The clip; None where its file looks unfinished, and may still grow."""
        sha256, unfinished = "", False
        recording: Recording | str | None = None
        try:
            data = audio.load(path)
            sha256 = hashlib.sha256(data).hexdigest()
            if not leave_out:
                recording = audio.decode(path, data)
                unfinished = UNKNOWN_LENGTH in recording.remarks
        except InputError as error:
            recording, unfinished = str(error), True
        now = time.monotonic()
        if unfinished and now - known.since < PATIENCE:
            known.again = known.since + PATIENCE
            return None
        return Clip(path, self.file(path), known.size, known.modified_ns, sha256, recording)
