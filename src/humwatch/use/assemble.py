"""From a finished study, `results/<name>`, to the files of its detectors."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from humwatch import __version__, parquet
from humwatch.datasets.clips import read_samples
from humwatch.detectors import models
from humwatch.errors import InputError
from humwatch.evaluation.auc_table import leave_id_out, trained_row
from humwatch.evaluation.calibration import Member, in_common, scales
from humwatch.evaluation.decisions import calibrations
from humwatch.evaluation.selection import NOT_PARAMETERS, choose, overall_choice
from humwatch.features import base as features
from humwatch.study.layout import Scope
from humwatch.study.study import Study
from humwatch.study.trials import Trial
from humwatch.use import explain, pack

REFERENCE_CLIPS = 50  # of each machine, whose levels alarms are explained by
Machine = tuple[str, str]  # type, id


class Finished:
    """A study that has run.

    Attributes
    ----------
    study
        Its configuration, expanded.
    train
        The rows of its clip table that are training clips.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        clips = parquet.read(Path(study.layout.root, "clips.parquet"))
        self.train = clips[clips["split"] == "train"].reset_index(drop=True)

    def machines(self, heard: Scope) -> list[Machine]:
        """The machines with training clips that a model of this scope hears."""
        every = sorted({*zip(self.train["machine_type"], self.train["machine_id"], strict=True)})
        return [machine for machine in every if heard.hears(*machine)]

    def scopes(self, trial: Trial, known: Sequence[Machine]) -> list[Scope]:
        """The scopes of the trial's models that hear these machines."""
        scopes = self.study.scopes[trial.parameters["scope"]]
        return [scope for scope in scopes if any(scope.hears(*machine) for machine in known)]

    def members(self, trial: Trial) -> Sequence[Trial]:
        """The members of an ensemble; of any other trial, itself."""
        return trial.members or (trial,)

    def folder(self, trial: Trial, scope: Scope) -> Path:
        """The folder of a model."""
        return Path(self.study.layout.model(scope.name, trial.name, trial.epochs))

    def usable(self, trial: Trial) -> bool:
        """Whether the trial's features can be computed of a new recording."""
        stated = [self.study.config["features"][member.parameters["feature"]] for member in self.members(trial)]
        return all(features.make(feature).from_recordings for feature in stated)

    def choice(self, heard: Scope) -> Trial | None:
        """The trial chosen without labels over all sweeps, of those that can be used; None where no criterion is known.

        It is the one that the report page shows in detail, where that can be used.
        """
        known = self.machines(heard)
        tables: list[pd.DataFrame] = []
        usable: dict[tuple, Trial] = {}
        for sweep in self.study.sweeps.values():
            found = [trial for trial in sweep if self.usable(trial)]
            usable |= {(t.name, t.epochs, t.parameters["score"]): t for t in found}
            table = pd.DataFrame([self._trained(trial, known) for trial in found])
            if len(table):
                parameters = [str(column) for column in table if column not in NOT_PARAMETERS]
                tables.append(table.assign(selected=table.index == choose(table, parameters)))
        if not usable:
            return None
        chosen = overall_choice(tables)
        if len(chosen):
            row = chosen.iloc[0]
            return usable[row["trial"], row["epochs"], row["score"]]
        return next(iter(usable.values())) if len(usable) == 1 and not tables[0]["diverged"].item() else None

    def _trained(self, trial: Trial, known: Sequence[Machine]) -> dict[str, Any]:
        """The trial's row in a sweep's table, without the columns that need labels; numbers as tables round them."""
        machine_type, folders = known[0][0], [self.folder(trial, scope) for scope in self.scopes(trial, known)]
        held_out = {folder: parquet.read(folder / "validation.parquet") for folder in folders}
        row = trained_row(held_out, machine_type, trial.parameters["score"])
        if self.study.judges:
            row["leave_id_out"] = leave_id_out(self._judged(trial, known), machine_type, trial.parameters["score"])
        rounded = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in row.items()}
        parameters = {k: str(v) if isinstance(v, list) else v for k, v in trial.parameters.items()}
        return {**parameters, "trial": trial.name, "epochs": trial.epochs, "machine_type": machine_type, **rounded}

    def _judged(self, trial: Trial, known: Sequence[Machine]) -> list[Path]:
        """What the models that stand for a trial make of ids left out of their training."""
        return [
            Path(self.study.layout.leave_id_out(scope.name, judge.name, judge.epochs))
            for judge in self.study.judges[trial.key]
            for scope in self.scopes(judge, known)
            if self.study.is_judged(scope) and known[0][0] in self.study.several
        ]

    def heard(self, name: str | None) -> Scope:
        """The scope of this name, as folders of models are named; without a name, the only machine type.

        Raises
        ------
        InputError
            There is no such scope, or there are several machine types.
        """
        types, every = self.study.scopes["machine_type"], self.study.scopes_by_name
        if name is None and len(types) == 1:
            return types[0]
        if name not in every:
            what = "there are several machine types" if name is None else f"there is no model {name}"
            raise InputError(f"{self.study.layout.root}: {what}: name one of {', '.join(every)} (--model)")
        return every[name]

    def trial(
        self, heard: Scope, name: str | None = None, epochs: int | None = None, score: str | None = None
    ) -> Trial:
        """The trial of this name, or the one that is chosen without labels.

        Parameters
        ----------
        heard
            The scope for which a trial is chosen.
        name
            Of the trial; None for the chosen one.
        epochs
            Its milestone; None for the last.
        score
            Its score; None for the first that was studied.

        Raises
        ------
        InputError
            There is no such trial, or none can be chosen.
        """
        if name is None:
            if (chosen := self.choice(heard)) is None:
                raise InputError(f"{self.study.layout.root}: no trial can be chosen without labels: name one (--trial)")
            return chosen
        found = [trial for trial in self.study.trials if trial.name == name]
        if not found:
            raise InputError(
                f"{self.study.layout.root} has no trial {name}: give a name of column trial in its tables/auc.csv"
            )
        last = max(trial.epochs for trial in found) if epochs is None else epochs
        found = [t for t in found if t.epochs == last and score in (None, t.parameters["score"])]
        if not found:
            raise InputError(
                f"{name} was not studied at {last} epochs{f' with score {score}' if score else ''}: correct that"
            )
        return found[0]


def assemble(finished: Finished, trial: Trial, heard: Scope, out: Path) -> None:
    """Pack a trial's models of the machines of a scope into the file `out`.

    Raises
    ------
    InputError
        The trial cannot be used on new recordings: it diverged, its features come from elsewhere, or no clips are left that
        thresholds could be taken from.
    """
    known = finished.machines(heard)
    train = finished.train[
        [heard.hears(t, i) for t, i in zip(finished.train["machine_type"], finished.train["machine_id"], strict=True)]
    ]
    members = finished.members(trial)
    arrays: dict[str, np.ndarray] = {}
    described = [_member(finished, member, known, f"members.{i}.", arrays) for i, member in enumerate(members)]
    if trial.members:
        for member, scale in zip(described, _scales(finished, members, known), strict=True):
            member["scales"] = scale
    calibration = _calibration(finished, trial, known, arrays)
    rate = int(train["sample_rate"].iloc[0])
    channels = finished.study.source.channels
    hears_far = any(features.feature_class(member["feature"]["source"]).hears_far for member in described)
    folder = Path(finished.study.folder)
    for i, (machine_type, machine_id) in enumerate(known):
        own = train["clip"][(train["machine_type"] == machine_type) & (train["machine_id"] == machine_id)]
        every = np.unique(np.linspace(0, len(own) - 1, REFERENCE_CLIPS).round().astype(int))
        normal = explain.reference(
            explain.levels(read_samples(folder / clip, channels[0])[0], rate) for clip in own.iloc[every]
        )
        arrays |= {f"reference.{i}.median": normal.median, f"reference.{i}.spread": normal.spread}
        arrays[f"reference.{i}.clips"] = np.array(len(every))
    lengths = (train["seconds"] * rate).round().astype(int)
    description = {
        "trial": trial.name,
        "epochs": trial.epochs,
        "score": trial.parameters["score"],
        "members": described,
        "machines": known,
        "sample_rate": rate,
        "channel": channels if hears_far else channels[0],
        "samples": int(lengths.median()),
        "longest_samples": int(lengths.max()),
        "false_alarm_rate": finished.study.config["alarm"]["false_alarm_rate"],
        "calibration": calibration,
        "recordings_sha256": hashlib.sha256("".join(train["sha256"]).encode()).hexdigest(),
        "versions": {"humwatch": __version__},
    }
    pack.write(out, description, arrays)


def _member(
    finished: Finished,
    trial: Trial,
    known: Sequence[Machine],
    prefix: str,
    arrays: dict[str, np.ndarray],
) -> dict[str, Any]:
    """The description of a trial; its arrays go to `arrays`, by names that begin with `prefix`."""
    scopes = finished.scopes(trial, known)
    folders = [finished.folder(trial, scope) for scope in scopes]
    made = [models.description(folder) for folder in folders]
    described = []
    for i, (scope, folder, model) in enumerate(zip(scopes, folders, made, strict=True)):
        if model["diverged"]:
            raise InputError(f"{folder} has diverged, its scores mean nothing: pack another trial")
        if not finished.usable(trial):
            raise InputError(
                f"{folder} hears features that were computed elsewhere, which cannot be computed of a new recording: pack a "
                "trial of another feature"
            )
        arrays |= {f"{prefix}models.{i}.{name}": array for name, array in models.arrays(folder, "model").items()}
        keys = ("feature", "epoch", "seed", "sha256", "clips_sha256", "features_sha256", "versions")
        heard = [machine for machine in known if scope.hears(*machine)]
        described.append({"machines": heard, **{key: model[key] for key in keys}})
    return {
        "trial": trial.name,
        "epochs": trial.epochs,
        "detector": made[0]["detector"],
        "hyperparameters": made[0]["hyperparameters"],
        "feature": {key: value for key, value in made[0]["feature"].items() if key != "bins"},
        "score": trial.parameters["score"],
        "models": described,
    }


def _scales(finished: Finished, members: Sequence[Trial], known: Sequence[Machine]) -> list[list]:
    """Of each member: machine type, id, mean and deviation of each machine, by which its scores are standardised."""
    tables = []
    for member in members:
        folders = [finished.folder(member, scope) for scope in finished.scopes(member, known)]
        held_out = pd.concat([parquet.read(folder / "validation.parquet") for folder in folders], ignore_index=True)
        held_out = held_out[held_out["machine_type"].isin({machine_type for machine_type, _ in known})]
        tables.append(Member(held_out[:0], held_out, held_out[:0], member.parameters["score"]))
    found = [scales(known, member.normal, member.column) for member in in_common(tables)]
    return [[[*machine, float(mean), float(deviation)] for machine, (mean, deviation) in own.items()] for own in found]


def _calibration(
    finished: Finished, trial: Trial, known: Sequence[Machine], arrays: dict[str, np.ndarray]
) -> dict[str, Any]:
    """How the calibration scores were made; the scores, with machines, clips and sessions, go to `arrays`."""
    folders = [finished.folder(trial, scope) for scope in finished.scopes(trial, known)]
    tables = [parquet.read(folder / "calibration.parquet") for folder in folders]
    calibrated = {machine_type for machine_type, _ in calibrations(tables, trial.parameters["score"], 0.5)}
    if lacking := sorted({machine_type for machine_type, _ in known} - calibrated):
        raise InputError(
            f"{folders[0]} has no scores of normal clips of {lacking[0]} that it was not fitted on, which thresholds are taken "
            "from: add training clips"
        )
    table = pd.concat(tables, ignore_index=True)
    number = {machine: i for i, machine in enumerate(known)}
    table["machine"] = [
        number.get(machine, -1) for machine in zip(table["machine_type"], table["machine_id"], strict=True)
    ]
    table = table[table["machine"] >= 0].sort_values(["machine", "clip"], kind="stable")
    arrays |= pack.calibration_arrays(table.assign(score=table[trial.parameters["score"]]), grouped="session" in table)
    return {"method": table["method"].iloc[0], "clips": len(table)}
