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
        trial=lambda w: f"--score {MODELS[w.trial].parameters['score']} {machine_id_argument(w)}",
    shell:
        "python {input.code[0]:q} --log {log:q} --title 'score {wildcards.scope} {wildcards.trial}'"
        ' --model "$(dirname {input.model:q})"'
        " --features {input.features:q} {params.trial} --out {output.scores:q}"
        " --submission {output.submission:q}"
