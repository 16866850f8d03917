"""STgram-MFN: spectral-temporal fusion and MobileFaceNet."""

import sys

import torch
from torch import Tensor, nn

from humwatch.errors import InputError
from humwatch.features.mel import mel_filters


class STgramMFN(nn.Module):
    """STgram-MFN: embeds clips by their log-mel spectrogram and a learnt Tgram.

    For 10 s at 16 kHz (313 frames) there are 1,150,742 parameters: Tgram 280,406 (131,072 for the filters,
    3 x (626 + 49,152)), stem 2112, bottlenecks 652,416, last layers 67,072 + 82,944 + 65,792. An ArcFace head of 41
    classes adds 5248: 1,155,990. The published 1.16 M has a linear classifier of 5289 besides, which is never used.

    Parameters
    ----------
    samples
        Length of every clip; it sets the number of frames, samples // hop + 1, which the Tgram's
        LayerNorm (over time) and the last depthwise convolution (over all that is left of time) are made for.
    sample_rate
        In Hz.
    mels
        Mel bins, and as many Tgram filters.

    References
    ----------
    Liu et al. 2022, "Anomalous sound detection using spectral-temporal information fusion", https://arxiv.org/abs/2201.05510.
    """

    def __init__(self, samples: int = 160_000, sample_rate: int = 16_000, mels: int = 128):
        super().__init__()
        self.samples = samples
        self.logmel = LogMel(sample_rate, mels)
        frames = samples // HOP + 1
        self.tgram = Tgram(mels, frames)
        self.mobilefacenet = MobileFaceNet(mels, frames)

    def forward(self, wave: Tensor) -> Tensor:
        """The embedding of clips.

        Parameters
        ----------
        wave : (batch, samples)
            Full scale 1.

        Returns
        -------
        (batch, 128)

        Raises
        ------
        InputError
            Clips are of another length.
        """
        if wave.shape[1] != self.samples:
            raise InputError(
                f"this network takes clips of {self.samples} samples, got {wave.shape[1]}: cut or pad them"
            )
        x = torch.stack([self.logmel(wave), self.tgram(wave)], dim=1)  # (batch, 2, mels, frames)
        return self.mobilefacenet(x)


N_FFT, HOP = 1024, 512


class LogMel(nn.Module):
    """Log-mel spectrogram in dB, as librosa's (Slaney mels, zero-padded ends): (batch, samples) -> (batch, mels, frames)."""

    filters: Tensor
    window: Tensor

    def __init__(self, sample_rate: int, mels: int):
        super().__init__()
        filters = torch.from_numpy(mel_filters(sample_rate, N_FFT, mels))
        # derived from the arguments, so not worth a place in a checkpoint
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        spectrum = torch.stft(wave, N_FFT, HOP, window=self.window, pad_mode="constant", return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()  # (batch, bins, frames)
        return 10 * torch.log10(self.filters @ power + sys.float_info.epsilon)


class Tgram(nn.Module):
    """A filter bank learnt on the wave, in step with the spectrogram: (batch, samples) -> (batch, filters, frames)."""

    def __init__(self, filters: int, frames: int):
        super().__init__()
        self.bank = nn.Conv1d(1, filters, N_FFT, HOP, padding=N_FFT // 2, bias=False)
        self.encoder = nn.Sequential()
        for _ in range(3):
            self.encoder.extend(
                [nn.LayerNorm(frames), nn.LeakyReLU(0.2), nn.Conv1d(filters, filters, 3, padding=1, bias=False)]
            )

    def forward(self, wave: Tensor) -> Tensor:
        return self.encoder(self.bank(wave[:, None]))


class MobileFaceNet(nn.Module):
    """MobileFaceNet (Chen et al. 2018), shortened as in STgram-MFN: (batch, 2, mels, frames) -> (batch, 128)."""

    def __init__(self, mels: int, frames: int):
        super().__init__()
        # what four strides of 2 leave of either axis; 8 x 20 for 128 mels and 10 s
        left = (-(-mels // 16), -(-frames // 16))
        self.layers = nn.Sequential(
            *_convolution(2, 64, 3, stride=2),
            *_convolution(64, 64, 3, groups=64),
            Bottleneck(64, 128, expansion=2, stride=2),
            Bottleneck(128, 128, expansion=2),
            Bottleneck(128, 128, expansion=4, stride=2),
            Bottleneck(128, 128, expansion=4),
            Bottleneck(128, 128, expansion=4, stride=2),
            Bottleneck(128, 128, expansion=4),
            *_convolution(128, 512, 1),
            *_convolution(512, 512, left, padding=0, groups=512, linear=True),  # (batch, 512, 1, 1)
            *_convolution(512, 128, 1, linear=True),
            nn.Flatten(),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Bottleneck(nn.Module):
    """Widen, filter each channel on its own, narrow; with a short cut where the shape stays (Sandler et al. 2018)."""

    def __init__(self, channels: int, out: int, expansion: int, stride: int = 1):
        super().__init__()
        wide = channels * expansion
        self.short_cut = stride == 1 and channels == out
        self.layers = nn.Sequential(
            *_convolution(channels, wide, 1),
            *_convolution(wide, wide, 3, stride=stride, groups=wide),
            *_convolution(wide, out, 1, linear=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.short_cut else self.layers(x)


def _convolution(channels, out, kernel, stride=1, padding=None, groups=1, linear=False) -> list[nn.Module]:
    padding = kernel // 2 if padding is None else padding
    layers = [nn.Conv2d(channels, out, kernel, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(out)]
    return layers if linear else [*layers, nn.PReLU(out)]
