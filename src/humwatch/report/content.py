"""What the report page shows, as data: gathered from a finished run, or made by hand, and rendered by `report.page`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from humwatch.features.base import Scale

LIMIT_MB = 15.0


@dataclass
class Clip:
    """One clip to look at and listen to.

    Attributes
    ----------
    name
        Of its file.
    label
        0 (normal), 1 (anomaly) or None.
    score
        Its anomaly score.
    rank, ranked
        Its place (1 is the most anomalous) among the `ranked` test clips of its machine id.
    frames : (frames, bins) float32
        As the detector gets them.
    samples : (samples,) float32
        The sound; None where there is no recording.
    errors : (windows,) float32
        The error of each window, window i beginning at frame i; None where the detector scores a clip as a whole.
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

    Attributes
    ----------
    machine_type, machine_id
        The machine.
    groups
        Name and clips of each group, the most telling clips first.
    auc, pauc
        Of the machine id's test clips.
    scale
        The axes of the frames.
    window
        Frames per window.
    sample_rate
        Of the sounds, in Hz.
    typical
        The mean window error of the held-out normal clips.
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
        """The clips of all groups; a clip may be in two of them."""
        return [clip for _, clips in self.groups for clip in clips]


@dataclass
class Study:
    """One sweep.

    Attributes
    ----------
    name
        The sweep's.
    table
        What `sweep_tables.sweep_table` returns.
    shaped
        What `sweep_tables.report_table` returns.
    figures
        SVG texts by title.
    """

    name: str
    table: pd.DataFrame
    shaped: pd.DataFrame
    figures: Mapping[str, str]


@dataclass
class Report:
    """All that the page shows.

    Attributes
    ----------
    title
        Of the page.
    generated
        Whether the recordings are generated.
    clips
        The clip table.
    studies
        The sweeps.
    chosen
        What `selection.overall_choice` returns of the sweeps' tables: the trial shown in detail for each machine type.
    detail
        Figures of the chosen trials, SVG texts by title.
    machines
        Clips to look at and listen to.
    tables
        Further tables by name.
    warnings
        Sentences about the recordings.
    config
        The configuration as YAML.
    versions
        Of the software, by its name.
    limit_mb
        The size that the page may have.
    reasons
        The candidates of the chosen trials that have some (`detectors.auto`) and how they were judged, by machine type.
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
    """The clips of one machine id that are worth a look, by group.

    Parameters
    ----------
    scores
        Columns label (0, 1 or missing) and score of each test clip. Without labels there are only the most anomalous.
    count
        At most so many clips in each group.
    """
    ranked = scores[np.isfinite(scores["score"])].sort_values("score", ascending=False, kind="stable")
    label = ranked["label"].astype("Int8").fillna(-1)
    groups = {
        "most anomalous": ranked[:count],
        "missed": ranked[label == 1][::-1][:count],
        "false alarms": ranked[label == 0][:count],
    }
    return {name: rows for name, rows in groups.items() if len(rows)}
