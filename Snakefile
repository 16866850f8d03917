from snakemake.utils import min_version

min_version("9.0")

# A configuration named on the command line replaces the default one: the two are not merged.
if not workflow.config_settings.configfiles:

    configfile: "config/config.yaml"


container: "docker://python:3.11-slim"


include: "workflow/rules/common.smk"
include: "workflow/rules/run.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/augment.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/ensemble.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/use.smk"


localrules:  # on the submitting host of a cluster
    all,
    merge_clips,
    ensemble,
    tables,


rule all:
    default_target: True
    input:
        f"{R}/clips.parquet",
        study.trained,
        study.measured,
        expand(
            [*rules.tables.output, rules.figures.output.listed, *rules.report.output],
            dataset=dataset["name"],
        )
        if study.scored
        else [],
        expand(rules.pack.output, dataset=dataset["name"]) if study.source.has_recordings else [],
