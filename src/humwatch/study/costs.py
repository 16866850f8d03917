"""How large a clip's frames are, from the parameters of its feature alone: what planning and checking a study go by."""

from collections.abc import Mapping
from typing import Any

from humwatch.datasets.source import SAMPLE_RATE, SECONDS  # of clips of which nothing is known yet
from humwatch.features.base import make

CLIPS_AT_ONCE = 64  # a row group of the feature store


def frame_shape(
    feature: Mapping[str, Any], sample_rate: int = SAMPLE_RATE, seconds: float = SECONDS
) -> tuple[int, int]:
    """Number of frames of a clip, and of values per frame.

    Parameters
    ----------
    feature
        As a validated configuration states it.
    sample_rate
        In Hz.
    seconds
        Length of the clip.
    """
    return make(feature).shape(sample_rate, seconds)
