import gc
import json
import os
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from snakemake.logging import logger

# A large plan is millions of objects that stay: looking for garbage among them took an eighth of its time.
gc.set_threshold(1_000_000)

# Of this file, not of workflow.basedir: that is the other workflow's folder where this one is its module.
ROOT = Path(os.path.relpath(Path(str(workflow.current_basedir), "../..")))
sys.path.insert(0, str(ROOT / "src"))

from humwatch import datasets, files
from humwatch.datasets import listing
from humwatch.study import plan
from humwatch.study import trials
from humwatch.study.config import SCHEMA as SCHEMA_FILE, check_files, read_schema, validate
from humwatch.errors import InputError
from humwatch.study.imports import imported_files
from humwatch.study.layout import CHECKSUMS, FIGURES, Scope, slug
from humwatch.locking import hold_lock, try_lock

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


def refuse(error):
    """End with the sentences for bad configuration, data or code, and nothing else."""
    logger.error(str(error))
    sys.exit(1)


try:
    check_files(workflow.configfiles)
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
    refuse(error)

if dataset["source"] == "dcase2020":
    from humwatch.datasets import dcase2020

R = f"results/{dataset['name']}"
TRIALS = trials.unique(trial for sweep in SWEEPS.values() for trial in sweep)
MODELS = {trial.name: trial for trial in reversed(TRIALS)}  # the first of those that differ in epochs or score
MILESTONES = {name: set() for name in MODELS}
for t in TRIALS:
    MILESTONES[t.name].add(t.epochs)
POOLINGS = {}  # (model, milestone) -> the scores that trials read from it
for t in TRIALS:
    POOLINGS.setdefault((t.name, t.epochs), []).append(t.parameters["score"])
MODEL_FILES = ["model.json", "model.safetensors", "training.safetensors", "log.csv", "validation.parquet"]
MODEL = "results/{dataset}/models/{scope}/{trial}/epochs-{epochs}"


# Wildcards hold slugs (humwatch.study.layout), never a name as its owner has it.
TYPES = {slug(t): t for t, _ in MACHINES}


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
    try:
        imported = imported_files(roots, ROOT / "src")
    except InputError as error:
        refuse(error)
    lines = "".join(f"{files.sha256(file)}  {file}\n" for file in imported)
    listed = Path(".snakemake/code", "+".join([script, *modules]).replace(os.sep, ".") + ".txt")
    files.write_if_changed(listed, lines)
    return [imported[0], str(listed)]


for detector in {t.parameters["detector"] for t in TRIALS if "feature" in t.parameters}:  # ensembles have none
    # Now, not when a job asks: Snakemake looks into a folder once, and takes what comes later for missing.
    code("train", f"detectors/{detector}")
    code("score", f"detectors/{detector}")


def as_json(value):
    return json.dumps(value, sort_keys=True)


def machine_types(split):
    return [t for t, s in MACHINES if s == split]


def clip_list(machine_type, split):
    """The list of the recordings that one clip table is made of, brought up to date."""
    path = Path(".snakemake/recordings", dataset["name"], slug(machine_type), f"{split}.jsonl")
    table = Path(f"{R}/clips/{slug(machine_type)}/{split}.parquet")
    return str(listing.update(path, Path(FOLDER), RECORDINGS[machine_type, split], table))


# Before jobs are asked for, as with code. Features from elsewhere come without recordings.
CLIP_LISTS = {key: clip_list(*key) for key in RECORDINGS if key in MACHINES and dataset["source"] != "parquet"}


def recordings_of(wildcards):
    """What the clips of one machine type and split are made by, or the list of them."""
    if dataset["source"] == "demo":
        return f"{R}/recordings/{wildcards.split}.txt"
    if dataset["source"] == "dcase2020":
        return [*map(str, dcase2020.inputs(dataset, TYPES[wildcards.machine_type], wildcards.split))]
    return CLIP_LISTS[TYPES[wildcards.machine_type], wildcards.split]


def dataset_argument(wildcards):
    """What `datasets.recordings` needs to find the clips of one split, and no more."""
    keys = {"dcase2020": ["ground_truth"], "mimii": ["seed"], "folder": ["csv"]}.get(dataset["source"], [])
    needed = {key: dataset[key] for key in ["source", "machine_ids", *keys] if key in dataset} | {"path": FOLDER}
    if dataset["source"] == "dcase2020":
        needed["parts"] = [part for part in dataset["parts"] if wildcards.split in dcase2020.splits(part)]
    return as_json(needed)


def sample_rate(wildcards):
    """Hz that every clip must have; 0 where no clip says."""
    if dataset["source"] in datasets.MADE:
        return 16000
    return dataset["sample_rate"] or common_sample_rate()


@lru_cache
def common_sample_rate():
    """What most training clips have; 0 where none can be read, whose own checks say why."""
    from humwatch.datasets import audio  # soundfile takes time to load

    clips = [clip for (_, split), names in sorted(RECORDINGS.items()) if split == "train" for clip in names]
    return audio.common_sample_rate([f"{FOLDER}/{clip.clip}" for clip in clips]) or 0


def features_named(imported):
    """Pattern of the names of the features that are imported, or of those that are computed."""
    names = [re.escape(name) for name in config["features"] if (name in IMPORTED) == imported]
    return "|".join(names) or "(?!)"  # which matches nothing


def scopes(scope):
    """The models of one scope: a machine type, a machine type and id, or all."""
    if scope == "machine_type":
        return [Scope(t) for t in machine_types("train")]
    if scope == "machine_id":
        return [Scope(t, i) for t in machine_types("train") for i in MACHINES[t, "train"]]
    return [Scope()]


SCOPE = {scope.name: scope for kind in ("machine_type", "machine_id", "all") for scope in scopes(kind)}


def features_of_scope(split):
    def feature_files(wildcards):
        feature = MODELS[wildcards.trial].parameters["feature"]
        heard = [slug(t) for t in machine_types(split) if SCOPE[wildcards.scope].hears(t)]
        return [f"{R}/features/{feature}/{t}/{split}.parquet" for t in heard]

    return feature_files


def scopes_of_type(trial, machine_type):
    """The models of a trial that hear one machine type."""
    return [s for s in SCOPES[trial.parameters["scope"]] if s.hears(machine_type)]


def ensemble_members(wildcards):
    return [
        f"{scope.name}/{t.name}/epochs-{t.epochs}"
        for t in ENSEMBLES[wildcards.trial]
        for scope in scopes_of_type(t, TYPES[wildcards.scope])
    ]


def masks_of_scope(wildcards):
    parameters = MODELS[wildcards.trial].parameters
    if parameters["augmentation"] == "none":
        return []
    folder = f"{R}/masks/{parameters['augmentation']}/{parameters['feature']}"
    return [f"{folder}/{slug(t)}/masks.parquet" for t in machine_types("train") if SCOPE[wildcards.scope].hears(t)]


def machine_id_argument(scope):
    return [f"--machine-id={SCOPE[scope].machine_id}"] if SCOPE[scope].machine_id is not None else []


def trial_arguments(wildcards, input):
    """What a trial is, in one function: Snakemake calls every function for every job, which counts in large plans."""
    trial = MODELS[wildcards.trial]
    arguments = [f"--detector={trial.parameters['detector']}", f"--hyperparameters={as_json(trial.hyperparameters)}"]
    arguments += [f"--seed={trial.parameters['seed']}", *machine_id_argument(wildcards.scope)]
    if input.masks:
        target = config["augmentations"][trial.parameters["augmentation"]]["target"]
        arguments += ["--masks", *input.masks, f"--mask-target={target}"]
    if input.previous:
        arguments += [f"--continue-from={Path(input.previous[0]).parent}"]
    return arguments


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
    clips = sum(n for (t, split, i), n in CLIPS.items() if split == "train" and SCOPE[scope].hears(t, i))
    frames = clips * frame_shape(trial)[0]
    seconds = sum(training_seconds(trial, epochs, frames) for epochs in MILESTONES[trial])
    return "short_trainings" if seconds < plan.SHORT_SECONDS else None


def clips_seconds(wildcards, seconds_per_clip):
    """Of a stage that works on the clips of one machine type and split."""
    return seconds_per_clip * sum(
        n for (t, s, _), n in CLIPS.items() if t == TYPES[wildcards.machine_type] and s == wildcards.split
    )


def tested_scopes(scope):
    """Models whose test clips are there."""
    return [s for s in scopes(scope) if any(s.hears(t, i) for t in machine_types("test") for i in MACHINES[t, "test"])]


SCOPES = {scope: tested_scopes(scope) for scope in ("machine_type", "machine_id", "all")}
TRAINED = [
    f"{R}/models/{scope.name}/{t.name}/epochs-{t.epochs}/model.json"
    for t in TRIALS
    for scope in scopes(t.parameters["scope"])
]
SCORES = [
    f"{R}/scores/{scope.name}/{t.name}/epochs-{t.epochs}.parquet"
    for t in TRIALS
    for scope in SCOPES[t.parameters["scope"]]
]
os.environ.update(HUMWATCH_TRAININGS=str(len(set(TRAINED))))  # what a job calls itself: 3 of 14
SCORED_MODELS = {
    f"{R}/models/{scope.name}/{t.name}/epochs-{t.epochs}" for t in TRIALS for scope in SCOPES[t.parameters["scope"]]
}
# All that tables, figures and report read of them, asked for by name: what is missing is made again, whoever misses it.
MEASURED = sorted({*SCORES, *(f"{f}/{name}" for f in SCORED_MODELS for name in ("log.csv", "validation.parquet"))})
USED_SCOPES = [s for kind in {t.parameters["scope"] for t in TRIALS} for s in SCOPES[kind]]
SCORED_TYPES = [t for t in machine_types("test") if any(s.hears(t) for s in USED_SCOPES)]
# Published figures are compared only where the recordings are the published ones.
REFERENCES = [str(ROOT / "workflow/references.csv")] if dataset["source"] == "dcase2020" else []

unheard = sorted({*machine_types("test")} - {*machine_types("train")})
if unheard and any(t.parameters["scope"] != "all" for t in TRIALS) and workflow.is_main_process:
    logger.warning(
        f"{', '.join(unheard)}: no training clips, so that only models of scope all score them; other scopes leave them out"
    )


LOCK = ".snakemake/humwatch.lock"  # goes with the process even when it is killed, unlike Snakemake's own (nolock in the profile)


def mend():
    """Remove what kills and a damaged disk have left, so that it is made again: temporary files, empty results, damaged tables."""
    files.remove_leftovers(Path(R))
    damaged = files.empty(Path(R))
    for listing_file in (Path(R, "tables", CHECKSUMS), Path(R, "figures", FIGURES)):
        damaged += files.damaged(listing_file)
    for path in damaged:
        logger.warning(f"{path} is empty or damaged: removed, and made again where this run needs it")
        path.unlink(missing_ok=True)


# Options of runs that only look; what is missing must be known before jobs are planned, and Snakemake does not say so earlier.
LOOKING = {
    "--dag",
    "--rulegraph",
    "--filegraph",
    "--d3dag",
    "--summary",
    "--detailed-summary",
    "--lint",
    "--list",
    "--report",
}
LOOKING |= {"-S", "-D", "-l", "--list-rules", "--list-target-rules", "--print-compilation", "--unlock", "--touch", "-t"}
runs = (
    workflow.is_main_process
    and not workflow.output_settings.dryrun
    and not LOOKING & {a.split("=")[0] for a in sys.argv}
)
if runs and try_lock(LOCK):
    mend()


onstart:
    try:
        hold_lock(LOCK)
    except InputError as error:
        refuse(error)


onerror:
    # At Ctrl-C, Snakemake cancels its Slurm jobs but for those whose state it is asking for; all have the run's ID as name.
    for file in log:
        for run in re.findall(r"SLURM run ID: (\S+)", Path(file).read_text()):
            subprocess.run(["scancel", f"--name={run}"])
