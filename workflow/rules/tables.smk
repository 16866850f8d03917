rule tables:
    """Measure every trial against the test labels: the only place where labels meet scores."""
    input:
        scores=sorted(set(SCORES)),
        code=code("tables"),
        schema=SCHEMA,
    output:
        auc="results/{dataset}/tables/auc.csv",
        summary="results/{dataset}/tables/summary.csv",
    log:
        "results/{dataset}/logs/tables.log",
    params:
        definition=as_json({key: config[key] for key in ("trial", "detectors", "features", "sweeps")}),
        scopes=as_json(SCOPES),
        bootstrap="--bootstrap-samples {samples} --bootstrap-seed {seed}".format(**config["bootstrap"]),
        scores=lambda w, output: str(Path(output.auc).parents[1] / "scores"),
        out=lambda w, output: str(Path(output.auc).parent),
    shell:
        "python {input.code[0]:q} --log {log:q} --definition {params.definition:q} --scopes {params.scopes:q}"
        " --schema {input.schema:q} --scores {params.scores:q} {params.bootstrap} --out {params.out:q}"


onsuccess:
    shell(f"python {SCRIPTS}/summary.py {R}")
