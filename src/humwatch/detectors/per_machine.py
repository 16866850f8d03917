"""One model per machine id, on a vector per clip: what the detectors that look at whole clips have in common."""

import weakref
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from humwatch.detectors.backends import calibrated, center_and_spread
from humwatch.detectors.base import BaseDetector, FitContext, Rules
from humwatch.detectors.clip_statistics import FEW_FRAMES, ClipStatistics
from humwatch.detectors.leave_id_out import auc
from humwatch.detectors.machines import domains_of, machines, similar, type_of
from humwatch.detectors.pseudo_anomalies import stand_ins
from humwatch.features.store import Features

DOMAINS: Rules = {
    "default": "apart",
    "description": (
        "Where names of training clips tell domains (source, target): apart compares a clip with each and the nearest counts, so "
        "that the normal clips of a domain with few do not look strange; joint takes no notice of them."
    ),
    "enum": ["apart", "joint"],
}


class PerMachineDetector(BaseDetector):
    """One model of each machine id's clip vectors, and one or more kinds of score.

    Scores are in units of the machine's own held-out normal clips, (raw score - median) / standard deviation, so that
    one threshold can serve several machines; where validation has none of its clips, its training clips do (they score
    too low by what the model learnt by heart). A clip of a machine that training has not seen gets the lowest score that any
    known machine of its type gives it, or any known machine at all if the type is new too: is there one that sounds like it?

    Which kind is best depends on the machine type, and normal clips can tell. "score" is, for each type, the kind with
    the highest mean AUC of stand-ins for anomalies against the held-out clips that they were made from (see `stand_ins`);
    of equals, and where there is one machine only, the first. No anomaly is needed.

    Attributes
    ----------
    kinds
        Names of the kinds of score, the fallback first.
    chooses
        Whether "score" is the best of them, and not the first.
    """

    on_device = False
    kinds: Sequence[str]
    chooses: bool = True

    @classmethod
    def scores_by_torch(cls, parameters: Mapping[str, Any]) -> bool:
        return False

    def vectors(self, features: Features) -> np.ndarray:
        """What the models look at.

        Returns
        -------
        (clips, ...)
        """
        return self.statistics(features)

    @abstractmethod
    def fit_one(self, vectors: np.ndarray, domains: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """Model of one machine's training clips.

        Parameters
        ----------
        vectors : (clips, ...)
        domains : (clips,) int
            The number of each clip's domain.
        """

    @abstractmethod
    def score_one(self, model: dict[str, np.ndarray], vectors: np.ndarray) -> np.ndarray:
        """Raw scores of clips.

        Parameters
        ----------
        vectors : (clips, ...)

        Returns
        -------
        (clips, kinds)
        """

    def fit(self, train: Features, validation: Features, context: FitContext) -> None:
        self.feature = train.parameters
        self.statistics = self._statistics().fit(train)
        vectors, held_out = self.vectors(train), self.vectors(validation)
        # Not the features themselves: whoever scores afterwards needs their memory.
        self._computed = (weakref.ref(train), vectors), (weakref.ref(validation), held_out)
        held_out_rows = dict(machines(validation.clips))
        domains = self._domains(train)
        self.models: dict[str, dict[str, np.ndarray]] = {}
        for machine, rows in machines(train.clips):
            normal = held_out[held_out_rows[machine]] if machine in held_out_rows else vectors[rows]
            self.models[machine] = self._fit_machine(vectors[rows], domains[rows], normal, context.seed)
        best = self._best_kinds(validation, held_out, context.seed) if self.chooses else {}
        for machine, model in self.models.items():
            model["kind"] = np.array(best.get(type_of(machine), 0))

    def out_of_fold(
        self, train: Features, validation: Features, folds: np.ndarray, context: FitContext
    ) -> dict[str, np.ndarray]:
        vectors, held_out = self._vectors_once(train), self._vectors_once(validation)
        held_out_rows = dict(machines(validation.clips))
        domains = self._domains(train)
        scores = np.full((len(train), 1 + len(self.kinds)), np.nan)
        for machine, rows in machines(train.clips):
            for fold in np.unique(folds[rows]):
                own, rest = rows[folds[rows] == fold], rows[folds[rows] != fold]
                if len(rest):
                    normal = held_out[held_out_rows[machine]] if machine in held_out_rows else vectors[rest]
                    model = self._fit_machine(vectors[rest], domains[rest], normal, context.seed)
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

    def _vectors_once(self, features: Features) -> np.ndarray:
        """The vectors of clips; those that `fit` was given are not computed again."""
        computed = [vectors for known, vectors in getattr(self, "_computed", ()) if known() is features]
        return computed[0] if computed else self.vectors(features)

    def _domains(self, train: Features) -> np.ndarray:
        apart = self.hyperparameters.domains == "apart"
        return domains_of(train.clips) if apart else np.zeros(len(train), int)

    def _fit_machine(
        self, vectors: np.ndarray, domains: np.ndarray, normal: np.ndarray, seed: int
    ) -> dict[str, np.ndarray]:
        """The model of one machine, its scores in units of those of `normal` clips. vectors, normal: (clips, ...)."""
        model = self.fit_one(vectors, domains, seed)
        return {**model, "normal": center_and_spread(self.score_one(model, normal))}

    def _calibrated(self, model: dict[str, np.ndarray], vectors: np.ndarray) -> np.ndarray:
        """The chosen score and all kinds, (clips, 1 + kinds)."""
        scores = calibrated(self.score_one(model, vectors), model["normal"])
        return np.column_stack([scores[:, int(model["kind"])], scores])

    def _best_kinds(self, validation: Features, held_out: np.ndarray, seed: int) -> dict[str, int]:
        """For each machine type. held_out: the vectors of the clips in validation."""
        aucs: dict[str, list[list[float]]] = {}
        for replaced in stand_ins(validation, seed, FEW_FRAMES):
            vectors = self.vectors(replaced)
            for machine, rows in machines(validation.clips):
                model = self.models[machine]
                normal, other = self.score_one(model, held_out[rows]), self.score_one(model, vectors[rows])
                aucs.setdefault(type_of(machine), []).append(_auc_of_each_kind(normal, other))
        return {machine_type: int(np.mean(rows, axis=0).argmax()) for machine_type, rows in aucs.items()}


def _auc_of_each_kind(normal: np.ndarray, other: np.ndarray) -> list[float]:
    """normal, other: (clips, kinds)."""
    strange = np.repeat([False, True], [len(normal), len(other)])
    return [auc(kind, strange) for kind in np.concatenate([normal, other]).T]
