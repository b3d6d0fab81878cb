"""The desk over HTTP: the page, and what it asks for. Files are named by ids that the desk gave out, never by paths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Body, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool

from osor_video import __version__
from osor_video.desk.desk import Desk, checked_name
from osor_video.desk.guard import Guard, known_hosts
from osor_video.desk.ops import Op
from osor_video.desk.options import offered
from osor_video.desk.projects import Result, Session, StaleError
from osor_video.errors import ConfigError, OsorError
from osor_video.project import Project

STATIC = Path(__file__).parent / "static"
Pair = tuple[int, int]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Opening(_Asked):
    """A path that the user typed."""

    path: str


class Edit(_Asked):
    """Changes to ``version`` of the project."""

    version: int
    ops: list[Op]


class Selection(_Asked):
    """What was marked for an object to be found: points, a box (corner and size) or a polygon."""

    frame: int
    kind: Literal["points", "box", "polygon"]
    values: list[Pair]
    off: list[Pair] = []


class Asking(_Asked):
    """Work to do."""

    kind: Literal["propagate", "preview", "run"]
    frame: int = 0


class Saving(_Asked):
    """A name beside the clip."""

    name: str
    overwrite: bool = False


def make_app(desk: Desk, token: str, host: str, port: int, upload_mb: int) -> Guard:
    """The desk as an ASGI application that only its own page may talk to."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _errors(app)
    _page(app, desk, upload_mb)
    _sessions(app, desk)
    _pictures(app, desk)
    _work(app, desk)
    _files(app, desk)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return Guard(app, token, known_hosts(host), port, upload_mb)


def _errors(app: FastAPI) -> None:
    def told(status: int) -> Callable[[Request, Exception], JSONResponse]:
        return lambda _, error: JSONResponse({"error": " ".join(str(error).split())}, status)

    def invalid(_: Request, error: Exception) -> JSONResponse:
        first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
        where = ".".join(str(part) for part in first.get("loc", ()))
        return JSONResponse({"error": f"The request does not fit: {where}: {first.get('msg', '')}."}, 422)

    app.add_exception_handler(StaleError, told(409))
    app.add_exception_handler(FileExistsError, told(412))
    app.add_exception_handler(OsorError, told(422))
    app.add_exception_handler(RequestValidationError, invalid)


def _session(desk: Desk, key: str) -> Session:
    session = desk.sessions.get(key)
    if session is None:
        raise HTTPException(404, "This clip is not open any more.")
    return session


def _result(desk: Desk, key: str, result: str) -> Result:
    found = _session(desk, key).results.get(result)
    if found is None:
        raise HTTPException(404, "This result is not there any more.")
    return found


def _state(desk: Desk, session: Session) -> dict[str, Any]:
    return {**session.state(), "jobs": _jobs(desk, session)}


def _jobs(desk: Desk, session: Session) -> list[dict[str, Any]]:
    return [{**job.seen(), "ahead": desk.queue.ahead(job)} for job in desk.queue.of(session.id)]


def _page(app: FastAPI, desk: Desk, upload_mb: int) -> None:
    @app.get("/")
    def page() -> Response:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-store"})

    @app.get("/api/desk")
    def about() -> dict[str, Any]:
        return {
            **offered(),
            "version": __version__,
            "paths": desk.paths,
            "upload_mb": upload_mb,
            "sessions": [
                {"id": session.id, "name": session.name, "frames": session.frames}
                for session in desk.sessions.values()
            ],
        }

    @app.post("/api/open")
    def open_path(asked: Opening) -> dict[str, Any]:
        if not desk.paths:
            raise HTTPException(403, "This desk is reached from other machines, so it opens uploads only.")
        return _state(desk, desk.open(Path(asked.path).expanduser()))

    @app.post("/api/upload")
    async def upload(request: Request, name: str) -> dict[str, Any]:
        target = desk.upload_target(name)
        try:
            with target.open("wb") as file:
                async for part in request.stream():
                    await run_in_threadpool(file.write, part)
            session = await run_in_threadpool(desk.open, target, name)
        except OsorError as error:
            target.unlink(missing_ok=True)
            # The user knows the name, not where it was put.
            raise type(error)(str(error).replace(str(target), name)) from error
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return _state(desk, session)


def _sessions(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/sessions/{key}")
    def state(key: str) -> dict[str, Any]:
        return _state(desk, _session(desk, key))

    @app.get("/api/sessions/{key}/pulse")
    def pulse(key: str, revision: int) -> dict[str, Any]:
        session = _session(desk, key)
        news = {"version": session.version, "revision": session.revision, "jobs": _jobs(desk, session)}
        return news if session.revision == revision else {**news, "state": _state(desk, session)}

    @app.post("/api/sessions/{key}/edit")
    def edit(key: str, asked: Edit) -> dict[str, Any]:
        session = _session(desk, key)
        session.edit(asked.ops, asked.version)
        return _state(desk, session)

    @app.get("/api/sessions/{key}/masks/{frame}")
    def masks(key: str, frame: int) -> dict[str, Any]:
        return _session(desk, key).masks(frame)

    @app.post("/api/sessions/{key}/select")
    def select(key: str, asked: Selection) -> dict[str, Any]:
        png = desk.find(_session(desk, key), asked.frame, asked.kind, asked.values, asked.off)
        return {"png": png}

    @app.delete("/api/sessions/{key}")
    def close(key: str) -> dict[str, Any]:
        desk.forget(_session(desk, key))
        return {}


def _pictures(app: FastAPI, desk: Desk) -> None:
    kept = {"cache-control": "private, max-age=86400, immutable"}

    @app.get("/api/sessions/{key}/frames/{frame}.jpg")
    def picture(key: str, frame: int) -> Response:
        session = _session(desk, key)
        return Response(session.film.jpeg(session.check_frame(frame)), media_type="image/jpeg", headers=kept)

    @app.get("/api/sessions/{key}/thumbs/{frame}.jpg")
    def thumb(key: str, frame: int) -> Response:
        session = _session(desk, key)
        return Response(session.film.thumb(session.check_frame(frame)), media_type="image/jpeg", headers=kept)

    @app.get("/api/sessions/{key}/results/{result}/frames/{frame}.jpg")
    def finished(key: str, result: str, frame: int) -> Response:
        found = _result(desk, key, result)
        index = _session(desk, key).check_frame(frame)
        return Response(found.film.jpeg(index), media_type="image/jpeg", headers=kept)

    @app.get("/api/sessions/{key}/results/{result}/alpha/{frame}.png")
    def alpha(key: str, result: str, frame: int) -> Response:
        index = _session(desk, key).check_frame(frame)
        return FileResponse(_result(desk, key, result).folder / "alpha" / f"{index}.png", headers=kept)

    @app.get("/api/sessions/{key}/previews/{job}/{name}.png")
    def preview(key: str, job: str, name: Literal["before", "after"]) -> Response:
        found = desk.queue.get(job)
        if found is None or found.session != _session(desk, key).id or found.task.kind != "preview":
            raise HTTPException(404, "This preview is not there any more.")
        file = found.task.folder / f"{name}.png"
        if not file.is_file():
            raise HTTPException(404, "This preview is not there any more.")
        return FileResponse(file, headers=kept)


def _work(app: FastAPI, desk: Desk) -> None:
    @app.post("/api/sessions/{key}/jobs")
    def start(key: str, asked: Asking) -> dict[str, Any]:
        session = _session(desk, key)
        job = desk.start(session, asked.kind, asked.frame)
        return {**job.seen(), "ahead": desk.queue.ahead(job)}

    @app.delete("/api/sessions/{key}/jobs/{job}")
    def cancel(key: str, job: str) -> dict[str, Any]:
        found = desk.queue.get(job)
        if found is None or found.session != _session(desk, key).id:
            raise HTTPException(404, "This work is not there any more.")
        desk.queue.cancel(found)
        return {**found.seen(), "ahead": 0}


def _files(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/sessions/{key}/results/{result}/file")
    def download(key: str, result: str) -> Response:
        found = _result(desk, key, result)
        return FileResponse(found.file, filename=found.name)

    @app.post("/api/sessions/{key}/results/{result}/save")
    def save(key: str, result: str, asked: Saving) -> dict[str, Any]:
        found = _result(desk, key, result)
        return {"path": str(desk.save(_session(desk, key), found.file, asked.name, asked.overwrite))}

    @app.get("/api/sessions/{key}/project")
    def project(key: str) -> Response:
        session = _session(desk, key)
        # An upload lies in a folder of ours that goes: its project names the clip alone, to be put beside it.
        text = session.project(None if session.beside else session.name).to_json()
        name = checked_name(f"{Path(session.name).stem}.json")
        headers = {"content-disposition": f"attachment; filename*=utf-8''{quote(name)}"}
        return Response(text, media_type="application/json", headers=headers)

    @app.post("/api/sessions/{key}/project/save")
    def save_project(key: str, asked: Saving) -> dict[str, Any]:
        session = _session(desk, key)
        text = session.project(session.clip.name).to_json()
        return {"path": str(desk.save(session, text, asked.name, asked.overwrite))}

    @app.post("/api/sessions/{key}/project")
    def take(key: str, asked: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        session = _session(desk, key)
        if set(asked) != {"text"} or not isinstance(asked["text"], str):
            raise ConfigError("Expected the text of a project.")
        session.take(Project.parse(asked["text"], "that was dropped"))
        return _state(desk, session)
