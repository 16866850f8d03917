"""Which source reads the recordings of a folder, to be suggested where the configured one does not."""

from collections.abc import Sequence
from pathlib import Path

from humwatch.datasets.names import ClipError, shown
from humwatch.datasets.recordings import LayoutError
from humwatch.datasets.source import source_class, source_names


def advice(source: str, folder: Path, files: Sequence[str], total: int) -> str | None:
    """One sentence with the source, or the path, that reads nearly all of these files; None where there is none.

    Parameters
    ----------
    files
        Those of `total` under `folder` that do not fit the layout of `source`.
    """
    tops = {file.split("/")[0] for file in files}
    above = folder.parent if folder.name else folder / ".."
    places = [(folder, files), (above, [f"{folder.resolve().name}/{file}" for file in files])]
    if len(tops) == 1:
        places.append((folder / tops.pop(), [file.partition("/")[2] for file in files]))
    readers = [name for name in sorted(source_names()) if source_class(name).parse]
    tried = [
        (sum(_fits(other, name) for name in names), other, path)
        for path, names in places
        for other in sorted(readers, key=lambda name: name != source)
    ]
    fit, other, path = max(tried, key=lambda one: one[0])
    if fit < 0.8 * len(files):
        return None
    changes = [f"dataset.source to {other}"] * (other != source) + [f"dataset.path to {path}"] * (path != folder)
    return shown(
        f"dataset.source is {source}, but {len(files)} of {total} recordings under {folder} (for example {files[0]}) "
        f"do not fit its layout: set {' and '.join(changes)}"
    )


def _fits(source: str, file: str) -> bool:
    try:
        source_class(source).parse(file)  # type: ignore[misc]  # of those that have it
    except LayoutError:
        return False
    except ClipError:
        pass  # it fits, and something else is wrong
    return True
