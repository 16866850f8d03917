GPU = config["device"] != "cpu" and plan.has_cuda()
# Which clips are held out, and set apart.
VALIDATION = [f"--validation-{key}={config['validation'][key]}" for key in ("fraction", "seed")]
VALIDATION += [f"--calibration-{key}={value}" for key, value in config["calibration"].items() if value is not None]

# What a job calls itself: 3 of 14.
os.environ.update(HUMWATCH_TRAININGS=str(study.trainings))

for trial in study.models.values():
    if not trial.members:  # ensembles have no code of their own
        # Now, not when a job asks: Snakemake looks into a folder once, and takes what comes later for missing.
        code_of("train", trial.name)
        code_of("score", trial.name)


rule train:
    """Fit one trial up to one milestone of epochs, going on from the milestone before."""
    input:
        features=lambda w: study.feature_files(w.scope, w.trial, "train"),
        masks=lambda w: study.mask_files(w.scope, w.trial),
        previous=lambda w: study.previous_files(w.scope, w.trial, int(w.epochs)),
        code=lambda w: code_of("train", w.trial),
    output:
        *(f"{PATTERN.model()}/{name}" for name in MODEL_FILES),
    log:
        f"{PATTERN.of_model('logs/train')}.log",
    benchmark:
        f"{PATTERN.of_model('benchmarks/train')}.tsv"
    wildcard_constraints:
        trial="(?!ensemble-)[^/]+",
    # The longest first: epochs that are still to come in the trial's chain of milestones.
    priority: lambda w: max(study.milestones[w.trial]) - study.previous(w.trial, int(w.epochs))
    group:
        lambda w: plan.group_of(study, w.scope, w.trial, GPU)
    threads: 1
    resources:
        **({} if config["device"] == "cpu" else {"gpu": 1}),
        mem_mb=lambda w, input, attempt: attempt * plan.training_mb(stored_mb(input.features), GPU),
        runtime=lambda w, input, attempt: attempt
        * plan.minutes(plan.training_seconds(study, w.trial, int(w.epochs), frames_of(w, input), GPU)),
    params:
        title=lambda w: f"train {w.scope} {w.trial}",
        trial=lambda w, input: jobs.training_arguments(study, w.scope, w.trial, input.masks, input.previous),
        validation=VALIDATION,
        device=config["device"],
        interim=PATTERN.of_model("interim"),
        out=PATTERN.model(),
    shell:
        "python {input.code[0]:q} --log={log:q} --title={params.title:q}"
        " {params.trial:q} --features {input.features:q} --epochs={wildcards.epochs:q}"
        " {params.validation:q} --device={params.device:q} --interim={params.interim:q} --out={params.out:q}"
