"""Features that were computed elsewhere: checked, checksummed and brought into the feature store.

A source file is in the store's schema but for its row groups, its compression and its metadata: one file per machine type,
both splits in it. It is streamed: memory is that of some 64 clips, whatever the size of its row groups.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from humwatch.datasets.clip_name import CLIP_COLUMNS, ClipName
from humwatch.datasets.clips import frame_of
from humwatch.errors import InputError
from humwatch.features import store


def clip_table(path: Path, names: Iterable[ClipName]) -> pd.DataFrame:
    """The clip table of these clips of the file `path`; sha256 is that of a clip's frames, as there is no recording.

    Raises
    ------
    InputError
        A clip has no frames, or values that are not finite.
    """
    wanted = {name.clip: name for name in names}
    rows = [
        wanted[clip]._asdict() | {"sha256": hashlib.sha256(frames.tobytes()).hexdigest()}
        for clip, frames in _stream(path, wanted)
    ]
    return frame_of(rows)


def copy(path: Path, clips: pd.DataFrame, out: Path) -> None:
    """Write the features that the file `path` has of `clips` to the store file `out`, in the order of `path`.

    Raises
    ------
    InputError
        The file lacks one of them, or says something else of it than the clip table.
    """
    theirs = _clips(path)
    ours = clips.set_index("clip")
    if missing := sorted(set(ours.index) - set(theirs.index)):
        raise InputError(f"{path} has no features of {_some(missing)}: add them or remove the clips")
    ours = ours.loc[[clip for clip in theirs.index if clip in ours.index]]
    for column in CLIP_COLUMNS[1:]:
        said = theirs.loc[ours.index, column]
        other = (said != ours[column]).fillna(False) & said.notna() & ours[column].notna()
        if other.any():
            raise InputError(
                f"{path}: its {column} of {_some(ours.index[other])} is not that of the clip table: correct it"
            )
    with open(path, "rb") as file:
        sources = hashlib.file_digest(file, "sha256").hexdigest()
    frames = (frames for _, frames in _stream(path, ours.index))
    bins, parameters = store.foreign(path)
    store.write(out, ours.reset_index(), frames, bins, parameters | {"source": "parquet"}, sources)


def _clips(path: Path) -> pd.DataFrame:
    store.foreign(path)  # refuses another schema with a sentence
    theirs = pq.read_table(path, columns=CLIP_COLUMNS).to_pandas().set_index("clip")
    theirs["label"] = theirs["label"].astype("Int8")
    return theirs


def _stream(path: Path, wanted: Iterable[str]) -> Iterator[tuple[str, np.ndarray]]:
    """(clip, frames) of the wanted clips, in the file's order: frames (frames, bins) float32, checked."""
    (bins, _), wanted = store.foreign(path), set(wanted)
    batches = pq.ParquetFile(path).iter_batches(store.ROWS_PER_GROUP, columns=["clip", "frames"])
    for batch in batches:
        lists = batch.column("frames")
        for row, clip in enumerate(batch.column("clip").to_pylist()):
            if clip not in wanted:
                continue
            values = lists[row].values
            if not values:
                raise InputError(f"{path} has no frames of {clip}: correct the file")
            if values.null_count:
                raise InputError(f"{path}: a frame of {clip} is missing (null): correct the file")
            frames = values.flatten().to_numpy(zero_copy_only=False).reshape(-1, bins)
            if not np.isfinite(frames).all():
                raise InputError(f"{path}: the frames of {clip} are NaN or infinite somewhere: correct the file")
            yield clip, frames


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]
