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
        energy = self.spectrum(framed(padded, self.spectrum.size, feature.n_fft, feature.hop_length))
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
        frames = framed(samples[0], self.spectrum.size, self.window, self.hop)
        envelopes = (self.weights @ self.spectrum(frames).sqrt()).T  # (frames, bands)
        count = number(envelopes)
        place = (self.fast < count).sum()[None]
        length, (a_count, b_count) = self.fast[place], self.factors[place][0]
        envelopes = envelopes - envelopes.mean(dim=0)
        envelopes = torch.cat([envelopes, torch.zeros_like(envelopes[:1])])  # what is beyond the clip
        # A transform as in `Energies`, but its factors are known with the clip alone: matrices of the largest are cut by masks.
        a, b = torch.arange(self.rows), torch.arange(self.columns)
        half = torch.arange(self.rows // 2 + 1)
        inside = (a < a_count)[:, None] & (b < b_count)
        taken = torch.where(inside, torch.minimum(a[:, None] * b_count + b, count), count)
        x = envelopes[taken].flatten(1)  # (a, b * bands)
        real, imaginary = _turned(half[:, None] * a, a_count)
        bands = envelopes.shape[1]
        real, imaginary = ((m @ x).unflatten(1, (self.columns, bands)) for m in (real, imaginary))  # (half, b, bands)
        turn, turn_i = (m[:, :, None] for m in _turned(half[:, None] * b, length))
        real, imaginary = real * turn - imaginary * turn_i, real * turn_i + imaginary * turn
        last, last_i = _turned(b[:, None] * b, b_count)
        power = (last @ real - last_i @ imaginary).square() + (last_i @ real + last @ imaginary).square()
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
        if self.length:
            repeated = samples[0][torch.arange(self.length // self.hop * self.hop) % number(samples[0])]
            return repeated.reshape(-1, self.hop)
        return samples[0][torch.arange(samples.shape[1] // self.hop)[:, None] * self.hop + torch.arange(self.hop)]


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
    turn: Tensor
    turn_i: Tensor
    last: Tensor

    def __init__(self, window: np.ndarray, length: int) -> None:
        super().__init__()
        self.length = length
        self.a, self.b = _factors(length, len(window))
        rows = -(-len(window) // self.b)
        self.size = rows * self.b
        half, b = np.arange(self.a // 2 + 1)[:, None], np.arange(self.b)
        first = np.exp(-2j * np.pi * (half * np.arange(rows)) / self.a)
        turn = np.exp(-2j * np.pi * (half * b) / length)[:, :, None]
        last = np.exp(-2j * np.pi * (b[:, None] * b) / self.b)
        matrices = {
            "window": np.pad(window, (0, self.size - len(window)))[:, None],
            "first": np.concatenate([first.real, first.imag]),
            "turn": turn.real,
            "turn_i": turn.imag,
            "last": np.block([[last.real, -last.imag], [last.imag, last.real]]),
        }
        for name, matrix in matrices.items():
            self.register_buffer(name, torch.from_numpy(matrix.astype(np.float32)))

    def arranged(self, filters: np.ndarray) -> Tensor:
        """A matrix (bands, length / 2 + 1) whose columns are in the order of the energies; what these have twice counts once."""
        d, c = np.arange(self.a // 2 + 1)[:, None], np.arange(self.b)
        k = self.a * c + d
        twice = ((d == 0) | (2 * d == self.a)) & (2 * k > self.length)
        found = np.where(twice, 0, filters[:, np.minimum(k, self.length - k)])
        return torch.from_numpy(found.reshape(len(filters), -1).astype(np.float32))

    def forward(self, frames: Tensor) -> Tensor:
        """Energies.

        Parameters
        ----------
        frames : (size, frames)
            As from `framed`.

        Returns
        -------
        ((A / 2 + 1) * B, frames)
        """
        x = (frames * self.window).unflatten(0, (-1, self.b))
        real, imaginary = (self.first @ x.flatten(1)).unflatten(1, (self.b, -1)).chunk(2)
        turned = [real * self.turn - imaginary * self.turn_i, real * self.turn_i + imaginary * self.turn]
        real, imaginary = (self.last @ torch.cat(turned, dim=1)).chunk(2, dim=1)
        return (real.square() + imaginary.square()).flatten(0, 1)


def framed(samples: Tensor, size: int, window: int, hop: int) -> Tensor:
    """Frames side by side.

    Parameters
    ----------
    samples : (samples,)
    size
        Rows of a frame, `window` at least; those beyond it may be anything.
    window
        Samples of a frame, which must all be there.
    hop
        Samples from one frame to the next.

    Returns
    -------
    (size, frames)
    """
    first = torch.arange(0, samples.shape[0] - window + 1, hop)
    places = torch.arange(size)[:, None] + first
    return samples[places if size == window else torch.minimum(places, number(samples) - 1)]


def number(values: Tensor) -> Tensor:
    """How many rows there are, () int64: a tensor, where torch.onnx takes no symbolic number."""
    return torch.ones_like(values.flatten(1)[:, 0] if values.dim() > 1 else values, dtype=torch.int64).sum()


def _turned(product: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """exp(-2 pi i product / length), real and imaginary, float32."""
    angle = (-2 * math.pi / length) * (product % length).float()
    return torch.cos(angle), torch.sin(angle)


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
