def members_of(wildcards):
    """Trial, scopes and score of each member of an ensemble."""
    return [
        {"trial": t.name, "epochs": t.epochs, "score": t.parameters["score"], "scopes": [s.name for s in scopes]}
        for t, scopes in study.members(wildcards.trial, study.types[wildcards.scope])
    ]


def of_members(path):
    return lambda w: [path(s, m["trial"], m["epochs"]) for m in members_of(w) for s in m["scopes"]]


rule ensemble:
    """Average the standardised scores of an ensemble's members, for one machine type."""
    input:
        scores=of_members(layout.scores),
        held_out=of_members(lambda *model: f"{layout.model(*model)}/validation.parquet"),
        calibration=of_members(lambda *model: f"{layout.model(*model)}/calibration.parquet"),
        code=code("ensemble"),
    output:
        scores=PATTERN.scores(epochs=0),
        model=f"{PATTERN.model(epochs=0)}/model.json",
        log=f"{PATTERN.model(epochs=0)}/log.csv",
        held_out=f"{PATTERN.model(epochs=0)}/validation.parquet",
        calibration=f"{PATTERN.model(epochs=0)}/calibration.parquet",
    log:
        "results/{dataset}/logs/ensemble/{scope}/{trial}.log",
    wildcard_constraints:
        trial="ensemble-[^/]+",
    params:
        title=lambda w: f"ensemble {w.scope} {w.trial}",
        machine_type=lambda w: study.types[w.scope],
        members=lambda w: as_json(members_of(w)),
        results=lambda w, output: str(Path(output.scores).parents[3]),
        model=lambda w, output: str(Path(output.model).parent),
    shell:
        "python {input.code[0]:q} --log={log:q} --title={params.title:q}"
        " --members={params.members:q} --machine-type={params.machine_type:q} --results={params.results:q}"
        " --model={params.model:q} --out={output.scores:q}"
