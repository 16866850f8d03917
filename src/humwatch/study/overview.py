"""What a study's data set has: what is there, what is missing, clips and hours of each machine.

Nothing is fetched, nothing is changed. Examples:

    humwatch data                                          the demo (config/config.yaml)
    humwatch data --configfile config/dcase2020.yaml       archives and clips of DCASE 2020
    humwatch data --configfile own.yaml --checksums        reads every file again

The exit code is 1 where the configuration or a name is refused or a recording cannot be read, else 0, also where recordings
are still to be fetched or generated.
"""

import argparse
import hashlib
import os
import zlib
from collections.abc import Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import soundfile

from humwatch import datasets, parquet
from humwatch.datasets import audio, dcase2020
from humwatch.datasets.directory import ClipName
from humwatch.datasets.names import listing
from humwatch.errors import InputError
from humwatch.study.config import read_schema, validate
from humwatch.study.reading import read

THREADS = 4
LABELS = {0: "normal", 1: "anomaly"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--configfile", type=Path, default=Path("config/config.yaml"), help="default: config/config.yaml"
    )
    parser.add_argument("--checksums", action="store_true", help="compare every file with the checksums known of it")


def main(args: argparse.Namespace) -> None:
    dataset = read_dataset(args.configfile)
    folder = Path(datasets.data_folder(dataset))
    print(f"Data set {dataset['name']}, source {dataset['source']}, in {folder}\n")
    if dataset["source"] == "dcase2020":
        print(archive_table(dataset, args.checksums).to_string(index=False), end="\n\n")
    made_later = dataset["source"] in datasets.MADE and not folder.exists()
    found = {} if made_later else datasets.recordings(dataset, folder)
    clips = [clip for names in found.values() for clip in names]
    if clips:
        seconds = {} if dataset["source"] == "parquet" else read_seconds(folder, clips)
        print(clip_table(dataset, clips, seconds).to_string(index=False), end="\n\n")
        if args.checksums and seconds:
            print(checksum_lines(dataset, folder, clips), end="\n\n")
        if unreadable := sorted(clip for clip, length in seconds.items() if length is None):
            raise InputError(f"{folder}: {listing(unreadable)} cannot be read as audio: replace or remove them")
    known = datasets.machines(dataset, found)  # says what is missing
    missing = [f"{machine_type} {split}" for machine_type, split in known if not found.get((machine_type, split))]
    if missing:
        print(f"Not there yet: {', '.join(missing)}; make them by: snakemake --cores 2 --configfile {args.configfile}")
    else:
        print("All clips that the study needs are there.")


def read_dataset(configfile: Path) -> dict[str, Any]:
    """The dataset section of a configuration, checked and with its defaults."""
    return validate(read([configfile]), read_schema())["dataset"]


def archive_table(dataset: dict[str, Any], checksums: bool) -> pd.DataFrame:
    """A row per file that the study fetches: is it fetched, is it unpacked, is its MD5 the published one (if asked)."""
    folder = Path(dataset["data_folder"])
    rows = []
    for archive in dcase2020.archives(dataset["machine_types"] or dcase2020.MACHINE_TYPES, dataset["parts"]):
        unpacked = len(dcase2020.read_manifest(archive.manifest(folder)))
        row = _fetched(archive.path(folder), archive.md5, checksums)
        rows.append({"file": archive.name, **row, "unpacked": f"{unpacked} clips" if unpacked else "no"})
    if dataset["ground_truth"] and "eval" in dataset["parts"]:
        row = _fetched(dcase2020.ground_truth(folder), dcase2020.GROUND_TRUTH[2], checksums)
        rows.append({"file": dcase2020.GROUND_TRUTH[1], **row, "unpacked": "-"})
    return pd.DataFrame(rows)


def read_seconds(folder: Path, clips: Iterable[ClipName]) -> dict[str, float | None]:
    """Length of each clip in s, from its header; None where it cannot be read."""

    def one(clip: ClipName) -> float | None:
        path = folder / clip.clip
        try:
            if length := soundfile.info(os.fsencode(path)).duration:
                return length
        except (soundfile.LibsndfileError, OSError):
            pass  # what libsndfile cannot open may be readable all the same, as may be what states no length
        try:
            recording = audio.decode(path, audio.load(path))
        except InputError:
            return None
        return len(recording.samples) / recording.sample_rate

    clips = list(clips)
    with ThreadPoolExecutor(THREADS) as pool:
        return dict(zip((clip.clip for clip in clips), pool.map(one, clips), strict=True))


def clip_table(dataset: dict[str, Any], clips: list[ClipName], seconds: dict[str, float | None]) -> pd.DataFrame:
    """A row per machine type, id, split, label and, where there are any, domain, then one for all; expected: published."""
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
    if dataset["source"] == "dcase2020":
        table["expected"] = [_expected(dataset, row) for row in table.to_dict("records")]
    return table


def checksum_lines(dataset: dict[str, Any], folder: Path, clips: list[ClipName]) -> str:
    """Every clip's SHA-256 against the clip table of the last run; CRC-32 of unpacked clips against their manifests."""
    with ThreadPoolExecutor(THREADS) as pool:
        read = list(pool.map(lambda clip: _checksums(folder / clip.clip), clips))
    known = Path("results", dataset["name"], "clips.parquet")
    lines = []
    if known.exists():
        table = parquet.read(known).set_index("clip")["sha256"]
        lines.append(
            _compared(known, {clip.clip: sha for clip, (sha, _) in zip(clips, read, strict=True)}, dict(table))
        )
    if dataset["source"] == "dcase2020":
        published: dict[str, str] = {}
        for archive in dcase2020.archives(dataset["machine_types"] or dcase2020.MACHINE_TYPES, dataset["parts"]):
            published |= dcase2020.read_manifest(archive.manifest(folder))
        lines.append(
            _compared("the manifests", {c.clip: crc for c, (_, crc) in zip(clips, read, strict=True)}, published)
        )
    names = sorted(f"{clip.clip} {sha}\n" for clip, (sha, _) in zip(clips, read, strict=True))
    lines.append(f"SHA-256 of all names and checksums: {hashlib.sha256(''.join(names).encode()).hexdigest()}")
    return "\n".join(lines)


def _fetched(path: Path, md5: str | None, checksums: bool) -> dict[str, str]:
    part = path.with_name(path.name + ".part")
    if path.exists():
        row = {"fetched": f"{path.stat().st_size / 1e6:.1f} MB"}
        if checksums:
            with open(path, "rb") as file:
                row["md5"] = (
                    "as published" if hashlib.file_digest(file, "md5").hexdigest() == md5 else "OTHER THAN PUBLISHED"
                )
        return row
    return {"fetched": f"begun, {part.stat().st_size / 1e6:.1f} MB" if part.exists() else "no"} | (
        {"md5": "-"} if checksums else {}
    )


def _expected(dataset: dict[str, Any], row: dict[Hashable, Any]) -> int | str:
    """How many clips of this kind are published; evaluation clips got their labels later and are counted without."""
    label = "" if row["label"] == "unlabelled" else f"{row['label']}_"
    for part in dataset["parts"]:
        if row["machine_type"] in dcase2020.MACHINE_TYPES:
            counts = dcase2020.expected_clips(row["machine_type"], part)
            if (count := counts.get(f"{row['split']}/{label}id_{row['machine_id']}")) is not None:
                return count
    return "-"


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
