"""A configuration, expanded: its trials, the models that they need, the machines that these hear, and the files of all of them.

The rules of the workflow and `humwatch plan` go by it. Of recordings, only the names are read.
"""

import itertools
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from humwatch.datasets import source as sources
from humwatch.features.base import make
from humwatch.slugs import slug
from humwatch.study import trials
from humwatch.study.config import Schema
from humwatch.study.layout import MODEL_FILES, TOLD, Layout, Scope
from humwatch.study.trials import Trial

SCOPES = ("machine_type", "machine_id", "all")


class Study:
    """All that a validated configuration asks for.

    Attributes
    ----------
    sweeps
        The trials of each sweep, by its name.
    trials
        All trials, each once.
    models
        By name, the first trial of that name; others of the same name differ in epochs or score alone.
    milestones
        By name of a model, the epochs at which it is read.
    poolings
        By name and epochs of a model, the scores that trials read of it.
    source, folder
        The data source, and where its recordings are.
    machines
        The machine ids of each machine type and split.
    recordings
        The clips of each machine type and split that are there.
    clips
        The number of clips of each machine type, split and machine id.
    several
        Machine types with several ids to train on.
    judges
        By a trial's key, the trials whose models, judged by ids left out of training, stand for it; empty where there is
        nothing to judge.
    scopes, tested_scopes
        By kind of scope, its models, and those of them whose test clips are there.
    types, scopes_by_name
        What Snakemake's wildcards `machine_type` and `scope` stand for.

    Raises
    ------
    InputError
        The data or the trials cannot be as stated.
    """

    def __init__(self, config: Mapping[str, Any], schema: Schema) -> None:
        self.config, self.dataset = config, config["dataset"]
        self.sweeps = trials.sweeps(config, schema)
        self.source = sources.of(self.dataset)
        self.folder = self.source.folder()
        self.recordings = {} if self.source.is_made else self.source.recordings(self.folder)
        self.machines = self.source.machines(self.recordings)
        self.clips = self.source.clip_counts(self.recordings, self.machines)
        self.layout = Layout(f"results/{self.dataset['name']}")
        self.types = {slug(machine_type): machine_type for machine_type, _ in self.machines}
        self.trials = trials.unique(itertools.chain.from_iterable(self.sweeps.values()))
        self.models = {trial.name: trial for trial in reversed(self.trials)}
        self.milestones: dict[str, set[int]] = {name: set() for name in self.models}
        self.poolings: dict[tuple[str, int], list[str]] = {}
        for trial in self.trials:
            self.milestones[trial.name].add(trial.epochs)
            self.poolings.setdefault((trial.name, trial.epochs), []).append(trial.parameters["score"])
        self.several = [t for t in self.machine_types("train") if len(self.machines[t, "train"]) > 1]
        self.judges = trials.judges(self.trials, config, schema) if self.several else {}
        self.scopes = {kind: self._scopes(kind) for kind in SCOPES}
        self.scopes_by_name = {scope.name: scope for listed in self.scopes.values() for scope in listed}
        self.tested_scopes = {k: [s for s in listed if self._is_tested(s)] for k, listed in self.scopes.items()}

    def machine_types(self, split: str) -> list[str]:
        """Machine types that have clips of a split."""
        return [machine_type for machine_type, of in self.machines if of == split]

    @cached_property
    def trained(self) -> list[str]:
        """The `model.json` of each model at each milestone, with repetitions where trials differ in their score alone."""
        return [
            f"{self.layout.model(scope.name, t.name, t.epochs)}/model.json"
            for t in self.trials
            for scope in self.scopes[t.parameters["scope"]]
        ]

    @property
    def trainings(self) -> int:
        """The number of models that are trained, each milestone by itself; ensembles are not."""
        trials = {(t.name, t.epochs): t for t in self.trials if not t.members}.values()
        return sum(len(self.scopes[t.parameters["scope"]]) for t in trials)

    @cached_property
    def scored(self) -> list[str]:
        """The score file of each model at each milestone whose test clips are there."""
        return [self.layout.scores(scope.name, t.name, t.epochs) for t, scope in self._tested()]

    @cached_property
    def judged(self) -> list[str]:
        """What the models that are judged make of ids left out of their training; of ensembles, as far as they are tested."""
        found = {(t.name, t.epochs): t for judges in self.judges.values() for t in judges}
        return [
            self.layout.leave_id_out(scope.name, t.name, t.epochs)
            for t in found.values()
            for scope in (self.tested_scopes if t.members else self.scopes)[t.parameters["scope"]]
            if self.is_judged(scope)
        ]

    def is_judged(self, scope: Scope) -> bool:
        """Whether a model of this scope can be judged: a machine that it hears has siblings."""
        return any(scope.hears(t) for t in self.several)

    @cached_property
    def measured(self) -> list[str]:
        """The score files, and the files of models, that tables, figures and report read, sorted."""
        folders = {self.layout.model(scope.name, t.name, t.epochs) for t, scope in self._tested()}
        return sorted({*self.scored, *self.judged, *(f"{f}/{name}" for f in folders for name in TOLD)})

    @cached_property
    def scored_types(self) -> list[str]:
        """Machine types whose test clips any model scores."""
        used = {t.parameters["scope"] for t in self.trials}
        scopes = [scope for kind in used for scope in self.tested_scopes[kind]]
        return [t for t in self.machine_types("test") if any(scope.hears(t) for scope in scopes)]

    def channel(self, feature: str) -> int | str | list[int | str]:
        """The channel that a named feature hears, or all of them where it hears the far ones too."""
        channels = self.source.channels
        return channels if make(self.config["features"][feature]).hears_far else channels[0]

    @property
    def unheard(self) -> list[str]:
        """Machine types without training clips, where a trial's scope leaves these out."""
        if all(t.parameters["scope"] == "all" for t in self.trials):
            return []
        return sorted({*self.machine_types("test")} - {*self.machine_types("train")})

    def previous(self, trial: str, epochs: int) -> int:
        """The milestone that a training goes on from; 0 where it starts afresh."""
        return max((n for n in self.milestones[trial] if n < epochs), default=0)

    def feature_files(self, scope: str, trial: str, split: str) -> list[str]:
        """The feature files of a split that a model is trained on, or scores."""
        feature = self.models[trial].parameters["feature"]
        return [self.layout.features(feature, t, split) for t in self._types_of(scope, split)]

    def mask_files(self, scope: str, trial: str) -> list[str]:
        parameters = self.models[trial].parameters
        if parameters["augmentation"] == "none":
            return []
        made = parameters["augmentation"], parameters["feature"]
        return [self.layout.masks(*made, t) for t in self._types_of(scope, "train")]

    def previous_files(self, scope: str, trial: str, epochs: int) -> list[str]:
        """The files of the model that a training goes on from; none where it starts afresh."""
        if not (previous := self.previous(trial, epochs)):
            return []
        return [f"{self.layout.model(scope, trial, previous)}/{name}" for name in MODEL_FILES]

    def members(self, ensemble: str, machine_type: str) -> list[tuple[Trial, list[Scope]]]:
        """The members of an ensemble, and the models of each that hear a machine type."""
        return [
            (t, [s for s in self.tested_scopes[t.parameters["scope"]] if s.hears(machine_type)])
            for t in self.models[ensemble].members
        ]

    def member_models(self, ensemble: str, machine_type: str) -> list[tuple[str, str, int]]:
        """Scope, trial and epochs of the models whose scores an ensemble averages."""
        return [(s.name, t.name, t.epochs) for t, scopes in self.members(ensemble, machine_type) for s in scopes]

    def tested_features(self, split: str) -> list[str]:
        """Feature files of a split of the machine types that a model without members is tested on, sorted."""
        heard = {(t.parameters["feature"], t.parameters["scope"]) for t in self.trials if not t.members}
        scopes = [(feature, scope.name) for feature, kind in heard for scope in self.tested_scopes[kind]]
        return sorted({self.layout.features(f, t, split) for f, scope in scopes for t in self._types_of(scope, split)})

    @cached_property
    def sample_rate(self) -> int:
        """The sample rate in Hz that every clip must have: as known, or that of most training clips; 0 where none can be read."""
        if known := self.source.known_clips()[0]:
            return known
        from humwatch.datasets import audio  # soundfile takes time to load

        clips = [clip for (_, split), names in sorted(self.recordings.items()) if split == "train" for clip in names]
        return audio.common_sample_rate([Path(self.folder, clip.clip) for clip in clips]) or 0

    def clips_of(self, scope: Scope, split: str) -> int:
        """The number of clips of a split that a model hears."""
        return sum(n for (t, of, i), n in self.clips.items() if of == split and scope.hears(t, i))

    def _scopes(self, kind: str) -> list[Scope]:
        if kind == "machine_type":
            return [Scope(t) for t in self.machine_types("train")]
        if kind == "machine_id":
            return [Scope(t, i) for t in self.machine_types("train") for i in self.machines[t, "train"]]
        return [Scope()]

    def _is_tested(self, scope: Scope) -> bool:
        return any(scope.hears(t, i) for t in self.machine_types("test") for i in self.machines[t, "test"])

    def _tested(self) -> list[tuple[Trial, Scope]]:
        return [(t, scope) for t in self.trials for scope in self.tested_scopes[t.parameters["scope"]]]

    def _types_of(self, scope: str, split: str) -> list[str]:
        """Slugs of the machine types of a split that a model hears."""
        return [slug(t) for t in self.machine_types(split) if self.scopes_by_name[scope].hears(t)]
