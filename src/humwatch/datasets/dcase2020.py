"""DCASE 2020 Challenge Task 2: which archives there are, and how they are fetched, checked and unpacked.

    fetch    <data_folder>/dcase2020/archives/dev_data_slider.zip        from Zenodo, or from a mirror with its paths
    unpack   <data_folder>/dcase2020/dev/slider/{train,test}/*.wav       the recordings; dev, additional and eval are a root each
             <data_folder>/dcase2020/dev_slider.json                     the manifest: written last, so where it is, all is

Recordings: Koizumi et al. 2020 (https://arxiv.org/abs/2006.05822), CC BY-NC-SA 4.0. The MD5 sums are those of soundata's
loader (https://github.com/soundata/soundata); the clip counts of the development set were counted in the features that
Tiwari et al. published.
"""

import csv
import json
import logging
import re
import shutil
import stat
import sys
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pooch
import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from humwatch import __version__
from humwatch.datasets.directory import ClipName, parse
from humwatch.errors import InputError
from humwatch.files import replacing

logger = logging.getLogger(__name__)

BASE_URL = "https://zenodo.org"
MACHINE_TYPES = ("fan", "pump", "slider", "valve", "ToyCar", "ToyConveyor")
PARTS: dict[str, tuple[str, str, tuple[str, ...]]] = {  # part: Zenodo record, archive name, groups of clips in it
    "dev": ("3678171", "dev_data_{}.zip", ("train/normal_id_", "test/normal_id_", "test/anomaly_id_")),
    "additional": ("3727685", "eval_data_train_{}.zip", ("train/normal_id_",)),
    "eval": ("3841772", "eval_data_test_{}.zip", ("test/id_",)),
}
MD5 = {
    "dev_data_fan.zip": "649bdfc06263ae7a838963f43b6641e6",
    "dev_data_pump.zip": "90e7091ef722b7238a7f1009365779cd",
    "dev_data_slider.zip": "da24a757719f0d94d5aa2d646bbfdc86",
    "dev_data_valve.zip": "34d2672f55bb041589ef79c10dc89934",
    "dev_data_ToyCar.zip": "4dec75ca8d9f666aa9e4c1894a740501",
    "dev_data_ToyConveyor.zip": "03b6aa1bfd09a39d53af0ba39f71fa91",
    "eval_data_train_fan.zip": "567798854130c8019df8b664c095ed1e",
    "eval_data_train_pump.zip": "4e33ae9c0db5cc88437675f5e317caee",
    "eval_data_train_slider.zip": "f84f186f4295fc23754abcdd1b0580a7",
    "eval_data_train_valve.zip": "057cdd560caffb8305449541afd28c6d",
    "eval_data_train_ToyCar.zip": "a5d4ccd498af70b04dd74b644b820006",
    "eval_data_train_ToyConveyor.zip": "0e808ac0b761e9fb13d5e0c65caff00d",
    "eval_data_test_fan.zip": "1eb9356a768cadfd0f2e59a5c57e578b",
    "eval_data_test_pump.zip": "23a8f8f924be218c69df67fe07360348",
    "eval_data_test_slider.zip": "0193c769073840332ce3aad84b1ccaa2",
    "eval_data_test_valve.zip": "f69c551d2088691050d20cccca9d631c",
    "eval_data_test_ToyCar.zip": "bea2bdd612f616be8f2b8eb087b32c7c",
    "eval_data_test_ToyConveyor.zip": "ccfcc9847c7d3404d7ee9d6d9e0b2ba2",
}
CLIPS: dict[
    str, dict[str, dict[str, tuple[int | None, ...]]]
] = {  # machine id: clips per group of the part; None: not known, not checked
    "dev": {
        "fan": {"00": (911, 100, 407), "02": (916, 100, 359), "04": (933, 100, 348), "06": (915, 100, 361)},
        "pump": {"00": (906, 100, 143), "02": (905, 100, 111), "04": (602, 100, 100), "06": (936, 100, 102)},
        "slider": {"00": (968, 100, 356), "02": (968, 100, 267), "04": (434, 100, 178), "06": (434, 100, 89)},
        "valve": {"00": (891, 100, 119), "02": (608, 100, 120), "04": (900, 100, 120), "06": (892, 100, 120)},
        "ToyCar": {machine_id: (1000, None, None) for machine_id in ("01", "02", "03", "04")},
        "ToyConveyor": {machine_id: (1000, None, None) for machine_id in ("01", "02", "03")},
    },
    "additional": {
        "fan": {"01": (None,), "03": (None,), "05": (None,)},
        "pump": {"01": (None,), "03": (None,), "05": (None,)},
        "slider": {"01": (968,), "03": (968,), "05": (434,)},
        "valve": {"01": (None,), "03": (None,), "05": (None,)},
        "ToyCar": {"05": (None,), "06": (None,), "07": (None,)},
        "ToyConveyor": {"04": (None,), "05": (None,), "06": (None,)},
    },
    "eval": {
        "fan": {"01": (None,), "03": (None,), "05": (None,)},
        "pump": {"01": (None,), "03": (None,), "05": (None,)},
        "slider": {"01": (278,), "03": (278,), "05": (278,)},
        "valve": {"01": (None,), "03": (None,), "05": (None,)},
        "ToyCar": {"05": (None,), "06": (None,), "07": (None,)},
        "ToyConveyor": {"04": (None,), "05": (None,), "06": (None,)},
    },
}
GROUND_TRUTH = (
    "3951620",
    "eval_data_list.csv",
    "f16aaa185df9906e588864aaf7cb58ea",
    338_426,
)  # record, name, MD5, bytes


@dataclass(frozen=True)
class Archive:
    """A zip file: one machine type in one part of the data set.

    md5 None, a clip count None, or no clips: not known, not checked.
    """

    machine_type: str
    part: str
    record: str
    name: str
    md5: str | None = None
    clips: dict[str, int | None] = field(default_factory=dict)  # as from `expected_clips`

    def path(self, data_folder: Path) -> Path:
        """The zip file, once fetched."""
        return _root(data_folder) / "archives" / self.name

    def folder(self, data_folder: Path) -> Path:
        """The folder that holds train/ and test/, once unpacked."""
        return _root(data_folder) / self.part / self.machine_type

    def manifest(self, data_folder: Path) -> Path:
        """The JSON file that says that the folder is whole."""
        return _root(data_folder) / f"{self.part}_{self.machine_type}.json"


def archives(machine_types: Iterable[str], parts: Iterable[str], pinned: bool = True) -> list[Archive]:
    """Return the archives that hold these machine types and parts; nothing is asked of a server.

    pinned: expect the published MD5 sums and clip counts. Without, a server's own MD5 sums are believed: for tests with small
    archives.
    """
    chosen = []
    for part in dict.fromkeys(parts):
        for machine_type in dict.fromkeys(machine_types):
            clips = expected_clips(machine_type, part)
            record, name, _ = PARTS[part]
            name = name.format(machine_type)
            chosen.append(
                Archive(machine_type, part, record, name, MD5[name] if pinned else None, clips if pinned else {})
            )
    return chosen


def archive_named(name: str) -> Archive:
    """Return the archive with this published name."""
    return next(archive for archive in archives(MACHINE_TYPES, PARTS) if archive.name == name)


def expected_ids(machine_type: str, part: str) -> list[str]:
    """Return the machine ids of a machine type in a part: those of dev differ from those of additional, which eval shares."""
    if machine_type not in MACHINE_TYPES:
        raise InputError(
            f"dataset.machine_types: DCASE 2020 has no {machine_type!r}, so choose from {', '.join(MACHINE_TYPES)}."
        )
    if part not in PARTS:
        raise InputError(f"dataset.parts: DCASE 2020 has no {part!r}, so choose from {', '.join(PARTS)}.")
    return list(CLIPS[part][machine_type])


def expected_clips(machine_type: str, part: str) -> dict[str, int | None]:
    """Return the number of clips per split, label and id, by the start of their names: {"train/normal_id_00": 968}.

    None: not known.
    """
    return {
        group + machine_id: count
        for machine_id in expected_ids(machine_type, part)
        for group, count in zip(PARTS[part][2], CLIPS[part][machine_type][machine_id], strict=True)
    }


def machines(machine_types: Iterable[str], parts: Iterable[str]) -> dict[tuple[str, str], set[str]]:
    """Return (machine type, split) -> machine ids of these parts; no machine types means all."""
    known: dict[tuple[str, str], set[str]] = {}
    for part in parts:
        for machine_type in machine_types or MACHINE_TYPES:
            ids = expected_ids(machine_type, part)
            for split in splits(part):
                known.setdefault((machine_type, split), set()).update(ids)
    return known


def splits(part: str) -> set[str]:
    """Return the splits that a part has: dev both, additional train, eval test."""
    return {group.split("/")[0] for group in PARTS[part][2]}


def inputs(dataset: Mapping[str, Any], machine_type: str, split: str) -> list[Path]:
    """Return the files that must be there before `find` knows the clips of a machine type and split: manifests and labels."""
    folder = Path(dataset["data_folder"])
    wanted = set(dataset["machine_ids"])
    parts = [
        part
        for part in dataset["parts"]
        if split in splits(part) and (not wanted or wanted & set(expected_ids(machine_type, part)))
    ]
    labels = [ground_truth(folder)] if dataset["ground_truth"] and "eval" in parts else []
    return [archive.manifest(folder) for archive in archives([machine_type], parts)] + labels


def find(folder: Path, dataset: Mapping[str, Any]) -> list[ClipName]:
    """Return the unpacked clips, from the manifests; evaluation clips get their label from the ground truth, by name.

    dataset: parts; machine_types, none meaning all; ground_truth: whether to use it, where it is there.
    """
    csv_path = ground_truth(folder)
    labels = evaluation_labels(csv_path) if dataset.get("ground_truth") and csv_path.exists() else {}
    clips = []
    for archive in archives(dataset.get("machine_types") or MACHINE_TYPES, dataset["parts"]):
        for path in read_manifest(archive.manifest(folder)):
            clip = parse(path.split("/", 2)[2])._replace(clip=path)
            if labels and archive.part == "eval":
                key = archive.machine_type, Path(path).name
                if key not in labels:
                    raise InputError(
                        f"{csv_path}: it has no label of {path}, so fetch it again or set dataset.ground_truth to false."
                    )
                clip = clip._replace(label=labels[key])
            clips.append(clip)
    return clips


def read_manifest(manifest: Path) -> dict[str, str]:
    """Return the clips of a manifest, as paths under the data folder, and their CRC-32; none where there is no manifest."""
    if not manifest.exists():
        return {}
    try:
        return {clip["clip"]: clip["crc32"] for clip in json.loads(manifest.read_text())["clips"]}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"{manifest}: not a whole manifest ({error}), so delete it and run again.") from error


def ground_truth(data_folder: Path) -> Path:
    """Return where the labels of the evaluation set are, once fetched."""
    return _root(data_folder) / GROUND_TRUTH[1]


def fetch(
    archive: Archive, data_folder: Path, base_url: str = BASE_URL, retries: int = 5, backoff: float = 1.0
) -> Path:
    """Download an archive, unless it is there; an interrupted download goes on where it stopped.

    The size, and an MD5 that is not pinned, come from the record's metadata; they are kept in dcase2020/checksums.json.

    retries: how often in a row a request may fail and be repeated; backoff: s to wait before that, doubled each time.
    Raises InputError: server, checksum or disk.
    """
    path = archive.path(data_folder)
    if archive.md5 and path.exists() and pooch.file_hash(path, alg="md5") == archive.md5:
        return path
    md5, size = _checksum(archive, _root(data_folder) / "checksums.json", base_url, retries, backoff)
    if not path.exists():
        # 16 bit sound at 16 kHz zips to some 0.77 of its size (fan, pump, slider: counts above against sizes of the archives).
        left = size - _bytes(_part(path))
        _check_disk(path.parent, left + 1.5 * size, f"to fetch and unpack {archive.name}")
    return _download(archive.record, path, md5, size, base_url, retries, backoff)


def unpack(archive_path: Path, archive: Archive, data_folder: Path) -> Path:
    """Unpack the WAV files of an archive, whole or not at all, and return the manifest.

    Manifest: archive, record, md5, machine_type, part, not_checked (groups whose number of clips is not known), and clips:
    clip (path under the data folder), bytes, crc32.

    Raises InputError: an archive that is broken or not as published, names that lead out of the folder, links, or a full disk.
    """
    archive_path, data_folder = Path(archive_path), Path(data_folder)
    folder, manifest = archive.folder(data_folder), archive.manifest(data_folder)
    temporary = (
        _root(data_folder) / f".unpacking_{archive.part}_{archive.machine_type}"
    )  # outside every part: no reader takes it for clips
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # what a killed call left
        md5 = pooch.file_hash(archive_path, alg="md5")
        if archive.md5 not in (None, md5):
            raise InputError(
                f"{archive_path}: its MD5 is {md5} where {archive.md5} is expected, so delete the file and run again."
            )
        with zipfile.ZipFile(archive_path) as source:
            members = _clips(source, archive_path, archive)
            _check_disk(
                _root(data_folder), sum(member.file_size for member in members.values()), f"to unpack {archive_path}"
            )
            for name, member in tqdm(members.items(), desc=f"unpack {archive.name}", unit="clip", **_progress()):
                target = temporary / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with source.open(member) as wav, open(target, "wb") as file:
                    shutil.copyfileobj(wav, file, 1 << 20)
        manifest.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary.rename(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{archive_path}: not a sound zip file ({error}), so delete it and run again.") from error
    except OSError as error:
        raise InputError(f"{archive_path}: cannot be unpacked into {folder} ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    not_checked = sorted(
        {name.rsplit("_", 1)[0] for name in members if archive.clips.get(name.rsplit("_", 1)[0]) is None}
    )
    if not_checked:
        logger.warning(
            "%s: how many clips there should be is not known, and was not checked, for %s",
            archive.name,
            ", ".join(not_checked),
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
    _write_json(manifest, content)
    return manifest


def fetch_ground_truth(data_folder: Path, base_url: str = BASE_URL, retries: int = 5, backoff: float = 1.0) -> Path:
    """Download the labels of the evaluation set, unless they are there: dcase2020/eval_data_list.csv, for `evaluation_labels`."""
    record, _, md5, size = GROUND_TRUTH
    return _download(record, ground_truth(data_folder), md5, size, base_url, retries, backoff)


def evaluation_labels(csv_path: Path) -> dict[tuple[str, str], int]:
    """Read the labels of the evaluation set: {(machine type, file name): 0 normal or 1 anomaly}, to be joined by name.

    A line is a machine type alone, or `id_01_00000000.wav,anomaly_id_01_00000035.wav,1`: name, name with label, label.
    """
    labels: dict[tuple[str, str], int] = {}
    machine_type = None
    try:
        with open(csv_path, newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.reader(file), 1):
                where = f"{csv_path}, line {number}"
                if len(row) == 1 and row[0] in MACHINE_TYPES:
                    machine_type = row[0]
                elif len(row) != 3 or row[2] not in ("0", "1") or not re.fullmatch(r"id_\d\d_\d+\.wav", row[0]):
                    if row:
                        raise InputError(
                            f"{where}: {','.join(row)!r} is neither a machine type nor `name,labelled name,label`; "
                            "fetch it again."
                        )
                elif machine_type is None:
                    raise InputError(f"{where}: {row[0]} comes before any machine type, so fetch the file again.")
                elif (machine_type, row[0]) in labels:
                    raise InputError(f"{where}: {machine_type} {row[0]} is listed twice, so fetch the file again.")
                else:
                    labels[machine_type, row[0]] = int(row[2])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{csv_path}: cannot be read as a list of labels ({error}), so fetch it again.") from error
    return labels


def _root(data_folder: Path) -> Path:
    return Path(data_folder) / "dcase2020"


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _clips(source: zipfile.ZipFile, archive_path: Path, archive: Archive) -> dict[str, zipfile.ZipInfo]:
    """Return the WAV files of an archive, by `<split>/<name>`: only names that DCASE uses, and as many as are known."""
    members: dict[str, zipfile.ZipInfo] = {}
    for member in source.infolist():
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
    found = Counter(name.rsplit("_", 1)[0] for name in members)
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


def _check_disk(folder: Path, needed: float, purpose: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder}: {free / 1e9:.1f} GB are free where {needed / 1e9:.1f} GB are needed {purpose}, so make room or set "
            "dataset.data_folder."
        )


def _write_json(path: Path, content: dict) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def _checksum(archive: Archive, lock: Path, base_url: str, retries: int, backoff: float) -> tuple[str, int]:
    """Return MD5 and size of an archive, from the lock file or else from the record's metadata, which is then added to it."""
    url = f"{base_url.rstrip('/')}/api/records/{archive.record}"
    try:
        known = json.loads(lock.read_text()) if lock.exists() else {}
        if archive.name not in known.get(archive.record, {}):
            with _session(retries, backoff) as session, session.get(url, timeout=60) as response:
                response.raise_for_status()
                files = response.json()["files"]
            # Jobs side by side may overwrite each other's additions: that costs a request, later, and nothing else.
            known[archive.record] = {
                file["key"]: {"md5": file["checksum"].removeprefix("md5:"), "size": int(file["size"])} for file in files
            }
            if archive.name in known[archive.record]:
                _write_json(lock, known)
        md5, size = (known[archive.record][archive.name][key] for key in ("md5", "size"))
    except requests.RequestException as error:
        raise InputError(
            f"{url}: no answer about {archive.name} ({_reason(error)}), so check dataset.base_url or run again later."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{url}: neither its answer nor {lock} has MD5 and size of {archive.name}; check the address or delete {lock}."
        ) from error
    except OSError as error:
        raise InputError(f"{lock}: cannot be read or written ({error.strerror or error}).") from error
    if archive.md5 not in (None, md5):
        raise InputError(
            f"{url}: {archive.name} has the MD5 {md5} there (or in {lock}) where the published one has {archive.md5}, so check "
            "dataset.base_url."
        )
    return md5, size


def _download(record: str, path: Path, md5: str, size: int, base_url: str, retries: int, backoff: float) -> Path:
    url = f"{base_url.rstrip('/')}/records/{record}/files/{path.name}?download=1"
    downloader = _Resuming(_part(path), size, retries, backoff)
    try:
        return Path(pooch.retrieve(url, f"md5:{md5}", fname=path.name, path=path.parent, downloader=downloader))
    except InputError:
        raise
    except requests.RequestException as error:
        kept = f"{_bytes(_part(path))} of {size} bytes are kept"
        raise InputError(
            f"{url}: the server does not send the file ({_reason(error)}); {kept}, so check the address or run again later."
        ) from error
    except ValueError as error:  # pooch: another MD5; it has deleted what was fetched
        raise InputError(
            f"{url}: what was fetched has not the MD5 {md5} and was deleted, so run again, or check dataset.base_url."
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}).") from error


@dataclass
class _Resuming:
    """A downloader for pooch that writes to a file of its own, which outlives the process, and goes on at its end by HTTP range.

    Requests that get no answer, or one that says to come back later, are repeated by urllib3; here: bodies that break off.
    """

    part: Path
    size: int
    retries: int
    backoff: float

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        failures, furthest = 0, _bytes(self.part)
        with _session(self.retries, self.backoff) as session:
            while _bytes(self.part) != self.size:
                problem = self._go_on(session, url)
                if problem is None:
                    continue
                # A server that drops each connection but sends a little more each time will do.
                failures = 1 if _bytes(self.part) > furthest else failures + 1
                furthest = max(furthest, _bytes(self.part))
                if failures > self.retries:
                    raise InputError(
                        f"{url}: {problem}, {failures} time(s) in a row; {_bytes(self.part)} of {self.size} bytes are kept in "
                        f"{self.part}, so run again to go on."
                    )
                time.sleep(min(self.backoff * 2 ** (failures - 1), 120))
        self.part.replace(output_file)

    def _go_on(self, session: requests.Session, url: str) -> str | None:
        """Append to the part what one request brings; return what went wrong, if anything."""
        start = _bytes(self.part)
        headers = {"Range": f"bytes={start}-"} if start else {}
        with session.get(url, headers=headers, stream=True, timeout=60) as response:
            if response.status_code == 416 or start > self.size:
                self.part.unlink()
                return "the server has no more than is already here, which is not the whole file"
            response.raise_for_status()
            if response.status_code == 206 and not response.headers.get("Content-Range", "").startswith(
                f"bytes {start}-"
            ):
                return "the server sends another range than was asked for"
            if response.status_code != 206:
                start = 0  # the server does not do ranges
            with (
                open(self.part, "ab" if start else "wb") as file,
                tqdm(
                    total=self.size, initial=start, desc=self.part.stem, unit="B", unit_scale=True, **_progress()
                ) as progress,
            ):
                try:
                    # read1 hands over what has come, where iter_content would lose a begun chunk when the connection breaks.
                    while chunk := response.raw.read1(1 << 20):
                        progress.update(file.write(chunk))
                except HTTPError as error:
                    return f"the connection broke ({type(error).__name__})"
        if _bytes(self.part) > self.size:
            self.part.unlink()
            return f"the server sends more than the {self.size} bytes of the file"
        return None if _bytes(self.part) == self.size else "the server sends less than the whole file"


def _session(retries: int, backoff: float) -> requests.Session:
    session = requests.Session()
    # Zenodo asks clients to name themselves, and has refused those that do not (https://github.com/fatiando/pooch/issues/502).
    session.headers.update({"User-Agent": f"humwatch/{__version__}", "Accept-Encoding": "identity"})
    retry = Retry(
        retries, backoff_factor=backoff / 2, status_forcelist=(408, 429, 500, 502, 503, 504), raise_on_status=False
    )
    session.mount("http://", HTTPAdapter(max_retries=retry))
    session.mount("https://", HTTPAdapter(max_retries=retry))
    return session


def _reason(error: requests.RequestException) -> str:
    """A requests error in a few words, without the addresses of objects."""
    if error.response is not None:
        return f"{error.response.status_code} {error.response.reason}"
    return "it cannot be reached" if isinstance(error, requests.ConnectionError) else type(error).__name__


def _progress() -> dict:
    """A bar on a terminal; in a log file, a line now and then."""
    return {"mininterval": 0.2 if sys.stderr.isatty() else 30}
