"""What the rules of the workflow tell a study's jobs: arguments of their command lines."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from humwatch.study.study import Study


def training_arguments(
    study: Study, scope: str, trial: str, masks: Sequence[str], previous: Sequence[str]
) -> list[str]:
    """The arguments of `train.py`, made in one function, as Snakemake calls each function of a rule for every job.

    Parameters
    ----------
    study, scope, trial
        Which model.
    masks
        The files of `Study.mask_files`.
    previous
        The files of `Study.previous_files`.
    """
    made = study.models[trial]
    hyperparameters = json.dumps(made.hyperparameters, sort_keys=True)
    arguments = [f"--detector={made.parameters['detector']}", f"--hyperparameters={hyperparameters}"]
    arguments += [f"--seed={made.parameters['seed']}", *_machine_id(study, scope)]
    if masks:
        target = study.config["augmentations"][made.parameters["augmentation"]]["target"]
        arguments += ["--masks", *masks, f"--mask-target={target}"]
    if previous:
        arguments += [f"--continue-from={Path(previous[0]).parent}"]
    return arguments


def scoring_arguments(study: Study, scope: str, trial: str, epochs: int) -> list[str]:
    return ["--score", *study.poolings[trial, epochs], *_machine_id(study, scope)]


def members(study: Study, ensemble: str, machine_type: str) -> list[dict[str, Any]]:
    """Trial, epochs, score and scopes of each member of an ensemble."""
    return [
        {"trial": t.name, "epochs": t.epochs, "score": t.parameters["score"], "scopes": [s.name for s in scopes]}
        for t, scopes in study.members(ensemble, machine_type)
    ]


def _machine_id(study: Study, scope: str) -> list[str]:
    machine_id = study.scopes_by_name[scope].machine_id
    return [] if machine_id is None else [f"--machine-id={machine_id}"]
