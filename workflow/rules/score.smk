rule score:
    """Score the test clips with one model."""
    input:
        features=features_of_scope("test"),
        model=f"{MODEL}/model.json",
        weights=f"{MODEL}/model.safetensors",
        code=lambda w: code("score", f"detectors/{MODELS[w.trial].parameters['detector']}"),
    output:
        scores="results/{dataset}/scores/{scope}/{trial}/epochs-{epochs}.parquet",
        submission=directory("results/{dataset}/submission/{scope}/{trial}/epochs-{epochs}"),
    log:
        "results/{dataset}/logs/score/{scope}/{trial}/epochs-{epochs}.log",
    benchmark:
        "results/{dataset}/benchmarks/score/{scope}/{trial}/epochs-{epochs}.tsv"
    wildcard_constraints:
        trial="(?!ensemble-)[^/]+",
    threads: 1
    resources:
        mem_mb=lambda w, attempt: attempt * plan.stage_mb("score"),
        runtime=lambda w, input, attempt: attempt * plan.minutes(scoring_seconds(w.trial, frames_of(w, input))),
    params:
        title=lambda w: f"score {w.scope} {w.trial}",
        model=lambda w, input: str(Path(input.model).parent),
        trial=lambda w: ["--score", *POOLINGS[w.trial, int(w.epochs)], *machine_id_argument(w.scope)],
    shell:
        "python {input.code[0]:q} --log={log:q} --title={params.title:q} --model={params.model:q}"
        " --features {input.features:q} {params.trial:q} --out={output.scores:q}"
        " --submission={output.submission:q}"
