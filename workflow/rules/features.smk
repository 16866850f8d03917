def features_named(imported):
    """Pattern of the names of the features that are imported, or of those that are computed."""
    names = [re.escape(name) for name in config["features"] if (name in IMPORTED) == imported]
    return "|".join(names) or "(?!)"  # which matches nothing


rule features:
    """Compute one feature of every clip of one machine type and split, once."""
    input:
        clips=PATTERN.clip_table(),
        code=code("features"),
    output:
        PATTERN.features(),
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
        title=lambda w: f"features {w.feature} {w.machine_type} {w.split}",
        folder=lambda w: study.folder,
        feature=lambda w: as_json(config["features"][w.feature]),
        channel=dataset["channel"],
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
        feature=features_named(imported=True),
    params:
        title=lambda w: f"features {w.feature} {w.machine_type} {w.split}",
        source=lambda w: f"{IMPORTED[w.feature]}/{study.types[w.machine_type]}.parquet",
    shell:
        "python {input.code[0]:q} --log={log:q} --title={params.title:q}"
        " --source={params.source:q} --clips={input.clips:q} --out={output:q}"
