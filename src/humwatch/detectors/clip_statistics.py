"""One vector per clip, one model per machine id: what the detectors that look at whole clips have in common."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from humwatch.detectors.base import BaseDetector, FitContext
from humwatch.errors import InputError
from humwatch.features.store import Features

FEW_FRAMES = 16  # clips of so few frames are one vector as they are: the 8 modulation bands of modspec
QUANTILES = (0.05, 0.5, 0.95)
FLOOR_QUANTILE = 1e-3
SHARES = (1.0, 0.3, 0.1, 0.03, 0.01)  # of a clip


class Transform:
    """Energies to logarithms, ln(x + floor); decibels as they are.

    kind: "log", "none", or "auto": "log" where no training value is negative. The floor of a bin is the 0.001 quantile
    of its training values: without one the faintest energies would dominate by their logarithm.
    """

    def __init__(self, kind: str) -> None:
        self.kind = one_of("transform", kind, ("auto", "log", "none"))
        self.floor = np.zeros(0)  # (bins,), empty where there is no logarithm

    def fit(self, train: Features) -> None:
        if len(train) == 0:
            raise InputError("there is no training clip: widen the trial's scope or add recordings")
        negative = train.values.min() < 0
        if self.kind == "log" and negative:
            raise InputError("transform is 'log', but the feature has negative values: use transform 'none'")
        if self.kind == "log" or (self.kind == "auto" and not negative):
            floor = np.quantile(train.values, FLOOR_QUANTILE, axis=0).astype(np.float64)
            self.floor = np.maximum(floor, np.finfo(np.float32).tiny)  # some bins are silent throughout

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """(frames, bins) -> (frames, bins) float64."""
        frames = frames.astype(np.float64)
        return np.log(frames.clip(min=0) + self.floor) if len(self.floor) else frames


class ClipStatistics:
    """Features of any number of frames -> one vector per clip.

    transform: see Transform.
    statistics: "flatten" lays the frames out one after the other, which needs clips of equally many frames;
    "moments" is each bin's mean and standard deviation over time; "quantiles" adds the 0.05, 0.5 and 0.95 quantile;
    "auto" is "flatten" where all training clips have the same few frames (up to 16), else "quantiles".
    """

    def __init__(self, transform: str, statistics: str) -> None:
        self.transform = Transform(transform)
        self.statistics = one_of("statistics", statistics, ("auto", "flatten", "moments", "quantiles"))
        self.frames = 0  # of each clip, where they are laid out; else 0

    def fit(self, train: Features) -> "ClipStatistics":
        """Learn the floor, and how many frames a clip has."""
        self.transform.fit(train)
        counts = np.unique(np.diff(train.starts))
        if self.statistics == "flatten" and len(counts) > 1:
            raise InputError(
                f"statistics is 'flatten', but training clips have {counts[0]} to {counts[-1]} frames: use 'moments'"
            )
        few = len(counts) == 1 and counts[0] <= FEW_FRAMES
        if self.statistics == "flatten" or (self.statistics == "auto" and few):
            self.frames = int(counts[0])
        return self

    def __call__(self, features: Features) -> np.ndarray:
        """One row per clip: (clips, size) float64."""
        counts = np.diff(features.starts)
        if self.frames:
            for i in np.flatnonzero(counts != self.frames):
                raise InputError(
                    f"clip {features.clips['clip'].iloc[i]} has {counts[i]} frames, the model was trained on clips of "
                    f"{self.frames}: use clips of the same length"
                )
            return self.transform(features.values).reshape(len(features), self.frames * features.values.shape[1])
        vectors = [self._summary(self.transform(features.clip(i))) for i in range(len(features))]
        return np.array(vectors).reshape(len(features), self._parts * features.values.shape[1])

    def state(self) -> dict[str, np.ndarray]:
        return {"statistics.floor": self.transform.floor, "statistics.frames": np.array(self.frames)}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        self.transform.floor = state["statistics.floor"]
        self.frames = int(state["statistics.frames"])

    @property
    def _parts(self) -> int:
        return 2 if self.statistics == "moments" else 2 + len(QUANTILES)

    def _summary(self, frames: np.ndarray) -> np.ndarray:
        parts = [frames.mean(axis=0), frames.std(axis=0)]
        if self.statistics != "moments":
            parts.extend(np.quantile(frames, QUANTILES, axis=0))
        return np.concatenate(parts)


class PerMachineDetector(BaseDetector):
    """One model of each machine id's clip vectors, and one or more kinds of score.

    Scores are in units of the machine's own held-out normal clips, (raw score - median) / standard deviation, so that
    one threshold can serve several machines; where validation has none of its clips, its training clips do (they score
    too low by what the model learnt by heart). A clip of a machine never heard gets the lowest score that any known
    machine of its type gives it, or any known machine at all if the type is new too: is there one that sounds like it?

    Which kind is best depends on the machine type, and normal clips can tell. "score" is, for each type, the kind with
    the highest mean AUC of stand-ins for anomalies against the held-out clips that they were made from (see `stand_ins`);
    of equals, and where there is one machine only, the first. No anomaly is needed.
    """

    default_score = "score"
    kinds: Sequence[str]  # names of the kinds of score, the fallback first

    def vectors(self, features: Features) -> np.ndarray:
        """What the models look at: (clips, ...)."""
        return self.statistics(features)

    @abstractmethod
    def fit_one(self, vectors: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """Model of one machine's training clips: vectors (clips, ...)."""

    @abstractmethod
    def score_one(self, model: dict[str, np.ndarray], vectors: np.ndarray) -> np.ndarray:
        """Raw scores of clips, (clips, kinds)."""

    def fit(self, train: Features, validation: Features, context: FitContext) -> None:
        self.feature = train.parameters
        self.statistics = self._statistics().fit(train)
        vectors, held_out = self.vectors(train), self.vectors(validation)
        held_out_rows = dict(machines(validation.clips))
        self.models: dict[str, dict[str, np.ndarray]] = {}
        for machine, rows in machines(train.clips):
            normal = held_out[held_out_rows[machine]] if machine in held_out_rows else vectors[rows]
            self.models[machine] = self._fit_machine(vectors[rows], normal, context.seed)
        best = self._best_kinds(validation, held_out, context.seed)
        for machine, model in self.models.items():
            model["kind"] = np.array(best.get(type_of(machine), 0))

    def out_of_fold(
        self, train: Features, validation: Features, folds: np.ndarray, context: FitContext
    ) -> dict[str, np.ndarray]:
        vectors, held_out = self.vectors(train), self.vectors(validation)
        held_out_rows = dict(machines(validation.clips))
        scores = np.full((len(train), 1 + len(self.kinds)), np.nan)
        for machine, rows in machines(train.clips):
            for fold in np.unique(folds[rows]):
                own, rest = rows[folds[rows] == fold], rows[folds[rows] != fold]
                if len(rest):
                    normal = held_out[held_out_rows[machine]] if machine in held_out_rows else vectors[rest]
                    model = self._fit_machine(vectors[rest], normal, context.seed)
                    model["kind"] = self.models[machine]["kind"]
                    scores[own] = self._calibrated(model, vectors[own])
        return dict(zip(["score", *self.kinds], scores.T.copy(), strict=True))

    def score(self, features: Features) -> dict[str, np.ndarray]:
        vectors = self.vectors(features)
        scores = np.empty((len(features), 1 + len(self.kinds)))
        for machine, rows in machines(features.clips):
            known = [self._calibrated(self.models[name], vectors[rows]) for name in similar(machine, self.models)]
            scores[rows] = np.min(known, axis=0)
        return dict(zip(["score", *self.kinds], scores.T.copy(), strict=True))

    def embed(self, features: Features) -> np.ndarray:
        vectors = self.vectors(features)
        return vectors.reshape(len(vectors), -1)

    def state(self) -> dict[str, np.ndarray]:
        arrays = {f"{machine}.{name}": array for machine, model in self.models.items() for name, array in model.items()}
        return {**self.statistics.state(), **arrays}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        self.statistics = self._statistics()
        self.statistics.set_state(state)
        self.models = {}
        for key, array in state.items():
            machine, name = key.rsplit(".", 1)
            if "/" in machine:
                self.models.setdefault(machine, {})[name] = array

    def _statistics(self) -> ClipStatistics:
        return ClipStatistics(self.hyperparameters.transform, self.hyperparameters.statistics)

    def _fit_machine(self, vectors: np.ndarray, normal: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """The model of one machine, its scores in units of those of `normal` clips. vectors, normal: (clips, ...)."""
        model = self.fit_one(vectors, seed)
        raw = self.score_one(model, normal)
        std = raw.std(axis=0)
        model["normal"] = np.stack([np.median(raw, axis=0), np.where(std > 0, std, 1)])
        return model

    def _calibrated(self, model: dict[str, np.ndarray], vectors: np.ndarray) -> np.ndarray:
        """The chosen score and all kinds, (clips, 1 + kinds)."""
        median, std = model["normal"]
        scores = (self.score_one(model, vectors) - median) / std
        return np.column_stack([scores[:, int(model["kind"])], scores])

    def _best_kinds(self, validation: Features, held_out: np.ndarray, seed: int) -> dict[str, int]:
        """For each machine type. held_out: the vectors of the clips in validation."""
        aucs: dict[str, list[list[float]]] = {}
        for replaced in stand_ins(validation, seed):
            vectors = self.vectors(replaced)
            for machine, rows in machines(validation.clips):
                model = self.models[machine]
                normal, other = self.score_one(model, held_out[rows]), self.score_one(model, vectors[rows])
                aucs.setdefault(type_of(machine), []).append(_auc_of_each_kind(normal, other))
        return {machine_type: int(np.mean(rows, axis=0).argmax()) for machine_type, rows in aucs.items()}


@dataclass
class Standardiser:
    """Each dimension to mean 0 and standard deviation 1 on the clips that it was fitted on.

    A dimension that never changed there is given the median standard deviation of the others: a change in it later is
    an anomaly, neither infinite nor none.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def fit(cls, vectors: np.ndarray) -> "Standardiser":
        mean, std = vectors.mean(axis=0), vectors.std(axis=0)
        changes = std > 1e-9 * np.maximum(1, np.abs(mean))
        return cls(mean, np.where(changes, std, np.median(std[changes]) if changes.any() else 1.0))

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        return (vectors - self.mean) / self.std


def stand_ins(normal: Features, seed: int) -> Iterator[Features]:
    """Normal clips made strange: in each, a stretch of frames comes from a clip of a sibling (another id of its type).

    With every share of SHARES once, from the whole clip to a hundredth of it: a sibling's whole clip is often told from
    the machine's own by any score, and then shows none to be better. Frames that are few (up to 16) do not follow in
    time, and a stretch of them is no sound: there the clip is replaced whole. Without a sibling, any other machine will
    do; with one machine there are no stand-ins. That scores which are good at this are good at anomalies is an
    assumption; it stands in for the knowledge of anomalies that nobody has beforehand.
    """
    names = machine_names(normal.clips)
    partners = {name: _partners(names, name) for name in set(names)}
    if len(partners) < 2:
        return
    draw = np.random.default_rng(seed)
    whole = SHARES[:1] * len(SHARES)  # as many draws, to be as sure
    for share in SHARES if np.diff(normal.starts).max() > FEW_FRAMES else whole:
        made = Features(normal.values.copy(), normal.starts, normal.clips, normal.parameters)
        for i, name in enumerate(names):
            clip, other = made.clip(i), normal.clip(draw.choice(partners[name]))
            length = min(len(clip), len(other))
            width = max(round(share * length), 1)
            first = draw.integers(length - width + 1)
            clip[first : first + width] = other[first : first + width]
        yield made


def similar(machine: str, known: Iterable[str]) -> list[str]:
    """The machine itself if known, else those known of its type, else all."""
    known = list(known)
    if machine in known:
        return [machine]
    return [name for name in known if type_of(name) == type_of(machine)] or known


def machines(clips: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """Each machine's "type/id" and rows, sorted."""
    names = machine_names(clips)
    for name in sorted(set(names)):
        yield name, np.flatnonzero(names == name)


def machine_names(clips: pd.DataFrame) -> np.ndarray:
    """Its "type/id" for each clip, (clips,)."""
    return (clips["machine_type"].astype(str) + "/" + clips["machine_id"].astype(str)).to_numpy(dtype=object)


def type_of(machine: str) -> str:
    return machine.rsplit("/", 1)[0]


def one_of(name: str, value: str, allowed: Iterable[str]) -> str:
    """The value of a hyper-parameter, if allowed."""
    if value not in allowed:
        raise InputError(f"{name} is {value!r}, it must be one of {', '.join(allowed)}")
    return value


def _partners(names: np.ndarray, name: str) -> np.ndarray:
    """Rows of the clips of the other machines of its type, else of all others."""
    others = names != name
    siblings = others & np.array([type_of(other) == type_of(name) for other in names])
    return np.flatnonzero(siblings if siblings.any() else others)


def _auc_of_each_kind(normal: np.ndarray, other: np.ndarray) -> list[float]:
    """normal, other: (clips, kinds)."""
    labels = np.repeat([0, 1], [len(normal), len(other)])
    return [roc_auc_score(labels, kind) for kind in np.concatenate([normal, other]).T]
