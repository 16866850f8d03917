"""The data of the DCASE Challenge: which files of Zenodo are fetched, and what must be in them.

fetch    <data_folder>/dcase2020/archives/dev_data_slider.zip        from Zenodo, or from a mirror with its paths
unpack   <data_folder>/dcase2020/dev/slider/{train,test}/*.wav       and the manifest (`dcase`)

What is no clip stays in the archives: supplemental recordings of the machine or the noise alone (2025), tables of attributes.
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
from humwatch.datasets.dcase_tables import DCASE2020, Archive, Labels
from humwatch.errors import InputError

log = logging.getLogger("humwatch")

# 16 bit sound at 16 kHz zips to some 0.77 of its size (fan, pump, slider: published counts against sizes of the archives).
UNPACKED = 1.5
ID_CLIP = r"(?:train|test)/(?:normal_|anomaly_)?id_\d\d_\d+\.wav"  # 2020
SECTION_CLIP = r"(?:train|test|source_test|target_test)/section_\d\d_[^/\\]+\.wav"  # 2021 on
GROUP = re.compile(r"[a-z_]+/(?:section_|(?:normal_|anomaly_)?id_)\d\d")


def fetch(archive: Archive, data_folder: Path, **settings: Any) -> Path:
    """Fetch an archive by `zenodo.fetch`; its size, and its MD5 unless published, are those of the record's list.

    Parameters
    ----------
    **settings
        Keywords of `zenodo.fetch`.
    """
    path, checksums = archive.path(data_folder), _checksums(archive.root(data_folder))
    pattern = None if archive.md5 else _pattern(archive)
    return zenodo.fetch(archive.record, path, checksums, archive.md5, pattern=pattern, unpacked=UNPACKED, **settings)


def fetch_labels(labels: Labels, path: Path, base_url: str, **settings: Any) -> Path:
    """Fetch the labels of the evaluation set, from their record or address.

    Parameters
    ----------
    **settings
        `retries` and `backoff` of `zenodo.fetch`.
    """
    checksums = _checksums(path.parent)
    if labels.url:
        return zenodo.fetch_list(labels.url, path, checksums, labels.sha256 or None, **settings)
    return zenodo.fetch(labels.record, path, checksums, labels.md5, labels.size, base_url=base_url, **settings)


def unpack(archive_path: Path, archive: Archive, data_folder: Path) -> Path:
    """Unpack the WAV files of an archive, whole or not at all.

    Returns
    -------
    Path
        Of the manifest, with archive, record, md5, machine_type, part, not_checked (groups whose number of clips is not known),
        and clips: clip (path under the data folder), bytes, crc32.

    Raises
    ------
    InputError
        The archive is broken or not as published, names lead out of the folder, there are links, or the disk is full.
    """
    folder, manifest = archive.folder(data_folder), archive.manifest(data_folder)

    def select(listed: Iterable[zipfile.ZipInfo]) -> zenodo.Members:
        return _clips(listed, archive_path, archive)

    seen_first = zenodo.first_md5(
        archive.record, archive.name, _pattern(archive), _checksums(archive.root(data_folder))
    )
    md5, members = zenodo.unpack(archive_path, folder, manifest, select, archive.md5 or seen_first)
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


def _checksums(folder: Path) -> Path:
    return folder / "checksums.json"


def _pattern(archive: Archive) -> str:
    """What the names of a record's archives of the same machine type and part are like."""
    others = {"additional": "(?!.*_test[._])", "eval": "(?!.*_train[._])"}.get(archive.part, "")
    return rf"{others}(?:.*_)?{archive.machine_type}(?:_.*)?\.zip"


def _clips(listed: Iterable[zipfile.ZipInfo], archive_path: Path, archive: Archive) -> zenodo.Members:
    """The clips of an archive, by `<split>/<name>`: only names that DCASE uses, and as many as are known."""
    members: zenodo.Members = {}
    name = ID_CLIP if archive.challenge == DCASE2020.name else SECTION_CLIP
    for member in listed:
        if not member.filename.endswith(".wav") or member.filename.startswith(
            ("__MACOSX/", f"{archive.machine_type}/supplemental/")
        ):
            continue
        match = re.fullmatch(rf"{archive.machine_type}/({name})", member.filename, re.ASCII)
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
    """The part of a clip's name that says its split, label and id, or its split and section."""
    return GROUP.match(name)[0]  # type: ignore[index]  # all names are like it
