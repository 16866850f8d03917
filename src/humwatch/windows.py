"""Windows of consecutive frames as a strided view of the frames: gathered per batch, never written out."""

import numpy as np
import torch

from humwatch.errors import InputError
from humwatch.features.store import Features


class Windows:
    """All windows of `window` frames that lie within one clip, stride one frame.

    Window i is `window * bins` consecutive floats, frame after frame. `clip_of` gives each window's clip: (windows,) int64.
    Raises InputError that names every clip shorter than one window.
    """

    def __init__(self, features: Features, window: int, device: str = "cpu") -> None:
        lengths = np.diff(features.starts)
        if (short := lengths < window).any():
            raise InputError(
                "\n".join(
                    f"{clip} has {length} frame(s), fewer than one window of {window}: remove it or choose a smaller window"
                    for clip, length in zip(features.clips["clip"][short], lengths[short], strict=True)
                )
            )
        self.per_clip = lengths - window + 1
        self.clip_of = torch.from_numpy(np.repeat(np.arange(len(lengths)), self.per_clip))
        before = np.concatenate([[0], np.cumsum(self.per_clip)[:-1]])
        first = np.arange(self.per_clip.sum()) + np.repeat(features.starts[:-1] - before, self.per_clip)
        self.first = torch.from_numpy(first).to(device)  # (windows,) first frame of each window
        values = torch.from_numpy(features.values).to(device)
        bins = values.shape[1]
        rows = max(len(values) - window + 1, 0)
        self.view = values.as_strided((rows, window * bins), (bins, 1))  # overlapping rows, no copy

    def __len__(self) -> int:
        return len(self.first)

    def gather(self, windows: torch.Tensor) -> torch.Tensor:
        """Copy out the windows with these numbers: (batch,) int64 -> (batch, window * bins) float32."""
        return self.view[self.first[windows]]
