"""Recordings as recorders, pipes and copies leave them: what is whole is read, what is cut is refused, the rest is named."""

import io
import logging
import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from humwatch.datasets import audio, clips
from humwatch.datasets.clip_name import ClipName
from humwatch.errors import InputError
from humwatch.features.extract import extract
from humwatch.features.logmel import Feature as LogMel
from humwatch.progress import Progress

RATE, COUNT = 16000, 4000
NOISE = np.random.default_rng(0).normal(0, 0.1, COUNT)
PCM = (NOISE * 32767).astype("<i2").tobytes()
SAMPLES = np.frombuffer(PCM, "<i2").astype(np.float32) / 32768
PIPES = [0, 0xFFFFFFFF, 0xFFFFFFD3, 0x7FFFFFFF, 0x7FFFF000, 0x7FFFFFDB, 0x80000000, 0x7F000000, 0x40000000 - 2]
WIDE = [0, 2**32 - 1, 2**63 - 1, 2**64 - 1, 0x7FFFF000]


def chunk(name, body, size=None, pad=True, order="<"):
    size = len(body) if size is None else size
    return name + struct.pack(f"{order}I", size) + body + b"\0" * (pad and len(body) % 2)


def fmt(bits=16, codec=1, channels=1, rate=RATE):
    return chunk(b"fmt ", struct.pack("<HHIIHH", codec, channels, rate, rate * bits // 8, bits // 8, bits))


def riff(*parts, size=None, magic=b"RIFF"):
    body = b"WAVE" + b"".join(parts)
    return magic + struct.pack("<I", len(body) if size is None else size) + body


def data(size=None, body=PCM):
    return chunk(b"data", body, size)


LIST = chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"program\0"))


def rf64(magic=b"RF64", size=2 * COUNT, count=None):
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 72 + len(PCM), size, COUNT if count is None else count, 0))
    return riff(ds64, fmt(), data(0xFFFFFFFF), size=0xFFFFFFFF, magic=magic)


def written(container, codec="PCM_16", samples=NOISE, rate=RATE, **kwargs):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=codec, **kwargs)
    return file.getvalue()


def with_size(container, name, size, form, **kwargs):
    """A file of this container whose chunk of samples states `size`."""
    made = bytearray(written(container, **kwargs))
    place = made.index(name) + len(name)
    made[place : place + struct.calcsize(form)] = struct.pack(form, size)
    return bytes(made)


def decoded(content, suffix=".wav"):
    return audio.decode(Path(f"clip{suffix}"), content)


def words(recording):
    return [remark.word for remark in recording.remarks]


def assert_whole(content, *expected, suffix=".wav"):
    recording = decoded(content, suffix)
    np.testing.assert_array_equal(recording.samples[:, 0], SAMPLES)
    assert recording.sample_rate == RATE and words(recording) == [*expected]


def refusal(content, suffix=".wav"):
    with pytest.raises(InputError) as error:
        decoded(content, suffix)
    said = str(error.value)
    assert said.startswith(f"clip{suffix} ") and "\n" not in said and "BytesIO" not in said
    return said


# A header that was never finished


@pytest.mark.parametrize("size", PIPES)
@pytest.mark.parametrize("of_file", ["same", 0, 36, "right"])
def test_written_to_a_pipe(size, of_file):
    whole = 36 + len(PCM)
    sizes = {"same": min(size + 36, 0xFFFFFFFF), "right": whole}
    assert_whole(riff(fmt(), data(size), size=sizes.get(of_file, of_file)), "length unknown")


def test_the_size_of_the_whole_file_is_right():
    assert_whole(riff(fmt(), data(123_456)), "length unknown")


def test_a_recorder_reserves_space_and_stops():
    parts = chunk(b"JUNK", bytes(28)), fmt(), chunk(b"FLLR", bytes(4008)), data(0)
    assert_whole(riff(*parts, size=4088), "length unknown")


@pytest.mark.parametrize("size", PIPES)
@pytest.mark.parametrize(
    ("container", "name", "form", "kwargs"),
    [
        ("AIFF", b"SSND", ">I", {}),
        ("AU", b".snd\0\0\0\x18", ">I", {}),
        ("WAV", b"data", ">I", {"endian": "BIG"}),
    ],
)
def test_other_containers_to_a_pipe(container, name, form, kwargs, size):
    content = with_size(container, name, size, form, **kwargs)
    suffix = {"AIFF": ".aiff", "AU": ".au"}.get(container, ".wav")
    recording = decoded(content, suffix)
    np.testing.assert_array_equal(recording.samples, decoded(written(container, **kwargs), suffix).samples)
    assert words(recording) == ["length unknown"] and len(recording.samples) == COUNT


@pytest.mark.parametrize("size", WIDE)
def test_sizes_of_64_bits_to_a_pipe(size):
    assert_whole(rf64(size=size, count=0), "length unknown")
    assert_whole(rf64(b"BW64", size=size, count=size), "length unknown")
    for container, name, form in (("W64", audio.W64_DATA, "<Q"), ("CAF", b"data", ">Q")):
        content = with_size(container, name, size, form)
        assert words(recording := decoded(content, f".{container.lower()}")) == ["length unknown"]
        assert len(recording.samples) == COUNT


def test_flac_to_a_pipe():
    content = bytearray(written("FLAC"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    assert (
        words(recording := decoded(bytes(content), ".flac")) == ["length unknown"] and len(recording.samples) == COUNT
    )


@pytest.mark.parametrize("codec", ["PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "GSM610"])
@pytest.mark.parametrize("size", [0, 0x7FFFFFFF])
def test_other_codecs_to_a_pipe(codec, size):
    recording = decoded(with_size("WAV", b"data", size, "<I", codec=codec))
    expected = soundfile.read(io.BytesIO(written("WAV", codec)), COUNT, dtype="float32")[0]
    np.testing.assert_array_equal(recording.samples[:COUNT, 0], expected)
    assert words(recording)[0] == "length unknown"


# Whole, whatever surrounds the samples

SURROUNDINGS = {
    "seven bytes": riff(fmt(), data()) + b"1234567",
    "eight bytes": riff(fmt(), data()) + b"12345678",
    "zeros": riff(fmt(), data()) + bytes(100),
    "id3v1": riff(fmt(), data()) + b"TAG" + b"Recording".ljust(125, b"\0"),
    "text": riff(fmt(), data()) + b"recorded by a logger at 21 degrees\n",
    "a sector": riff(fmt(), data()).ljust(16384, b"\xff"),
    "chunks after": riff(fmt(), data(), chunk(b"cue ", bytes(4)), LIST),
    "chunk cut": riff(fmt(), data(), LIST)[:-5],
    "chunks before": riff(chunk(b"JUNK", bytes(28)), chunk(b"bext", bytes(602)), fmt(), LIST, data()),
    "small size": riff(fmt(), data(), size=100),
    "large size": riff(fmt(), data(), LIST, size=0x61F92214),
    "id3v2 before": b"ID3\3\0\0\0\0\1\x00" + bytes(128) + riff(fmt(), data()),
    "unpadded chunk before": riff(fmt(), chunk(b"LIST", b"INFOISFT\x09\0\0\0sdrtrunk\0", pad=False), data()),
    "half a sample": riff(fmt(), chunk(b"data", PCM + b"\1", pad=False)),
    "rf64": rf64(),
    "bw64": rf64(b"BW64"),
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_whole(name):
    assert_whole(SURROUNDINGS[name])


@pytest.mark.parametrize("after", [b"", chunk(b"bext", bytes(602)), LIST])
def test_odd_chunk_of_samples_without_its_padding(after):
    body = PCM[: 3 * 1001]
    recording = decoded(riff(fmt(24), chunk(b"data", body, pad=False), after))
    assert len(recording.samples) == 1001 and not recording.remarks


@pytest.mark.parametrize("container", ["W64", "AIFF", "CAF", "AU", "FLAC", "NIST", "OGG", "MP3"])
def test_bytes_after_the_end_are_no_samples(container):
    codec = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(container, "PCM_16")
    content = written(container, codec)
    np.testing.assert_array_equal(decoded(content + b"1234567").samples, decoded(content).samples)
    assert len(decoded(content).samples) == COUNT


@pytest.mark.parametrize(("container", "codec"), [("OGG", "OPUS"), ("NIST", "ULAW"), ("NIST", "ALAW")])
def test_bytes_after_the_end_of_other_codecs(container, codec):
    content = written(container, codec)
    np.testing.assert_array_equal(decoded(content + b"1234567").samples, decoded(content).samples)


def test_much_that_is_not_counted_is_told():
    assert_whole(riff(fmt(), data()) + PCM, "bytes after the end")


# Cut


CUT = {
    "WAV": {},
    "RIFX": {"container": "WAV", "endian": "BIG"},
    "GSM": {"container": "WAV", "codec": "GSM610", "samples": NOISE[:3840]},  # blocks that need no padding
    "RF64": {},
    "W64": {},
    "AIFF": {},
    "CAF": {},
    "ALAC": {"container": "CAF", "codec": "ALAC_16"},
    "AU": {},
    "AU little": {"container": "AU", "endian": "LITTLE"},
    "NIST": {},
    "NIST mu-law": {"container": "NIST", "codec": "ULAW"},
    "MP3": {"codec": "MPEG_LAYER_III"},
    "FLAC": {},
    "Vorbis": {"container": "OGG", "codec": "VORBIS"},
    "Opus": {"container": "OGG", "codec": "OPUS"},
}


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("missing", [1, 500, 0.5, 0.99])
def test_cut(name, missing):
    content = written(**{"container": name} | CUT[name])
    missing = missing if isinstance(missing, int) else int(missing * len(content))
    said = refusal(content[: len(content) - missing])
    if name in ("FLAC", "Vorbis", "Opus", "ALAC"):
        assert "truncated" in said
    elif name.startswith("NIST") and missing > 0.9 * len(content):
        assert "ends before its samples begin" in said
    elif missing < 0.9 * len(content):  # else the header is cut too
        assert f"is truncated ({missing} byte" in said


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_ogg_that_libsndfile_would_shorten(codec):
    content = written("OGG", codec, np.random.default_rng(1).normal(0, 0.1, 100_000))
    assert len(decoded(content).samples) == 100_000
    rng = np.random.default_rng(2)
    for place in range(3, len(content), len(content) // 20):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        refusal(bytes(flipped))
    starts = [match.start() for match in re.finditer(b"OggS", content)]
    assert len(starts) > 3
    assert "(the checksum of its page " in refusal(content[: len(content) // 2].ljust(len(content), b"\0"))
    assert "(there is no page at byte " in refusal(content[: starts[-1]].ljust(len(content), b"\0"))
    assert f"(page {len(starts) - 2} is missing)" in refusal(content[: starts[-2]] + content[starts[-1] :])
    assert "holds several streams" in refusal(content + content)
    assert words(decoded(content[: starts[-1]]))[0] == "length unknown"


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
def test_cut_past_32_bits(magic):
    assert "truncated (1000 bytes are missing at its end)" in refusal(rf64(magic)[:-1000])


@pytest.mark.parametrize("size", [len(PCM) + 1, 1_000_000, 300_000_000, 1_500_000_000, 3_000_000_000])
def test_a_size_that_a_recording_can_have_is_believed(size):
    said = refusal(riff(fmt(), data(size), size=size + 36))
    assert f"is truncated ({size - len(PCM)} byte" in said


@pytest.mark.parametrize("magic", [b"RIFF", b".snd"])
def test_past_4_gib_32_bits_cannot_say_so(tmp_path, magic):
    path = tmp_path / "clip.wav"
    with open(path, "wb") as file:
        file.write(riff(fmt(), data(12_000), magic=magic))
        file.truncate(2**32 + 100_000)  # a hole, no disk space
    with pytest.raises(InputError, match=r"clip.wav has 4.0 GiB, and its header cannot say so"):
        audio.load(path)


# Sample formats


@pytest.mark.parametrize("codec", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
@pytest.mark.parametrize("channels", [1, 3])
def test_samples_are_those_of_libsndfile(codec, channels):
    content = written("WAV", codec, np.random.default_rng(1).normal(0, 0.1, (100, channels)))
    recording = decoded(content)
    np.testing.assert_array_equal(
        recording.samples, soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)[0]
    )
    assert recording.samples.dtype == np.float32 and not recording.remarks


@pytest.mark.parametrize("codec", ["GSM610", "IMA_ADPCM", "MS_ADPCM"])
def test_lossy_codecs_in_wav(codec):
    recording = decoded(written("WAV", codec))
    assert len(recording.samples) >= COUNT and words(recording)[0].startswith("lossy (")


# Other formats, and what is no recording


@pytest.mark.parametrize(
    ("container", "codec", "suffix", "expected"),
    [
        ("MP3", "MPEG_LAYER_III", ".wav", ["MP3 named .wav", "lossy (MP3)"]),
        ("MP3", "MPEG_LAYER_III", ".mp3", ["lossy (MP3)"]),
        ("OGG", "VORBIS", ".wav", ["Ogg Vorbis named .wav", "lossy (Ogg Vorbis)"]),
        ("OGG", "VORBIS", ".OGG", ["lossy (Ogg Vorbis)"]),
        ("OGG", "OPUS", ".opus", ["lossy (Opus)"]),
        ("FLAC", "PCM_24", ".wav", ["FLAC named .wav"]),
        ("FLAC", "PCM_24", ".flac", []),
        ("WAV", "PCM_16", ".flac", ["WAV named .flac"]),
        ("WAVEX", "PCM_16", ".wav", []),
        ("WAV", "PCM_16", ".wave", []),
        ("AU", "PCM_16", ".snd", []),
        ("NIST", "PCM_16", ".SPH", []),
        ("AIFF", "PCM_16", ".aif", []),
        ("CAF", "PCM_16", ".wav", ["CAF named .wav"]),
        ("AU", "FLOAT", ".wav", ["AU named .wav"]),
        ("W64", "PCM_16", ".wav", ["W64 named .wav"]),
        ("NIST", "PCM_16", ".wav", ["NIST named .wav"]),
    ],
)
def test_formats_are_named(container, codec, suffix, expected):
    recording = decoded(written(container, codec), suffix)
    assert words(recording) == expected and len(recording.samples) == COUNT


NO_RECORDING = {
    "is empty (0 bytes)": b"",
    "all its bytes are zero": bytes(1000),
    "a Git LFS pointer, not the recording: run git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "a git-annex pointer": b"/annex/objects/SHA256E-s320044--0.wav\n",
    "an HTML page": b"\n<!DOCTYPE html><html><body>404</body></html>",
    "an MP4 file": b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(range(256)),
    "a ZIP archive: unpack it": b"PK\3\4" + bytes(range(256)),
    "begins as MP3 does and is none (samples without a header?)": b"\xff\xe3" + PCM,
    "sample rate of 16 Hz in its header, and those from 100 to 1000000 Hz are read": riff(fmt(rate=16), data()),
    "sample rate of 1600000 Hz": written("AU", rate=1_600_000),
    "a text file": b"not a recording\n" * 10,
    "cannot be read as audio": bytes(range(256)) * 4,
    "VOC audio": written("VOC"),
    "no chunk of samples": riff(fmt()),
    "has no samples": riff(fmt(), data(body=b"")),
    "has no samples:": riff(fmt(), data(body=b""), LIST),
    "has no samples: ": riff(fmt(), data(0xFFFFFFFF, b""), size=0xFFFFFFFF),
    "does not say how its samples are stored": riff(data()),
    "sample rate of 0 Hz": riff(fmt(rate=0), data()),
    "0 channels": riff(fmt(channels=0), data()),
    "two chunks of samples": riff(fmt(), data(), data()),
    "codec (number 0x2000)": riff(fmt(codec=0x2000), data()),
    "without its sizes (chunk ds64)": riff(fmt(), data(0xFFFFFFFF), magic=b"RF64"),
    "no sample_count": written("NIST").replace(b"sample_count -i", b"sample_counts -i"),
    "ends before its samples begin": riff(fmt(), data())[:30],
}


@pytest.mark.parametrize("sentence", NO_RECORDING)
def test_no_recording(sentence):
    assert sentence.strip() in refusal(NO_RECORDING[sentence])


def test_a_link_to_nothing(tmp_path):
    (tmp_path / "clip.wav").symlink_to(tmp_path / "nowhere.wav")
    with pytest.raises(InputError, match=r"clip.wav cannot be read \(No such file or directory\)"):
        audio.load(tmp_path / "clip.wav")


# The clip table


def checked(folder, sample_rate=None, **content):
    """The table of files by name: bytes, or samples."""
    names = []
    for name, given in content.items():
        path = folder / f"{name}.wav"
        if isinstance(given, bytes):
            path.write_bytes(given)
        else:
            soundfile.write(path, given, RATE, subtype="FLOAT")
        names.append(ClipName(path.name, "fan", "00", "train", 0))
    return clips.table(folder, names, sample_rate).set_index("clip")["quality"]


def test_quality(tmp_path):
    tone = np.sin(2 * np.pi * 400 * np.arange(COUNT) / RATE)
    quality = checked(
        tmp_path,
        plain=NOISE,
        tone=0.999 * tone,
        silent=np.zeros(COUNT),
        constant=np.full(COUNT, 0.25),
        one_channel=np.column_stack([NOISE, np.zeros(COUNT)]),
        clipped=np.clip(2 * tone, -1, 1),
        clipped_low=np.clip(2 * tone, -0.3, 1),
        touched=np.clip(NOISE, -0.3, 0.3),
        quiet=np.round(NOISE * 10) / 32768,
        offset=0.5 + np.round(NOISE * 10) / 32768,
        integers=NOISE * 32768,
        headroom=NOISE * 20,
        pipe=riff(fmt(), data(0)),
        both=riff(fmt(), data(0, bytes(2000))),
    )
    assert quality.dropna().to_dict() == {
        "silent.wav": "silent",
        "constant.wav": "constant",
        "one_channel.wav": "channel 1 silent",
        "clipped.wav": "clipped",
        "clipped_low.wav": "clipped",
        "integers.wav": "beyond full scale",
        "pipe.wav": "length unknown",
        "both.wav": "length unknown; silent",
    }


def test_a_copy_that_was_interrupted(tmp_path):
    """More than half of it, a second at least, in all channels, in one run to the end."""
    half, gated = np.zeros(3 * RATE), np.zeros(3 * RATE)
    half[: RATE + 10], gated[:RATE] = 0.1, 0.1
    gated[-1] = 1e-3
    less = half.copy()
    less[: 2 * RATE] = 0.1
    quality = checked(
        tmp_path,
        half=half + np.pad(NOISE, (0, 3 * RATE - COUNT)),
        half_of_two=np.column_stack([half, half * 0.5]),
        half_of_one=np.column_stack([half, np.resize(NOISE, 3 * RATE)]),
        less=less,
        gated=gated,
        short=np.pad(NOISE, (0, 2 * COUNT)),
    )
    assert set(quality[["half.wav", "half_of_two.wav"]].str.contains("ends in silence")) == {True}
    assert not quality.drop(["half.wav", "half_of_two.wav"]).str.contains("ends in silence").any()


def test_a_kind_is_warned_of_once(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        checked(tmp_path, **{f"clip_{i}": np.zeros(COUNT) for i in range(20)}, other=np.full(COUNT, 0.5))
    silent, constant = caplog.messages
    assert silent.startswith(f"{tmp_path / 'clip_0.wav'} is silent: all its samples are zero (and so 19 more")
    assert constant == f"{tmp_path / 'other.wav'} is constant: all its samples are equal (DC alone)"


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30, -1e30, 1e300])
@pytest.mark.parametrize("channel", [0, 1])
def test_a_sample_that_no_detector_can_work_with(tmp_path, value, channel):
    samples = np.column_stack([NOISE, NOISE])
    samples[5, channel] = value
    with pytest.raises(
        InputError, match=r"clip.wav has samples (that are NaN or infinite|up to 1e\+30 times full scale)"
    ):
        checked(tmp_path, clip=written("WAV", "DOUBLE", samples))


def test_the_minority_has_the_wrong_sample_rate(tmp_path):
    """Not the first clip decides."""
    other = riff(fmt(rate=8000), data())
    with pytest.raises(InputError) as error:
        checked(tmp_path, a=other, b=NOISE, c=NOISE)
    assert str(error.value) == f"{tmp_path / 'a.wav'} has 8000 Hz, the data set has 16000 Hz: resample it or remove it"
    with pytest.raises(InputError, match=r"^.*a.wav and 3 more have 8000 Hz, the data set has 16000 Hz: .*$"):
        checked(tmp_path, RATE, a=other, b=other, c=other, d=other)


def test_common_sample_rate(tmp_path):
    paths = [tmp_path / f"{i}.wav" for i in range(100)]
    for i, path in enumerate(paths):
        path.write_bytes(riff(fmt(rate=8000 if i < 30 else 16000), data()))
    paths[50].write_bytes(b"no recording")
    assert audio.common_sample_rate(paths) == 16000
    assert audio.common_sample_rate(paths[:1]) == 8000
    paths[51].write_bytes(riff(fmt(rate=16), data()))
    assert audio.common_sample_rate(paths[51:52]) is None
    assert audio.common_sample_rate(paths[50:51]) is None and audio.common_sample_rate([]) is None


def test_what_is_checked_is_what_features_are_made_of(tmp_path):
    names = []
    for i, content in enumerate(
        [riff(fmt(), data()), riff(fmt(), data(0)), SURROUNDINGS["unpadded chunk before"], rf64(b"BW64")]
    ):
        (tmp_path / f"{i}.wav").write_bytes(content)
        names.append(ClipName(f"{i}.wav", "fan", "00", "train", 0))
    table = clips.table(tmp_path, names, None)
    assert (table["seconds"] == COUNT / RATE).all()
    for name in names:
        np.testing.assert_array_equal(clips.read_samples(tmp_path / name.clip)[0], SAMPLES)


def test_features_that_are_not_finite_are_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(written("WAV", "FLOAT"))
    table = clips.table(tmp_path, [ClipName("a.wav", "fan", "00", "train", 0)], None)
    (tmp_path / "a.wav").write_bytes(written("WAV", "FLOAT", NOISE * 1e30))  # since the check
    with pytest.raises(InputError, match=r"a.wav: its features are NaN or infinite"):
        extract(tmp_path, table, LogMel(), 0, tmp_path / "features.parquet", Progress("clips", 1))


def test_memory_is_that_of_one_clip(tmp_path):
    names = []
    for i in range(12):
        soundfile.write(tmp_path / f"{i}.wav", np.random.default_rng(i).normal(0, 0.1, 200_000), RATE)
        names.append(ClipName(f"{i}.wav", "fan", "00", "train", 0))
    tracemalloc.start()
    clips.table(tmp_path, names, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6  # one clip: 0.4 MB as a file, 0.8 as floats
