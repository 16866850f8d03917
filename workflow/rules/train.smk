GPU = config["device"] != "cpu" and plan.has_cuda()
# What a job calls itself: 3 of 14.
os.environ.update(HUMWATCH_TRAININGS=str(len(set(study.trained))))

for detector in {t.parameters["detector"] for t in study.trials if not t.members}:  # ensembles have none
    # Now, not when a job asks: Snakemake looks into a folder once, and takes what comes later for missing.
    code("train", f"detectors/{detector}")
    code("score", f"detectors/{detector}")


def code_of_detector(script):
    return lambda w: code(script, f"detectors/{study.models[w.trial].parameters['detector']}")


def trial_arguments(wildcards, input):
    """What a trial is, in one function: Snakemake calls every function for every job, which counts in large plans."""
    trial = study.models[wildcards.trial]
    arguments = [f"--detector={trial.parameters['detector']}", f"--hyperparameters={as_json(trial.hyperparameters)}"]
    arguments += [f"--seed={trial.parameters['seed']}", *machine_id_argument(wildcards.scope)]
    if input.masks:
        target = config["augmentations"][trial.parameters["augmentation"]]["target"]
        arguments += ["--masks", *input.masks, f"--mask-target={target}"]
    if input.previous:
        arguments += [f"--continue-from={Path(input.previous[0]).parent}"]
    return arguments


@lru_cache
def group_of(scope, trial):
    """The group of short trainings, several to a cluster job, or none. All milestones of a model are in it, or none is."""
    return "short_trainings" if plan.model_seconds(study, scope, trial, GPU) < plan.SHORT_SECONDS else None


rule train:
    """Fit one trial up to one milestone of epochs, going on from the milestone before."""
    input:
        features=lambda w: study.feature_files(w.scope, w.trial, "train"),
        masks=lambda w: study.mask_files(w.scope, w.trial),
        previous=lambda w: study.previous_files(w.scope, w.trial, int(w.epochs)),
        code=code_of_detector("train"),
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
        lambda w: group_of(w.scope, w.trial)
    threads: 1
    resources:
        **({} if config["device"] == "cpu" else {"gpu": 1}),
        mem_mb=lambda w, input, attempt: attempt * plan.training_mb(stored_mb(input.features), GPU),
        runtime=lambda w, input, attempt: attempt
        * plan.minutes(plan.training_seconds(study, w.trial, int(w.epochs), frames_of(w, input), GPU)),
    params:
        title=lambda w: f"train {w.scope} {w.trial}",
        trial=trial_arguments,
        validation=[f"--validation-{key}={config['validation'][key]}" for key in ("fraction", "seed")]
        + [f"--calibration-{key}={value}" for key, value in config["calibration"].items() if value is not None],
        device=config["device"],
        interim=PATTERN.of_model("interim"),
        out=PATTERN.model(),
    shell:
        "python {input.code[0]:q} --log={log:q} --title={params.title:q}"
        " {params.trial:q} --features {input.features:q} --epochs={wildcards.epochs:q}"
        " {params.validation:q} --device={params.device:q} --interim={params.interim:q} --out={params.out:q}"
