report: "../report/workflow.rst"


# The trial shown in detail may be any: which one, the tables say when they are there. Ensembles have no model of their own.
DETAIL = [t.parameters for t in study.models.values() if not t.members]
DETAIL_MODULES = sorted({f"detectors/{name}" for t in study.models.values() if not t.members for name in t.detectors})
DETAIL_MODULES += sorted({f"features/{config['features'][p['feature']]['source']}" for p in DETAIL})

# Masks to draw: those of the first trial that has any, else the defaults.
AUGMENTATIONS = [
    t.parameters["augmentation"] for t in study.trials if t.parameters.get("augmentation", "none") != "none"
]
MASKS = config["augmentations"][AUGMENTATIONS[0]] if AUGMENTATIONS else {}


GENERATED = ["--generated"] if study.source.is_generated else []


rule figures:
    """Draw every sweep, and the chosen trial in detail."""
    input:
        clips="results/{dataset}/clips.parquet",
        tables=rules.tables.output,  # made of every score and log: naming those here as well would slow large plans down
        features=study.tested_features("test"),
        trained=study.tested_features("train"),
        code=code("figures", *DETAIL_MODULES),
    output:
        listed="results/{dataset}/figures/figures.txt",
        sweeps=report(
            directory("results/{dataset}/figures/sweeps"),
            patterns=["{sweep}.svg"],
            caption="../report/sweep.rst",
            category="Figures",
            subcategory="AUC",
            labels={"sweep": "{sweep}", "figure": "AUC"},
        ),
        training=report(
            directory("results/{dataset}/figures/training"),
            patterns=["{sweep}.svg"],
            caption="../report/training.rst",
            category="Figures",
            subcategory="Training",
            labels={"sweep": "{sweep}", "figure": "training curves"},
        ),
        trial=report(
            directory("results/{dataset}/figures/trial"),
            patterns=["{figure}_{machine_type}.svg"],
            caption="../report/trial.rst",
            category="Figures",
            subcategory="Chosen trial",
            labels={"machine type": "{machine_type}", "figure": "{figure}"},
        ),
        clips=report(
            directory("results/{dataset}/figures/clips"),
            patterns=["{figure}_{machine_type}.svg"],
            caption="../report/spectrograms.rst",
            category="Figures",
            subcategory="Chosen trial",
            labels={"machine type": "{machine_type}", "figure": "{figure}"},
        ),
    log:
        "results/{dataset}/logs/figures.log",
    params:
        results=lambda w, input: str(Path(input.clips).parent),
        sweeps=lambda w: as_json([*study.sweeps]),
        augmentation=lambda w: as_json(MASKS),
        generated=GENERATED,
        out=lambda w, output: str(Path(output.sweeps).parent),
    shell:
        "python {input.code[0]:q} --log={log:q} --title=figures --results={params.results:q} --sweeps={params.sweeps:q}"
        " --augmentation={params.augmentation:q} {params.generated:q} --out={params.out:q}"


rule report:
    """One page with everything, sounds included, that opens without a network."""
    input:
        clips="results/{dataset}/clips.parquet",
        tables=rules.tables.output,
        figures=rules.figures.output.listed,
        features=study.tested_features("test"),
        code=code("report", *DETAIL_MODULES),
        templates=sorted(str(path) for path in (ROOT / "src/humwatch/report/templates").iterdir()),
    output:
        report(
            "results/{dataset}/report.html",
            caption="../report/report.rst",
            category="Report",
            labels={"page": "{dataset}"},
        ),
    log:
        "results/{dataset}/logs/report.log",
    params:
        results=lambda w, input: str(Path(input.clips).parent),
        sweeps=lambda w: as_json([*study.sweeps]),
        tables=lambda w, input: [
            p
            for p in input.tables
            if Path(p).stem in ("official", "auc", "summary", "selected", "decisions", "comparison")
        ],
        recordings=lambda w: study.folder,
        generated=GENERATED,
        config=lambda w: as_json(config),
    shell:
        "python {input.code[0]:q} --log={log:q} --title=report --results={params.results:q} --sweeps={params.sweeps:q}"
        " --tables {params.tables:q} --recordings={params.recordings:q} {params.generated:q} --config={params.config:q} --out={output:q}"
