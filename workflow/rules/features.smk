from humwatch.features import parquet
from humwatch.features.base import make

try:
    IMPORTED = parquet.folders(
        config["features"],
        {t.parameters["feature"] for t in study.trials if not t.members},
        dataset,
        {machine_type for machine_type, _ in study.machines},
    )
except InputError as error:
    refuse(error)
COMPUTED = {name: feature["source"] for name, feature in config["features"].items() if name not in IMPORTED}
# Now, not when a job asks: Snakemake looks into a folder once, and takes what comes later for missing.
FEATURE_CODE = {name: code("features", f"features/{source}") for name, source in COMPUTED.items()}
FEATURE_FILES = {name: [*map(listing.link, make(config["features"][name]).files)] for name in COMPUTED}
NOTHING = "(?!)"  # as a pattern, matches none


rule features:
    """Compute one feature of every clip of one machine type and split, once."""
    input:
        clips=PATTERN.clip_table(),
        code=lambda w: FEATURE_CODE[w.feature],
        network=lambda w: FEATURE_FILES[w.feature],
    output:
        PATTERN.features(),
    log:
        "results/{dataset}/logs/features/{feature}/{machine_type}/{split}.log",
    benchmark:
        "results/{dataset}/benchmarks/features/{feature}/{machine_type}/{split}.tsv"
    wildcard_constraints:
        feature="|".join(map(re.escape, COMPUTED)) or NOTHING,
    priority: 1000  # every training and score waits for them
    resources:
        mem_mb=lambda w, attempt: attempt * plan.stage_mb("features"),
        runtime=lambda w, attempt: attempt
        * plan.minutes(plan.features_seconds(study, w.feature, study.types[w.machine_type], w.split)),
    params:
        title=lambda w: f"features {w.feature} {w.machine_type} {w.split}",
        folder=lambda w: study.folder,
        feature=lambda w: as_json(config["features"][w.feature]),
        channel=lambda w: as_json(study.channel(w.feature)),
    shell:
        "python {input.code[0]:q} --log={log:q} --title={params.title:q}"
        " --folder={params.folder:q} --clips={input.clips:q} --feature={params.feature:q} --channel={params.channel:q}"
        " --out={output:q}"


rule import_features:
    """Bring features that were computed elsewhere into the feature store."""
    input:
        source=lambda w: listing.link(f"{IMPORTED[w.feature]}/{study.types[w.machine_type]}.parquet"),
        clips=PATTERN.clip_table(),
        code=code("import_features"),
    output:
        PATTERN.features(),
    log:
        "results/{dataset}/logs/features/{feature}/{machine_type}/{split}.log",
    benchmark:
        "results/{dataset}/benchmarks/features/{feature}/{machine_type}/{split}.tsv"
    wildcard_constraints:
        feature="|".join(map(re.escape, IMPORTED)) or NOTHING,
    params:
        title=lambda w: f"features {w.feature} {w.machine_type} {w.split}",
        source=lambda w: f"{IMPORTED[w.feature]}/{study.types[w.machine_type]}.parquet",
    shell:
        "python {input.code[0]:q} --log={log:q} --title={params.title:q}"
        " --source={params.source:q} --clips={input.clips:q} --out={output:q}"
