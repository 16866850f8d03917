# What happens before and after the jobs of a run: one run at a time in a folder, remains mended, jobs of a stopped run cancelled.
import subprocess

from humwatch.locking import hold_lock, try_lock
from humwatch.study.layout import CHECKSUMS, FIGURES

if study.unheard and workflow.is_main_process:
    logger.warning(
        f"{', '.join(study.unheard)}: no training clips, so that only models of scope all score them; other scopes leave them out"
    )

LOCK = ".snakemake/humwatch.lock"  # goes with the process even when it is killed, unlike Snakemake's own (nolock in the profile)
# Options of runs that only look; what is missing must be known before jobs are planned, and Snakemake does not say so earlier.
LOOKING = {
    "--dag",
    "--rulegraph",
    "--filegraph",
    "--d3dag",
    "--summary",
    "--detailed-summary",
    "--lint",
    "--list",
    "--report",
}
LOOKING |= {"-S", "-D", "-l", "--list-rules", "--list-target-rules", "--print-compilation", "--unlock", "--touch", "-t"}


def mend():
    """Remove what kills and a damaged disk have left, so that it is made again: temporary files, empty results, damaged tables."""
    files.remove_leftovers(Path(R))
    damaged = files.empty(Path(R))
    for listed in (Path(R, "tables", CHECKSUMS), Path(R, "figures", FIGURES), Path(R, "detectors", CHECKSUMS)):
        damaged += files.damaged(listed)
    for path in damaged:
        logger.warning(f"{path} is empty or damaged: removed, and made again where this run needs it")
        path.unlink(missing_ok=True)


looks = workflow.output_settings.dryrun or LOOKING & {argument.split("=")[0] for argument in sys.argv}
if workflow.is_main_process and not looks and try_lock(LOCK):
    mend()


onstart:
    try:
        hold_lock(LOCK)
    except InputError as error:
        refuse(error)


onsuccess:
    summary = [f"{SCRIPTS}/summary.py", R, *([] if study.scored else ["--unmeasured"])]
    shell("python {summary:q}")


onerror:
    # At Ctrl-C, Snakemake cancels its Slurm jobs but for those whose state it is asking for; all have the run's ID as name.
    for file in log:
        for run in re.findall(r"SLURM run ID: (\S+)", Path(file).read_text()):
            subprocess.run(["scancel", f"--name={run}"])
