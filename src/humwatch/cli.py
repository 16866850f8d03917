"""What every command line shares: logging to the screen and a file, and errors as sentences."""

import argparse
import errno
import hashlib
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from humwatch.errors import InputError

log = logging.getLogger("humwatch")
FULL_DISK = {errno.ENOSPC, errno.EDQUOT}


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with the options that every stage has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--log", type=Path, help="file that gets all messages, beside the screen")
    made.add_argument("--title", default="", help="how messages name this job")
    return made


def run(stage: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> None:
    """Run a stage; bad input and a full disk become one sentence each and exit code 1, without a traceback."""
    _set_up_log(arguments.log, arguments.title)
    # A polite kill (a scheduler's time limit) unwinds the stack, so that temporary files go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        stage(arguments)
    except InputError as error:
        for line in str(error).splitlines():
            log.error(line)
    except OSError as error:
        if error.errno not in FULL_DISK and "No space left" not in str(error):
            log.exception("unexpected error")
        else:
            log.error("the disk is full (%s): free some space and run again, nothing finished is lost", error)
    except Exception:
        log.exception("unexpected error, please report it")
    else:
        return
    sys.exit(1)


def code_checksum() -> str:
    """One checksum over the sources of humwatch that this process has imported."""
    files = {
        Path(module.__file__)
        for name, module in sys.modules.items()
        if name.split(".")[0] == "humwatch" and module.__file__
    }
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()


def _set_up_log(path: Path | None, title: str) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="w"))
    prefix = f"{title}: ".replace("%", "%%") if title else ""
    for handler in handlers:
        # One write per line, so that jobs side by side do not mix within a line.
        handler.setFormatter(logging.Formatter(f"%(asctime)s {prefix}%(levelname)s: %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
