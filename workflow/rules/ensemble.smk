rule ensemble:
    """Average the standardised scores of an ensemble's members, for one machine type."""
    input:
        scores=lambda w: [f"{R}/scores/{path}.parquet" for path in ensemble_members(w)],
        held_out=lambda w: [f"{R}/models/{path}/validation.parquet" for path in ensemble_members(w)],
        code=code("ensemble"),
    output:
        scores="results/{dataset}/scores/{scope}/{trial}/epochs-0.parquet",
        model="results/{dataset}/models/{scope}/{trial}/epochs-0/model.json",
        log="results/{dataset}/models/{scope}/{trial}/epochs-0/log.csv",
        held_out="results/{dataset}/models/{scope}/{trial}/epochs-0/validation.parquet",
    log:
        "results/{dataset}/logs/ensemble/{scope}/{trial}.log",
    wildcard_constraints:
        trial="ensemble-[^/]+",
    localrule: True
    params:
        title=lambda w: f"ensemble {w.scope} {w.trial}",
        machine_type=lambda w: TYPES[w.scope],
        members=lambda w: as_json(
            [
                {
                    "trial": f"{t.name}/epochs-{t.epochs}",
                    "scopes": [s.name for s in scopes_of_type(t, TYPES[w.scope])],
                    "score": t.parameters["score"],
                }
                for t in ENSEMBLES[w.trial]
            ]
        ),
        results=lambda w, output: str(Path(output.scores).parents[3]),
        model=lambda w, output: str(Path(output.model).parent),
    shell:
        "python {input.code[0]:q} --log={log:q} --title={params.title:q}"
        " --members={params.members:q} --machine-type={params.machine_type:q} --results={params.results:q}"
        " --model={params.model:q} --out={output.scores:q}"
