rule train:
    """Fit one trial up to one milestone of epochs, going on from the milestone before."""
    input:
        features=features_of_scope("train"),
        masks=masks_of_scope,
        previous=previous_milestone,
        code=lambda w: code("train", f"detectors/{MODELS[w.trial].parameters['detector']}"),
    output:
        *(f"{MODEL}/{name}" for name in MODEL_FILES),
    log:
        "results/{dataset}/logs/train/{scope}/{trial}/epochs-{epochs}.log",
    benchmark:
        "results/{dataset}/benchmarks/train/{scope}/{trial}/epochs-{epochs}.tsv"
    wildcard_constraints:
        trial="(?!ensemble-)[^/]+",
    # The longest first: epochs that are still to come in the trial's chain of milestones.
    priority: lambda w: max(MILESTONES[w.trial]) - max((n for n in MILESTONES[w.trial] if n < int(w.epochs)), default=0)
    group:
        lambda w: group_of(w.scope, w.trial)
    threads: 1
    resources:
        **({} if config["device"] == "cpu" else {"gpu": 1}),
        mem_mb=lambda w, input, attempt: attempt * plan.training_mb(stored_mb(input.features), GPU),
        runtime=lambda w, input, attempt: attempt
        * plan.minutes(training_seconds(w.trial, int(w.epochs), frames_of(w, input))),
    params:
        title=lambda w: f"train {w.scope} {w.trial}",
        trial=trial_arguments,
        validation=[f"--validation-{key}={config['validation'][key]}" for key in ("fraction", "seed")]
        + [f"--calibration-{key}={value}" for key, value in config["calibration"].items() if value is not None],
        device=config["device"],
        interim="results/{dataset}/interim/{scope}/{trial}/epochs-{epochs}",
        out=MODEL,
    shell:
        "python {input.code[0]:q} --log={log:q} --title={params.title:q}"
        " {params.trial:q} --features {input.features:q} --epochs={wildcards.epochs:q}"
        " {params.validation:q} --device={params.device:q} --interim={params.interim:q} --out={params.out:q}"
