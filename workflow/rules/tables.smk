rule tables:
    """Measure every trial against the test labels: the only place where labels meet scores."""
    input:
        scores=sorted(set(SCORES)),
        trained=sorted(f"{f}/{name}" for f in SCORED_MODELS for name in ("log.csv", "validation.parquet")),
        references=REFERENCES,
        code=code("tables"),
        schema=SCHEMA,
    output:
        auc="results/{dataset}/tables/auc.csv",
        summary="results/{dataset}/tables/summary.csv",
        selected="results/{dataset}/tables/selected.csv",
        sweeps=[f"results/{{dataset}}/tables/sweeps/{name}{kind}.csv" for name in SWEEPS for kind in ("", "_report")],
    log:
        "results/{dataset}/logs/tables.log",
    params:
        definition=as_json({key: config[key] for key in ("trial", "detectors", "features", "augmentations", "sweeps")}),
        scopes=as_json(SCOPES),
        bootstrap="--bootstrap-samples {samples} --bootstrap-seed {seed}".format(**config["bootstrap"]),
        machine_types=SCORED_TYPES,
        references=lambda w, input: f"--references {input.references}" if input.references else "",
        results=lambda w, output: str(Path(output.auc).parents[1]),
        out=lambda w, output: str(Path(output.auc).parent),
    shell:
        "python {input.code[0]:q} --log {log:q} --definition {params.definition:q} --scopes {params.scopes:q}"
        " --schema {input.schema:q} --results {params.results:q} {params.references} {params.bootstrap}"
        " --machine-types {params.machine_types:q} --out {params.out:q}"


onsuccess:
    if SCORES:
        shell(f"python {SCRIPTS}/summary.py {R}")
