"""What Snakemake says of this workflow on the screen: sentences where it would print its exceptions.

A logger plugin of Snakemake, which finds it by its name; profiles/default/config.yaml asks for it. Everything else is said as
Snakemake says it. `--verbose` leaves out nothing.
"""

import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from humwatch import config
from humwatch.errors import InputError

FULL_DISK = ("No space left on device", "Disk quota exceeded")
FAILED = "At least one job did not complete successfully."
# What the sentences at the end say better, or what says nothing to a reader.
LEFT_OUT = ("Exiting because a job execution failed", "Cannot restore ", "At least one job did not complete")
EXIT = re.compile(r"(returned non-zero exit status (?P<status>\d+)|died with <Signals\.(?P<signal>\w+))")
OS_ERROR = re.compile(r"\[Errno \d+\] (?P<reason>[^:\n]+): '(?P<path>[^'\n]+)'")
LINES_PER_JOB = 20


class LogHandler(LogHandlerBase):
    """Writes to the screen; keeps the files that failed jobs have logged to, and ends with their sentences."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        settings: Any = self.common_settings
        self.failed: dict[int, tuple[str, list[Path]]] = {}  # rule and log files of each failed job
        self.ends: list[str] = []  # how their processes ended
        self.default = DefaultFilter(
            settings.quiet, settings.debug_dag, settings.verbose, settings.dryrun, settings.printshellcmds
        )
        self.screen = ColorizingTextHandler(
            nocolor=settings.nocolor, stream=sys.stdout if settings.stdout else sys.stderr
        )
        self.screen.setFormatter(DefaultFormatter(settings.quiet, settings.show_failed_logs))
        self.verbose = settings.verbose

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        for job in [vars(record)] if event == LogEvent.JOB_ERROR else getattr(record, "job_error_info", []):
            self.failed[job["jobid"]] = job["rule_name"], [Path(path) for path in job["log"]]
        if event == LogEvent.JOB_FINISHED:
            self.failed.pop(vars(record)["job_id"], None)  # a later try was better
        if not self.default.filter(record):
            return
        if self.verbose:
            self.screen.emit(record)
        elif record.getMessage().startswith(LEFT_OUT):
            return
        elif record.levelno < logging.ERROR:
            self.screen.emit(record)
        elif (text := self._shortened(record, event)) is not None:
            self.screen.emit(_with_text(record, text))

    def _shortened(self, record: logging.LogRecord, event: LogEvent | None) -> str | None:
        """What to say in place of an error of Snakemake's; None: nothing."""
        text = record.getMessage()
        if event != LogEvent.ERROR:
            return text
        if "CalledProcessError" in text and (match := EXIT.search(text)):  # a job's; said at the end
            self.ends.append(match["signal"] or f"exit code {match['status']}")
            return None
        if FAILED in text:
            return "\n".join(self._summary())
        if any(sign in text for sign in FULL_DISK):
            return "the disk is full: free some space and run again, nothing finished is lost"
        if match := OS_ERROR.search(text):
            return f"{match['path']} cannot be read or written ({match['reason']}): correct that and run again"
        if problem := _configuration_problem(sys.argv):
            return problem
        return text

    def _summary(self) -> Iterator[str]:
        yield f"{len(self.failed)} job(s) failed; nothing that is finished is lost, and the next run goes on from there:"
        for rule, logs in self.failed.values():
            errors = [line for path in logs for line in _errors_of(path)]
            yield from errors[:LINES_PER_JOB] or [
                f"{rule}: it ended without a word ({', '.join(dict.fromkeys(self.ends))})"
            ]
            if len(errors) > LINES_PER_JOB:
                yield f"... and {len(errors) - LINES_PER_JOB} more"
            if logs:
                yield f"    more in {', '.join(map(str, logs))}"


def _errors_of(log: Path) -> list[str]:
    """The sentences of a job's log: its lines of level ERROR, without time and level."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [re.sub(r"^[\d:]+ ", "", line).replace("ERROR: ", "", 1) for line in lines if " ERROR: " in line]


def _configuration_problem(arguments: list[str]) -> str | None:
    """The sentence for a configuration that Snakemake could not load, which it does before it looks at the workflow."""
    try:
        config.check_files(_configfiles(arguments))
    except InputError as error:
        return str(error)
    return None


def _configfiles(arguments: list[str]) -> list[Path]:
    """What follows --configfile on Snakemake's command line."""
    files: list[Path] = []
    taking = False
    for argument in arguments[1:]:
        if argument.startswith("-"):
            option, _, value = argument.partition("=")
            taking = option in ("--configfile", "--configfiles")
            files += [Path(value)] if taking and value else []
        elif taking:
            files.append(Path(argument))
    return files


def _with_text(record: logging.LogRecord, text: str) -> logging.LogRecord:
    said = logging.makeLogRecord(record.__dict__)
    said.msg = said.message = text
    said.args = None
    return said
