import gc
import json
import os
import re
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
from humwatch.errors import InputError
from humwatch.slugs import slug
from humwatch.study import plan
from humwatch.study.config import SCHEMA as SCHEMA_FILE, check_files, read_schema, validate
from humwatch.study.imports import imported_files
from humwatch.study.layout import MODEL_FILES, Layout
from humwatch.study.study import Study

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
            for machine_type in sorted({machine_type for machine_type, _ in study.machines}):
                if not (file := Path(folders[name], f"{machine_type}.parquet")).is_file():
                    raise InputError(
                        f"config: features.{name}: {file} is not there: add it or correct features.{name}.path"
                    )
    used = {t.parameters["feature"] for t in study.trials if "feature" in t.parameters}
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
    study, dataset = Study(config, schema), config["dataset"]
    IMPORTED = imported_features()
except InputError as error:
    refuse(error)

layout = study.layout
R = layout.root
PATTERN = Layout(
    "results/{dataset}"
)  # the same paths with wildcards, which hold slugs, never a name as its owner has it


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


def as_json(value):
    return json.dumps(value, sort_keys=True)


def machine_id_argument(scope):
    machine_id = study.scopes_by_name[scope].machine_id
    return [f"--machine-id={machine_id}"] if machine_id is not None else []


def stored_mb(paths):
    """Size of feature files, which is that of their frames. Where one is still to be made, Snakemake asks again later."""
    return sum(os.stat(path).st_size for path in paths) / 1e6


def frames_of(wildcards, input):
    return stored_mb(input.features) * 1e6 / 4 / plan.bins_of(study, wildcards.trial)


def clips_seconds(wildcards, seconds_per_clip):
    """Of a stage that works on the clips of one machine type and split."""
    clips = (
        n for (t, s, _), n in study.clips.items() if t == study.types[wildcards.machine_type] and s == wildcards.split
    )
    return seconds_per_clip * sum(clips)
