"""Recordings in their containers: whether a file is whole, and its samples.

This is the one place that knows file formats. libsndfile decodes. It reads a cut file as if it were shorter, and none of the
samples where a recorder never went back to fill in their size, so the sizes are looked at first.

**Cut, or never finished?** The header states how many bytes of samples follow; only they can be cut.
- As many or more are there: whole, whatever follows (tags, text, padding), and whatever the size of the whole file says.
- It states none, but something follows that is no sequence of chunks up to the end of the file: never finished.
- Fewer are there, but the size states nothing. A program that writes to a pipe leaves the largest number that its
  integers hold, or about that (within 64 KiB of 2^31 or 2^32, 2^62 and more: ffmpeg, sox, arecord, lame, Oboe), or a round
  one (from 2^28 on, a multiple of 2^24 less a few bytes of alignment: sox's 0x7F000000): never finished. So too where the
  size of the whole file was filled in and is right.
- Fewer are there otherwise: cut.
What was never finished is read to the end of the file, with a remark; what is cut is refused.
"""

import io
import math
import os
import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from humwatch.datasets.formats import SUFFIXES
from humwatch.errors import InputError

LOSSY = {"MPEG_LAYER_I": "MP1", "MPEG_LAYER_II": "MP2", "MPEG_LAYER_III": "MP3", "VORBIS": "Ogg Vorbis", "OPUS": "Opus",
         "GSM610": "GSM 6.10", "IMA_ADPCM": "IMA ADPCM", "MS_ADPCM": "Microsoft ADPCM", "VOX_ADPCM": "VOX ADPCM",
         "NMS_ADPCM_16": "NMS ADPCM", "NMS_ADPCM_24": "NMS ADPCM", "NMS_ADPCM_32": "NMS ADPCM", "G721_32": "G.721",
         "G723_24": "G.723", "G723_40": "G.723"}  # fmt: skip
NARROW = {b"RIFF", b"RIFX", b"FORM", b".snd", b"dns."}  # containers whose sizes have 32 bits
MANY_BYTES = 4096  # after the last chunk: more than tags and the padding of a disk's sector
PLAIN = struct.Struct("<4sI4s4sIHHIIHH4sI")  # chunks fmt and data of a WAV file that has no others
EMPTY_TAG = b"ID3\4\0\0\0\0\0\x7f" + bytes(127)
BLOCK = 2**20  # samples that are read at a time where nothing says how many there are
RATES_READ = 25
RATES = range(100, 1_000_001)  # Hz, as the configuration allows
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # each byte's bits
NO_SAMPLES_YET = "is truncated (it ends before its samples begin): replace or remove it"

# What files that are no recordings begin with.
OTHER_FILES = {
    b"PK\3\4": "a ZIP archive: unpack it",
    b"\x1f\x8b": "a gzip archive: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
    b"%PDF": "a PDF document: remove it",
    b"\x89PNG": "a PNG image: remove it",
    b"\xff\xd8\xff": "a JPEG image: remove it",
    b"\x93NUMPY": "a NumPy array: write it as WAV",
    b"\x89HDF": "an HDF5 file: write its recordings as WAV",
    b"PAR1": "a Parquet file: remove it",
    b"\x1a\x45\xdf\xa3": "a Matroska or WebM file: convert it to WAV or FLAC",
    b"\x30\x26\xb2\x75": "a WMA file: convert it to WAV or FLAC",
    b"#!AMR": "an AMR file: convert it to WAV or FLAC",
    b"wvpk": "a WavPack file: convert it to WAV or FLAC",
    b"MAC ": "a Monkey's Audio file: convert it to WAV or FLAC",
    b"DSD ": "a DSD file: convert it to WAV or FLAC",
    b"\xff\xf1": "an AAC stream: convert it to WAV or FLAC",
    b"\xff\xf9": "an AAC stream: convert it to WAV or FLAC",
}


class Remark(NamedTuple):
    """Something to know of a recording.

    Attributes
    ----------
    word
        In short.
    sentence
        The end of a sentence that begins with the recording's path.
    """

    word: str
    sentence: str


UNKNOWN_LENGTH = Remark(
    "length unknown",
    "has a header that does not say how long the recording is (written to a pipe, or never finished): it is read to the end "
    "of the file",
)


@dataclass
class Recording:
    """A decoded recording.

    Attributes
    ----------
    samples : (samples, channels) float32
        Full scale is 1.
    sample_rate
        In Hz.
    integers
        Whether the samples were stored as integers.
    """

    samples: np.ndarray
    sample_rate: int
    integers: bool
    remarks: list[Remark]


def load(path: Path) -> bytes:
    """The file's bytes.

    Raises
    ------
    InputError
        It cannot be read, or is larger than its header can say.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size > 2**32 + 8 and file.read(4) in NARROW:
                raise InputError(
                    f"{path} has {size / 2**30:.1f} GiB, and its header cannot say so (32-bit sizes end at 4 GiB): "
                    "split it, or convert it to FLAC or W64"
                )
            file.seek(0)
            return file.readall()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): replace or remove it") from None


def decode(path: Path, data: bytes, most: float = math.inf) -> Recording:
    """The recording in a file's bytes.

    Parameters
    ----------
    path
        Of the file, for its suffix and for messages.
    most
        Samples of all channels together that it may have: a codec can make gigabytes of a small file.

    Raises
    ------
    InputError
        It is cut, damaged, empty, too long or no recording: one sentence that names the file.
    """
    try:
        recording = _decode(path, data, most)
        if recording.sample_rate not in RATES:
            raise InputError(
                f"states a sample rate of {recording.sample_rate} Hz in its header, and those from {RATES[0]} to "
                f"{RATES[-1]} Hz are read: correct the header, replace or remove it"
            )
        return recording
    except InputError as reason:
        raise InputError(f"{path} {reason}") from None


def sample_rate_of(path: Path) -> int | None:
    """Sample rate of a file in Hz, from its header.

    Returns
    -------
    sample_rate
        None where none can be read: the file's own check says why.
    """
    try:
        rate = soundfile.info(os.fsencode(path)).samplerate
    except (soundfile.LibsndfileError, OSError):
        return None
    return rate if rate in RATES else None


def common_sample_rate(paths: Sequence[Path]) -> int | None:
    """The sample rate in Hz that most of the files have, by the headers of up to 25 of them, evenly spaced.

    Returns
    -------
    sample_rate
        None where none can be read.
    """
    places = np.linspace(0, len(paths) - 1, min(len(paths), RATES_READ)).round().astype(int)
    return most_common(rate for i in places if (rate := sample_rate_of(paths[i])))


def most_common(rates: Iterable[int]) -> int | None:
    """The sample rate that occurs most often, of several the first.

    Returns
    -------
    sample_rate
        In Hz; None where there is none.
    """
    counted = Counter(rates).most_common(1)
    return counted[0][0] if counted else None


def _decode(path: Path, data: bytes, most: float) -> Recording:
    if (plain := _plain(data)) and path.suffix.lower() in SUFFIXES["WAV"]:
        return Recording(_full_scale(plain[0]), plain[1], True, [])
    whole, remarks = _whole(data)
    try:
        with _Forward(io.BytesIO(whole)) as file:
            if file.format not in SUFFIXES:
                raise InputError(f"is {file.format} audio, whose length cannot be checked: convert it to WAV or FLAC")
            integers = file.subtype == "PCM_16"
            samples = _samples(file, "int16" if integers else "float32", most)
            if len(samples) < file.frames < 2**62:
                raise InputError(f"is truncated ({len(samples)} of {file.frames} samples): replace or remove it")
            sample_rate, container, codec = file.samplerate, file.format, file.subtype
    except soundfile.LibsndfileError as error:
        raise InputError(_what_it_is(data, error.error_string)) from None
    if len(samples) == 0:
        raise InputError("has no samples: replace or remove it")
    if integers:
        samples = _full_scale(samples)
    lossy = LOSSY.get(codec)
    if path.suffix.lower() not in SUFFIXES[container]:
        name = lossy if container in ("MP3", "OGG") and lossy else container
        remarks.append(Remark(f"{name} named {path.suffix}", f"is {name} under the name {path.suffix}"))
    if lossy:
        sentence = f"is lossy ({lossy}): what the codec left out is not there to be heard"
        remarks.append(Remark(f"lossy ({lossy})", sentence))
    return Recording(samples, sample_rate, codec not in ("FLOAT", "DOUBLE"), remarks)


def _plain(data: bytes) -> tuple[np.ndarray, int] | None:
    """Samples (samples, channels) int16 and sample rate of the WAV file that most are, where nothing is odd; else None.

    Three times faster than libsndfile, as nothing is copied.
    """
    if len(data) <= PLAIN.size:
        return None
    riff, _, wave, fmt, length, codec, channels, sample_rate, _, block, bits, name, size = PLAIN.unpack_from(data)
    if (riff, wave, fmt, length, codec, bits, name) != (b"RIFF", b"WAVE", b"fmt ", 16, 1, 16, b"data"):
        return None
    if size != len(data) - PLAIN.size or not channels or not sample_rate or block != 2 * channels or size % block:
        return None
    return np.frombuffer(data, "<i2", offset=PLAIN.size).reshape(-1, channels), sample_rate


def _full_scale(integers: np.ndarray) -> np.ndarray:
    """The same values as libsndfile's own conversion, three times faster."""
    return np.multiply(integers, np.float32(1 / 32768), dtype=np.float32)


class _Forward(soundfile.SoundFile):
    """soundfile seeks after it has read, which GSM 6.10 cannot, nor FLAC that does not state its length."""

    def seekable(self) -> bool:
        return False


def _samples(file: _Forward, dtype: str, most: float) -> np.ndarray:
    known = file.frames < 2**62
    if known and file.frames * file.channels <= most:
        return file.read(file.frames, dtype, always_2d=True)
    blocks: list[np.ndarray] = []
    while not known and sum(map(len, blocks)) * file.channels <= most:
        blocks.append(file.read(BLOCK, dtype, always_2d=True))
        if not len(blocks[-1]):
            return np.concatenate(blocks)
    raise InputError(f"has more than {most:.0f} samples: split it")


def _whole(data: bytes) -> tuple[bytes, list[Remark]]:
    """The file as libsndfile can read all of it, and what is to be said of it. Raises InputError where samples are missing."""
    if data[:3] == b"ID3" and data[(end := _after_id3(data)) : end + 1] not in (b"\xff", b"\0", b""):
        data = data[end:]
    magic = data[:4]
    if magic in CHUNKED and (magic not in (b"RIFF", b"RIFX") or data[8:12] in (b"WAVE", b"")):
        return _chunked(data, CHUNKED[magic])
    if magic in (b".snd", b"dns."):
        return _au(data, ">" if magic == b".snd" else "<")
    if magic == b"fLaC" and len(data) >= 26 and not (data[21] & 15 or any(data[22:26])):
        return data, [UNKNOWN_LENGTH]
    if magic == b"OggS":
        return _ogg(data)
    if magic[:3] == b"ID3" or (magic[:1] == b"\xff" and magic[1:2] >= b"\xe0"):
        _check_mp3(data)
        # libsndfile 1.2 finds MPEG in memory only behind a tag.
        return data if magic[:3] == b"ID3" else EMPTY_TAG + data, []
    if data[:7] == b"NIST_1A":
        return _nist(data), []
    return data, []


@dataclass(frozen=True)
class _Layout:
    """Of a container of chunks: where the first one is, and how its name, its size and the next chunk are found."""

    first: int = 12
    name: int = 4  # bytes
    size: str = "<I"  # struct format
    align: int = 2
    counted: int = 0  # bytes of a chunk's own name and size that its size counts
    samples: bytes = b"data"
    file_size: tuple[int, str, int] | None = (4, "<I", 8)  # place, format, and what is missing in the size of the file


W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
NAMES = {
    b"fmt ",
    b"fact",
    b"data",
    b"LIST",
    b"bext",
    b"cue ",
    b"id3 ",
    b"COMM",
    b"SSND",
}  # of chunks that are often there
RIFF = _Layout()
CHUNKED = {
    b"RIFF": RIFF,
    b"RF64": RIFF,
    b"BW64": RIFF,
    b"RIFX": _Layout(size=">I", file_size=(4, ">I", 8)),
    b"FORM": _Layout(size=">I", file_size=(4, ">I", 8), samples=b"SSND"),
    b"caff": _Layout(first=8, size=">q", align=1, file_size=None),
    b"riff": _Layout(40, 16, "<Q", 8, 24, W64_DATA, (16, "<Q", 0)),
}


class _Chunk(NamedTuple):
    name: bytes
    start: int  # of its body
    size: int  # of its body
    next: int  # where the next chunk begins


def _chunks(data: bytes, layout: _Layout, place: int) -> Iterator[_Chunk]:
    """Chunks from `place` on, the last one perhaps cut, until something that is none."""
    before = layout.name + struct.calcsize(layout.size)
    while place + before <= len(data) and _printable(data[place : place + 4]):
        name, start = data[place : place + layout.name], place + before
        size = struct.unpack_from(layout.size, data, place + layout.name)[0] - layout.counted
        end = start + size
        place = end + -end % layout.align
        # Some writers forget the byte that pads an odd chunk: the name of the next one tells.
        at_end, padded = data[end : end + 4], data[place : place + 4]
        if place == end + 1 and (at_end in NAMES or (_printable(at_end) and not _printable(padded))):
            place = end
        yield _Chunk(name, start, size, place)
        if size < 0:
            return


def _printable(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _chunked(data: bytes, layout: _Layout) -> tuple[bytes, list[Remark]]:
    """See _whole. Changes what libsndfile cannot read: sizes that say nothing, BW64, a byte of padding left out."""
    found: dict[bytes, _Chunk] = {}
    for chunk in _chunks(data, layout, layout.first):
        found[chunk.name] = chunk
        if chunk.name == layout.samples:
            break
        if chunk.start + chunk.size == chunk.next < len(data) and chunk.size % layout.align == 1:
            return _chunked(data[: chunk.next] + b"\0" + data[chunk.next :], layout)
    file_size = None
    if layout.file_size:
        place, form, added = layout.file_size
        file_size = struct.unpack_from(form, data, place)[0] + added if len(data) >= place + 8 else len(data) + 1
    samples, ds64 = found.get(layout.samples), found.get(b"ds64")
    if samples is None:
        last = max((chunk.next for chunk in found.values()), default=len(data) + 1)
        if last > len(data) or (file_size or 0) > len(data):
            raise InputError(NO_SAMPLES_YET)
        raise InputError("has no chunk of samples: replace or remove it")
    stated, there = samples.size, len(data) - samples.start
    wide = data[:4] in (b"RF64", b"BW64")
    if wide:
        if ds64 is None or ds64.size < 24:
            raise InputError(f"is a {data[:4].decode()} file without its sizes (chunk ds64): replace or remove it")
        file_size = struct.unpack_from("<Q", data, ds64.start)[0] + 8
        if stated == 0xFFFFFFFF:
            stated = struct.unpack_from("<Q", data, ds64.start + 8)[0]
    edits = [(0, b"RF64")] if data[:4] == b"BW64" else []
    # A byte that pads the file is not always counted.
    filled_in = file_size in (len(data), len(data) - 1)
    if (stated == 0 and not _only_chunks(data, layout, samples.start)) or _unfinished(stated, there, filled_in):
        place = samples.start - struct.calcsize(layout.size)
        if wide and ds64:
            edits += [(ds64.start, struct.pack("<QQ", len(data) - 8, there)), (place, b"\xff" * 4)]
        else:
            edits.append((place, struct.pack(layout.size, there + layout.counted)))
            if layout.file_size:
                edits.append((layout.file_size[0], struct.pack(layout.file_size[1], len(data) - layout.file_size[2])))
        return _edited(data, edits), [UNKNOWN_LENGTH] if there else []
    end = samples.start + stated
    if end != samples.start + samples.size:  # of 64 bits
        samples = samples._replace(next=end + end % 2)
    end, remarks = samples.next, []
    for chunk in _chunks(data, layout, samples.next):
        if chunk.name == layout.samples:
            raise InputError("has two chunks of samples, and none says which is the recording: write one file of each")
        if chunk.start + chunk.size > len(data):
            if chunk.name == b"pakt":  # where the packets of a compressed CAF end
                raise InputError("is truncated (the table of its packets is not whole): replace or remove it")
            break
        end = chunk.next
    rest = data[end:]
    if len(rest) > MANY_BYTES and rest.strip(rest[:1]):
        sentence = f"has {len(rest)} bytes after the end that its header states: they are not read"
        remarks.append(Remark("bytes after the end", sentence))
    # libsndfile takes some of what follows the last chunk for samples.
    return _edited(data[:end] if rest else data, edits), remarks


def _only_chunks(data: bytes, layout: _Layout, place: int) -> bool:
    """Whether nothing but whole chunks follows until the end."""
    for chunk in _chunks(data, layout, place):
        if chunk.start + chunk.size > len(data):
            return False
        place = chunk.next
    return place >= len(data)


def _unfinished(stated: int, there: int, filled_in: bool = False) -> bool:
    """Whether the header states no length; InputError where it states one and samples are missing. The rule: see above.

    stated, there: bytes of samples. filled_in: the size of the whole file is right.
    """
    if 0 <= stated <= there:
        return False
    largest = any(abs(stated - limit) <= 2**16 for limit in (2**31, 2**32)) or stated >= 2**62
    rounded = stated >= 2**28 and -stated % 2**24 < 256
    if stated < 0 or largest or rounded or filled_in:
        return True
    raise InputError(_truncated(stated - there))


def _truncated(missing: int) -> str:
    what = "1 byte is" if missing == 1 else f"{missing} bytes are"
    return f"is truncated ({what} missing at its end): replace or remove it"


def _edited(data: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    if not edits:
        return data
    changed = bytearray(data)
    for place, new in edits:
        changed[place : place + len(new)] = new
    return bytes(changed)


def _au(data: bytes, order: str) -> tuple[bytes, list[Remark]]:
    if len(data) < 24:
        raise InputError(NO_SAMPLES_YET)
    start, stated = struct.unpack_from(f"{order}II", data, 4)
    there = max(len(data) - start, 0)
    if (stated == 0 and there) or _unfinished(stated, there):
        return _edited(data, [(8, struct.pack(f"{order}I", there))]), [UNKNOWN_LENGTH]
    return data, []


def _ogg(data: bytes) -> tuple[bytes, list[Remark]]:
    """Pages state their lengths, numbers and checksums, and the last one that it is the last; libsndfile skips damaged ones."""
    end, last, pages = 0, False, 0
    while data[end : end + 4] == b"OggS":
        start, body = end, end + 27 + data[end + 26] if end + 26 < len(data) else end + 27
        end = body + sum(data[start + 27 : body])
        if max(end, body) > len(data):
            raise InputError("is truncated (its last page is not whole): replace or remove it")
        kind, number, checksum = struct.unpack_from("<B12xII", data, start + 5)
        if checksum != _ogg_checksum(data[start : start + 22] + bytes(4) + data[start + 26 : end]):
            raise InputError(f"is damaged (the checksum of its page {pages} is wrong): replace or remove it")
        if kind & 2 and pages:
            raise InputError("holds several streams, of which only the first would be read: write one file of each")
        if pages == 0:
            first = number
        if number != first + pages:
            raise InputError(f"is damaged (page {pages} is missing): replace or remove it")
        last, pages = bool(kind & 4), pages + 1
    if data[end:] and not last:
        raise InputError(f"is damaged (there is no page at byte {end}, where one should begin): replace or remove it")
    return data[:end], [] if last else [UNKNOWN_LENGTH]


def _ogg_checksum(page: bytes) -> int:
    """CRC-32 as in zlib, but beginning with 0, not inverted at its end, and the highest bit of a byte first."""
    return int(f"{zlib.crc32(page.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF:032b}"[::-1], 2)


def _check_mp3(data: bytes) -> None:
    """A Xing or Info header in the first frame, where there is one, states the bytes from that frame on."""
    start = _after_id3(data) if data[:3] == b"ID3" else 0
    tag = re.compile(b"Xing|Info").search(data, start, start + 200)
    if tag and len(data) >= tag.end() + 12:
        flags, *numbers = struct.unpack_from(">III", data, tag.end())
        if flags & 2 and (missing := start + numbers[flags & 1] - len(data)) > 0:
            raise InputError(_truncated(missing))


def _after_id3(data: bytes) -> int:
    """Where an ID3v2 tag at the beginning ends: its size has 7 bits in a byte."""
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 127
    return size + (20 if len(data) > 5 and data[5] & 16 else 10)


def _nist(data: bytes) -> bytes:
    """The header is text; libsndfile takes all that follows for samples."""
    length = re.match(rb"NIST_1A\s+(\d+)\n", data[:100])
    if not length or len(data) <= (end := int(length[1])):
        raise InputError(NO_SAMPLES_YET)
    sizes = []
    for name in (b"sample_count", b"channel_count", b"sample_n_bytes"):
        number = re.search(rb"\n%s -(?:i|s\d+) (\d+)\s" % name, data[:end])
        if not number:
            raise InputError(f"does not say in its header how long it is (no {name.decode()}): replace or remove it")
        sizes.append(int(number[1]))
    end += math.prod(sizes)
    if end > len(data):
        raise InputError(_truncated(end - len(data)))
    return data[:end]


def _what_it_is(data: bytes, reason: str) -> str:
    """Of a file that libsndfile does not read, for the given reason."""
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    reason = reason.removeprefix("Error : ").rstrip(".")
    if not data:
        return "is empty (0 bytes): replace or remove it"
    if not data.strip(b"\0"):
        return "holds nothing: all its bytes are zero, so copy it again or remove it"
    if data[8:12] == b"WAVE" and (found := {c.name: c for c in _chunks(data, CHUNKED.get(data[:4], RIFF), 12)}):
        return _what_wav(data, found.get(b"fmt "), reason)
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the recording: run git lfs pull"
    if b"/annex/objects/" in start and len(data) < 1024:
        return "is a git-annex pointer, not the recording: run git annex get"
    if start.startswith((b"<!doctype html", b"<html")):
        return "is an HTML page, not a recording (an answer of a server?): fetch it again"
    if data[4:8] == b"ftyp":
        return "is an MP4 file (M4A, AAC), which is not read: convert it to WAV or FLAC"
    if data.startswith(b"fLaC"):
        return f"is truncated or damaged (not all of it can be decoded: {reason}): replace or remove it"
    for magic, what in OTHER_FILES.items():
        if data.startswith(magic):
            return f"is {what}"
    if data[:1] == b"\xff" and data[1:2] >= b"\xe0" and data[1:2] != b"\xfe":
        return "begins as MP3 does and is none (samples without a header?): write it as WAV, replace or remove it"
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or not re.search(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]", data[:4096]):
        return "is a text file, not a recording: replace or remove it"
    return f"cannot be read as audio ({reason}): replace or remove it"


def _what_wav(data: bytes, fmt: _Chunk | None, reason: str) -> str:
    if fmt is None or fmt.start + 16 > len(data):
        return "is a WAV file that does not say how its samples are stored (no chunk fmt): replace or remove it"
    codec, channels, sample_rate = struct.unpack_from(">HHI" if data[:4] == b"RIFX" else "<HHI", data, fmt.start)
    if channels == 0:
        return "states 0 channels in its header: replace or remove it"
    if sample_rate == 0:
        return "states a sample rate of 0 Hz in its header: replace or remove it"
    if codec not in (1, 3, 0xFFFE):
        return f"is a WAV file whose codec (number 0x{codec:04X}) is not read: convert it to PCM"
    return f"cannot be read as WAV ({reason}): replace or remove it"
