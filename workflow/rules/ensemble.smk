rule ensemble:
    """Average the standardised scores of an ensemble's members, for one machine type."""
    input:
        scores=lambda w: [layout.scores(*m) for m in study.member_models(w.trial, study.types[w.scope])],
        held_out=lambda w: [
            f"{layout.model(*m)}/validation.parquet" for m in study.member_models(w.trial, study.types[w.scope])
        ],
        calibration=lambda w: [
            f"{layout.model(*m)}/calibration.parquet" for m in study.member_models(w.trial, study.types[w.scope])
        ],
        leave_id_out=lambda w: (
            [layout.leave_id_out(*m) for m in study.member_models(w.trial, study.types[w.scope])]
            if study.types[w.scope] in study.several
            else []
        ),
        code=code("ensemble"),
    output:
        scores=PATTERN.scores(epochs=0),
        submission=directory(PATTERN.of_model("submission", epochs=0)),
        model=f"{PATTERN.model(epochs=0)}/model.json",
        log=f"{PATTERN.model(epochs=0)}/log.csv",
        held_out=f"{PATTERN.model(epochs=0)}/validation.parquet",
        calibration=f"{PATTERN.model(epochs=0)}/calibration.parquet",
        leave_id_out=[PATTERN.leave_id_out(epochs=0)] if study.judges else [],
    log:
        "results/{dataset}/logs/ensemble/{scope}/{trial}.log",
    wildcard_constraints:
        trial="ensemble-[^/]+",
    localrule: True
    params:
        title=lambda w: f"ensemble {w.scope} {w.trial}",
        machine_type=lambda w: study.types[w.scope],
        members=lambda w: as_json(jobs.members(study, w.trial, study.types[w.scope])),
        results=lambda w, output: str(Path(output.scores).parents[3]),
        model=lambda w, output: str(Path(output.model).parent),
        challenge=CHALLENGE,
        judged=lambda w, input, output: ["--judged", *input.leave_id_out] if output.leave_id_out else [],
    shell:
        "python {input.code[0]:q} --log={log:q} --title={params.title:q}"
        " --members={params.members:q} --machine-type={params.machine_type:q} --results={params.results:q}"
        " --model={params.model:q} --out={output.scores:q} {params.judged:q}"
        " {params.challenge:q} --submission={output.submission:q}"
