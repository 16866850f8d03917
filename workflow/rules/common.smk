import gc
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from snakemake.logging import logger

# A large plan is millions of objects that stay: looking for garbage among them took an eighth of its time.
gc.set_threshold(1_000_000)

ROOT = Path(os.path.relpath(workflow.basedir))
sys.path.insert(0, str(ROOT / "src"))

from humwatch import datasets, plan, trials
from humwatch.config import SCHEMA as SCHEMA_FILE, read_schema, validate
from humwatch.errors import InputError
from humwatch.files import replacing
from humwatch.locking import hold_lock
from humwatch.imports import imported_files

SCHEMA = os.path.relpath(SCHEMA_FILE)
SCRIPTS = str(ROOT / "workflow/scripts")


def imported_features():
    """Folder of each feature that was computed elsewhere: a file per machine type in it."""
    folders = {}
    for name, feature in config["features"].items():
        if feature["source"] == "parquet":
            folders[name] = feature.get("path", dataset["path"] if dataset["source"] == "parquet" else None)
            if folders[name] is None:
                raise InputError(f"config: features.{name} lacks path, the folder of <machine_type>.parquet: add it")
            for machine_type in sorted({machine_type for machine_type, _ in MACHINES}):
                if not (file := Path(folders[name], f"{machine_type}.parquet")).is_file():
                    raise InputError(
                        f"config: features.{name}: {file} is not there: add it or correct features.{name}.path"
                    )
    used = {t.parameters["feature"] for sweep in SWEEPS.values() for t in sweep if "feature" in t.parameters}
    if dataset["source"] == "parquet" and (computed := sorted(used - folders.keys())):
        raise InputError(
            f"config: the feature {computed[0]} is computed from recordings and dataset.source parquet has none: "
            "set trial.feature to a feature of source parquet"
        )
    return folders


# Bad configuration or data: its sentences, without a traceback.
try:
    schema = read_schema()
    config = validate(config, schema)
    plan.check_device(config["device"])
    dataset = config["dataset"]
    SWEEPS = trials.sweeps(config, schema)
    ENSEMBLES = trials.ensembles(config, schema)
    FOLDER = datasets.data_folder(dataset)
    RECORDINGS = {} if dataset["source"] in datasets.MADE else datasets.recordings(dataset, FOLDER)
    MACHINES = datasets.machines(dataset, RECORDINGS)
    IMPORTED = imported_features()
except InputError as error:
    raise WorkflowError(str(error)) from None

if dataset["source"] == "dcase2020":
    from humwatch.datasets import dcase2020

R = f"results/{dataset['name']}"
TRIALS = trials.unique(trial for sweep in SWEEPS.values() for trial in sweep)
MODELS = {trial.name: trial for trial in reversed(TRIALS)}  # the first of those that differ in epochs or score
MILESTONES = {name: set() for name in MODELS}
for t in TRIALS:
    MILESTONES[t.name].add(t.epochs)
MODEL_FILES = ["model.json", "model.safetensors", "training.safetensors", "log.csv", "validation.parquet"]
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
    """The script, and a list of the files of src/humwatch that it, or one of `modules`, imports, with their checksums.

    Editing one of them changes the list and so reruns the rule. Each file as an input would make large plans twice as slow.
    """
    roots = [f"{SCRIPTS}/{script}.py", *(f"{ROOT}/src/humwatch/{m}.py" for m in modules)]
    files = imported_files(roots, ROOT / "src")
    lines = "".join(f"{hashlib.sha256(Path(file).read_bytes()).hexdigest()}  {file}\n" for file in files)
    listed = Path(".snakemake/code", "+".join([script, *modules]).replace(os.sep, ".") + ".txt")
    if not listed.exists() or listed.read_text() != lines:
        with replacing(listed) as temporary:
            temporary.write_text(lines)
    return [files[0], str(listed)]


for detector in {t.parameters["detector"] for t in TRIALS if "feature" in t.parameters}:  # ensembles have none
    # Now, not when a job asks: Snakemake looks into a folder once, and takes what comes later for missing.
    code("train", f"detectors/{detector}")
    code("score", f"detectors/{detector}")


def as_json(value):
    return json.dumps(value, sort_keys=True)


def machine_types(split):
    return [t for t, s in MACHINES if s == split]


def recordings_of(wildcards):
    """What the clips of one machine type and split are made by, or the clips themselves."""
    if dataset["source"] == "demo":
        return f"{R}/recordings/{wildcards.split}.txt"
    if dataset["source"] == "dcase2020":
        return [*map(str, dcase2020.inputs(dataset, wildcards.machine_type, wildcards.split))]
    listed = [dataset["csv"]] if "csv" in dataset else []
    return listed + [f"{FOLDER}/{name.clip}" for name in RECORDINGS[wildcards.machine_type, wildcards.split]]


def dataset_argument(wildcards):
    """What `datasets.recordings` needs to find the clips of one split, and no more."""
    keys = {"dcase2020": ["ground_truth"], "mimii": ["seed"], "folder": ["csv"]}.get(dataset["source"], [])
    needed = {key: dataset[key] for key in ["source", "machine_ids", *keys] if key in dataset} | {"path": FOLDER}
    if dataset["source"] == "dcase2020":
        needed["parts"] = [part for part in dataset["parts"] if wildcards.split in dcase2020.splits(part)]
    return as_json(needed)


def sample_rate_argument(wildcards):
    """The stated sample rate, or the clip that states it: the data set's first training clip."""
    if dataset["source"] in datasets.MADE:
        return "--sample-rate 16000"
    if dataset["sample_rate"]:
        return f"--sample-rate {dataset['sample_rate']}"
    first = next(names[0] for (_, split), names in sorted(RECORDINGS.items()) if split == "train")
    return f"--sample-rate-of {shlex.quote(f'{FOLDER}/{first.clip}')}"


def features_named(imported):
    """Pattern of the names of the features that are imported, or of those that are computed."""
    names = [re.escape(name) for name in config["features"] if (name in IMPORTED) == imported]
    return "|".join(names) or "(?!)"  # which matches nothing


def scopes(scope):
    """Names of the models of one scope: a machine type, a machine type and id, or all."""
    if scope == "machine_type":
        return machine_types("train")
    if scope == "machine_id":
        return sorted({f"{t}_id_{i}" for t in machine_types("train") for i in MACHINES[t, "train"]})
    return ["all"]


def types_of_scope(scope, split):
    return machine_types(split) if scope == "all" else [scope.split("_id_")[0]]


def features_of_scope(split):
    def files(wildcards):
        feature = MODELS[wildcards.trial].parameters["feature"]
        return [f"{R}/features/{feature}/{t}/{split}.parquet" for t in types_of_scope(wildcards.scope, split)]

    return files


def scopes_of_type(trial, machine_type):
    """The models of a trial that hear one machine type."""
    return [s for s in SCOPES[trial.parameters["scope"]] if s == "all" or s.split("_id_")[0] == machine_type]


def ensemble_members(wildcards):
    return [
        f"{scope}/{t.name}/epochs-{t.epochs}"
        for t in ENSEMBLES[wildcards.trial]
        for scope in scopes_of_type(t, wildcards.scope)
    ]


def masks_of_scope(wildcards):
    parameters = MODELS[wildcards.trial].parameters
    if parameters["augmentation"] == "none":
        return []
    folder = f"{R}/masks/{parameters['augmentation']}/{parameters['feature']}"
    return [f"{folder}/{t}/masks.parquet" for t in types_of_scope(wildcards.scope, "train")]


def masks_argument(wildcards, input):
    if not input.masks:
        return ""
    target = config["augmentations"][MODELS[wildcards.trial].parameters["augmentation"]]["target"]
    return f"--masks {' '.join(input.masks)} --mask-target {target}"


def machine_id_argument(wildcards):
    _, found, machine_id = wildcards.scope.partition("_id_")
    return f"--machine-id {shlex.quote(machine_id)}" if found else ""


def trial_arguments(wildcards, input):
    """What a trial is, in one function: Snakemake calls every function for every job, which counts in large plans."""
    trial = MODELS[wildcards.trial]
    previous = f"--continue-from {shlex.quote(str(Path(input.previous[0]).parent))}" if input.previous else ""
    return (
        f"--detector {trial.parameters['detector']} --hyperparameters {shlex.quote(as_json(trial.hyperparameters))}"
        f" --seed {trial.parameters['seed']} {machine_id_argument(wildcards)} {masks_argument(wildcards, input)} {previous}"
    )


def previous_milestone(wildcards):
    earlier = [n for n in MILESTONES[wildcards.trial] if n < int(wildcards.epochs)]
    if not earlier:
        return []
    folder = f"{R}/models/{wildcards.scope}/{wildcards.trial}/epochs-{max(earlier)}"
    return [f"{folder}/{name}" for name in MODEL_FILES]


CLIPS = plan.clip_counts(dataset, RECORDINGS, MACHINES)
GPU = config["device"] != "cpu" and plan.has_cuda()


def stored_mb(files):
    """Size of feature files, which is that of their frames. Where one is still to be made, Snakemake asks again later."""
    return sum(os.stat(file).st_size for file in files) / 1e6


def frame_shape(trial):
    return plan.frame_shape(config["features"][MODELS[trial].parameters["feature"]])


def frames_of(wildcards, input):
    return stored_mb(input.features) * 1e6 / 4 / frame_shape(wildcards.trial)[1]


def training_seconds(trial, epochs, frames):
    """Estimate for a model's training up to one milestone, from the one before."""
    parameters = MODELS[trial].parameters
    copies = config["augmentations"].get(parameters["augmentation"], {}).get("copies", 0)
    begun = max((n for n in MILESTONES[trial] if n < epochs), default=0)
    return plan.Training(parameters, round(frames * (copies + 1)), frame_shape(trial)[1], epochs - begun).seconds(GPU)


def scoring_seconds(trial, frames):
    return plan.scoring_seconds(MODELS[trial].parameters, frames, frame_shape(trial)[1])


@lru_cache
def group_of(scope, trial):
    """The group of short trainings, several to a cluster job, or none. All milestones of a model are in it, or none is."""
    clips = sum(n for (t, split, i), n in CLIPS.items() if split == "train" and scope in ("all", t, f"{t}_id_{i}"))
    frames = clips * frame_shape(trial)[0]
    seconds = sum(training_seconds(trial, epochs, frames) for epochs in MILESTONES[trial])
    return "short_trainings" if seconds < plan.SHORT_SECONDS else None


def clips_seconds(wildcards, seconds_per_clip):
    """Of a stage that works on the clips of one machine type and split."""
    return seconds_per_clip * sum(
        n for (t, s, _), n in CLIPS.items() if t == wildcards.machine_type and s == wildcards.split
    )


def tested_scopes(scope):
    """Models whose test clips are there."""
    tested = {"all", *machine_types("test")}
    tested |= {f"{t}_id_{i}" for t in machine_types("test") for i in MACHINES[t, "test"]}
    return [s for s in scopes(scope) if s in tested]


SCOPES = {scope: tested_scopes(scope) for scope in ("machine_type", "machine_id", "all")}
TRAINED = [
    f"{R}/models/{scope}/{t.name}/epochs-{t.epochs}/model.json"
    for t in TRIALS
    for scope in scopes(t.parameters["scope"])
]
SCORES = [
    f"{R}/scores/{scope}/{t.name}/epochs-{t.epochs}.parquet" for t in TRIALS for scope in SCOPES[t.parameters["scope"]]
]
os.environ.update(HUMWATCH_TRAININGS=str(len(set(TRAINED))))  # what a job calls itself: 3 of 14
SCORED_MODELS = {
    f"{R}/models/{scope}/{t.name}/epochs-{t.epochs}" for t in TRIALS for scope in SCOPES[t.parameters["scope"]]
}
SCORED_TYPES = [
    t for t in machine_types("test") if any(s == "all" or s.split("_id_")[0] == t for v in SCOPES.values() for s in v)
]
# Published figures are compared only where the recordings are the published ones.
REFERENCES = [str(ROOT / "workflow/references.csv")] if dataset["source"] == "dcase2020" else []

unheard = sorted({*machine_types("test")} - {*machine_types("train")})
if unheard and any(t.parameters["scope"] != "all" for t in TRIALS) and workflow.is_main_process:
    logger.warning(
        f"{', '.join(unheard)}: no training clips, so that only models of scope all score them; other scopes leave them out"
    )


onstart:
    # Released by the kernel even when this process is killed, unlike Snakemake's own lock (nolock in the profile).
    hold_lock(".snakemake/humwatch.lock")


onerror:
    # At Ctrl-C, Snakemake cancels its Slurm jobs but for those whose state it is asking for; all have the run's ID as name.
    for file in log:
        for run in re.findall(r"SLURM run ID: (\S+)", Path(file).read_text()):
            subprocess.run(["scancel", f"--name={run}"])
