"""Several detectors are judged by normal clips alone, and the best few score together."""

import dataclasses
import functools
import json
import logging
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from humwatch.detectors import models
from humwatch.detectors.backends import spread
from humwatch.detectors.base import BaseDetector, FitContext, detector_class, make, names
from humwatch.detectors.leave_id_out import combined, leave_id_out, mean_auc, pseudo_auc
from humwatch.detectors.machines import machines, similar, type_of
from humwatch.detectors.pseudo_anomalies import pseudo_anomalies
from humwatch.detectors.scoring import scores_beside
from humwatch.errors import InputError, shown
from humwatch.features.store import Features
from humwatch.parameters import parameter

if TYPE_CHECKING:
    from humwatch.features.base import BaseFeature

log = logging.getLogger(__name__)


@dataclass
class Hyperparameters:
    """What is chosen from."""

    candidates: list[str] = parameter(
        ["knn", "gmm", "mahalanobis", "id_classifier"],
        "Detectors to choose from, each as it is by default; of equals the first.",
        minItems=1,
        maxItems=20,
        uniqueItems=True,
        items={"type": "string"},
    )


class Detector(BaseDetector):
    """For each machine type, the mean standardised score of those detectors that tell ids left out of their training best.

    Candidates are judged by `leave_id_out`. The best of a machine type is kept, or all of equals; then, one by one, whichever
    raises the AUC of the mean most, as long as one does.
    Where a type has one id, that candidate is kept which tells pseudo-anomalies from held-out clips best (`pseudo_auc`); of
    equals, and where no clips are held out, the first. Scores are standardised by each machine's own held-out clips, or training
    clips where none are held out.
    """

    Hyperparameters = Hyperparameters
    scores: ClassVar[dict[str, Any]] = {"description": "The mean of those that are kept.", "enum": ["score"]}

    def __init__(self, **hyperparameters: Any) -> None:
        super().__init__(**hyperparameters)
        self.on_device = any(detector_class(name).on_device for name in self.hyperparameters.candidates)
        self.fitted: dict[str, BaseDetector] = {}
        self.kept: dict[str, list[str]] = {}  # machine type -> candidates that score it
        self.scales: dict[str, dict[str, list[float]]] = {}  # machine -> candidate -> mean, deviation of normal scores
        self.choice: list[dict[str, Any]] = []

    @classmethod
    def problems(
        cls, parameters: Mapping[str, Any], feature: "BaseFeature", frames: int | None
    ) -> Iterator[tuple[str, str]]:
        allowed = [name for name in names() if name != "auto"]
        if wrong := [name for name in parameters["candidates"] if name not in allowed]:
            yield from (
                ("candidates", f"has {shown(name)}, each must be one of {', '.join(allowed)}") for name in wrong
            )
            return
        found = [next(candidate.problems(own, feature, frames), None) for candidate, own in _candidates(parameters)]
        if all(found) and (first := found[0]):
            key, problem = first
            yield "candidates", f"are such that none can be fitted: {parameters['candidates'][0]}: {key} {problem}"

    @classmethod
    def made_of(cls, parameters: Mapping[str, Any]) -> list[str]:
        return parameters["candidates"]

    @classmethod
    def scores_by_torch(cls, parameters: Mapping[str, Any]) -> bool:
        return any(found.scores_by_torch(own) for found, own in _candidates(parameters))

    @classmethod
    def training_bytes(cls, parameters: Mapping[str, Any], frames: int, bins: int) -> float:
        return sum(found.training_bytes(own, frames, bins) for found, own in _candidates(parameters))

    @property
    def is_cross_conformal(self) -> bool:
        return all(make(name, {}).is_cross_conformal for name in self.hyperparameters.candidates)

    def fit(self, train: Features, validation: Features, context: FitContext) -> None:
        self.feature = train.parameters
        candidates = self.hyperparameters.candidates
        judged = {
            name: leave_id_out(functools.partial(make, name, {}), train, validation, _own(context, name))
            for name in candidates
        }
        for name, table in judged.items():
            if len(table):
                _default(name, table)
        types = sorted(train.clips["machine_type"].unique())
        self.kept = {machine_type: best_together(judged, machine_type) for machine_type in types}
        self._fit_some({name for kept in self.kept.values() for name in kept}, train, validation, context)
        self.kept = {t: [name for name in kept if name in self.fitted] for t, kept in self.kept.items()}
        pseudo = self._keep_by_pseudo_auc(train, validation, context)
        self.choice = [
            {
                "machine_type": machine_type,
                "candidate": name,
                "leave_id_out": _or_none(mean_auc([judged[name]], machine_type, _score(name))),
                "pseudo_auc": _or_none(pseudo.get((machine_type, name), np.nan)),
                "kept": name in self.kept[machine_type],
            }
            for machine_type in types
            for name in candidates
        ]
        self._standardise(train, validation)

    def score(self, features: Features) -> dict[str, np.ndarray]:
        fused = np.empty(len(features))
        for machine, rows in machines(features.clips):
            own = features.select(rows)
            fused[rows] = np.min([self._as(known, own) for known in similar(machine, self.scales)], axis=0)
        return {"score": fused}

    def out_of_fold(
        self, train: Features, validation: Features, folds: np.ndarray, context: FitContext
    ) -> dict[str, np.ndarray] | None:
        if not self.is_cross_conformal:
            return None
        scores = {}
        for name, detector in self.fitted.items():
            if (found := detector.out_of_fold(train, validation, folds, _own(context, name))) is None:
                return None
            scores[name] = found[_score(name)]
        fused = np.empty(len(train))
        for machine, rows in machines(train.clips):
            fused[rows] = self._fused(machine, {name: values[rows] for name, values in scores.items()})
        return {"score": fused}

    def remarks(self) -> dict[str, Any]:
        return {"choice": self.choice}

    def state(self) -> dict[str, np.ndarray]:
        described = {
            "kept": self.kept,
            "scales": self.scales,
            "choice": self.choice,
            "features": {name: detector.feature for name, detector in self.fitted.items()},
        }
        arrays = {f"{name}.{key}": a for name, d in self.fitted.items() for key, a in d.state().items()}
        return {"described": np.frombuffer(json.dumps(described, sort_keys=True).encode(), np.uint8), **arrays}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        described = json.loads(state["described"].tobytes())
        self.kept, self.scales, self.choice = (described[key] for key in ("kept", "scales", "choice"))
        for name, feature in described["features"].items():
            self.fitted[name] = make(name, {})
            self.fitted[name].feature = feature
            self.fitted[name].set_state(models.under(f"{name}.", state))

    def _fit_some(self, some: Container[str], train: Features, validation: Features, context: FitContext) -> None:
        """Fit those of the candidates that are not fitted yet, but for what cannot be."""
        for name in self.hyperparameters.candidates:
            if name not in some or name in self.fitted:
                continue
            detector = make(name, {})
            try:
                detector.fit(train, validation, _own(context, name))
            except InputError as error:
                log.warning("the candidate %s is left out: %s", name, error)
                continue
            if detector.diverged:
                log.warning("the candidate %s is left out: its loss is no longer finite", name)
            else:
                self.fitted[name] = detector

    def _keep_by_pseudo_auc(
        self, train: Features, validation: Features, context: FitContext
    ) -> dict[tuple[str, str], float]:
        """Keep one candidate for each machine type that has none: machine type, candidate -> what it was chosen by."""
        if not (types := [machine_type for machine_type, kept in self.kept.items() if not kept]):
            return {}
        candidates = self.hyperparameters.candidates
        self._fit_some(candidates, train, validation, context)
        if not (left := [name for name in candidates if name in self.fitted]):
            raise InputError(
                f"none of the candidates {', '.join(candidates)} can be fitted on these clips: name others under candidates"
            )
        found: dict[tuple[str, str], float] = {}
        normal = validation.select(validation.clips["machine_type"].isin(types).to_numpy())
        strange = [*pseudo_anomalies(normal)]
        for name in left:
            if len(table := scores_beside(self.fitted[name], normal, strange)):
                _default(name, table)
            found |= {(machine_type, name): pseudo_auc(table, machine_type, _score(name)) for machine_type in types}
        for machine_type in types:
            self.kept[machine_type] = [max(left, key=lambda name: np.nan_to_num(found[machine_type, name], nan=-1.0))]
        kept = {name for names in self.kept.values() for name in names}
        self.fitted = {name: detector for name, detector in self.fitted.items() if name in kept}
        return found

    def _scored(self, name: str, features: Features) -> np.ndarray:
        return _default(name, self.fitted[name].checked_scores(features))

    def _standardise(self, train: Features, validation: Features) -> None:
        """Learn each machine's scales."""
        held_out = {machine: (validation, rows) for machine, rows in machines(validation.clips)}
        normal = {machine: held_out.get(machine, (train, rows)) for machine, rows in machines(train.clips)}
        self.scales = {machine: {} for machine in normal}
        parts = {id(part): part for part, _ in normal.values()}
        for name in self.fitted:
            scores = {key: self._scored(name, part) for key, part in parts.items()}
            for machine, (part, rows) in normal.items():
                own = scores[id(part)][rows]
                self.scales[machine][name] = [float(own.mean()), spread(own)]

    def _as(self, machine: str, features: Features) -> np.ndarray:
        """The score of clips as if they came from a machine of the training clips, (clips,)."""
        machine_type, machine_id = machine.rsplit("/", 1)
        features.clips = features.clips.assign(machine_type=machine_type, machine_id=machine_id)
        kept = self.kept[machine_type]
        return self._fused(machine, {name: self._scored(name, features) for name in kept})

    def _fused(self, machine: str, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """The mean of the kept candidates' scores of one machine's clips, standardised: (clips,)."""
        scales = {name: self.scales[machine][name] for name in self.kept[type_of(machine)]}
        return np.mean([(scores[name] - mean) / deviation for name, (mean, deviation) in scales.items()], axis=0)


def best_together(judged: Mapping[str, pd.DataFrame], machine_type: str) -> list[str]:
    """The candidates of a machine type that tell ids left out of training best together; none where it cannot be told."""
    own = {name: (t[t["machine_type"] == machine_type], _score(name)) for name, t in judged.items()}
    alone = {name: mean_auc([table], machine_type, score) for name, (table, score) in own.items()}
    left = [name for name, figure in alone.items() if np.isfinite(figure)]
    best = max((alone[name] for name in left), default=0.0)
    kept = [name for name in left if alone[name] == best]  # those that it cannot tell apart
    while left := [name for name in left if name not in kept]:
        together = {name: mean_auc([combined([own[n] for n in (*kept, name)])], machine_type, "score") for name in left}
        found = max(together, key=lambda name: together[name])
        if together[found] <= best:
            break
        best = together[found]
        kept.append(found)
    return kept


def _candidates(parameters: Mapping[str, Any]) -> Iterator[tuple[type[BaseDetector], dict[str, Any]]]:
    """The class of each candidate, and the trial's parameters with the candidate's own."""
    for name in parameters["candidates"]:
        found = detector_class(name)
        yield found, {**parameters, **dataclasses.asdict(found.Hyperparameters())}


def _own(context: FitContext, name: str) -> FitContext:
    """What a candidate is told: its own default number of epochs, and no `on_epoch`."""
    return FitContext(
        context.seed,
        detector_class(name).epochs,
        context.device,
        masks=context.masks,
        clean_targets=context.clean_targets,
    )


def _score(name: str) -> str:
    return detector_class(name).default_score


def _default(name: str, scores: Mapping[str, Any]) -> Any:
    """The score of a candidate, of all of its scores."""
    if (score := _score(name)) not in scores:
        raise InputError(f"detectors/{name}.py returns no score {score!r}: call one so, or set its default_score")
    return scores[score]


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
