"""The data of the DCASE Challenge: which files of Zenodo are fetched, and what must be in them.

fetch    <data_folder>/dcase2020/archives/dev_data_slider.zip        from Zenodo, or from a mirror with its paths
unpack   <data_folder>/dcase2020/dev/slider/{train,test}/*.wav       and the manifest (`dcase`)
"""

import logging
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from humwatch.datasets import zenodo
from humwatch.datasets.dcase_tables import Archive, Challenge
from humwatch.errors import InputError

log = logging.getLogger("humwatch")

# 16 bit sound at 16 kHz zips to some 0.77 of its size (fan, pump, slider: published counts against sizes of the archives).
UNPACKED = 1.5


def fetch(archive: Archive, data_folder: Path, **settings: Any) -> Path:
    """`zenodo.fetch`, with its keywords, of an archive; the size comes from the record's metadata."""
    path, checksums = archive.path(data_folder), archive.root(data_folder) / "checksums.json"
    return zenodo.fetch(archive.record, path, checksums, archive.md5, unpacked=UNPACKED, **settings)


def fetch_labels(challenge: Challenge, data_folder: Path, **settings: Any) -> Path:
    """`zenodo.fetch`, with its keywords, of the labels of the evaluation set."""
    path, labels = challenge.labels_path(data_folder), challenge.labels
    return zenodo.fetch(labels.record, path, path.with_name("checksums.json"), labels.md5, labels.size, **settings)


def unpack(archive_path: Path, archive: Archive, data_folder: Path) -> Path:
    """Unpack the WAV files of an archive, whole or not at all, and return the manifest.

    Manifest: archive, record, md5, machine_type, part, not_checked (groups whose number of clips is not known), and clips:
    clip (path under the data folder), bytes, crc32.

    Raises InputError: an archive that is broken or not as published, names that lead out of the folder, links, or a full disk.
    """
    folder, manifest = archive.folder(data_folder), archive.manifest(data_folder)

    def select(listed: Iterable[zipfile.ZipInfo]) -> zenodo.Members:
        return _clips(listed, archive_path, archive)

    md5, members = zenodo.unpack(archive_path, folder, manifest, select, archive.md5)
    not_checked = sorted({group for group in map(_group, members) if archive.clips.get(group) is None})
    if not_checked:
        log.warning(
            "%s: how many clips there should be is not known, and was not checked, for %s",
            *(archive.name, ", ".join(not_checked)),
        )
    content = {
        "archive": archive.name,
        "record": archive.record,
        "md5": md5,
        "machine_type": archive.machine_type,
        "part": archive.part,
        "not_checked": not_checked,
        "clips": [
            {
                "clip": (folder / name).relative_to(data_folder).as_posix(),
                "bytes": member.file_size,
                "crc32": f"{member.CRC:08x}",
            }
            for name, member in sorted(members.items())
        ],
    }
    zenodo.write_json(manifest, content)
    return manifest


def _clips(listed: Iterable[zipfile.ZipInfo], archive_path: Path, archive: Archive) -> zenodo.Members:
    """The WAV files of an archive, by `<split>/<name>`: only names that DCASE uses, and as many as are known."""
    members: zenodo.Members = {}
    for member in listed:
        if not member.filename.endswith(".wav") or member.filename.startswith("__MACOSX/"):
            continue
        match = re.fullmatch(
            rf"{archive.machine_type}/((?:train|test)/(?:normal_|anomaly_)?id_\d\d_\d+\.wav)", member.filename, re.ASCII
        )
        if match is None or stat.S_ISLNK(member.external_attr >> 16) or match[1] in members:
            raise InputError(
                f"{archive_path}: {member.filename!r} is a link, is there twice or is not named "
                f"{archive.machine_type}/<train or test>/<clip>, so nothing was unpacked; delete the file and run again."
            )
        members[match[1]] = member
    found = Counter(map(_group, members))
    for group in sorted(archive.clips.keys() | found.keys()) if archive.clips else ():
        expected = archive.clips.get(group, 0)
        if found[group] != expected and not (expected is None and found[group]):
            raise InputError(
                f"{archive_path}: it has {found[group]} clips {archive.machine_type}/{group}_* where "
                f"{'some' if expected is None else expected} are expected, so delete the file and run again."
            )
    if not members:
        raise InputError(
            f"{archive_path}: it has no clips of {archive.machine_type}, so delete the file and run again."
        )
    return members


def _group(name: str) -> str:
    """The part of a clip's name that says its split, label and id."""
    return name.rsplit("_", 1)[0]
