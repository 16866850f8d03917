"""Features as torch modules that become ONNX: from samples to the frames that the feature makes of them.

Fourier transforms are two matrix products each (Cooley & Tukey 1965, "An algorithm for the machine calculation of complex Fourier
series"), one for each of two factors of the length: a product is what every runtime does fast, whatever the length.
"""

import math
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from humwatch.errors import InputError
from humwatch.features import logmel, modspec, waveform
from humwatch.features.base import BaseFeature
from humwatch.features.mel import mel_filters

Pair = Tensor | tuple[Tensor, Tensor]  # real and imaginary part


class FrontEnd(nn.Module):
    """Samples (1, samples) to frames (frames, bins).

    Attributes
    ----------
    least, most
        Samples that a clip may have.
    """

    least: int = 1
    most: int

    def lengths(self, least: int, most: int | None) -> tuple[int, int]:
        """The fewest and the most samples of clips of `least` to `most` frames (None: any number)."""
        return self.least, self.most  # where all clips have as many frames


@singledispatch
def front_end(feature: BaseFeature, sample_rate: int, longest: int) -> FrontEnd:
    """The module of a feature.

    Parameters
    ----------
    sample_rate
        Of the samples, in Hz.
    longest
        Samples of the longest clip.

    Raises
    ------
    InputError
        Nothing here says how the feature is computed.
    """
    raise InputError(
        f"the feature {feature.name} cannot be exported: use/onnx/front_ends.py does not say how it is computed; pack a detector "
        "of another feature"
    )


@front_end.register(logmel.Feature)
class LogMel(FrontEnd):
    """As `features.logmel`."""

    filters: Tensor

    def __init__(self, feature: logmel.Feature, sample_rate: int, longest: int) -> None:
        super().__init__()
        self.feature, self.most = feature, longest
        window = np.hanning(feature.n_fft + 1)[:-1]
        self.spectrum = Energies(window, feature.n_fft)
        filters = mel_filters(sample_rate, feature.n_fft, feature.n_mels, feature.fmin, feature.fmax)
        self.register_buffer("filters", self.spectrum.arranged(filters))

    def lengths(self, least: int, most: int | None) -> tuple[int, int]:
        hop, odd = self.feature.hop_length, self.feature.n_fft % 2
        return max((least - 1) * hop + odd, 1), min(self.most, most * hop - 1 + odd if most else self.most)

    def forward(self, samples: Tensor) -> Tensor:
        feature = self.feature
        padded = F.pad(samples[0], (feature.n_fft // 2, feature.n_fft // 2))
        energy = self.spectrum(framed(padded, feature.n_fft, feature.hop_length))
        if feature.power != 2.0:
            energy = energy ** (feature.power / 2)
        mel = self.filters @ energy + float(np.finfo(np.float64).eps)
        return (torch.log(mel) * (20 / feature.power / math.log(10))).T


@front_end.register(modspec.Feature)
class ModulationSpectrum(FrontEnd):
    """As `features.modspec`; the length of the second transform, which depends on the clip's, is looked up in a table."""

    weights: Tensor
    fast: Tensor
    factors: Tensor
    centres: Tensor

    def __init__(self, feature: modspec.Feature, sample_rate: int, longest: int) -> None:
        from scipy.fft import next_fast_len

        super().__init__()
        window, n_fft = modspec._window(sample_rate)
        self.window, self.hop = len(window), modspec._samples(modspec.HOP_SECONDS, sample_rate)
        self.least, self.most = max(round(sample_rate / feature.modulation_low), 2 * self.window), longest
        self.spectrum = Energies(window, n_fft)
        weights = modspec._weights(sample_rate, n_fft, feature.bands, feature.fmin, feature.fmax)
        self.register_buffer("weights", self.spectrum.arranged(weights))
        every = {next_fast_len(frames, real=True) for frames in range(1, 2 + (longest - self.window) // self.hop)}
        factors = [_balanced(length) for length in sorted(every)]
        self.register_buffer("fast", torch.tensor(sorted(every)))
        self.register_buffer("factors", torch.tensor(factors))
        self.rows, self.columns = np.max(factors, axis=0).tolist()
        rate = sample_rate / self.hop
        centres = np.geomspace(feature.modulation_low, feature.modulation_high, feature.modulation_bands)
        self.register_buffer("centres", torch.from_numpy(np.tan(np.pi * centres / rate).astype(np.float32)))

    def forward(self, samples: Tensor) -> Tensor:
        frames = framed(samples[0], self.window, self.hop)
        envelopes = (self.weights @ self.spectrum(frames).sqrt()).T  # (frames, bands)
        count = number(envelopes)
        place = (self.fast < count).sum()[None]
        length, (a_count, b_count) = self.fast[place], self.factors[place][0]
        envelopes = envelopes - envelopes.mean(dim=0)
        envelopes = torch.cat([envelopes, torch.zeros_like(envelopes[:1])])  # what is beyond the clip
        # Its factors are known with the clip alone: matrices for the largest are cut by masks.
        a, b = torch.arange(self.rows), torch.arange(self.columns)
        half = torch.arange(self.rows // 2 + 1)
        inside = (a < a_count)[:, None] & (b < b_count)
        taken = torch.where(inside, torch.minimum(a[:, None] * b_count + b, count), count)
        x = envelopes.index_select(0, taken.flatten()).unflatten(0, taken.shape)
        power = transformed(
            x,
            _turned(half[:, None] * a, a_count),
            _turned(half[:, None] * b, length),
            _turned(b[:, None] * b, b_count),
        )
        k = torch.minimum(half[:, None] + a_count * b, length - half[:, None] - a_count * b)
        counted = (half <= a_count // 2)[:, None] & (b < b_count) & (k > 0) & (2 * k < length)
        twice = torch.where((half == 0) | (2 * half == a_count), 1.0, 2.0)[:, None]
        angle = math.pi * k / length
        t = torch.where(counted, torch.sin(angle) / torch.cos(angle), 1.0)
        ratio = t / self.centres[:, None, None] - self.centres[:, None, None] / t
        gains = torch.where(counted, twice / (1 + modspec.QUALITY**2 * ratio.square()), 0.0)
        return (gains.flatten(1) @ power.flatten(0, 1)) / (length * count)


@front_end.register(waveform.Feature)
class Waveform(FrontEnd):
    """As `features.waveform`."""

    def __init__(self, feature: waveform.Feature, sample_rate: int, longest: int) -> None:
        super().__init__()
        self.hop, self.most = feature.hop_length, longest
        self.length = None if feature.seconds is None else round(feature.seconds * sample_rate)
        self.least = 1 if self.length else self.hop

    def lengths(self, least: int, most: int | None) -> tuple[int, int]:
        if self.length:
            return self.least, self.most
        return least * self.hop, min(self.most, (most + 1) * self.hop - 1 if most else self.most)

    def forward(self, samples: Tensor) -> Tensor:
        length = self.length or samples.shape[1]
        places = torch.arange(length // self.hop * self.hop) % number(samples[0])
        return samples[0].index_select(0, places).unflatten(0, (-1, self.hop))


class Energies(nn.Module):
    """|X|**2 of the Fourier transform X of windowed frames.

    With length = A * B, n = B a + b and k = A c + d, X(k) is the sum over b of W_B^(b c) W_length^(b d) times the sum over a of
    W_A^(a d) x(n), W_m = exp(-2 pi i / m). Frames are real: of d, 0 to A / 2 are enough.

    Parameters
    ----------
    window : (samples,)
        No longer than the transform.
    length
        Of the transform; what is beyond the window is zero.
    """

    window: Tensor
    first: Tensor
    last: Tensor

    def __init__(self, window: np.ndarray, length: int) -> None:
        super().__init__()
        self.length = length
        self.a, self.b = _factors(length, len(window))
        rows = -(-len(window) // self.b)
        self.beyond = rows * self.b - len(window)
        half, b = np.arange(self.a // 2 + 1), np.arange(self.b)
        first = _roots(half[:, None] * np.arange(rows), self.a)
        last = _roots(b[:, None] * b, self.b) * _roots(half[:, None] * b, length)[:, None]  # (d, c, b)
        matrices = {
            "window": np.pad(window, (0, self.beyond))[:, None],
            "first": np.stack([first.real, first.imag], axis=1).reshape(-1, rows),
            "last": np.block([[last.real, -last.imag], [last.imag, last.real]]),
        }
        for name, matrix in matrices.items():
            self.register_buffer(name, torch.from_numpy(matrix.astype(np.float32)))

    def arranged(self, filters: np.ndarray) -> Tensor:
        """A matrix (bins, length / 2 + 1) whose columns are in the order of the energies; what these have twice counts once."""
        d, c = np.arange(self.a // 2 + 1)[:, None], np.arange(self.b)
        k = self.a * c + d
        twice = ((d == 0) | (2 * d == self.a)) & (2 * k > self.length)
        found = np.where(twice, 0, filters[:, np.minimum(k, self.length - k)])
        return torch.from_numpy(found.reshape(len(filters), -1).astype(np.float32))

    def forward(self, frames: Tensor) -> Tensor:
        """Energies.

        Parameters
        ----------
        frames : (samples, frames)
            As from `framed`.

        Returns
        -------
        ((A / 2 + 1) * B, frames)
        """
        x = F.pad(frames, (0, 0, 0, self.beyond)) if self.beyond else frames
        x = self.first @ (x * self.window).unflatten(0, (-1, self.b)).flatten(1)  # (d and parts, b * frames)
        x = self.last @ x.unflatten(0, (self.a // 2 + 1, -1)).unflatten(2, (self.b, -1)).flatten(1, 2)
        x = (x * x).unflatten(1, (2, self.b))
        return (x[:, 0] + x[:, 1]).flatten(0, 1)


class Magnitudes(nn.Module):
    """|X| of the Fourier transform of a clip, (1, samples) to (1, samples / 2 + 1); as in `Energies`, with fewer products."""

    first: Tensor
    turn: Tensor
    last: Tensor
    kept: Tensor

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.a, self.b = _balanced(samples)
        half, a, b = np.arange(self.a // 2 + 1)[:, None], np.arange(self.a), np.arange(self.b)
        matrices = [_roots(half * a, self.a), _roots(half * b, samples), _roots(b[:, None] * b, self.b)]
        for name, matrix in zip(("first", "turn", "last"), matrices, strict=True):
            self.register_buffer(name, torch.from_numpy(np.stack([matrix.real, matrix.imag]).astype(np.float32)))
        k = np.arange(samples // 2 + 1)
        d = k % self.a
        mirrored = d > self.a // 2
        c = np.where(mirrored, (samples - k) // self.a, k // self.a)
        self.register_buffer("kept", torch.from_numpy(np.where(mirrored, self.a - d, d) * self.b + c))

    def forward(self, wave: Tensor) -> Tensor:
        x = wave[0].unflatten(0, (self.a, self.b))[:, :, None]
        power = transformed(x, self.first, self.turn, self.last)
        return power.flatten().index_select(0, self.kept).sqrt()[None]


def transformed(x: Tensor, first: Pair, turn: Pair, last: Pair) -> Tensor:
    """|X|**2 of the Fourier transform of several columns at once, as in `Energies`.

    Parameters
    ----------
    x : (A, B, columns)
    first : (A / 2 + 1, A), (A / 2 + 1, A)
    turn : (A / 2 + 1, B), (A / 2 + 1, B)
    last : (B, B), (B, B)

    Returns
    -------
    (A / 2 + 1, B, columns)
    """
    real, imaginary = ((part @ x.flatten(1)).unflatten(1, x.shape[1:]) for part in (first[0], first[1]))
    turn_real, turn_imaginary = turn[0][:, :, None], turn[1][:, :, None]
    real, imaginary = (
        real * turn_real - imaginary * turn_imaginary,
        real * turn_imaginary + imaginary * turn_real,
    )
    y = last[0] @ real - last[1] @ imaginary
    z = last[1] @ real + last[0] @ imaginary
    return y * y + z * z


def framed(samples: Tensor, size: int, hop: int) -> Tensor:
    """Frames of so many samples side by side, a hop apart: of (samples,), (size, frames)."""
    block = math.gcd(size, hop)  # what several frames share is copied in blocks
    blocks = samples[: samples.shape[0] // block * block].unflatten(0, (-1, block))
    first = torch.arange(0, blocks.shape[0] - size // block + 1, hop // block)
    places = torch.arange(size // block)[:, None] + first
    taken = blocks.index_select(0, places.flatten())
    return taken.unflatten(0, places.shape).transpose(1, 2).flatten(0, 1)


def number(values: Tensor) -> Tensor:
    """How many rows there are, () int64: as a tensor, where torch.onnx takes no symbolic number."""
    return torch.scalar_tensor(values.shape[0], dtype=torch.int64)


def _turned(product: Tensor, length: Tensor) -> Pair:
    """As `_roots`, as tensors: real and imaginary part, float32."""
    angle = (-2 * math.pi / length) * (product % length).float()
    return torch.cos(angle), torch.sin(angle)


def _roots(product: np.ndarray, length: int) -> np.ndarray:
    """exp(-2 pi i product / length)."""
    return np.exp(-2j * np.pi * (product % length) / length)


def _factors(length: int, window: int | None = None) -> tuple[int, int]:
    """A and B of `Energies` that make the fewest products."""

    def products(a: int) -> float:
        b = length // a
        return (a // 2 + 1) * (2 * b * -(-(window or length) // b) + 4 * b * b)

    a = min((a for a in range(1, length + 1) if length % a == 0), key=products)
    return a, length // a


def _balanced(length: int) -> tuple[int, int]:
    """A and B that differ least, A the larger one."""
    b = max(b for b in range(1, math.isqrt(length) + 1) if length % b == 0)
    return length // b, b
