# The challenge whose files are written; from 2021 on, they have decisions as well.
YEAR = (study.source.challenge_sets() or (2020, {}))[0]
DECIDES = YEAR > 2020
CHALLENGE = [f"--year={YEAR}", f"--false-alarm-rate={config['alarm']['false_alarm_rate']}"] if DECIDES else []


rule score:
    """Score the test clips with one model."""
    input:
        features=lambda w: study.feature_files(w.scope, w.trial, "test"),
        model=f"{PATTERN.model()}/model.json",
        weights=f"{PATTERN.model()}/model.safetensors",
        calibration=[f"{PATTERN.model()}/calibration.parquet"] if DECIDES else [],
        code=lambda w: code_of("score", w.trial),
    output:
        scores=PATTERN.scores(),
        submission=directory(PATTERN.of_model("submission")),
    log:
        f"{PATTERN.of_model('logs/score')}.log",
    benchmark:
        f"{PATTERN.of_model('benchmarks/score')}.tsv"
    wildcard_constraints:
        trial="(?!ensemble-)[^/]+",
    threads: 1
    resources:
        mem_mb=lambda w, attempt: attempt * plan.scoring_mb(study.models[w.trial].parameters),
        runtime=lambda w, input, attempt: attempt
        * plan.minutes(plan.trial_scoring_seconds(study, w.trial, frames_of(w, input))),
    params:
        title=lambda w: f"score {w.scope} {w.trial}",
        model=lambda w, input: str(Path(input.model).parent),
        trial=lambda w: jobs.scoring_arguments(study, w.scope, w.trial, int(w.epochs)),
        challenge=CHALLENGE,
    shell:
        "python {input.code[0]:q} --log={log:q} --title={params.title:q} --model={params.model:q}"
        " --features {input.features:q} {params.trial:q} {params.challenge:q} --out={output.scores:q}"
        " --submission={output.submission:q}"
