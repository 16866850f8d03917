"""Files of Zenodo records: fetched whole, going on where an earlier try stopped; zip files unpacked whole or not at all."""

import hashlib
import json
import re
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from humwatch import __version__
from humwatch.errors import InputError
from humwatch.files import replacing
from humwatch.locking import alone
from humwatch.progress import Progress

BASE_URL = "https://zenodo.org"
Members = dict[str, zipfile.ZipInfo]  # of a zip file, by their paths below the folder that they are unpacked into


def fetch(
    record: str,
    path: Path,
    checksums: Path,
    md5: str | None = None,
    size: int | None = None,
    *,
    pattern: str | None = None,
    unpacked: float = 0,
    base_url: str = BASE_URL,
    retries: int = 5,
    backoff: float = 1.0,
) -> Path:
    """Download a record's file of the name of `path`, unless it is there; an interrupted download goes on where it stopped.

    Parameters
    ----------
    checksums
        The JSON file with what was seen first of each record's list of files: it holds from then on.
    md5, size
        Of the file, in bytes; what is None comes from the record's list of files.
    pattern
        Regular expression for the file's name, where the record has none of the name of `path`: the last such file is taken.
    unpacked
        Size of what is in a zip file over its own, for which there must be room on the disk, too; 0: room is not checked.
    retries
        How often in a row a request may fail and be repeated.
    backoff
        Seconds to wait before the first repetition, doubled each time.

    Raises
    ------
    InputError
        The server, the checksum or the disk fails, or the file is not the one that was seen first.
    """
    if md5 and path.exists() and md5_of(path) == md5:
        return path
    name, seen_before = path.name, not md5 and first_md5(record, path.name, pattern, checksums)
    if md5 is None or size is None:
        name, md5, size = _metadata(record, name, pattern, md5, checksums, base_url, retries, backoff)
        if path.exists() and md5_of(path) == md5:
            return path
    part = path.with_name(path.name + ".part")
    if unpacked and not path.exists():
        check_disk(path.parent, size - _bytes(part) + unpacked * size, f"to fetch and unpack {name}")
    url = f"{base_url.rstrip('/')}/records/{record}/files/{name}?download=1"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _session(retries, backoff) as session:
            try:
                _download(session, url, part, size, retries, backoff)
                if md5_of(part) != md5:
                    part.unlink()
                    raise InputError(
                        f"{url}: what was fetched has not the MD5 {md5} and was deleted, so run again, or check dataset.base_url."
                    )
            except InputError:
                if seen_before:
                    _refuse_changed(session, base_url, record, name, md5, checksums)
                raise
        part.replace(path)
    except requests.RequestException as error:
        kept = f"{_bytes(part)} of {size} bytes are kept"
        raise InputError(
            f"{url}: the server does not send the file ({_reason(error)}); {kept}, so check the address or run again later."
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}).") from error
    return path


def fetch_list(
    url: str, path: Path, checksums: Path, sha256: str | None = None, *, retries: int = 5, backoff: float = 1.0
) -> Path:
    """Download a small file from any address.

    Parameters
    ----------
    checksums
        The JSON file with what was seen first.
    sha256
        What it must have; None: what it had when it was seen first.

    Raises
    ------
    InputError
        As in `fetch`.
    """
    try:
        with _session(retries, backoff) as session, session.get(url, timeout=60) as response:
            response.raise_for_status()
            content = response.content
        found = hashlib.sha256(content).hexdigest()
        expected = sha256 or _noted(checksums, url, {"sha256": found})["sha256"]
        if found != expected:
            first = "" if sha256 else f" (it was seen first with that, says {checksums})"
            raise InputError(
                f"{url}: what was fetched has the SHA-256 {found} where {expected} is expected{first}, so check the address."
            )
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except requests.RequestException as error:
        raise InputError(
            f"{url}: the server does not send the file ({_reason(error)}), so check the address or run again later."
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}).") from error
    return path


def first_md5(record: str, name: str, pattern: str | None, checksums: Path) -> str | None:
    """The MD5 of a record's file when it was seen first; None where it was not."""
    files = _read_checksums(checksums).get(record, {})
    found = _named(files, name, pattern)
    return files[found]["md5"] if found else None


def unpack(
    archive: Path,
    folder: Path,
    mark: Path,
    select: Callable[[Iterable[zipfile.ZipInfo]], Members],
    md5: str | None = None,
) -> tuple[str, Members]:
    """Unpack members of a zip file, which become the whole content of `folder`.

    Parameters
    ----------
    mark
        The file that says that `folder` is whole: it is removed before, and for the caller to write.
    select
        Which members, and where to; it must refuse what would lead elsewhere.
    md5
        What the archive must have.

    Returns
    -------
    md5, members
        Of the archive, and what was unpacked.

    Raises
    ------
    InputError
        The archive is broken or another one, or the disk is full; nothing is unpacked then.
    """
    temporary = mark.with_name(
        f".unpacking_{mark.stem}"
    )  # beside the folders of all archives: no reader takes it for one
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # what a killed call left
        found = md5_of(archive)
        if md5 not in (None, found):
            raise InputError(
                f"{archive}: its MD5 is {found} where {md5} is expected, so delete the file and run again."
            )
        with zipfile.ZipFile(archive) as source:
            members = select(source.infolist())
            check_disk(mark.parent, sum(member.file_size for member in members.values()), f"to unpack {archive}")
            progress = Progress(f"{archive.name}, clips unpacked", len(members))
            for number, (name, member) in enumerate(members.items(), 1):
                target = temporary / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with source.open(member) as packed, open(target, "wb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
                progress.update(number)
        mark.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary.rename(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{archive}: not a sound zip file ({error}), so delete it and run again.") from error
    except OSError as error:
        raise InputError(f"{archive}: cannot be unpacked into {folder} ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return found, members


def md5_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def write_json(path: Path, content: dict) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def check_disk(folder: Path, needed: float, purpose: str) -> None:
    """Make the folder, and see that its disk has room.

    Parameters
    ----------
    needed
        Bytes.

    Raises
    ------
    InputError
        There is not so much room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder}: {free / 1e9:.1f} GB are free where {needed / 1e9:.1f} GB are needed {purpose}, so make room or set "
            "dataset.data_folder."
        )


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _metadata(
    record: str,
    name: str,
    pattern: str | None,
    published: str | None,
    checksums: Path,
    base_url: str,
    retries: int,
    backoff: float,
) -> tuple[str, str, int]:
    """Name, MD5 and size of a file, as kept or else from the record's list of files, which is then kept."""
    url = _api(base_url, record)
    try:
        known = _read_checksums(checksums).get(record, {})
        if not _named(known, name, pattern):
            with _session(retries, backoff) as session:
                known = _files(session, url)
            if _named(known, name, pattern):
                known = _noted(checksums, record, known)
        found = _named(known, name, pattern) or name
        md5, size = (known[found][key] for key in ("md5", "size"))
    except requests.RequestException as error:
        raise InputError(
            f"{url}: no answer about {name} ({_reason(error)}), so check dataset.base_url or run again later."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{url}: neither its answer nor {checksums} has MD5 and size of {name}; check the address or delete {checksums}."
        ) from error
    except OSError as error:
        raise InputError(f"{checksums}: cannot be read or written ({error.strerror or error}).") from error
    if published not in (None, md5):
        raise InputError(
            f"{url}: {name} has the MD5 {md5} there (or in {checksums}) where the published one has {published}, so check "
            "dataset.base_url."
        )
    return found, md5, size


def _refuse_changed(
    session: requests.Session, base_url: str, record: str, name: str, md5: str, checksums: Path
) -> None:
    """Raise InputError where the record has another file of this name by now than was seen first."""
    url = _api(base_url, record)
    try:
        now = _files(session, url)[name]["md5"]
    except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError):
        return  # the first error tells more
    if now != md5:
        raise InputError(
            f"{url}: {name} has the MD5 {now} there where it had {md5} when it was seen first ({checksums}), so it was changed; "
            f"delete what {checksums.name} has of it to take the new one."
        )


def _files(session: requests.Session, url: str) -> dict[str, dict[str, Any]]:
    """MD5 and size of each file of a record, by its name."""
    with session.get(url, timeout=60) as response:
        response.raise_for_status()
        return {
            file["key"]: {"md5": file["checksum"].removeprefix("md5:"), "size": int(file["size"])}
            for file in response.json()["files"]
        }


def _api(base_url: str, record: str) -> str:
    return f"{base_url.rstrip('/')}/api/records/{record}"


def _named(files: Iterable[str], name: str, pattern: str | None) -> str | None:
    """The name, if it is among those of the files, or else the last of them that is like the pattern."""
    if name in files or not pattern:
        return name if name in files else None
    return max((file for file in files if re.fullmatch(pattern, file)), default=None)


def _noted(checksums: Path, of: str, found: dict[str, Any]) -> dict[str, Any]:
    """What is known of a record or an address, once what was found now is added to it: what was seen first holds."""
    with alone(checksums.with_name(f".{checksums.name}.lock"), "noting checksums"):  # other jobs fetch at the same time
        known = _read_checksums(checksums)
        known[of] = found | known.get(of, {})
        write_json(checksums, known)
    return known[of]


def _read_checksums(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text()) if path.exists() else {}
        if all(isinstance(files, dict) for files in known.values()):
            return known
    except (ValueError, AttributeError):
        pass
    raise InputError(f"{path}: it is no list of checksums, so delete it and run again.")


def _download(session: requests.Session, url: str, part: Path, size: int, retries: int, backoff: float) -> None:
    """Make `part` whole: it outlives the process, and goes on at its end by HTTP range.

    Requests that get no answer, or one that says to come back later, are repeated by urllib3; here: bodies that break off.
    """
    failures, furthest = 0, _bytes(part)
    while _bytes(part) != size:
        problem = _go_on(session, url, part, size)
        if problem is None:
            continue
        # A server that drops each connection but sends a little more each time will do.
        failures = 1 if _bytes(part) > furthest else failures + 1
        furthest = max(furthest, _bytes(part))
        if failures > retries:
            raise InputError(
                f"{url}: {problem}, {failures} time(s) in a row; {_bytes(part)} of {size} bytes are kept in {part}, so run again "
                "to go on."
            )
        time.sleep(min(backoff * 2 ** (failures - 1), 120))


def _go_on(session: requests.Session, url: str, part: Path, size: int) -> str | None:
    """Append to the part what one request brings; return what went wrong, if anything."""
    start = _bytes(part)
    headers = {"Range": f"bytes={start}-"} if start else {}
    with session.get(url, headers=headers, stream=True, timeout=60) as response:
        if response.status_code == 416 or start > size:
            part.unlink()
            return "the server has no more than is already here, which is not the whole file"
        response.raise_for_status()
        if response.status_code == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            return "the server sends another range than was asked for"
        if response.status_code != 206:
            start = 0  # the server does not do ranges
        progress = Progress(f"{part.stem}, MB fetched", size / 1e6)
        with open(part, "ab" if start else "wb") as file:
            try:
                # read1 hands over what has come, where iter_content would lose a begun chunk when the connection breaks.
                while chunk := response.raw.read1(1 << 20):
                    file.write(chunk)
                    progress.update(file.tell() / 1e6)
            except HTTPError as error:
                return f"the connection broke ({type(error).__name__})"
    if _bytes(part) > size:
        part.unlink()
        return f"the server sends more than the {size} bytes of the file"
    return None if _bytes(part) == size else "the server sends less than the whole file"


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
