"""Windows of consecutive frames as a strided view of the frames: gathered per batch, never written out."""

import numpy as np
import pandas as pd
import torch

from humwatch.detectors.reconstruction import specaugment as augment
from humwatch.detectors.reconstruction.inputs import first_frames
from humwatch.features.store import Features

BLOCK_BYTES = 1_000_000_000  # of mapped frames from which a training draws its windows at a time
RUNS = 16  # of neighbouring clips, which such a block consists of: disks and the system read some megabytes at once
DEVICE_SHARE = 0.7  # of a GPU's free memory that frames may take


class Windows:
    """Windows of `window` frames that lie within one clip, at every frame; with masks, of its masked copies as well.

    A window is `window * bins` consecutive floats, frame after frame.

    Parameters
    ----------
    masks
        The table of `specaugment`, or None.
    clean
        Whether the targets of masked windows are the clean ones.

    Raises
    ------
    InputError
        Clips are shorter than one window: a sentence for each of them.
    """

    def __init__(
        self,
        features: Features,
        window: int,
        device: str = "cpu",
        masks: pd.DataFrame | None = None,
        clean: bool = False,
    ) -> None:
        self.window, self.clean = window, clean
        first, self.per_clip = first_frames(features, window, hop=1)
        self.first = torch.from_numpy(first).to(device)  # (windows,) first frame of each window
        # The store's row groups are read-only views of a file; torch wants its own memory.
        values = torch.from_numpy(np.require(features.values, requirements="W"))
        if fits(features.values.nbytes, device):
            values = values.to(device)
        bins = values.shape[1]
        rows = max(len(values) - window + 1, 0)
        self.view = values.as_strided((rows, window * bins), (bins, 1))  # overlapping rows, no copy
        self.clips_per_run = 0
        if features.mapped:
            self.clips_per_run = max(1, BLOCK_BYTES * len(features) // max(features.values.nbytes, 1) // RUNS)
        self.masks = None if masks is None else _Masks(masks, features, self.per_clip, window, device)

    def __len__(self) -> int:
        """Number of windows, those of masked copies included."""
        return len(self.first) * (self.masks.copies + 1 if self.masks else 1)

    def all(self, generator: torch.Generator) -> torch.Tensor:
        """Numbers of all windows in random order."""
        return self._in_blocks(torch.randperm(len(self), generator=generator, device=self.first.device), generator)

    def apart(self, generator: torch.Generator) -> torch.Tensor:
        """Numbers, in random order, of windows that do not overlap: each clip's, one after the other from a random frame.

        The frame is drawn for every clip and masked copy anew, among the first `window` that a window can begin with.
        """
        device = self.first.device
        per_clip = torch.from_numpy(self.per_clip).to(device)
        place = torch.arange(len(self.first), device=device) - (per_clip.cumsum(0) - per_clip).repeat_interleave(
            per_clip
        )
        found = []
        for before in range(0, len(self), len(self.first)):
            draw = torch.rand(len(per_clip), generator=generator, device=device)
            begin = (draw * per_clip.clamp(max=self.window)).long()
            at_begin = (place - begin.repeat_interleave(per_clip)) % self.window == 0
            found.append(before + at_begin.nonzero()[:, 0])
        numbers = torch.cat(found)
        return self._in_blocks(numbers[torch.randperm(len(numbers), generator=generator, device=device)], generator)

    def _in_blocks(self, numbers: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Of mapped frames: a block of clips after the other, random ones in each epoch, so that each is read once."""
        if not self.clips_per_run:
            return numbers
        device = self.first.device
        place = torch.randperm(-(-len(self.per_clip) // self.clips_per_run), generator=generator, device=device)
        ends = torch.from_numpy(self.per_clip).to(device).cumsum(0)
        clip = torch.searchsorted(ends, numbers % len(self.first), right=True)
        return numbers[torch.argsort(place[clip // self.clips_per_run] // RUNS, stable=True)]

    def gather(self, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Copy out windows by their numbers.

        Parameters
        ----------
        numbers : (batch,) int64

        Returns
        -------
        inputs, targets : (batch, window * bins) float32
            One tensor, where they do not differ.
        """
        if self.masks is None:
            clean = self._windows(numbers)
            return clean, clean
        clean = self._windows(numbers % len(self.first))
        masked = self.masks(clean, self.first, numbers)
        return masked, clean if self.clean else masked

    def _windows(self, numbers: torch.Tensor) -> torch.Tensor:
        first = self.first[numbers]
        return self.view[first.to(self.view.device)].to(first.device)


def fits(size: int, device: str) -> bool:
    """Whether so many bytes of frames can stay on the device; else they stay with the host, which sends batches."""
    return device == "cpu" or size < DEVICE_SHARE * torch.cuda.mem_get_info()[0]


class _Masks:
    """Masks the windows of a batch, each by its clip's masks at the window's place in the clip."""

    def __init__(self, table: pd.DataFrame, features: Features, per_clip: np.ndarray, window: int, device: str) -> None:
        clips = features.clips["clip"].tolist()
        self.frequency, self.time = (
            torch.from_numpy(augment.bounds(table, clips, axis)).to(device) for axis in ("frequency", "time")
        )
        self.copies = len(self.frequency) - 1
        self.clip_of = torch.from_numpy(np.repeat(np.arange(len(clips)), per_clip)).to(device)
        self.start = torch.from_numpy(features.starts[:-1].astype(np.int64)).to(device)
        means = [features.clip(i).mean() for i in range(len(clips))]
        self.fill = torch.tensor(np.array(means), dtype=torch.float32, device=device)
        self.bins = torch.arange(features.values.shape[1], device=device)
        self.frames = torch.arange(window, device=device)

    def __call__(self, windows: torch.Tensor, first: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        copy, window = numbers // len(first), numbers % len(first)
        clip = self.clip_of[window]
        place = (first[window] - self.start[clip])[:, None] + self.frames  # (batch, window) frames of the clip
        masked_bins = _within(self.bins.expand(len(clip), -1), self.frequency[copy, clip])
        masked_frames = _within(place, self.time[copy, clip])
        masked = masked_frames[:, :, None] | masked_bins[:, None, :]  # (batch, window, bins)
        return torch.where(masked.flatten(1), self.fill[clip][:, None], windows)


def _within(values: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
    """Which values lie in any of their row's spans: (batch, n), (batch, masks, 2) -> (batch, n) bool."""
    low, high = bounds[:, :, 0:1], bounds[:, :, 1:2]
    return ((values[:, None, :] >= low) & (values[:, None, :] < high)).any(dim=1)
