rule features:
    """Compute one feature of every clip of one machine type and split, once."""
    input:
        clips="results/{dataset}/clips/{machine_type}/{split}.parquet",
        code=code("features"),
    output:
        "results/{dataset}/features/{feature}/{machine_type}/{split}.parquet",
    log:
        "results/{dataset}/logs/features/{feature}/{machine_type}/{split}.log",
    benchmark:
        "results/{dataset}/benchmarks/features/{feature}/{machine_type}/{split}.tsv"
    wildcard_constraints:
        feature=features_named(imported=False),
    priority: 1000  # every training and score waits for them
    resources:
        mem_mb=lambda w, attempt: attempt * plan.stage_mb("features"),
        runtime=lambda w, attempt: attempt
        * plan.minutes(clips_seconds(w, plan.CLIP_SECONDS[config["features"][w.feature]["source"]])),
    params:
        folder=FOLDER,
        feature=lambda w: as_json(config["features"][w.feature]),
        channel=dataset["channel"],
    shell:
        "python {input.code[0]:q} --log {log:q}"
        " --title 'features {wildcards.feature} {wildcards.machine_type} {wildcards.split}'"
        " --folder {params.folder:q} --clips {input.clips:q} --feature {params.feature:q} --channel {params.channel}"
        " --out {output:q}"


rule import_features:
    """Bring features that were computed elsewhere into the feature store."""
    input:
        source=lambda w: f"{IMPORTED[w.feature]}/{w.machine_type}.parquet",
        clips="results/{dataset}/clips/{machine_type}/{split}.parquet",
        code=code("import_features"),
    output:
        "results/{dataset}/features/{feature}/{machine_type}/{split}.parquet",
    log:
        "results/{dataset}/logs/features/{feature}/{machine_type}/{split}.log",
    benchmark:
        "results/{dataset}/benchmarks/features/{feature}/{machine_type}/{split}.tsv"
    wildcard_constraints:
        feature=features_named(imported=True),
    shell:
        "python {input.code[0]:q} --log {log:q}"
        " --title 'features {wildcards.feature} {wildcards.machine_type} {wildcards.split}'"
        " --source {input.source:q} --clips {input.clips:q} --out {output:q}"
