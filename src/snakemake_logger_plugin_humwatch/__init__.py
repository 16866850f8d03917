"""What Snakemake says of this workflow on the screen: sentences where it would print its exceptions.

A logger plugin of Snakemake, which finds it by its name; profiles/default/config.yaml asks for it. Everything else is said as
Snakemake says it. `--verbose` leaves out nothing.
"""

import logging
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from humwatch import cli
from humwatch.errors import InputError
from humwatch.study import reading

DISK_IS_FULL = "the disk is full: free some space and run again, nothing finished is lost"
NO_RULE = re.compile(r"MissingRuleException:\s*No rule to produce (\S+)")
FULL_DISK = ("No space left on device", "Disk quota exceeded")
sys.excepthook = cli.say_interrupted  # Ctrl-C while a study is planned
FAILED = "At least one job did not complete successfully."
# Lines that the sentences at the end replace, or that are of no use to a reader.
LEFT_OUT = ("Exiting because a job execution failed", "Cannot restore ")
STOPPED = {"SIGINT", "SIGTERM", "exit code 130", "exit code 143"}  # ends that somebody wanted
NOTHING_LEFT = 100_000  # bytes of a disk that is as good as full
EXIT = re.compile(r"(returned non-zero exit status (?P<status>\d+)|died with <Signals\.(?P<signal>\w+))")
OS_ERROR = re.compile(r"\[Errno \d+\] (?P<reason>[^:\n]+): '(?P<path>[^'\n]+)'")
LINES_PER_JOB = 20


class LogHandler(LogHandlerBase):
    """Writes to the screen; keeps what is known of failed jobs, and ends with their sentences."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        settings: Any = self.common_settings
        self.failed: dict[
            int, tuple[str, list[Path], str]
        ] = {}  # of each failed job: rule, log files, what is known besides
        self.ends: list[str] = []  # how the processes of jobs ended
        self.others: list[str] = []  # errors of Snakemake itself
        self.default = DefaultFilter(
            settings.quiet, settings.debug_dag, settings.verbose, settings.dryrun, settings.printshellcmds
        )
        self.screen = ColorizingTextHandler(
            nocolor=settings.nocolor, stream=sys.stdout if settings.stdout else sys.stderr
        )
        self.screen.setFormatter(DefaultFormatter(settings.quiet, settings.show_failed_logs))
        self.verbose = settings.verbose
        logging.raiseExceptions = False  # on a full disk, lines of logs are lost without tracebacks

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        self._note(event, vars(record))
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
        """What to print in place of an error of Snakemake; None for nothing."""
        text = record.getMessage()
        if event != LogEvent.ERROR:
            return text
        if "CalledProcessError" in text and (match := EXIT.search(text)):  # a job's; said at the end
            self.ends.append(match["signal"] or f"exit code {match['status']}")
            return None
        if FAILED in text:
            return "\n".join(self._summary())
        if "Cannot close a running event loop" in text:  # Ctrl-C for the second time
            return None
        self.others.append(_sentence(text))
        return self.others[-1]

    def _note(self, event: LogEvent | None, said: dict[str, Any]) -> None:
        """Keep what is known of a failed job, until a later try succeeds."""
        if event == LogEvent.JOB_ERROR:
            self.failed[said["jobid"]] = said["rule_name"], [Path(path) for path in said["log"]], said["rule_msg"] or ""
        elif event == LogEvent.GROUP_ERROR:
            members = [
                (job["jobid"], job["rule_name"], [Path(path) for path in job["log"]]) for job in said["job_error_info"]
            ]
            guilty = [member for member in members if any(map(_errors_of, member[2]))] or members
            self.failed |= {jobid: (rule, logs, said["msg"] or "") for jobid, rule, logs in guilty}
        elif event == LogEvent.JOB_FINISHED:
            self.failed.pop(said["job_id"], None)

    def _summary(self) -> Iterator[str]:
        if self.ends and {*self.ends} <= STOPPED and not self.others:
            yield "stopped: nothing that is finished is lost, and the next run goes on from here"
            return
        yield "the run failed; nothing that is finished is lost, and the next run goes on from there:"
        for rule, logs, known in self.failed.values():
            errors = [*dict.fromkeys(line for path in logs for line in _errors_of(path))]
            yield from errors[:LINES_PER_JOB] or [f"{rule}: {known or self._silent_end()}"]
            if len(errors) > LINES_PER_JOB:
                yield f"... and {len(errors) - LINES_PER_JOB} more"
            if logs:
                yield f"    more in {', '.join(map(str, logs))}"
        yield from dict.fromkeys(self.others)

    def _silent_end(self) -> str:
        if shutil.disk_usage(".").free < NOTHING_LEFT:
            return DISK_IS_FULL
        memory = ", perhaps for want of memory" if {"SIGKILL", "exit code 137"} & {*self.ends} else ""
        return f"it ended without a word ({', '.join(dict.fromkeys(self.ends))}{memory})"


def _sentence(text: str) -> str:
    """What an exception of Snakemake means, where that is known; else its text."""
    if any(sign in text for sign in FULL_DISK):
        return DISK_IS_FULL
    if problem := _configuration_problem(sys.argv):
        return problem
    if match := NO_RULE.search(text):
        return f"{match[1]} is nothing that this configuration makes: see README.md for the files in results/"
    if match := OS_ERROR.search(text):
        return f"{match['path']} cannot be read or written ({match['reason']}): correct that and run again"
    return text


def _errors_of(log: Path) -> list[str]:
    """The sentences of a job's log: its lines of level ERROR, without time and level."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [re.sub(r"^[\d:]+ ", "", line).replace("ERROR: ", "", 1) for line in lines if " ERROR: " in line]


def _configuration_problem(arguments: list[str]) -> str | None:
    """The sentence for a configuration that Snakemake could not load, which it does before it looks at the workflow."""
    files = _configfiles(arguments)
    try:
        reading.check_files(files)
    except InputError as error:
        targets = [str(path) for path in files if path.parts[:1] == ("results",)]
        hint = f" (--configfile takes all names that follow it: name {targets[0]} before it)" if targets else ""
        return f"{error}{hint}"
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
