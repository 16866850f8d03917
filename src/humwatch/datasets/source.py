"""What a data source answers: which clips there are, where, what is known of them before they are there.

A source is a file of this folder with a class `Source`, by that file's name in the configuration; a year at a name's end is
left out (dcase2020 is in dcase.py). Planning a study asks it, and needs neither a network nor the data, nor libraries that
take time to load: what fetches or generates recordings is in files of its own.
"""

import importlib
import importlib.util
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from humwatch import datasets
from humwatch.datasets.clip_name import ClipName
from humwatch.datasets.names import check, check_files, listing
from humwatch.errors import InputError
from humwatch.parameters import REQUIRED, parameter, schema_of

SAMPLE_RATE, SECONDS = 16000, 10  # Hz and s of the clips that rules make, and of those of which nothing is known yet

CHANNEL = {"type": "integer", "minimum": 0, "maximum": 1000}

Machines = dict[tuple[str, str], list[str]]  # (machine type, split) -> machine ids, sorted
Recordings = dict[tuple[str, str], list[ClipName]]  # the same -> clips
Known = Mapping[tuple[str, str], set[str]]  # the same -> machine ids, also of those that are not wanted


class Fetched(NamedTuple):
    """A file that a source fetches.

    Attributes
    ----------
    checksum
        MD5 or SHA-256, as published or when it was seen first.
    unpacked
        How many of its clips are there, None where it has none.
    """

    path: Path
    checksum: str | None
    unpacked: int | None = None


@dataclass(frozen=True, kw_only=True)
class BaseSource(ABC):
    """Base of all sources.

    Fields, each a `humwatch.parameters.parameter`, are the keys of `dataset`: these are of every source.

    Attributes
    ----------
    summary
        What it is, in words.
    place
        Its place among the others, where they are listed.
    names
        How configurations call it, unless as its file.
    has_recordings
        Whether there is something to listen to, and not features that were computed elsewhere.
    is_made
        Whether rules make its clips, so that they are known before they are there.
    is_generated
        Whether its clips are of no real machine.
    parse
        Reads a path, where the layout tells all.
    not_needed
        Keys that do not change which clips `find` finds in a folder.
    """

    source: str = parameter(REQUIRED, "", enum=[])  # both are made of all sources
    name: str = parameter(
        REQUIRED,
        "Names the folder results/<name>.",
        pattern="^[A-Za-z0-9_][A-Za-z0-9._-]*$",
        says="letters, digits, '.', '_' and '-', the first one a letter, a digit or '_'",
        maxLength=100,
    )
    machine_types: list[str] = parameter(
        [],
        "Machine types to use; empty means all that are found.",
        uniqueItems=True,
        items={"type": "string", "minLength": 1},
    )
    machine_ids: list[str] = parameter(
        [],
        'Machine ids to use, as strings ("00"); empty means all that are found.',
        uniqueItems=True,
        items={"type": "string", "minLength": 1},
    )
    channel: int | str | list[int] | dict[str, int] = parameter(
        0,
        'Channel to listen to, counted from 0, or "mix" for the mean of all channels. Several microphones: {near: 0, far: 1}, or '
        "a list, the one near the machine first; features that hear no others hear that one.",
        anyOf=[
            CHANNEL,
            {"const": "mix"},
            {"type": "array", "items": CHANNEL, "minItems": 2, "uniqueItems": True, "maxItems": 64},
            {
                "type": "object",
                "required": ["near", "far"],
                "additionalProperties": False,
                "properties": {"near": CHANNEL, "far": CHANNEL},
            },
        ],
    )

    summary: ClassVar[str]
    place: ClassVar[int] = 100
    names: ClassVar[tuple[str, ...]] = ()
    has_recordings: ClassVar[bool] = True
    is_made: ClassVar[bool] = False
    is_generated: ClassVar[bool] = False
    parse: ClassVar[Callable[..., ClipName] | None] = None
    not_needed: ClassVar[set[str]] = {"name", "machine_types", "channel"}

    @property
    def channels(self) -> list[int | str]:
        """The channels to listen to, the one near the machine first."""
        if isinstance(self.channel, dict):
            return [self.channel["near"], self.channel["far"]]
        return [*self.channel] if isinstance(self.channel, list) else [self.channel]

    @property
    def from_table(self) -> bool:
        """Whether names stand in a file, where more can be written than in a folder's name."""
        return False

    @property
    def is_published(self) -> bool:
        """Whether its clips are those of a publication, whose figures and numbers of clips are compared."""
        return False

    @property
    def module(self) -> str:
        """The name of its file."""
        return type(self).__module__.rsplit(".", 1)[-1]

    @abstractmethod
    def folder(self) -> str:
        """The folder below which all clips lie."""

    @abstractmethod
    def find(self, folder: Path) -> list[ClipName]:
        """The clips that are under `folder` now; those of machine types that are not wanted may be left out."""

    def recordings(self, folder: str | Path) -> Recordings:
        """The wanted clips that are under `folder` now.

        Raises
        ------
        InputError
            The folder is missing, a name fits no layout or is one that no clip may have (`names`), or a recording is there
            twice.
        """
        clips = [clip for clip in self.find(Path(folder)) if self._wants(clip.machine_type, clip.machine_id)]
        check(clips, self.from_table)
        if self.has_recordings:
            check_files(Path(folder), clips)
        found: Recordings = {}
        for clip in clips:
            found.setdefault((clip.machine_type, clip.split), []).append(clip)
        return found

    def machines(self, found: Recordings) -> Machines:
        """The wanted machines as they are known before anything runs.

        Parameters
        ----------
        found
            As from `recordings`; {} where rules make them.

        Raises
        ------
        InputError
            A wanted machine type or id is missing, or there is nothing to train on.
        """
        known = self.known_machines(found)
        wanted = {
            (machine_type, split): sorted(i for i in ids if self._wants(machine_type, i))
            for (machine_type, split), ids in sorted(known.items())
        }
        kept = {key: ids for key, ids in wanted.items() if ids}
        self._check(kept, known)
        return kept

    def known_machines(self, found: Recordings) -> Known:
        return {key: {clip.machine_id for clip in clips} for key, clips in found.items()}

    def clip_counts(self, found: Recordings, machines: Machines) -> Counter[tuple[str, str, str]]:
        """(machine type, split, machine id) -> number of clips, an estimate where it is not published."""
        counts = self.known_counts(found).items()
        return Counter({(t, s, i): n for (t, s, i), n in counts if i in machines.get((t, s), [])})

    def known_counts(self, found: Recordings) -> Counter[tuple[str, str, str]]:
        clips = (clip for listed in found.values() for clip in listed)
        return Counter((clip.machine_type, clip.split, clip.machine_id) for clip in clips)

    def known_clips(self) -> tuple[int | None, float | None]:
        """Sample rate in Hz and seconds of every clip, None where nobody says."""
        return None, None

    def inputs(self, machine_type: str, split: str) -> list[str]:
        """Where rules make the clips, the files that are there once those of a machine type and split are."""
        return []

    def needed(self, split: str) -> dict[str, Any]:
        """What another process finds the clips of a split by: keys from which `of` makes a source, and `path`, the folder."""
        keys = {key: value for key, value in vars(self).items() if key not in self.not_needed and value is not None}
        return keys | {"path": self.folder()}

    def fetched(self) -> list[Fetched]:
        """The files that rules fetch."""
        return []

    def published_clips(self, machine_type: str, machine_id: str, split: str, label: int | None) -> int | None:
        """Number of clips of a kind, None where it is not published."""
        return None

    def published_checksums(self) -> dict[str, str]:
        """CRC-32 of the clips that are there, as they were published."""
        return {}

    def challenge_sets(self) -> tuple[int, dict[str, list[tuple[str, str]]]] | None:
        """Of a challenge's data: its year, and the machines (type, id) of each set that it measures by itself; else None."""
        return None

    def _wants(self, machine_type: str, machine_id: str) -> bool:
        return (not self.machine_types or machine_type in self.machine_types) and (
            not self.machine_ids or machine_id in self.machine_ids
        )

    def _check(self, kept: Machines, known: Known) -> None:
        where = self.folder()
        lacking = {
            "machine_types": set(self.machine_types) - {machine_type for machine_type, _ in kept},
            "machine_ids": set(self.machine_ids) - set().union(*kept.values()),
        }
        if any(lacking.values()):
            known = self._everything() or known
            of_wanted_types = (
                ids for (t, _), ids in known.items() if not self.machine_types or t in self.machine_types
            )
            present = {"machine_types": {t for t, _ in known}, "machine_ids": set().union(*of_wanted_types)}
            for key, there in present.items():
                if there and (missing := sorted(lacking[key] - there)):
                    raise InputError(
                        f"dataset.{key}: there are no clips of {listing(missing)} in {where}, only of "
                        f"{listing(sorted(there))}: correct the name"
                    )
            if kept:
                raise InputError(
                    f"dataset.machine_types: {listing(sorted(lacking['machine_types']))} has no clips of the ids that "
                    f"dataset.machine_ids names in {where}: leave it out, or add its ids"
                )
        if not kept:
            kind = "recordings" if self.has_recordings else "files of features"
            wanted = [*self.machine_types, *(f"id {machine_id}" for machine_id in self.machine_ids)]
            of = f" of {listing(wanted)}" if wanted else ""
            raise InputError(f"dataset.path: {where} has no {kind}{of}: add some")
        if not any(split == "train" for _, split in kept):
            raise InputError(
                f"dataset: {where} has no training clips: add normal recordings, see the source's layout in config/README.md"
            )

    def _everything(self) -> Known:
        """Machines, also those that are not wanted; none where rules make them, or one of them cannot be read."""
        if self.is_made:
            return {}
        everything = replace(self, machine_types=[], machine_ids=[])
        try:
            return everything.known_machines(everything.recordings(self.folder()))
        except InputError:  # of a machine that nobody asked for
            return {}


@dataclass(frozen=True, kw_only=True)
class FolderSource(BaseSource):
    """Base of sources whose files are there, in one folder."""

    path: str | None = parameter(
        REQUIRED, "Folder of the recordings, or of the files <machine_type>.parquet.", type="string", minLength=1
    )

    def folder(self) -> str:
        if self.path is None:
            raise InputError("config: dataset lacks path, the folder of the recordings: add it")
        return self.path


@dataclass(frozen=True, kw_only=True)
class RecordingsSource(FolderSource):
    """Base of sources whose recordings are there, in one folder."""

    sample_rate: int | None = parameter(
        None,
        "Sample rate of every clip in Hz; null takes the one that most training clips have.",
        minimum=100,
        maximum=1_000_000,
    )

    not_needed = BaseSource.not_needed | {"sample_rate"}

    def known_clips(self) -> tuple[int | None, float | None]:
        return self.sample_rate, None


@dataclass(frozen=True, kw_only=True)
class MadeSource(BaseSource):
    """Base of sources whose clips rules make, generate or fetch."""

    is_made = True

    @abstractmethod
    def known_machines(self, found: Recordings) -> Known: ...

    @abstractmethod
    def known_counts(self, found: Recordings) -> Counter[tuple[str, str, str]]: ...

    @abstractmethod
    def inputs(self, machine_type: str, split: str) -> list[str]: ...

    def known_clips(self) -> tuple[int | None, float | None]:
        return SAMPLE_RATE, SECONDS


@dataclass(frozen=True, kw_only=True)
class Seeded:
    """The further key of sources that draw at random."""

    seed: int = parameter(
        0,
        "Seed of the demo's recordings, and of the draw of test clips (source mimii).",
        minimum=0,
        exclusiveMaximum=2**63,
    )


def of(dataset: Mapping[str, Any]) -> BaseSource:
    """The source of a `dataset` section.

    Keys that the section lacks have their defaults, or None where they have none; keys that the source lacks are left out.
    """
    made = source_class(dataset["source"])
    stated: dict[str, Any] = {
        field.name: dataset.get(field.name) for field in fields(made) if field.name in dataset or _required(field)
    }
    return made(**stated)


@lru_cache
def source_class(name: str) -> type[BaseSource]:
    """The class of the source that configurations call `name`."""
    module = re.sub(r"\d{4}$", "", name)
    found = importlib.util.find_spec(f"humwatch.datasets.{module}")
    if not found:
        raise InputError(f"dataset.source is {name!r}: there is no src/humwatch/datasets/{module}.py")
    try:
        return importlib.import_module(found.name).Source
    except (SyntaxError, ImportError, AttributeError) as error:
        raise InputError(f"{found.origin} cannot be imported ({error}): correct it") from None


def source_names() -> list[str]:
    """How configurations call each source."""
    files = (path for folder in datasets.__path__ for path in Path(folder).glob("*.py"))
    modules = [path.stem for path in files if re.search(r"^class Source\b", path.read_text(encoding="utf-8"), re.M)]
    listed = sorted((source_class(module).place, source_class(module).names or (module,)) for module in modules)
    return [name for _, called in listed for name in called]


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema of each key of the section `dataset`, `sources` added where it is of some sources only."""
    classes = {name: source_class(name) for name in source_names()}
    found: dict[str, dict[str, Any]] = {}
    users: dict[str, list[str]] = {}
    for name, one in classes.items():
        for key, schema in schema_of(one).items():
            if found.setdefault(key, schema) != schema:
                raise InputError(f"{one.__module__}: {key} is not that of {users[key][0]}: make them one, or rename it")
            users.setdefault(key, []).append(name)
    called: dict[type[BaseSource], list[str]] = {}
    for name, one in classes.items():
        called.setdefault(one, []).append(name)
    summaries = " ".join(f"{', '.join(names)}: {one.summary}" for one, names in called.items())
    found["source"] = {"description": summaries, "enum": [*classes]}
    return {
        key: schema | ({} if len(users[key]) == len(classes) else {"sources": users[key]})
        for key, schema in found.items()
    }


def _required(field: Field) -> bool:
    return field.default is MISSING and field.default_factory is MISSING
