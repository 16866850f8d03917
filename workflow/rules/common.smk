import json
import os
import sys
from functools import lru_cache
from pathlib import Path

import yaml

ROOT = Path(os.path.relpath(workflow.basedir))
sys.path.insert(0, str(ROOT / "src"))

from humwatch import datasets, trials
from humwatch.config import validate
from humwatch.errors import InputError
from humwatch.locking import hold_lock
from humwatch.imports import imported_files

SCHEMA = str(ROOT / "workflow/schemas/config.schema.yaml")
SCRIPTS = str(ROOT / "workflow/scripts")

# Bad configuration or data: its sentences, without a traceback.
try:
    schema = yaml.safe_load(Path(SCHEMA).read_text())
    config = validate(config, schema)
    dataset = config["dataset"]
    SWEEPS = trials.sweeps(config, schema)
    RECORDINGS = datasets.recordings(dataset)
except InputError as error:
    raise WorkflowError(str(error)) from None

R = f"results/{dataset['name']}"
FOLDER = dataset["path"] if "path" in dataset else f"{R}/recordings"
TRIALS = trials.unique(trial for sweep in SWEEPS.values() for trial in sweep)
MODELS = {trial.name: trial for trial in reversed(TRIALS)}  # the first of those that differ in epochs or score
MILESTONES = {name: sorted({t.epochs for t in TRIALS if t.name == name}) for name in MODELS}
MODEL_FILES = ["model.json", "model.safetensors", "training.safetensors", "log.csv"]
MODEL = "results/{dataset}/models/{scope}/{trial}/epochs-{epochs}"


wildcard_constraints:
    dataset="[^/]+",
    machine_type="[^/]+",
    split="train|test",
    feature="[^/]+",
    scope="[^/]+",
    trial="[^/]+",
    epochs=r"\d+",


@lru_cache
def code(script, *modules):
    """The script and every file of src/humwatch that it, or one of `modules`, imports: editing one reruns the rule."""
    roots = [f"{SCRIPTS}/{script}.py", *(f"{ROOT}/src/humwatch/{m}.py" for m in modules)]
    return imported_files(roots, ROOT / "src")


def as_json(value):
    return json.dumps(value, sort_keys=True)


def machine_types(split):
    return [t for t, s in RECORDINGS if s == split]


def recordings_of(wildcards):
    """What the clips of one machine type and split are made by, or the clips themselves."""
    if dataset["source"] == "demo":
        return f"{R}/recordings/{wildcards.split}.txt"
    return [f"{FOLDER}/{name.clip}" for name in RECORDINGS[wildcards.machine_type, wildcards.split]]


def sample_rate_argument(wildcards):
    """The stated sample rate, or the clip that states it: the data set's first training clip."""
    if dataset["source"] == "demo":
        return "--sample-rate 16000"
    if dataset["sample_rate"]:
        return f"--sample-rate {dataset['sample_rate']}"
    first = next(names[0] for (_, split), names in sorted(RECORDINGS.items()) if split == "train")
    return f"--sample-rate-of {FOLDER}/{first.clip}"


def scopes(scope):
    """Names of the models of one scope: a machine type, a machine type and id, or all."""
    if scope == "machine_type":
        return machine_types("train")
    if scope == "machine_id":
        return sorted({f"{t}_id_{i}" for t in machine_types("train") for i in trained_ids(t)})
    return ["all"]


def trained_ids(machine_type):
    if dataset["source"] == "demo":
        return dataset["machine_ids"] or datasets.DEMO_MACHINE_IDS
    return {name.machine_id for name in RECORDINGS[machine_type, "train"]}


def features_of_scope(split):
    def files(wildcards):
        feature = MODELS[wildcards.trial].parameters["feature"]
        types = machine_types(split)
        if wildcards.scope != "all":
            types = [wildcards.scope.split("_id_")[0]]
        return [f"{R}/features/{feature}/{t}/{split}.parquet" for t in types]

    return files


def machine_id_argument(wildcards):
    _, found, machine_id = wildcards.scope.partition("_id_")
    return f"--machine-id {machine_id}" if found else ""


def previous_milestone(wildcards):
    earlier = [n for n in MILESTONES[wildcards.trial] if n < int(wildcards.epochs)]
    if not earlier:
        return []
    folder = f"{R}/models/{wildcards.scope}/{wildcards.trial}/epochs-{earlier[-1]}"
    return [f"{folder}/{name}" for name in MODEL_FILES]


def tested_scopes(scope):
    """Models whose test clips are there."""
    tested = machine_types("test")
    return [s for s in scopes(scope) if s == "all" or s.split("_id_")[0] in tested]


SCOPES = {scope: tested_scopes(scope) for scope in ("machine_type", "machine_id", "all")}
SCORES = [
    f"{R}/scores/{scope}/{t.name}/epochs-{t.epochs}.parquet" for t in TRIALS for scope in SCOPES[t.parameters["scope"]]
]


onstart:
    # Released by the kernel even when this process is killed, unlike Snakemake's own lock (nolock in the profile).
    hold_lock(".snakemake/humwatch.lock")
