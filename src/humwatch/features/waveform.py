"""The recording itself, for networks that hear raw samples, in frames as the feature store keeps them."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from humwatch.errors import InputError


@dataclass(frozen=True)
class Waveform:
    """Frames of samples that follow each other without overlap: a clip is its frames, one after the other.

    hop_length: samples per frame. A last frame that is not full is dropped: of 10 s at 16 kHz, 312 frames of 512 stay and
    256 samples go. seconds: make all clips so long, for networks that need it: longer ones are cut, shorter ones repeated.
    """

    hop_length: int = 512
    seconds: float | None = None

    @property
    def bins(self) -> int:
        return self.hop_length

    def parameters(self, sample_rate: int) -> dict[str, Any]:
        """What a file of these features states about itself."""
        return {"source": "waveform", "sample_rate": sample_rate, **asdict(self)}

    def __call__(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """samples: (samples,) float32, full scale 1. Returns (samples // hop_length, hop_length) float32.

        Raises InputError for a clip of less than one frame.
        """
        if self.seconds is not None:
            samples = np.resize(samples, round(self.seconds * sample_rate))
        frames = len(samples) // self.hop_length
        if frames == 0:
            raise InputError(
                f"the clip has {len(samples)} samples, waveform needs {self.hop_length}: remove it or lower hop_length"
            )
        return samples[: frames * self.hop_length].astype(np.float32, copy=False).reshape(frames, self.hop_length)
