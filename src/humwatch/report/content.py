"""What the page shows, as data: it is gathered from a finished run, or made by hand, and rendered by `report.page`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from humwatch.features.base import Scale

LIMIT_MB = 15.0


@dataclass
class Clip:
    """One clip to look at and listen to.

    score, rank: its anomaly score, and its place (1 = most anomalous) among the `ranked` test clips of its machine id.
    frames: (frames, bins), as the detector gets it. samples: the sound, (samples,) float32, None where there is no recording.
    errors: error of each window, (windows,), window i beginning at frame i; None where the detector scores a clip as a whole.
    """

    name: str
    label: int | None
    score: float
    rank: int
    ranked: int
    frames: np.ndarray
    samples: np.ndarray | None = None
    errors: np.ndarray | None = None


@dataclass
class Machine:
    """The clips of one machine id.

    groups: (name, clips, most telling first). scale: the axes of the frames. window: frames per window. typical: mean window
    error of the held-out normal clips. sample_rate: Hz of the sounds.
    """

    machine_type: str
    machine_id: str
    groups: list[tuple[str, list[Clip]]]
    auc: float
    pauc: float
    scale: Scale
    window: int = 1
    sample_rate: int | None = None
    typical: float | None = None

    @property
    def clips(self) -> list[Clip]:
        """Those of all groups; a clip may be in two."""
        return [clip for _, clips in self.groups for clip in clips]


@dataclass
class Study:
    """One sweep: its tidy table, the same in a report's shape, and its figures as SVG by what they show."""

    name: str
    table: pd.DataFrame
    shaped: pd.DataFrame
    figures: Mapping[str, str]


@dataclass
class Report:
    """All that the page shows.

    chosen: `selection.overall_choice` of the studies' tables: the trial in detail of each machine type.
    reasons: machine type -> the candidates of its chosen trial, where that has some (detectors.auto), and how they were judged.
    detail: figures of the chosen trial, as SVG, by title. tables: further tables by name. config: as YAML text.
    """

    title: str
    generated: bool
    clips: pd.DataFrame
    studies: list[Study]
    chosen: pd.DataFrame
    detail: Mapping[str, str]
    machines: list[Machine]
    tables: Mapping[str, pd.DataFrame]
    warnings: list[str]
    config: str
    versions: Mapping[str, str]
    limit_mb: float = LIMIT_MB
    reasons: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def pick(scores: pd.DataFrame, count: int) -> dict[str, pd.DataFrame]:
    """The clips of one machine id that are worth a look, by group, `count` at most in each.

    scores: label (0, 1, missing) and score of each test clip. Without labels there are only the most anomalous.
    """
    ranked = scores[np.isfinite(scores["score"])].sort_values("score", ascending=False, kind="stable")
    label = ranked["label"].astype("Int8").fillna(-1)
    groups = {
        "most anomalous": ranked[:count],
        "missed": ranked[label == 1][::-1][:count],
        "false alarms": ranked[label == 0][:count],
    }
    return {name: rows for name, rows in groups.items() if len(rows)}
