from humwatch.detectors.leave_id_out import ROUNDS

for trial in study.models.values():
    if study.judges and not trial.members:
        code_of("leave_id_out", trial.name)  # now, as in train.smk


rule leave_id_out:
    """Fit one trial without an id of each machine type, and let it hear that id: how trials are judged without labels."""
    input:
        features=lambda w: study.feature_files(w.scope, w.trial, "train"),
        masks=lambda w: study.mask_files(w.scope, w.trial),
        # Of one machine id alone, the model as it is: it has heard no other.
        model=lambda w: (
            [f"{layout.model(w.scope, w.trial, w.epochs)}/{name}" for name in MODEL_FILES]
            if study.scopes_by_name[w.scope].machine_id is not None
            else []
        ),
        code=lambda w: code_of("leave_id_out", w.trial),
    output:
        PATTERN.leave_id_out(),
    log:
        f"{PATTERN.of_model('logs/leave_id_out')}.log",
    wildcard_constraints:
        trial="(?!ensemble-)[^/]+",
    group:
        lambda w: plan.group_of(study, w.scope, w.trial, GPU)
    threads: 1
    resources:
        **({} if config["device"] == "cpu" else {"gpu": 1}),
        mem_mb=lambda w, input, attempt: attempt * plan.training_mb(2 * stored_mb(input.features), GPU),
        runtime=lambda w, input, attempt: attempt
        * plan.minutes(ROUNDS * plan.model_seconds(study, w.scope, w.trial, GPU)),
    params:
        title=lambda w: f"leave id out {w.scope} {w.trial}",
        trial=lambda w, input: jobs.training_arguments(study, w.scope, w.trial, input.masks, []),
        model=lambda w, input: [f"--model={Path(input.model[0]).parent}"] if input.model else [],
        validation=VALIDATION,
        device=config["device"],
    shell:
        "python {input.code[0]:q} --log={log:q} --title={params.title:q}"
        " {params.trial:q} {params.model:q} --features {input.features:q} --epochs={wildcards.epochs:q}"
        " {params.validation:q} --device={params.device:q} --out={output:q}"
