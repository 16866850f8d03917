"""Dual-branch network: the spectrum of the whole clip, and its spectrogram."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from humwatch.errors import InputError


class DualBranch(nn.Module):
    """Embeds clips by two branches, one of their spectrum and one of their spectrogram.

    No layer has a bias, nor any batch norm a scale or shift: a network that can output a constant can fit a class
    without listening (Wilkinghoff 2023, after Deep SVDD).

    Parameters
    ----------
    samples
        Length of every clip; it sets the number of spectrum bins, samples // 2 + 1.
    sample_rate
        In Hz; the spectrogram keeps 200 to 8000 Hz.

    References
    ----------
    Wilkinghoff 2023, "Design choices for learning embeddings from auxiliary tasks for domain generalization in anomalous sound
    detection"; in the shape of ASDKit, https://arxiv.org/abs/2507.10264.
    """

    def __init__(self, samples: int = 160_000, sample_rate: int = 16_000):
        super().__init__()
        self.samples = samples
        self.spectrum = SpectrumBranch(samples // 2 + 1)
        self.spectrogram = SpectrogramBranch(sample_rate)

    def forward(self, wave: Tensor) -> Tensor:
        """The embedding of clips.

        Parameters
        ----------
        wave : (batch, samples)
            Full scale 1.

        Returns
        -------
        (batch, 256)
            Of the spectrum branch first.

        Raises
        ------
        InputError
            Clips are of another length.
        """
        if wave.shape[1] != self.samples:
            raise InputError(
                f"this network takes clips of {self.samples} samples, got {wave.shape[1]}: cut or pad them"
            )
        return torch.cat([self.spectrum(wave), self.spectrogram(wave)], dim=1)


EMBEDDING = 128


class SpectrumBranch(nn.Module):
    """Magnitude spectrum of the whole clip, at full resolution: (batch, samples) -> (batch, 128)."""

    def __init__(self, bins: int):
        super().__init__()
        self.convolutions = nn.Sequential()
        channels = 1
        for kernel, stride in [(256, 64), (64, 32), (16, 4)]:
            convolution = nn.Conv1d(channels, 128, kernel, stride, padding=kernel // 2, bias=False)
            self.convolutions.extend([convolution, nn.ReLU(), SqueezeExcite(128)])
            channels, bins = 128, bins // stride + 1
        self.dense = nn.Sequential(nn.Flatten())
        width = 128 * bins
        for _ in range(4):
            self.dense.extend([nn.Linear(width, 128, bias=False), nn.BatchNorm1d(128, affine=False), nn.ReLU()])
            width = 128
        self.dense.append(nn.Linear(width, EMBEDDING, bias=False))

    def forward(self, wave: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(wave).abs()  # (batch, bins)
        return self.dense(self.convolutions(spectrum[:, None]))


class SpectrogramBranch(nn.Module):
    """Linear magnitude spectrogram, 1024/512: (batch, samples) -> (batch, 128)."""

    window: Tensor

    def __init__(self, sample_rate: int, n_fft: int = 1024, hop: int = 512):
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        frequencies = torch.arange(n_fft // 2 + 1) * sample_rate / n_fft
        kept = ((frequencies >= 200) & (frequencies <= 8000)).nonzero()[:, 0]
        self.first, self.bins = int(kept[0]), len(kept)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.normalise = nn.BatchNorm1d(self.bins, affine=False)  # over clips and time, each frequency on its own
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(16, affine=False),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
            Residual(16, 16),
            Residual(16, 16),
            Residual(16, 32, stride=2),
            Residual(32, 32),
            Residual(32, 64, stride=2),
            Residual(64, 64),
            Residual(64, 128, stride=2),
            Residual(128, 128),
        )
        width = 128 * -(-self.bins // 32)  # what five strides of 2 leave of the frequencies
        self.dense = nn.Sequential(
            nn.Flatten(), nn.BatchNorm1d(width, affine=False), nn.Linear(width, EMBEDDING, bias=False)
        )

    def forward(self, wave: Tensor) -> Tensor:
        spectrum = torch.stft(wave, self.n_fft, self.hop, window=self.window, pad_mode="constant", return_complex=True)
        x = self.normalise(spectrum[:, self.first : self.first + self.bins].abs())  # (batch, bins, frames)
        x = self.layers(x[:, None])  # (batch, 128, bins / 32, frames / 32)
        return self.dense(x.amax(dim=3))


class Residual(nn.Module):
    """Pre-activation residual block with squeeze and excitation; a stride of 2 max-pools the short cut."""

    def __init__(self, channels: int, out: int, stride: int = 1):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out, affine=False),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            SqueezeExcite(out),
        )
        self.short_cut: nn.Module = nn.Identity()
        if stride == 2:
            self.short_cut = nn.Sequential(nn.MaxPool2d(3, 2, padding=1), nn.Conv2d(channels, out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return self.short_cut(x) + self.layers(x)


class SqueezeExcite(nn.Module):
    """Weighs channels by what the whole input holds (Hu et al. 2018): (batch, channels, ...) -> the same."""

    def __init__(self, channels: int):
        super().__init__()
        # a 16th, as published, but 8 or more: a lone ReLU unit is off for all clips, and stays so, for every other seed
        hidden = max(8, channels // 16)
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.excite(F.relu(self.squeeze(x.flatten(2).mean(dim=2)))).sigmoid()
        return x * weight.view(*weight.shape, *[1] * (x.dim() - 2))
