"""What every command line shares: logging to the screen and a file, and errors as sentences."""

import sys
from types import TracebackType


def say_interrupted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say in one line that Ctrl-C came while a stage still loads its libraries, or while Snakemake plans."""
    if issubclass(kind, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
        print("interrupted: the next run goes on from here", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def say_nothing_of_interrupts(unraisable: "sys.UnraisableHookArgs") -> None:
    """Leave out a Ctrl-C that comes when a stage has ended, and only Python's own end is disturbed."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)


sys.excepthook = say_interrupted
sys.unraisablehook = say_nothing_of_interrupts

# isort: split
# ruff: noqa: E402  # what comes before these imports is for a Ctrl-C while they are loaded
import argparse
import errno
import logging
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

from humwatch.errors import InputError
from humwatch.slugs import readable

log = logging.getLogger("humwatch")
FULL_DISK = {errno.ENOSPC, errno.EDQUOT}
INTERRUPTED = 130


def parser(description: str | None) -> argparse.ArgumentParser:
    """Make an argument parser with the options that every stage has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--log", type=Path, help="file that gets all messages, beside the screen")
    made.add_argument("--title", default="", help="how messages name this job")
    return made


def run(stage: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> None:
    """Run a stage: what goes wrong ends the process with one sentence in place of a traceback.

    The exit code is 1 for bad input, a full disk, too little memory and mistakes in the source code (these have a traceback),
    130 for Ctrl-C, 143 for SIGTERM.
    """
    # A polite kill (a scheduler's time limit) unwinds the stack, so that temporary files go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # On a full disk a line for the log file is lost, not the one for the screen.
    logging.raiseExceptions = False
    try:
        _set_up_log(arguments.log, arguments.title)
        stage(arguments)
    except InputError as error:
        for line in str(error).splitlines():
            log.error(line)
    except BrokenPipeError:  # whoever read the output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        log.error("interrupted: the next run goes on from here")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if is_full_disk(error):
            log.error("the disk is full (%s): free some space and run again, nothing finished is lost", error)
        elif isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
            log.error(
                "there is not enough memory (%s): use smaller parameters or a machine with more", _first_line(error)
            )
        elif isinstance(error, OSError) and error.filename:
            log.error("%s cannot be read or written (%s): correct that and run again", error.filename, error.strerror)
            _log_traceback(error, to_screen=False)
        else:
            _log_bug(error)
    else:
        return
    sys.exit(1)


def is_full_disk(error: BaseException) -> bool:
    return isinstance(error, OSError) and (error.errno in FULL_DISK or "No space left" in str(error))


def _log_bug(error: Exception) -> None:
    """Say in one line where a mistake in the source code is; the traceback goes to the log file, or to the screen without one."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    where = f"{own[-1].filename}, line {own[-1].lineno}"
    log.error("%s failed (%s): a mistake in this code, not in your input", where, _first_line(error))
    _log_traceback(error, to_screen=True)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _log_traceback(error: Exception, to_screen: bool) -> None:
    """Write the traceback to the log file, or, with `to_screen`, to the screen where there is none."""
    text = "".join(traceback.format_exception(error))
    handlers = logging.getLogger().handlers
    files = [handler for handler in handlers if isinstance(handler, logging.FileHandler)]
    for handler in files or (handlers if to_screen else []):
        handler.handle(logging.makeLogRecord({"msg": text, "levelno": logging.DEBUG, "levelname": "DEBUG"}))


def _set_up_log(path: Path | None, title: str) -> None:
    screen = logging.StreamHandler()
    handlers: list[logging.Handler] = [screen]
    prefix = f"{readable(title)}: ".replace("%", "%%") if title else ""
    # One write per line, so that jobs side by side do not mix within a line.
    formatter = logging.Formatter(f"%(asctime)s {prefix}%(levelname)s: %(message)s", "%H:%M:%S")
    screen.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(path, mode="w", encoding="utf-8", errors="backslashreplace")
        file.setFormatter(formatter)
        logging.getLogger().addHandler(file)
