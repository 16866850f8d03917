from humwatch.datasets.dcase_tables import CHALLENGES

# Which recordings each clip table is made of: before jobs are asked for, as with code. Features from elsewhere come without.
CLIP_LISTS = {
    (machine_type, split): listing.update(
        Path(".snakemake/recordings", dataset["name"], slug(machine_type), f"{split}.jsonl"),
        Path(study.folder),
        clips,
        Path(layout.clip_table(slug(machine_type), split)),
    )
    for (machine_type, split), clips in study.recordings.items()
    if (machine_type, split) in study.machines and study.source.has_recordings
}


rule demo:
    """Generate the demo's recordings (source demo)."""
    input:
        code=code("demo"),
    output:
        "results/{dataset}/recordings/{split}.txt",
    log:
        "results/{dataset}/logs/demo/{split}.log",
    priority: 1000
    params:
        title=lambda w: f"demo {w.split}",
        folder=lambda w, output: str(Path(output[0]).parent),
        size=as_json(dataset["size"]),
        seed=dataset["seed"],
        machine_ids=lambda w: as_json(dataset["machine_ids"]),
        noise=[f"--noise={as_json(dataset['noise'])}"] if dataset["noise"] else [],
    shell:
        "python {input.code[0]:q} --log={log:q} --title={params.title:q} --folder={params.folder:q}"
        " --split={wildcards.split:q} --size={params.size:q} --seed={params.seed:q} --manifest={output:q}"
        " --machine-ids={params.machine_ids:q} {params.noise:q}"


# Fetched data are not made of the code, which is no input here: checksums say that they are the published ones.
DATA = dataset["data_folder"]


rule download:
    """Fetch one archive from Zenodo, going on where an earlier try stopped (source dcase)."""
    output:
        update(f"{DATA}/dcase{{year}}/archives/{{name}}.zip"),
    log:
        f"{R}/logs/download/dcase{{year}}/{{name}}.log",
    wildcard_constraints:
        year=r"\d{4}",
        name="(dev|eval)_[^/]+",
    retries: 2
    localrule: True
    resources:
        base_url=dataset["base_url"],  # no parameter: another mirror is no reason to fetch again
    params:
        title=lambda w: f"download {w.name}",
        script=f"{SCRIPTS}/download.py",
    shell:
        "python {params.script:q} --log={log:q} --title={params.title:q}"
        " --year={wildcards.year:q} --base-url={resources.base_url:q} --out={output:q}"


rule ground_truth:
    """Fetch the labels of the evaluation set (source dcase)."""
    output:
        update(f"{DATA}/dcase{{year}}/eval_data_list{{of}}.csv"),
    log:
        f"{R}/logs/download/dcase{{year}}/eval_data_list{{of}}.log",
    wildcard_constraints:
        year=r"\d{4}",
        of="|_[0-9a-f]{8}",
    retries: 2
    localrule: True
    resources:
        base_url=dataset["base_url"],
    params:
        labels=lambda w: as_json(study.source.labels._asdict()),
        script=f"{SCRIPTS}/download.py",
    shell:
        "python {params.script:q} --log={log:q} --title='download ground truth' --year={wildcards.year:q}"
        " --labels={params.labels:q} --base-url={resources.base_url:q} --out={output:q}"


rule unpack:
    """Unpack one archive and write its manifest, the mark that all its clips are there (source dcase)."""
    input:
        lambda w: str(CHALLENGES[int(w.year)].archives([w.machine_type], [w.part])[0].path(Path(DATA))),
    output:
        f"{DATA}/dcase{{year}}/{{part}}_{{machine_type}}.json",
    log:
        f"{R}/logs/unpack/dcase{{year}}/{{part}}_{{machine_type}}.log",
    wildcard_constraints:
        year=r"\d{4}",
        part="dev|additional|eval",
    localrule: True
    params:
        title=lambda w: f"unpack {w.part} {w.machine_type}",
        folder=lambda w, output: str(Path(output[0]).parents[1]),
        script=f"{SCRIPTS}/unpack.py",
    shell:
        "python {params.script:q} --log={log:q} --title={params.title:q} --year={wildcards.year:q}"
        " --archive={input:q} --data-folder={params.folder:q}"


if not study.source.has_recordings:

    rule clips_of_features:
        """Check every clip of one machine type and split whose features were computed elsewhere."""
        input:
            source=lambda w: listing.link(f"{study.folder}/{study.types[w.machine_type]}.parquet"),
            code=code("clips_of_features"),
        output:
            PATTERN.clip_table(),
        log:
            "results/{dataset}/logs/clips/{machine_type}/{split}.log",
        params:
            title=lambda w: f"clips {w.machine_type} {w.split}",
            source=lambda w: f"{study.folder}/{study.types[w.machine_type]}.parquet",
            machine_ids=lambda w: as_json(dataset["machine_ids"]),
        shell:
            "python {input.code[0]:q} --log={log:q} --title={params.title:q} --source={params.source:q}"
            " --split={wildcards.split:q} --machine-ids={params.machine_ids:q} --out={output:q}"

else:

    rule clips:
        """Open and check every clip of one machine type and split."""
        input:
            recordings=lambda w: (
                study.source.inputs(study.types[w.machine_type], w.split)
                or str(CLIP_LISTS[study.types[w.machine_type], w.split])
            ),
            code=code("clips", f"datasets/{study.source.module}"),
        output:
            PATTERN.clip_table(),
        log:
            "results/{dataset}/logs/clips/{machine_type}/{split}.log",
        priority: 1000
        params:
            title=lambda w: f"clips {w.machine_type} {w.split}",
            machine_type=lambda w: study.types[w.machine_type],
            dataset=lambda w: as_json(study.source.needed(w.split)),
            sample_rate=lambda w: study.sample_rate,
        shell:
            "python {input.code[0]:q} --log={log:q} --title={params.title:q}"
            " --dataset={params.dataset:q} --machine-type={params.machine_type:q} --split={wildcards.split:q}"
            " --sample-rate={params.sample_rate:q} --threads={threads:q} --out={output:q}"


rule merge_clips:
    """The clip table of the whole data set."""
    input:
        tables=[layout.clip_table(slug(t), s) for t, s in study.machines],
        code=code("clips_merge"),
    output:
        "results/{dataset}/clips.parquet",
    log:
        "results/{dataset}/logs/clips/merge.log",
    priority: 1000  # what it says of the data is to be read before hours of training
    localrule: True
    shell:
        "python {input.code[0]:q} --log={log:q} --title=clips --tables {input.tables:q} --out={output:q}"
