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

from humwatch import files
from humwatch.datasets import listing
from humwatch.errors import InputError
from humwatch.slugs import slug
from humwatch.study import jobs, plan
from humwatch.study.config import SCHEMA as SCHEMA_FILE, read_schema, validate
from humwatch.study.imports import imported_files
from humwatch.study.layout import MODEL_FILES, Layout
from humwatch.study.reading import check_files
from humwatch.study.study import Study

SCHEMA = os.path.relpath(SCHEMA_FILE)
SCRIPTS = str(ROOT / "workflow/scripts")


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
except InputError as error:
    refuse(error)

layout = study.layout
R = layout.root
# The same paths with wildcards, which hold slugs, never a name as its owner has it.
PATTERN = Layout("results/{dataset}")


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


def code_of(script, trial):
    """As `code`, of a script that imports a trial's detectors by their names."""
    return code(script, *(f"detectors/{name}" for name in study.models[trial].detectors))


def as_json(value):
    return json.dumps(value, sort_keys=True)


def stored_mb(paths):
    """Size of feature files, which is that of their frames. Where one is still to be made, Snakemake asks again later."""
    return sum(os.stat(path).st_size for path in paths) / 1e6


def frames_of(wildcards, input):
    return stored_mb(input.features) * 1e6 / 4 / plan.bins_of(study, wildcards.trial)
