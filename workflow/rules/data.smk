rule demo:
    """Generate the demo's recordings (source demo)."""
    input:
        code=code("demo"),
    output:
        "results/{dataset}/recordings/{split}.txt",
    log:
        "results/{dataset}/logs/demo/{split}.log",
    params:
        folder=lambda w, output: str(Path(output[0]).parent),
        size=as_json(dataset["size"]),
        seed=dataset["seed"],
        machine_ids=dataset["machine_ids"],
    shell:
        "python {input.code[0]:q} --log {log:q} --title 'demo {wildcards.split}' --folder {params.folder:q}"
        " --split {wildcards.split} --size {params.size:q} --seed {params.seed} --manifest {output:q}"
        " --machine-ids {params.machine_ids:q}"


rule clips:
    """Open and check every clip of one machine type and split."""
    input:
        recordings=recordings_of,
        code=code("clips"),
    output:
        "results/{dataset}/clips/{machine_type}/{split}.parquet",
    log:
        "results/{dataset}/logs/clips/{machine_type}/{split}.log",
    params:
        folder=FOLDER,
        machine_ids=dataset["machine_ids"],
        sample_rate=sample_rate_argument,
    shell:
        "python {input.code[0]:q} --log {log:q} --title 'clips {wildcards.machine_type} {wildcards.split}'"
        " --folder {params.folder:q} --machine-type {wildcards.machine_type:q} --split {wildcards.split}"
        " --machine-ids {params.machine_ids:q} {params.sample_rate} --threads {threads} --out {output:q}"


rule merge_clips:
    """The clip table of the whole data set."""
    input:
        tables=[f"{R}/clips/{t}/{s}.parquet" for t, s in sorted(RECORDINGS)],
        code=code("clips_merge"),
    output:
        "results/{dataset}/clips.parquet",
    log:
        "results/{dataset}/logs/clips/merge.log",
    shell:
        "python {input.code[0]:q} --log {log:q} --tables {input.tables:q} --out {output:q}"
