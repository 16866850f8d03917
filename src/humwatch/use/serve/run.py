"""Run `humwatch serve`: check what is asked for, and serve until the process is stopped."""

import argparse
import ipaddress
import logging
import os
import socket
import sys
from pathlib import Path
from types import FrameType

import numpy as np

from humwatch.errors import InputError
from humwatch.use import rows
from humwatch.use.alarms import ways
from humwatch.use.detector import Detector, load
from humwatch.use.history import SQLITE_SUFFIXES, SqliteHistory
from humwatch.use.monitor import Monitor, rule
from humwatch.use.serve.service import Service
from humwatch.use.serve.sounds import Sounds
from humwatch.use.watch import check

log = logging.getLogger("humwatch")

HISTORY = Path("history.sqlite")
CONNECTIONS = 1000
LAST_SECONDS = 20  # for clips that are being judged when the process is to end


def serve(args: argparse.Namespace) -> None:
    """Serve until the process is stopped."""
    try:
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn

        from humwatch.use.serve import app, live
    except ImportError as error:
        raise InputError(f"serve needs {error.name}: pip install 'humwatch[serve]'") from None
    detectors = _detectors(args)
    history_file = args.history or HISTORY
    if history_file.suffix.lower() not in SQLITE_SUFFIXES:
        raise InputError(f"--history {history_file} is no SQLite file: name one that ends in .sqlite")
    token = os.environ.get("HUMWATCH_TOKEN", "")
    listening, local = _listen(args.host, args.port, bool(token) or args.insecure)
    monitors = [Monitor(detector, rule(args.alarm_after), args.hop, continuous=False) for detector in detectors]
    out = ways(args.on_alarm, args.webhook, args.mqtt)
    history = SqliteHistory(history_file)
    try:
        for detector in detectors:
            for sentence in rows.promise(detector):
                print(sentence, file=sys.stderr)
            _warm(detector)
        sounds = Sounds(history_file.with_suffix(".alarms"), args.keep)
        limits = app.Limits(round(args.body_limit * 1e6), args.threads, args.backlog)
        service = Service(
            detectors,
            history,
            monitors,
            sounds,
            out,
            hop=args.hop,
            resample=args.resample,
            most_samples=limits.body,  # as many as a body of WAV can hold
            silent_after=args.silent_after,
        )
        pages = live.Live(service)

        class Server(uvicorn.Server):
            """Says where it is, and ends streams when it ends."""

            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                host, port = listening.getsockname()[:2]
                print(f"humwatch serves at http://{f'[{host}]' if ':' in host else host}:{port}/", flush=True)

            def handle_exit(self, sig: int, frame: FrameType | None) -> None:
                pages.ending = True
                super().handle_exit(sig, frame)

        config = uvicorn.Config(
            app.application(service, limits, token, local, pages),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=LAST_SECONDS,
        )
        Server(config).run([listening])
    finally:
        history.close()
        for way in out:
            way.close()


def _detectors(args: argparse.Namespace) -> list[Detector]:
    detectors = [load(path, args.false_alarm_rate) for path in args.detectors]
    known: dict[str, Path] = {}
    for path, detector in zip(args.detectors, detectors, strict=True):
        check(detector, args)
        for name in detector.machines:
            if name in known:
                raise InputError(f"{known[name]} and {path} both know the machine {name}: serve one of them")
            known[name] = path
    if args.threads < 1:
        raise InputError(f"--threads is {args.threads}: give 1 or more")
    if args.keep < 0:
        raise InputError(f"--keep is {args.keep}: give 0 or more")
    if not args.body_limit > 0:
        raise InputError(f"--body-limit is {args.body_limit:g}: give megabytes above 0")
    return detectors


def _listen(host: str, port: int, safe: bool) -> tuple[socket.socket, bool]:
    """A socket that is bound, and whether only this computer can reach it."""
    if not 0 <= port < 2**16:
        raise InputError(f"--port is {port}: give 0 to {2**16 - 1}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise InputError(f"--host {host} is no address of this computer ({error}): give another") from None
    local = ipaddress.ip_address(address[0]).is_loopback
    if not local and not safe:
        raise InputError(
            f"--host {host} lets other computers in, and no token is asked for: set HUMWATCH_TOKEN, or add --insecure"
        )
    try:
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise InputError(
            f"port {port} of {host} cannot be used ({error.strerror}): give others (--host, --port)"
        ) from None
    return listening, local


def _warm(detector: Detector) -> None:
    """Judge noise, so that the first clip need not wait for libraries."""
    channels = (len(detector.channel),) if isinstance(detector.channel, list) else ()
    noise = np.random.default_rng(0).normal(0, 0.01, (detector.samples, *channels)).astype(np.float32)
    detector.judge(noise)
    detector.reasons(noise, detector.machines[0])
