"""Cut live sound, from the default microphone or PCM on standard input, into windows of the training length.

Sound is read in a thread of its own, with a short queue of windows, so that slow scoring never holds up a recorder.
"""

import logging
import os
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from humwatch.errors import InputError
from humwatch.use.detector import Detector, one_channel

log = logging.getLogger("humwatch")

BLOCK = 2**16  # bytes, the most that are read at a time: what a pipe holds
AHEAD = 5.0  # seconds of sound that a live source can be ahead of the clock: what waited in pipes
FORMATS = {"u8": "u1", "s16le": "<i2", "s24le": "3u1", "s32le": "<i4", "f32le": "<f4", "f64le": "<f8"}  # numpy's names
WAV_FORMATS = {(1, 8): "u8", (1, 16): "s16le", (1, 24): "s24le", (1, 32): "s32le", (3, 32): "f32le", (3, 64): "f64le"}


class Window(NamedTuple):
    """A window of sound.

    Attributes
    ----------
    start_s
        Seconds since listening began.
    samples : (samples,) float32
        At the detector's own rate.
    """

    start_s: float
    samples: np.ndarray


class Source(NamedTuple):
    """Where sound comes from.

    Attributes
    ----------
    rate
        In Hz.
    blocks : (samples, channels) float32
        One after the other, as they come.
    """

    rate: int
    blocks: Iterator[np.ndarray]


class Windows:
    """The windows of a source, in a queue.

    Where the queue is full and the sound is live, the oldest windows are left out and counted. A source that is faster than
    the clock is a recording that is piped: it waits.

    Parameters
    ----------
    detector
        Whose length of windows, channel and sample rate count.
    name
        Of the source, for errors.
    open_source
        Called in the thread that reads.
    hop
        Seconds from one window to the next; None for the length of a window.
    backlog
        How many windows the queue holds.
    resample
        Whether another sample rate than the detector's is allowed.

    Attributes
    ----------
    left_out
        Windows so far that were left out.
    seconds
        Of sound so far.
    heard
        When sound came last, by `time.monotonic`.
    """

    def __init__(
        self,
        detector: Detector,
        name: str,
        open_source: Callable[[], Source],
        hop: float | None,
        backlog: int,
        resample: bool,
    ) -> None:
        self.name, self.left_out, self.seconds = name, 0, 0.0  # of sound
        self._detector, self._open, self._resample, self._backlog = detector, open_source, resample, backlog
        self._step = detector.samples if hop is None else max(1, round(hop * detector.sample_rate))
        self._queue: deque[Window] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._error: Exception | None = None
        self._begun = self.heard = time.monotonic()  # heard: when sound came last
        threading.Thread(target=self._run, daemon=True).start()

    def get(self, seconds: float) -> Window | None:
        """The next window; None where there is none within so many seconds.

        Raises
        ------
        EOFError
            The sound has ended.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ended, seconds)
            if self._queue:
                self._changed.notify_all()
                return self._queue.popleft()
            if self._error:
                raise self._error
            if self._ended:
                raise EOFError
            return None

    def _run(self) -> None:
        try:
            self._cut()
        except Exception as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _cut(self) -> None:
        size, rate = self._detector.samples, self._detector.sample_rate
        # Samples; the position of the first of them, and that of the next window.
        kept, first, start = self._silence(0), 0, 0
        for block in self._own_rate():
            self.heard = time.monotonic()
            self.seconds += len(block) / rate
            kept = np.concatenate([kept, block])
            while first + len(kept) >= start + size:
                samples = kept[start - first : start - first + size].copy()
                self._put(Window(start / rate, samples))
                start += self._step
            done = min(start - first, len(kept))
            kept, first = kept[done:], first + done

    def _own_rate(self) -> Iterator[np.ndarray]:
        """Blocks of the channel that the detector hears, (samples,), or of several, (samples, channels), at its own rate."""
        source, own = self._open(), self._detector.sample_rate
        blocks = (one_channel(self.name, block, self._detector.channel) for block in source.blocks)
        if source.rate == own:
            yield from blocks
            return
        self._detector.at_own_rate(self.name, np.zeros(1, np.float32), source.rate, self._resample)  # refuses, or not
        import soxr  # which librosa uses for whole recordings

        channels = self._silence(1).size
        stream = soxr.ResampleStream(source.rate, own, channels, quality="HQ")
        for block in blocks:
            yield stream.resample_chunk(block)
        yield stream.resample_chunk(self._silence(0), last=True)

    def _silence(self, samples: int) -> np.ndarray:
        """So many samples of zero, shaped as blocks are."""
        channel = self._detector.channel
        return np.zeros((samples, len(channel)) if isinstance(channel, list) else samples, np.float32)

    def _put(self, window: Window) -> None:
        with self._changed:
            while len(self._queue) >= self._backlog:
                if self.seconds <= time.monotonic() - self._begun + AHEAD:
                    self._queue.popleft()
                    self.left_out += 1
                else:
                    self._changed.wait(0.1)
            self._queue.append(window)
            self._changed.notify_all()


def microphone(detector: Detector) -> Source:
    """Open the default microphone, at the detector's rate.

    Raises
    ------
    InputError
        There is none, or the package sounddevice is missing.
    """
    try:
        import sounddevice
    except ImportError:
        raise InputError(
            "the microphone needs sounddevice: pip install 'humwatch[listen]', or pipe PCM in (-)"
        ) from None
    except OSError as error:
        raise InputError(f"the microphone cannot be used ({error}): install PortAudio, or pipe PCM in (-)") from None
    channel = detector.channel
    channels = 1 if channel == "mix" else int(max(channel) if isinstance(channel, list) else channel) + 1
    try:
        stream = sounddevice.InputStream(samplerate=detector.sample_rate, channels=channels, dtype="float32")
        stream.start()
    except (sounddevice.PortAudioError, ValueError) as error:
        raise InputError(f"the microphone cannot be used ({error}): connect one, or pipe PCM in (-)") from None
    return Source(detector.sample_rate, _microphone_blocks(stream))


def piped(detector: Detector, form: str, rate: int | None, channels: int) -> Source:
    """Open standard input: WAV where it begins like WAV, whatever length its header states; else PCM as stated.

    Parameters
    ----------
    detector
        Whose sample rate is assumed unless one is stated.
    form
        A key of FORMATS.
    rate
        In Hz.
    channels
        Their number.

    Raises
    ------
    InputError
        A WAV header is cut, or of a codec that is not read.
    """
    file = sys.stdin.fileno()
    start = _exactly(file, 12)
    if start[:4] == b"RIFF" and start[8:] == b"WAVE":
        form, rate, channels = _wav_header(file)
        start = b""
    return Source(rate or detector.sample_rate, _pcm_blocks(file, start, form, channels))


def check_pcm(form: str, rate: int | None, channels: int) -> None:
    """Raise InputError where PCM cannot be of this format, sample rate and number of channels."""
    if form not in FORMATS:
        raise InputError(f"--format {form} is not read: give one of {', '.join(FORMATS)}")
    if channels < 1 or not (rate is None or rate > 0):
        raise InputError("--channels and --rate must be above 0: correct them")


def _microphone_blocks(stream: Any) -> Iterator[np.ndarray]:
    lost = 0
    with stream:
        while True:
            samples, overflowed = stream.read(stream.samplerate // 20)  # 50 ms
            if overflowed:
                lost += 1
                log.warning("the microphone's driver has lost sound, %d times so far", lost)
            yield samples


def _pcm_blocks(file: int, start: bytes, form: str, channels: int) -> Iterator[np.ndarray]:
    size = np.dtype(FORMATS[form]).itemsize * channels
    data = start
    while more := os.read(file, BLOCK):
        data += more
        whole = len(data) - len(data) % size
        if whole:
            yield _samples(data[:whole], form).reshape(-1, channels)
            data = data[whole:]


def _samples(data: bytes, form: str) -> np.ndarray:
    """The samples as float32 at full scale 1, as libsndfile has them."""
    values = np.frombuffer(data, FORMATS[form])
    if form == "s24le":  # the upper three bytes of 32 bits
        values = np.pad(values, ((0, 0), (1, 0))).view("<i4")[:, 0]
    if form == "u8":
        return (values.astype(np.float32) - 128) / 128
    floats = values.astype(np.float32)
    return floats if form.startswith("f") else floats * np.float32(2.0 ** (1 - 8 * values.itemsize))


def _wav_header(file: int) -> tuple[str, int, int]:
    """Read format, rate and channels; samples follow."""
    form, rate, channels = "", 0, 0
    while len(head := _exactly(file, 8)) == 8:
        name, size = struct.unpack("<4sI", head)
        if name == b"data" and form:
            return form, rate, channels
        body = _exactly(file, size + size % 2)
        if name == b"fmt " and len(body) >= 16:
            codec, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
            if codec == 0xFFFE and len(body) >= 26:  # the codec follows later
                codec = struct.unpack_from("<H", body, 24)[0]
            if (codec, bits) not in WAV_FORMATS or not channels or not rate:
                raise InputError(f"standard input is WAV of codec {codec} with {bits} bits: give 16-bit PCM")
            form = WAV_FORMATS[codec, bits]
    raise InputError("standard input begins as WAV does and ends before its samples: give a whole header")


def _exactly(file: int, count: int) -> bytes:
    """Read so many bytes, fewer only at the end."""
    data = b""
    while len(data) < count and (more := os.read(file, count - len(data))):
        data += more
    return data
