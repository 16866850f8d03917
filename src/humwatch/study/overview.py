"""Tables of what a study's data set has, for `humwatch data`: files that are fetched, clips and hours, checksums."""

import hashlib
import os
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import soundfile

from humwatch import parquet
from humwatch.datasets import audio
from humwatch.datasets.clip_name import ClipName
from humwatch.datasets.source import BaseSource, Fetched
from humwatch.errors import InputError

THREADS = 4
LABELS = {0: "normal", 1: "anomaly"}


def fetched_table(files: Iterable[Fetched], checksums: bool) -> pd.DataFrame:
    """A row per file that the study fetches: is it fetched and unpacked, and, with `checksums`, is its checksum as published."""
    rows = []
    for file in files:
        unpacked = "-" if file.unpacked is None else f"{file.unpacked} clips" if file.unpacked else "no"
        rows.append({"file": file.path.name, **_fetched(file.path, file.checksum, checksums), "unpacked": unpacked})
    return pd.DataFrame(rows)


def read_seconds(folder: Path, clips: Iterable[ClipName]) -> dict[str, float | None]:
    """The length of each clip in seconds, from its header where that states it; None where a clip cannot be read."""

    def one(clip: ClipName) -> float | None:
        path = folder / clip.clip
        try:
            if length := soundfile.info(os.fsencode(path)).duration:
                return length
        except (soundfile.LibsndfileError, OSError):
            pass  # `audio` reads some files that libsndfile cannot open, or that state no length
        try:
            recording = audio.decode(path, audio.load(path))
        except InputError:
            return None
        return len(recording.samples) / recording.sample_rate

    clips = list(clips)
    with ThreadPoolExecutor(THREADS) as pool:
        return dict(zip((clip.clip for clip in clips), pool.map(one, clips), strict=True))


def clip_table(source: BaseSource, clips: list[ClipName], seconds: dict[str, float | None]) -> pd.DataFrame:
    """Clips and hours per machine type, id, split, label and, where there are any, domain; the last row has the sums.

    Of a published data set, the column `expected` has the number of clips that it should have.
    """
    frame = pd.DataFrame(clips, columns=ClipName._fields)
    frame["label"] = frame["label"].map(LABELS).fillna("unlabelled")
    frame["hours"] = [(seconds.get(clip) or 0) / 3600 for clip in frame["clip"]]
    by = ["machine_type", "machine_id", "split", "label", *(["domain"] if frame["domain"].notna().any() else [])]
    order = {"train": 0, "test": 1, "normal": 0, "anomaly": 1, "unlabelled": 2}
    table = frame.fillna({"domain": "-"}).groupby(by).agg(clips=("clip", "size"), hours=("hours", "sum")).reset_index()
    table = table.sort_values(by, key=lambda column: column.map(order) if column.name in ("split", "label") else column)
    total = {
        **dict.fromkeys(by, ""),
        "machine_type": "all",
        "clips": table["clips"].sum(),
        "hours": table["hours"].sum(),
    }
    table = pd.concat([table, pd.DataFrame([total])], ignore_index=True)
    table["hours"] = table["hours"].map("{:.2f}".format) if seconds else "-"
    if source.is_published:
        labels = {word: label for label, word in LABELS.items()}
        rows = zip(*(table[column] for column in ("machine_type", "machine_id", "split", "label")), strict=True)
        expected = [source.published_clips(t, i, split, labels.get(label)) for t, i, split, label in rows]
        table["expected"] = ["-" if count is None else count for count in expected]
    return table


def checksum_lines(source: BaseSource, folder: Path, clips: list[ClipName]) -> str:
    """Sentences that compare each clip's SHA-256 with the last run's clip table, and its CRC-32 with the archive's manifest."""
    with ThreadPoolExecutor(THREADS) as pool:
        read = list(pool.map(lambda clip: _checksums(folder / clip.clip), clips))
    known = Path("results", source.name, "clips.parquet")
    lines = []
    if known.exists():
        table = parquet.read(known).set_index("clip")["sha256"]
        lines.append(
            _compared(known, {clip.clip: sha for clip, (sha, _) in zip(clips, read, strict=True)}, dict(table))
        )
    if published := source.published_checksums():
        lines.append(
            _compared("the manifests", {c.clip: crc for c, (_, crc) in zip(clips, read, strict=True)}, published)
        )
    names = sorted(f"{clip.clip} {sha}\n" for clip, (sha, _) in zip(clips, read, strict=True))
    lines.append(f"SHA-256 of all names and checksums: {hashlib.sha256(''.join(names).encode()).hexdigest()}")
    return "\n".join(lines)


def _fetched(path: Path, published: str | None, checksums: bool) -> dict[str, str]:
    part = path.with_name(path.name + ".part")
    if path.exists():
        row = {"fetched": f"{path.stat().st_size / 1e6:.1f} MB"}
        if checksums:
            row["checksum"] = "none is known" if published is None else _checked(path, published)
        return row
    return {"fetched": f"begun, {part.stat().st_size / 1e6:.1f} MB" if part.exists() else "no"} | (
        {"checksum": "-"} if checksums else {}
    )


def _checked(path: Path, published: str) -> str:
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "md5" if len(published) == 32 else "sha256").hexdigest()
    return "as published" if found == published else "OTHER THAN PUBLISHED"


def _checksums(path: Path) -> tuple[str, str]:
    try:
        data = path.read_bytes()
    except OSError:
        return "unreadable", "unreadable"
    return hashlib.sha256(data).hexdigest(), f"{zlib.crc32(data):08x}"


def _compared(where: object, found: dict[str, str], known: dict[str, str]) -> str:
    changed = sorted(clip for clip in found.keys() & known.keys() if found[clip] != known[clip])
    line = f"{len(found.keys() & known.keys()) - len(changed)} of {len(found)} clips are as in {where}"
    return line + (f"; changed: {', '.join(changed)}" if changed else "")
