from humwatch.features import parquet
from humwatch.features.base import feature_class

try:
    IMPORTED = parquet.folders(
        config["features"],
        {t.parameters["feature"] for t in TRIALS if "feature" in t.parameters},
        dataset,
        {machine_type for machine_type, _ in MACHINES},
    )
except InputError as error:
    refuse(error)
SOURCE = {name: feature["source"] for name, feature in config["features"].items() if name not in IMPORTED}
CODE = {name: code("features", f"features/{source}") for name, source in SOURCE.items()}


def any_of(names):
    """Pattern of these names and no others."""
    return "|".join(map(re.escape, names)) or "(?!)"  # which matches nothing


def features_seconds(wildcards):
    """Estimate for the clips of one machine type and split."""
    clips = sum(n for (t, s, _), n in CLIPS.items() if t == TYPES[wildcards.machine_type] and s == wildcards.split)
    return clips * feature_class(SOURCE[wildcards.feature]).seconds_per_clip


rule features:
    """Compute one feature of every clip of one machine type and split, once."""
    input:
        clips="results/{dataset}/clips/{machine_type}/{split}.parquet",
        code=lambda w: CODE[w.feature],
    output:
        "results/{dataset}/features/{feature}/{machine_type}/{split}.parquet",
    log:
        "results/{dataset}/logs/features/{feature}/{machine_type}/{split}.log",
    benchmark:
        "results/{dataset}/benchmarks/features/{feature}/{machine_type}/{split}.tsv"
    wildcard_constraints:
        feature=any_of(SOURCE),
    priority: 1000  # every training and score waits for them
    resources:
        mem_mb=lambda w, attempt: attempt * plan.stage_mb("features"),
        runtime=lambda w, attempt: attempt * plan.minutes(features_seconds(w)),
    params:
        title=lambda w: f"features {w.feature} {w.machine_type} {w.split}",
        folder=lambda w: FOLDER,
        feature=lambda w: as_json(config["features"][w.feature]),
        channel=dataset["channel"],
    shell:
        "python {input.code[0]:q} --log={log:q} --title={params.title:q}"
        " --folder={params.folder:q} --clips={input.clips:q} --feature={params.feature:q} --channel={params.channel:q}"
        " --out={output:q}"


rule import_features:
    """Bring features that were computed elsewhere into the feature store."""
    input:
        source=lambda w: listing.link(f"{IMPORTED[w.feature]}/{TYPES[w.machine_type]}.parquet"),
        clips="results/{dataset}/clips/{machine_type}/{split}.parquet",
        code=code("import_features"),
    output:
        "results/{dataset}/features/{feature}/{machine_type}/{split}.parquet",
    log:
        "results/{dataset}/logs/features/{feature}/{machine_type}/{split}.log",
    benchmark:
        "results/{dataset}/benchmarks/features/{feature}/{machine_type}/{split}.tsv"
    wildcard_constraints:
        feature=any_of(IMPORTED),
    params:
        title=lambda w: f"features {w.feature} {w.machine_type} {w.split}",
        source=lambda w: f"{IMPORTED[w.feature]}/{TYPES[w.machine_type]}.parquet",
    shell:
        "python {input.code[0]:q} --log={log:q} --title={params.title:q}"
        " --source={params.source:q} --clips={input.clips:q} --out={output:q}"
