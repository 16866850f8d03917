"""What a study will need, before anything has run: jobs, GPU hours and the time until it is done on so many GPUs.

Example: humwatch plan --configfile config/report.yaml --gpus 1 8 64

The figures come from the throughput table at the top of this file; downloads and waiting for a place in a cluster's queue
are not counted.
"""

import heapq
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import pandas as pd

from humwatch.detectors.base import detector_class
from humwatch.errors import InputError
from humwatch.features.base import feature_class
from humwatch.features.store import MAPPED_ABOVE
from humwatch.study.costs import frame_shape
from humwatch.study.study import Study
from humwatch.study.trials import Trial

# Measured on one core of an AMD EPYC server with torch 2.13 (docs/cluster.md says how), as CPU time and peak memory.
# Peak memory of a stage's process; a training's frames apart.
STAGE_MB = {"train": 600, "score": 220, "score by torch": 550, "features": 250}
SNAKEMAKE_MB = 300  # the two Snakemakes, one in the other, that a cluster job runs in
HELD = (
    1.2  # memory that a training's clips take, over the size of their frames: these, and the numbers of their windows
)
START_SECONDS = 3.0  # Python, the libraries, the first batch
LIGHT_START_SECONDS = 0.7  # the same without torch: of features
CHECK_SECONDS, DEMO_SECONDS = 0.001, 0.03  # a clip, opened and checked; a clip, generated
WINDOW_SECONDS = 10e-6  # to gather and scale a window
FLOPS = 73e9  # in matrix products: 2 per weight and window forward, 4 backward
ADAM_SECONDS = 4.5e-9  # per weight and step
STATISTICS_SECONDS = 20e-6  # per frame, of detectors that look at clips as a whole
JOB_SECONDS = 20.0  # from one job to the next on a cluster: submission, two Snakemakes, the status query

# Assumed, not measured: a GPU's small kernels wait for each other, so that a step takes the same time whatever its size.
GPU_STEP_SECONDS = 1e-3
GPU_FLOPS = 10e12
CUDA_MB = 2500  # what CUDA takes of the host's memory

SHORT_SECONDS = 300  # trainings shorter than this share a cluster job
SHARING = 4


@dataclass(frozen=True)
class Training:
    """The training of one model up to one milestone.

    Attributes
    ----------
    parameters
        Those of the trial.
    windows
        Training windows per epoch, masked copies included.
    bins
        Values per frame.
    epochs
        How many are still to be trained.
    """

    parameters: Mapping[str, Any]
    windows: int
    bins: int
    epochs: int

    def seconds(self, gpu: bool) -> float:
        """Estimated seconds, without those that the process takes to start."""
        detector = detector_class(self.parameters["detector"])
        if (weights := detector.weights(self.parameters, self.bins)) is None:
            epochs = self.epochs / 100  # of a small network over vectors, if of any
            return self.windows * STATISTICS_SECONDS * (1 + epochs)
        windows = self.windows / detector.hops(self.parameters)[0]
        steps = windows / self.parameters["batch_size"]
        held_out = 0.1 * self.windows * (WINDOW_SECONDS + 2 * weights / FLOPS)
        if gpu:
            return self.epochs * (steps * GPU_STEP_SECONDS + 6 * weights * windows / GPU_FLOPS)
        return self.epochs * (
            windows * (WINDOW_SECONDS + 6 * weights / FLOPS) + steps * weights * ADAM_SECONDS + held_out
        )


def scoring_seconds(parameters: Mapping[str, Any], windows: float, bins: int) -> float:
    """Estimated seconds to score so many windows on one CPU core, without those that the process takes to start."""
    detector = detector_class(parameters["detector"])
    if (weights := detector.weights(parameters, bins)) is None:
        return windows * STATISTICS_SECONDS
    return windows / detector.hops(parameters)[1] * (WINDOW_SECONDS + 2 * weights / FLOPS)


def bins_of(study: Study, trial: str) -> int:
    """Values per frame of a trial's feature."""
    return frame_shape(study.config["features"][study.models[trial].parameters["feature"]])[1]


def training_seconds(study: Study, trial: str, epochs: int, frames: float, gpu: bool) -> float:
    """Estimated seconds to train a model from one milestone to the next, on so many frames."""
    parameters = study.models[trial].parameters
    copies = study.config["augmentations"].get(parameters["augmentation"], {}).get("copies", 0)
    to_train = epochs - study.previous(trial, epochs)
    return Training(parameters, round(frames * (copies + 1)), bins_of(study, trial), to_train).seconds(gpu)


def model_seconds(study: Study, scope: str, trial: str, gpu: bool) -> float:
    """Estimated seconds to train a model up to its last milestone."""
    frames = frame_shape(study.config["features"][study.models[trial].parameters["feature"]])[0]
    frames *= study.clips_of(study.scopes_by_name[scope], "train")
    return sum(training_seconds(study, trial, epochs, frames, gpu) for epochs in study.milestones[trial])


@cache
def group_of(study: Study, scope: str, trial: str, gpu: bool) -> str | None:
    """The group of short trainings, which share cluster jobs, or None; all milestones of a model are in the same."""
    return "short_trainings" if model_seconds(study, scope, trial, gpu) < SHORT_SECONDS else None


def features_seconds(study: Study, feature: str, machine_type: str, split: str) -> float:
    """Estimated seconds to compute a feature for the clips of one machine type and split."""
    clips = sum(n for (t, of, _), n in study.clips.items() if t == machine_type and of == split)
    return clips * feature_class(study.config["features"][feature]["source"]).seconds_per_clip


def trial_scoring_seconds(study: Study, trial: str, frames: float) -> float:
    return scoring_seconds(study.models[trial].parameters, frames, bins_of(study, trial))


def stage_mb(stage: str) -> int:
    """Memory in MB to ask a cluster for; stages other than training hold 64 clips at a time, whatever their number."""
    return STAGE_MB[stage] + SNAKEMAKE_MB


def scoring_mb(parameters: Mapping[str, Any]) -> int:
    """Memory in MB to ask a cluster for, to score with a trial of these parameters."""
    return stage_mb("score by torch" if _scores_by_torch(parameters) else "score")


def training_mb(frames_mb: float, gpu: bool) -> int:
    """Memory in MB to ask a cluster for; of the feature files, `frames_mb`, a training reads all, or maps what is too large."""
    return math.ceil(stage_mb("train") + HELD * min(frames_mb, MAPPED_ABOVE / 1e6) + gpu * CUDA_MB)


def minutes(seconds: float) -> int:
    """Minutes to ask a cluster for: twice the estimate, for slower and busier machines, and five to start and end."""
    return 5 + math.ceil(2 * seconds / 60)


def has_cuda() -> bool:
    """Whether the installed torch can use a GPU, found without importing it, which takes seconds."""
    return not version("torch").endswith("+cpu")


def check_device(device: str) -> None:
    """Raise InputError where a configuration asks for a GPU that the installed torch cannot use."""
    if device == "cuda" and not has_cuda():
        raise InputError(
            f"config: device is 'cuda', but torch {version('torch')} is built without CUDA: set auto or cpu, or install another"
        )


class Plan:
    """All jobs of a study, and what they cost."""

    def __init__(self, study: Study) -> None:
        self.study, self.config = study, study.config
        self.trials = [t for t in study.trials if not t.members]  # ensembles train nothing
        self.chains = [chain for name in dict.fromkeys(t.name for t in self.trials) for chain in self._chains(name)]
        judges = {(t.name, t.epochs) for judges in study.judges.values() for t in judges if not t.members}
        # Models of one machine id are judged as they are.
        judged = [of for of in judges if study.models[of[0]].parameters["scope"] != "machine_id"]
        self.judged = [chain for name, epochs in sorted(judged) for chain in self._chains(name, [epochs], judged=True)]

    def table(self) -> pd.DataFrame:
        """Jobs and hours of each stage."""
        files = len(self.study.machines)
        features = {t.parameters["feature"] for t in self.trials}
        models = {(t.name, t.epochs): t for t in self.trials}.values()
        trained = [training for chain in self.chains for training in chain]
        judged = [training for chain in self.judged for training in chain]
        rows = [
            ("clip tables", files, sum(self.study.clips.values()) * CHECK_SECONDS / 3600, 0.0),
            ("features", files * len(features), self._features_seconds() / 3600, 0.0),
            ("trainings", len(trained), 0.0, _seconds(trained, True) / 3600),
            ("scores", sum(len(self._tested(t)) for t in models), self._scores_seconds() / 3600, 0.0),
            ("trainings, were they on CPU cores", len(trained), _seconds(trained, False) / 3600, 0.0),
        ]
        if judged:
            rows.insert(3, ("trainings without an id", len(judged), 0.0, _seconds(judged, True) / 3600))
            rows.append(
                ("trainings without an id, were they on CPU cores", len(judged), _seconds(judged, False) / 3600, 0.0)
            )
        return pd.DataFrame(rows, columns=["stage", "jobs", "CPU core hours", "GPU hours"]).round(2)

    def on(self, gpus: int) -> dict[str, Any]:
        """What the study takes on that many GPUs, each with four CPU cores beside it: one row of a table."""
        chains = [*self.chains, *self.judged]
        lengths = sorted((_seconds(chain, True) for chain in chains), reverse=True)
        # Milestones of one model follow each other; the longest first, each to the GPU that is free first.
        short = [length for length in lengths if length < SHORT_SECONDS]
        whole = [length for length in lengths if length >= SHORT_SECONDS]
        shared = [sum(group) for group in (short[i : i + SHARING] for i in range(0, len(short), SHARING))]
        free = [0.0] * gpus
        jobs = sorted([*whole, *shared], reverse=True)
        for length in jobs:
            heapq.heappush(free, heapq.heappop(free) + length + JOB_SECONDS)
        cores = 4 * gpus
        table = self.table().set_index("stage")["jobs"]
        before = self._features_seconds() / min(cores, table["features"]) + JOB_SECONDS * 2
        after = self._scores_seconds() / min(cores, table["scores"]) + JOB_SECONDS * math.ceil(table["scores"] / cores)
        hours = (before + max(free) + after) / 3600
        return {
            "GPUs": gpus,
            "cluster jobs of trainings": len(jobs),
            "GPU hours": round(sum(lengths) / 3600, 2),
            "wall time, hours": round(hours, 2),
            "GPUs in use": f"{sum(lengths) / gpus / max(free):.0%}",
        }

    def _chains(
        self, name: str, milestones: Iterable[int] | None = None, judged: bool = False
    ) -> Iterable[list[Training]]:
        """The trainings of one model, milestone by milestone, for each scope; `judged`: for each that can be judged."""
        milestones = self.study.milestones[name] if milestones is None else milestones
        parameters = self.study.models[name].parameters
        augmentation = self.config["augmentations"].get(parameters["augmentation"], {})
        frames, bins = frame_shape(self.config["features"][parameters["feature"]])
        kept = (1 - self.config["validation"]["fraction"]) * (1 + augmentation.get("copies", 0))
        windows = max(frames - parameters.get("window", 1) + 1, 1) * kept
        for scope in self.study.scopes[parameters["scope"]]:
            if judged and not self.study.is_judged(scope):
                continue
            clips = self.study.clips_of(scope, "train")
            yield [
                Training(parameters, round(windows * clips), bins, end - begin)
                for begin, end in itertools.pairwise([0, *sorted(milestones)])
            ]

    def _tested(self, trial: Trial) -> list[int]:
        """Test clips of each model of a trial."""
        return [self.study.clips_of(scope, "test") for scope in self.study.tested_scopes[trial.parameters["scope"]]]

    def _features_seconds(self) -> float:
        jobs = itertools.product({t.parameters["feature"] for t in self.trials}, self.study.machines)
        return sum(LIGHT_START_SECONDS + features_seconds(self.study, feature, *of) for feature, of in jobs)

    def _scores_seconds(self) -> float:
        seconds = 0.0
        for trial in {(t.name, t.epochs): t for t in self.trials}.values():
            frames, bins = frame_shape(self.config["features"][trial.parameters["feature"]])
            for clips in self._tested(trial):
                seconds += START_SECONDS if _scores_by_torch(trial.parameters) else LIGHT_START_SECONDS
                seconds += scoring_seconds(trial.parameters, clips * frames, bins)
        return seconds


def _scores_by_torch(parameters: Mapping[str, Any]) -> bool:
    return detector_class(parameters["detector"]).scores_by_torch(parameters)


def _seconds(trainings: Iterable[Training], gpu: bool) -> float:
    """Of trainings one after the other, each in a process of its own."""
    return sum(training.seconds(gpu) + START_SECONDS for training in trainings)
