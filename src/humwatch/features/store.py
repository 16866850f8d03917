"""The feature store: one Parquet file per machine type and split, a row per clip, frames stored once.

Column `frames` is `list<fixed_size_list<float32>[bins]>`: frame-major, so that a window of 5 frames is one contiguous
run of floats. Rows come in groups of `ROWS_PER_GROUP` clips; readers and writers hold one group at a time. Files that humwatch
wrote are checked as they are read: their footer has a checksum, and so has every page.
"""

import json
import mmap
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from humwatch import parquet
from humwatch.datasets.clip_name import CLIP_COLUMNS, OPTIONAL_COLUMNS  # the latter only in files whose clips have them
from humwatch.errors import InputError, damaged
from humwatch.files import replacing

ROWS_PER_GROUP = 64
METADATA_KEY = b"humwatch"
MAPPED_ABOVE = 8_000_000_000  # bytes of frames; more are mapped from a temporary file, not held in memory


@dataclass
class Features:
    """Features of some clips, in one array.

    Attributes
    ----------
    values : (frames of all clips, bins) float32
        Clip i owns `values[starts[i]:starts[i + 1]]`.
    starts : (clips + 1,) int64
    clips
        A row per clip: clip, machine_type, machine_id, split, label (0 normal, 1 anomaly, missing).
    parameters
        What the features were made with.
    mapped
        Whether values are read from a file as they are needed, and not held in memory.
    """

    values: np.ndarray
    starts: np.ndarray
    clips: pd.DataFrame
    parameters: dict[str, Any]
    mapped: bool = False

    @classmethod
    def of(cls, frames: Sequence[np.ndarray], clips: pd.DataFrame, parameters: dict[str, Any]) -> "Features":
        """From the frames of each clip.

        Parameters
        ----------
        frames : one or more of (frames, bins)
            In the order of `clips`.
        """
        starts = np.concatenate([[0], np.cumsum([len(of_clip) for of_clip in frames])])
        return cls(np.concatenate(frames), starts, clips, parameters)

    def __len__(self) -> int:
        return len(self.clips)

    def clip(self, i: int) -> np.ndarray:
        """Frames of clip i.

        Returns
        -------
        (frames, bins) float32
        """
        return self.values[self.starts[i] : self.starts[i + 1]]

    def select(self, keep: np.ndarray) -> "Features":
        """A copy of the clips where `keep` holds, or of those of these rows.

        Parameters
        ----------
        keep : (clips,) bool, or rows, (n,) int
        """
        rows = np.flatnonzero(keep) if keep.dtype == bool else keep
        counts = np.diff(self.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(counts)])
        values = np.empty((starts[-1], self.values.shape[1]), np.float32)
        for new, old in enumerate(rows):
            values[starts[new] : starts[new + 1]] = self.clip(int(old))
        return Features(values, starts, self.clips.iloc[rows].reset_index(drop=True), self.parameters)


def write(
    path: Path,
    clips: pd.DataFrame,
    frames: Iterable[np.ndarray],
    bins: int,
    parameters: dict[str, Any],
    sources: str,
    code: str = "",
) -> None:
    """Write the features of `clips`, in their order, to `path` (by way of a temporary name).

    Parameters
    ----------
    frames : one of (frames, bins) float32 per clip
    bins
        Values per frame.
    parameters
        What the features were made with.
    sources
        One checksum over all recordings; each clip's own checksum is the column sha256.
    code
        Checksum of the source code that computes the frames.
    """
    described = {"parameters": parameters, "sources_sha256": sources, "code_sha256": code}
    metadata = parquet.blank({METADATA_KEY: json.dumps(described, sort_keys=True)})
    optional = [name for name in OPTIONAL_COLUMNS if name in clips and clips[name].notna().any()]
    columns = [*CLIP_COLUMNS, *optional, "sha256"]
    schema = pa.schema(
        [(name, pa.int8() if name == "label" else pa.string()) for name in columns]
        + [("frames", pa.list_(pa.list_(pa.float32(), bins)))],
        metadata=metadata,
    )
    # Noise does not compress: plain pages are written and read three times faster than zstd's.
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False, "write_page_checksum": True}
    with replacing(path) as temporary:
        with pq.ParquetWriter(temporary, schema, **options) as writer:
            frames = iter(frames)
            for first in range(0, len(clips), ROWS_PER_GROUP):
                rows = clips.iloc[first : first + ROWS_PER_GROUP]
                group = [next(frames) for _ in range(len(rows))]
                for clip, found in zip(rows["clip"], group, strict=True):
                    if found.ndim != 2 or found.shape[1] != bins:
                        raise InputError(
                            f"the features of {clip} have the shape {[*found.shape]}, it must be [frames, {bins}]"
                        )
                offsets = np.concatenate([[0], np.cumsum([len(f) for f in group])]).astype(np.int32)
                flat = pa.array(np.concatenate(group).astype(np.float32, copy=False).reshape(-1))
                lists = pa.ListArray.from_arrays(offsets, pa.FixedSizeListArray.from_arrays(flat, bins))
                described_clips = pa.RecordBatch.from_pandas(
                    rows[columns], schema=pa.schema(list(schema)[:-1]), preserve_index=False
                )
                writer.write(pa.Table.from_arrays([*described_clips.columns, lists], schema=schema))
            for _ in frames:  # asked once more, a generator raises what it has found wrong with the clips
                raise ValueError(f"{path}: there are more frames than the {len(clips)} clips of the table")
        parquet.seal_footer(temporary)


def read(paths: Iterable[Path], machine_id: str | None = None, foreign: bool = False) -> Features:
    """Read whole files into one array; memory is the data plus one row group, or less where the data is mapped.

    Parameters
    ----------
    machine_id
        Of the only machine whose clips are kept; None: all.
    foreign
        Whether the files were written elsewhere, and have no checksum of ours.

    Raises
    ------
    InputError
        A file cannot be read, is damaged or not in the store's schema, or the files have different numbers of bins.
    """
    opened = [_open(Path(path), foreign) for path in paths]
    return _read(opened, machine_id, lambda clips: np.zeros(len(clips), int), 1)[0]


def read_split(
    paths: Iterable[Path], second: Callable[[pd.DataFrame], np.ndarray], machine_id: str | None = None
) -> tuple[Features, Features]:
    """Read whole files as `read` does, but into two parts.

    Parameters
    ----------
    second
        Makes of a clip table an array (clips,) bool: which clips belong to the second part.
    machine_id
        As in `read`.

    Returns
    -------
    first, second
        In the order of the files.

    Raises
    ------
    InputError
        As in `read`.
    """
    opened = [_open(Path(path)) for path in paths]
    first, other = _read(opened, machine_id, lambda clips: second(clips).astype(int), 2)
    return first, other


def _read(
    opened: list["_File"], machine_id: str | None, divide: Callable[[pd.DataFrame], np.ndarray], parts: int
) -> list[Features]:
    """The clips of each part, in the order of the files. divide: clip table -> (clips,) int, the number of each clip's part."""
    bins = {file.bins for file in opened}
    if len(bins) > 1:
        raise InputError(
            f"{', '.join(str(f.path) for f in opened)} have {sorted(bins)} bins: use one feature per trial"
        )
    clips = pd.concat([file.clips(machine_id) for file in opened], ignore_index=True)
    part_of = divide(clips)
    total = sum(_leaf_values(file.file) for file in opened) // opened[0].bins
    collected = [_Collected(total, opened[0].bins) for _ in range(parts)]
    row = 0
    for file in opened:
        for group in file.groups(machine_id):
            here = part_of[row : row + len(group)]
            for part in np.unique(here):
                collected[part].append(group if (here == part).all() else group.select(here == part))
            row += len(group)
    return [
        Features(
            frames.array(),
            frames.starts(),
            clips[part_of == part].reset_index(drop=True),
            opened[0].parameters,
            mapped=frames.file is not None,
        )
        for part, frames in enumerate(collected)
    ]


class _Collected:
    """Frames of clips one after the other in one array: in memory, or in a temporary file that is mapped."""

    def __init__(self, frames: int, bins: int) -> None:
        """frames: at most so many."""
        self.bins, self.used = bins, 0
        self.counts: list[np.ndarray] = [np.zeros(1, np.int64)]
        # The file has no name any more; its disk space is free when the array is gone.
        self.file = tempfile.TemporaryFile() if 4 * frames * bins > MAPPED_ABOVE else None  # noqa: SIM115
        # Memory that is not written is not taken.
        self.values = np.empty((0 if self.file else frames, bins), np.float32)

    def append(self, features: Features) -> None:
        if self.file:
            try:
                self.file.write(np.ascontiguousarray(features.values).data)
                self.file.flush()
            except OSError as error:
                raise InputError(
                    f"{tempfile.gettempdir()} cannot hold the frames that do not fit into memory ({error}): "
                    "set TMPDIR to a folder with more space"
                ) from None
        else:
            self.values[self.used : self.used + len(features.values)] = features.values
        self.used += len(features.values)
        self.counts.append(np.diff(features.starts))

    def array(self) -> np.ndarray:
        """(frames, bins) float32."""
        if self.file and self.used:
            # Copy on write: torch takes arrays that can be written, the file is not.
            mapped = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_COPY)
            # Read what is asked for alone: what lies around it would drive out what is needed.
            mapped.madvise(mmap.MADV_RANDOM)
            return np.frombuffer(mapped, np.float32).reshape(self.used, self.bins)
        return self.values[: self.used]

    def starts(self) -> np.ndarray:
        return np.cumsum(np.concatenate(self.counts))


def groups(path: Path, machine_id: str | None = None) -> Iterator[Features]:
    """The file's row groups in turn.

    Parameters
    ----------
    machine_id
        As in `read`.

    Yields
    ------
    features
        Of some 64 clips, without a copy.

    Raises
    ------
    InputError
        As in `read`.
    """
    yield from _open(Path(path)).groups(machine_id)


def parameters(path: Path) -> dict[str, Any]:
    """What the features in `path` were made with."""
    return _open(Path(path)).parameters


def foreign(path: Path) -> tuple[int, dict[str, Any]]:
    """What a file written elsewhere says of its features.

    Returns
    -------
    bins, parameters
        Values per frame, and what the features were made with.

    Raises
    ------
    InputError
        It has not the store's schema.
    """
    opened = _open(Path(path), is_foreign=True)
    return opened.bins, opened.parameters


def identity(path: Path) -> str:
    """A checksum that says what the features are: of which clips, with which parameters, by which code."""
    return parquet.footer_checksum(Path(path))


@dataclass
class _File:
    path: Path
    file: pq.ParquetFile
    bins: int
    parameters: dict[str, Any]

    @property
    def clip_columns(self) -> list[str]:
        return [*CLIP_COLUMNS, *(name for name in OPTIONAL_COLUMNS if name in self.file.schema_arrow.names)]

    def clips(self, machine_id: str | None = None) -> pd.DataFrame:
        with _intact(self.path):
            table = _clip_table(self.file.read(columns=self.clip_columns))
        return table if machine_id is None else table[table.machine_id == machine_id].reset_index(drop=True)

    def groups(self, machine_id: str | None = None) -> Iterator[Features]:
        for g in range(self.file.num_row_groups):
            with _intact(self.path):
                table = self.file.read_row_group(g, columns=[*self.clip_columns, "frames"])
            # A row group of a file written elsewhere may hold a whole data set: hand it on in small slices.
            for first in range(0, len(table), ROWS_PER_GROUP):
                part = table.slice(first, ROWS_PER_GROUP)
                lists = part["frames"].combine_chunks()
                offsets = lists.offsets.to_numpy().astype(np.int64)
                flat = lists.flatten().flatten().to_numpy(zero_copy_only=False)
                features = Features(
                    flat.reshape(-1, self.bins), offsets - offsets[0], _clip_table(part), self.parameters
                )
                if machine_id is not None:
                    features = features.select((features.clips.machine_id == machine_id).to_numpy())
                yield features


def _open(path: Path, is_foreign: bool = False) -> _File:
    if not is_foreign:
        parquet.footer_checksum(path)  # refuses what is not as it was written
    try:
        file = pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as Parquet ({error}): replace it or correct the path") from None
    schema = file.schema_arrow
    missing = [name for name in [*CLIP_COLUMNS, "frames"] if name not in schema.names]
    if missing:
        raise InputError(f"{path} lacks the column(s) {', '.join(missing)}: see the store's schema in docs/files.md")
    kind = schema.field("frames").type
    if not (pa.types.is_list(kind) and pa.types.is_fixed_size_list(kind.value_type)):
        raise InputError(f"{path}: column frames is {kind}, it must be list<fixed_size_list<float32>[bins]>")
    return _File(path, file, kind.value_type.list_size, _metadata(schema).get("parameters", {}))


@contextmanager
def _intact(path: Path) -> Iterator[None]:
    """Where a page that does not match its checksum becomes a sentence."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise InputError(damaged(path, str(error).splitlines()[0])) from None


def _metadata(schema: pa.Schema) -> dict[str, Any]:
    return json.loads((schema.metadata or {}).get(METADATA_KEY, b"{}"))


def _clip_table(table: pa.Table) -> pd.DataFrame:
    frame = table.drop_columns([name for name in table.column_names if name == "frames"]).to_pandas()
    frame["label"] = frame["label"].astype("Int8")
    return frame


def _leaf_values(file: pq.ParquetFile) -> int:
    """Number of float values in the column frames, from the footer alone."""
    metadata = file.metadata
    column = next(i for i in range(metadata.num_columns) if metadata.schema.column(i).path.startswith("frames."))
    return sum(metadata.row_group(g).column(column).num_values for g in range(metadata.num_row_groups))
