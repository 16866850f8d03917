# The workflow is workflow/Snakefile; this file is for `snakemake` without -s.
include: "workflow/Snakefile"


workflow.default_target = "all"  # an included file cannot set it
