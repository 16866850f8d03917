rule augment:
    """Draw the masks of one augmentation for the training clips of one machine type."""
    input:
        features=PATTERN.features(split="train"),
        code=code("augment"),
    output:
        PATTERN.masks(),
    log:
        "results/{dataset}/logs/augment/{augmentation}/{feature}/{machine_type}.log",
    params:
        title=lambda w: f"masks {w.augmentation} {w.machine_type}",
        settings=lambda w: as_json(config["augmentations"][w.augmentation]),
    shell:
        "python {input.code[0]:q} --log={log:q} --title={params.title:q}"
        " --features={input.features:q} --settings={params.settings:q} --out={output:q}"
