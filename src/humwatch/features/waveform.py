"""The recording itself, for networks that hear raw samples, in frames as the feature store keeps them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from humwatch.errors import InputError
from humwatch.features.base import BaseFeature
from humwatch.parameters import parameter


@dataclass(frozen=True)
class Feature(BaseFeature):
    """Frames of samples that follow each other without overlap: a clip is its frames, one after the other.

    A last frame that is not full is dropped: of 10 s at 16 kHz, 312 frames of 512 stay and 256 samples go.
    """

    hop_length: int = parameter(
        512,
        "Samples per frame; a clip's last samples that fill no frame are dropped.",
        minimum=1,
        maximum=1000000,
    )
    seconds: float | None = parameter(
        None,
        "Make all clips so long; longer ones are cut, shorter ones repeated. null leaves them as they are.",
        minimum=0.001,
        maximum=3600,
    )

    seconds_per_clip = 0.002
    is_negative = True
    is_waveform = True

    @property
    def bins(self) -> int:
        return self.hop_length

    def shape(self, sample_rate: int, seconds: float) -> tuple[int, int]:
        return int((self.seconds or seconds) * sample_rate) // self.hop_length, self.hop_length

    def has_known_frames(self, sample_rate: int | None, seconds: float | None) -> bool:
        return super().has_known_frames(sample_rate, self.seconds or seconds)

    def problems(self, sample_rate: int | None, seconds: float | None) -> Iterator[str]:
        length = self.seconds or seconds
        if sample_rate and length and not self.shape(sample_rate, length)[0]:
            yield f"hop_length is {self.hop_length}, longer than a clip of {length:g} s: lower it"

    def __call__(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """Frames of one clip.

        Parameters
        ----------
        samples : (samples,) float32
            Full scale is 1.
        sample_rate
            In Hz.

        Returns
        -------
        (samples // hop_length, hop_length) float32

        Raises
        ------
        InputError
            The clip is shorter than one frame.
        """
        if self.seconds is not None:
            samples = np.resize(samples, round(self.seconds * sample_rate))
        frames = len(samples) // self.hop_length
        if frames == 0:
            raise InputError(
                f"the clip has {len(samples)} samples, waveform needs {self.hop_length}: remove it or lower hop_length"
            )
        return samples[: frames * self.hop_length].astype(np.float32, copy=False).reshape(frames, self.hop_length)
