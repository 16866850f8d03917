from humwatch.study.layout import CHECKSUMS

# Published figures are compared only where the recordings are the published ones.
REFERENCES = [str(ROOT / "workflow/references.csv")] if study.source.is_published else []

# Of a challenge's data, and of one's own with domains.
CHALLENGE = study.source.challenge_sets()
if not CHALLENGE and any(clip.domain for clips in study.recordings.values() for clip in clips):
    CHALLENGE = (None, {})


rule tables:
    """Measure every trial against the test labels: the only place where labels meet scores."""
    input:
        clips=f"{R}/clips.parquet",  # nothing is measured of clips that do not go together
        measured=study.measured,
        references=REFERENCES,
        code=code("tables"),
        schema=SCHEMA,
    output:
        official=["results/{dataset}/tables/official.csv"] if CHALLENGE else [],
        auc=report(
            "results/{dataset}/tables/auc.csv",
            caption="../report/auc.rst",
            category="Tables",
            labels={"table": "AUC per trial and id"},
        ),
        summary=report(
            "results/{dataset}/tables/summary.csv",
            caption="../report/summary.rst",
            category="Tables",
            labels={"table": "summary over seeds"},
        ),
        selected=report(
            "results/{dataset}/tables/selected.csv",
            caption="../report/selected.rst",
            category="Tables",
            labels={"table": "chosen without labels"},
        ),
        sweeps=[
            report(
                f"results/{{dataset}}/tables/sweeps/{name}{kind}.csv",
                caption="../report/sweep_table.rst",
                category="Tables",
                subcategory="Sweeps",
                labels={"table": f"{name}{kind}"},
            )
            for name in study.sweeps
            for kind in ("", "_report")
        ],
        decisions=report(
            "results/{dataset}/tables/decisions.csv",
            caption="../report/decisions.rst",
            category="Tables",
            labels={"table": "thresholds and false alarms"},
        ),
        comparison=["results/{dataset}/tables/comparison.csv"] if REFERENCES else [],
        times="results/{dataset}/tables/times.csv",
        checksums=f"results/{{dataset}}/tables/{CHECKSUMS}",
    log:
        "results/{dataset}/logs/tables.log",
    localrule: True
    params:
        definition=lambda w: as_json(
            {key: config[key] for key in ("trial", "detectors", "features", "augmentations", "sweeps", "ensembles")}
        ),
        scopes=lambda w: as_json(
            {k: [(s.machine_type, s.machine_id) for s in v] for k, v in study.tested_scopes.items()}
        ),
        bootstrap=[f"--bootstrap-{key}={config['bootstrap'][key]}" for key in ("samples", "seed")],
        several=lambda w: as_json(study.several),
        rate=config["alarm"]["false_alarm_rate"],
        machine_types=lambda w: as_json(study.scored_types),
        challenge=[f"--challenge={as_json(CHALLENGE)}"] if CHALLENGE else [],
        references=lambda w, input: [f"--references={path}" for path in input.references],
        results=lambda w, output: str(Path(output.auc).parents[1]),
        out=lambda w, output: str(Path(output.auc).parent),
    shell:
        "python {input.code[0]:q} --log={log:q} --definition={params.definition:q} --scopes={params.scopes:q}"
        " --schema={input.schema:q} --results={params.results:q} {params.references:q} {params.challenge:q} {params.bootstrap:q}"
        " --false-alarm-rate={params.rate:q} --machine-types={params.machine_types:q}"
        " --several-ids={params.several:q} --out={params.out:q}"
