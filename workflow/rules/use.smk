rule pack:
    """Pack the trial chosen without labels for each machine type into one file, the detector to use."""
    input:
        clips=f"{R}/clips.parquet",
        # Made of every trial's held-out scores, and so of the models: naming those here as well would slow large plans down.
        trained=rules.tables.output if study.scored else [*study.trained, *study.judged],
        code=code("pack"),
        schema=SCHEMA,
    output:
        f"results/{{dataset}}/detectors/{CHECKSUMS}",
    log:
        "results/{dataset}/logs/pack.log",
    localrule: True
    params:
        config=lambda w: as_json(config),
    shell:
        "python {input.code[0]:q} --log={log:q} --title=pack --config={params.config:q} --schema={input.schema:q} --out={output:q}"
