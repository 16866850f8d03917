"""The service over HTTP: what is posted and asked, and the page."""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from jinja2 import Environment, PackageLoader
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from humwatch import __version__
from humwatch.datasets.names import shown
from humwatch.errors import InputError
from humwatch.use.history import search
from humwatch.use.judge import now, stamp
from humwatch.use.serve.figures import Figures
from humwatch.use.serve.guard import COOKIE, Guard, cookie_of, is_token
from humwatch.use.serve.live import Live
from humwatch.use.serve.machines import summary_of
from humwatch.use.serve.service import NotWritten, Service, Taken

READ_SECONDS = 60.0  # in which a clip has to come
RETRY_SECONDS = "1"  # after which one that was not taken may be sent again
LOOK_SECONDS = 1.0  # between looks for silent machines
LONGEST_NAME = 200  # characters
COOKIE_SECONDS = 30 * 86400
AUDIO = ("audio/wav", "audio/flac", "application/octet-stream")
BODY = {"schema": {"type": "string", "format": "binary"}}
FORM = {"schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}}
CLIP = {"requestBody": {"required": True, "content": {kind: BODY for kind in AUDIO} | {"multipart/form-data": FORM}}}
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "The token is missing or wrong."},
    413: {"description": "The body is larger than the service takes."},
    422: {"description": "The clip cannot be judged: the sentence says why."},
    503: {"description": "Too many clips at a time, or the history cannot be written: send it again later."},
}


@dataclass(frozen=True)
class Limits:
    """What the service takes at a time.

    Attributes
    ----------
    body
        Bytes of a request's body.
    threads
        That judge.
    waiting
        Clips that may be read or wait while all threads judge.
    """

    body: int
    threads: int
    waiting: int


class Clip(BaseModel):
    """A clip of the history."""

    row: int = Field(description="Its number in the history.")
    file: str = Field(description="Its name.")
    time: str = Field(description="When it was judged, UTC.")
    machine: str = Field(description="type/id.")
    nearest: bool = Field(description="Whether nothing says which machine it is: the one that it is most normal for.")
    start_s: float | None = Field(description="Where its most anomalous window begins, in seconds.")
    score: float | None = Field(description="Of that window; higher is more anomalous. Null: the microphone is dead.")
    p_value: float | None = Field(description="The share of normal clips that score as high.")
    threshold: float | None = Field(description="The score above which a window is an alarm.")
    alarm: bool
    extrapolated: bool = Field(description="Whether there are too few normal clips to promise the false-alarm rate.")
    why: list[str] = Field(description="Of an alarm: where it deviates from the normal sound, strongest first.")
    microphone: str = Field(description="What is wrong with the microphone; empty where nothing is.")
    scores: list[float] = Field(description="Of all windows.")
    sha256: str = Field(description="Of the bytes.")


class Judged(Clip):
    """The answer to a clip."""

    events: list[str] = Field(description="What it has raised, as sentences.")
    repeated: bool = Field(
        description="Whether the same bytes had come under this name before; they are not judged again."
    )


class History(BaseModel):
    """A page of the history, newest first."""

    clips: list[Clip]
    next: int | None = Field(description="The value of `before` for the next page; null on the last one.")


Name = Annotated[
    str | None,
    Query(
        description="Of the clip. The same bytes under the same name are one clip; default: the time, for one of its own."
    ),
]


def application(service: Service, limits: Limits, token: str, local: bool, live: Live) -> FastAPI:
    """The application.

    Parameters
    ----------
    service
        That judges.
    limits
        What it takes at a time.
    token, local
        As of `Guard`.
    live
        The pages that are open.
    """
    page = _templates()
    stylesheet = _text("humwatch.report", "templates/style.css") + _text("humwatch.use.serve", "page/page.css")
    figures = Figures(service)
    pool = ThreadPoolExecutor(limits.threads, "judge")
    drawing = asyncio.Lock()  # a picture at a time
    busy = 0

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        live.start()
        looking = asyncio.create_task(_look(service))
        yield
        looking.cancel()
        pool.shutdown()

    app = FastAPI(title="humwatch", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(Guard, token=token, local=local, login=page("login.html", wrong=False))

    @contextmanager
    def place() -> Iterator[None]:
        nonlocal busy
        if busy >= limits.threads + limits.waiting:
            raise HTTPException(503, "too many clips at a time: send it again", {"Retry-After": RETRY_SECONDS})
        busy += 1
        figures.busy.set(busy)
        try:
            yield
        finally:
            busy -= 1
            figures.busy.set(busy)

    async def judged(request: Request, name: str | None, machine: str | None) -> Judged:
        try:
            with place():
                service.detector_of(machine)
                data, filename = await _clip_of(request, limits.body)
                file = _file_name(name or filename, machine)
                begun = time.perf_counter()
                taken: Taken = await asyncio.get_running_loop().run_in_executor(pool, service.take, data, file, machine)
                figures.seconds.observe(time.perf_counter() - begun)
        except HTTPException as error:
            figures.refused.labels(error.status_code).inc()
            raise
        except InputError as error:
            figures.refused.labels(422).inc()
            raise HTTPException(422, str(error)) from None
        except NotWritten as error:
            figures.refused.labels(503).inc()
            raise HTTPException(503, str(error), {"Retry-After": RETRY_SECONDS}) from None
        figures.count(taken)
        sentences = [event["sentence"] for event in taken.events]
        return Judged(**summary_of(taken.row, taken.record), events=sentences, repeated=taken.repeated)

    @app.post("/v1/score", openapi_extra=CLIP, responses=REFUSALS)
    async def score(request: Request, name: Name = None) -> Judged:
        """Judge a clip: WAV or FLAC as the body, or as the file of a form.

        Which machine it is follows from its name, as of `humwatch score`.
        """
        return await judged(request, name, None)

    @app.post(
        "/v1/machines/{machine:path}/score",
        openapi_extra=CLIP,
        responses=REFUSALS | {404: {"description": "No detector knows the machine."}},
    )
    async def score_machine(request: Request, machine: str, name: Name = None) -> Judged:
        """Judge a clip of a machine, type/id."""
        try:
            service.detector_of(machine)
        except InputError as error:
            figures.refused.labels(404).inc()
            raise HTTPException(404, str(error)) from None
        return await judged(request, name, machine)

    @app.get("/v1/machines")
    async def machines() -> list[dict[str, Any]]:
        """How every machine is: its states, its last clip, and the p-values of its last day."""
        return [service.summary(name) for name in list(service.machines)]

    @app.get("/v1/history")
    def history(
        machine: Annotated[str | None, Query(description="type/id.")] = None,
        since: Annotated[datetime | None, Query(description="Only clips of this time or later.")] = None,
        until: Annotated[datetime | None, Query(description="Only clips of before that.")] = None,
        alarm: Annotated[bool | None, Query(description="Only those that are, or are not, alarms.")] = None,
        before: Annotated[int | None, Query(description="Only rows of a smaller number: `next` of a page.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="Clips of a page.")] = 100,
    ) -> History:
        """Clips that have been judged, newest first, in pages."""
        found = search(service.history.path, machine, _utc(since), _utc(until), alarm, before, limit + 1)
        clips = [Clip(**summary_of(row, record)) for row, record in found[:limit]]
        return History(clips=clips, next=clips[-1].row if len(found) > limit else None)

    @app.get("/v1/alarms/{row}.{kind}", response_class=FileResponse)
    async def alarm_file(row: int, kind: Literal["wav", "png"]) -> FileResponse:
        """The sound of one of the last alarms (wav), or its spectrogram and its deviation from normal (png)."""
        if kind == "wav":
            path = service.sounds.sound(row)
        else:
            async with drawing:
                path = await asyncio.to_thread(service.picture, row)
        if path is None:
            raise HTTPException(404, f"the sound of row {row} is not kept")
        return FileResponse(path, headers={"Cache-Control": "private, max-age=3600"})

    @app.get("/v1/events", response_class=StreamingResponse)
    async def events() -> StreamingResponse:
        """What the page shows, and what changes, as server-sent events."""
        if live.full:
            raise HTTPException(503, "too many pages are open", {"Retry-After": "60"})
        headers = {"X-Accel-Buffering": "no"}  # asks nginx to pass each event on
        return StreamingResponse(live.stream(), media_type="text/event-stream", headers=headers)

    @app.get("/healthz")
    def health() -> dict[str, str]:
        """Whether the service works."""
        problem = service.broken
        try:
            search(service.history.path, limit=1)
        except sqlite3.Error as error:
            problem = f"the history cannot be read ({error})"
        if problem:
            raise HTTPException(503, problem)
        return {"status": "ok"}

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(figures.text(), media_type=CONTENT_TYPE_LATEST)

    @app.post("/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        given = parse_qs((await _read(request, 10_000)).decode("utf-8", "replace")).get("token", [""])[0]
        if not token or not is_token(given.strip().encode(), token.encode()):
            await asyncio.sleep(0.5)
            return HTMLResponse(page("login.html", wrong=True), 401)
        answer = RedirectResponse("./", 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, cookie_of(token), COOKIE_SECONDS, secure=secure, httponly=True, samesite="strict")
        return answer

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return HTMLResponse(page("page.html"))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(page("docs.html", api=app.openapi()))

    @app.get("/style.css", include_in_schema=False)
    async def style() -> Response:
        return Response(stylesheet, media_type="text/css")

    @app.get("/page.js", include_in_schema=False)
    async def script() -> Response:
        return Response(_text("humwatch.use.serve", "page/page.js"), media_type="text/javascript")

    @app.exception_handler(RequestValidationError)
    async def wrong_argument(request: Request, error: RequestValidationError) -> Response:
        sentences = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()]
        return JSONResponse({"detail": "; ".join(sentences)}, 422)

    return app


async def _look(service: Service) -> None:
    while True:
        service.look()
        await asyncio.sleep(LOOK_SECONDS)


async def _clip_of(request: Request, limit: int) -> tuple[bytes, str | None]:
    """The bytes of the clip that is posted, and its file's name where it comes in a form."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            if not request.headers.get("content-type", "").startswith("multipart/form-data"):
                return await _read(request, limit), None
            parser = MultiPartParser(request.headers, _chunks(request, limit), max_files=1, max_fields=10)
            parser.spool_max_size = limit + 1  # in memory
            form = await parser.parse()
    except TimeoutError:
        raise HTTPException(408, f"the clip has not come within {READ_SECONDS:.0f} s") from None
    except MultiPartException as error:
        raise HTTPException(422, f"the form cannot be read ({error.message.rstrip('.')}): send one file") from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection has ended before the clip") from None
    for value in form.values():
        if not isinstance(value, str):
            data = await value.read()
            await value.close()
            return data, value.filename
    raise HTTPException(422, "the form has no file: send the clip as one")


async def _read(request: Request, limit: int) -> bytes:
    return b"".join([chunk async for chunk in _chunks(request, limit)])


async def _chunks(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises HTTPException as soon as it is known to be larger than `limit` bytes."""
    stated = request.headers.get("content-length", "")
    size = int(stated) if stated.isdigit() else 0
    sentence = f"the body has more than {limit / 1e6:g} MB: send shorter clips, or raise --body-limit"
    if size > limit:
        raise HTTPException(413, sentence)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise HTTPException(413, sentence)
        yield chunk


def _file_name(name: str | None, machine: str | None) -> str:
    """The name of a clip in the history, below the machine that it is posted to."""
    name = f"{now()}-{secrets.token_hex(4)}" if name is None else shown(name)
    if not name.strip() or len(name) > LONGEST_NAME:
        raise HTTPException(422, f"the clip's name is blank or longer than {LONGEST_NAME} characters: give another")
    return f"{machine}/{name}" if machine else name


def _utc(moment: datetime | None) -> str:
    """A moment as records have it; without a time zone it is UTC."""
    if moment is None:
        return ""
    return stamp(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC))


def _text(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


def _templates() -> Callable[..., str]:
    loader = PackageLoader("humwatch.use.serve", "page")
    templates = Environment(loader=loader, autoescape=True, trim_blocks=True)
    return lambda name, **content: templates.get_template(name).render(content)
