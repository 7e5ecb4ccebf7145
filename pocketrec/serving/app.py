"""The web application: which path answers what."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import numpy as np
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from pocketrec.artifact.archive import NAMES, RECIPE
from pocketrec.data.system import processors
from pocketrec.serving import binary, metrics as metrics_module
from pocketrec.serving.artifact_files import artifact_file
from pocketrec.serving.body import Bodies
from pocketrec.serving.docs_page import POLICY as DOCS_POLICY, docs_page
from pocketrec.serving.front import Front
from pocketrec.serving.metrics import Metrics
from pocketrec.serving.openapi import describe
from pocketrec.serving.page_files import HEADERS, POLICY, PageFiles, WholeFile
from pocketrec.serving.refusal import Refusal, json_bytes, json_response
from pocketrec.serving.scoring import Scoring
from pocketrec.serving.served import Holder, Served, load_served
from pocketrec.serving.settings import Settings

WEB = Path(__file__).parent / "web"
ROUTES = frozenset(
    {
        "/",
        "/score",
        "/healthz",
        "/metrics",
        "/model",
        "/reload",
        "/openapi.json",
        "/docs",
        *(f"/artifact/{name}" for name in NAMES),
    }
)


def create_app(artifact_path: str | os.PathLike[str], settings: Settings | None = None) -> FastAPI:
    """An ASGI app that serves the artifact. Raises ArtifactError, OSError where it cannot be loaded.

    `app.state.holder` is the `Holder`: `await app.state.holder.reload()` loads the file again.
    """
    settings = settings or Settings()
    threads = settings.threads or processors()
    metrics = Metrics()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="score")
    load = partial(load_served, settings=settings, threads=threads, pool=pool)
    holder = Holder(Path(artifact_path), load, metrics)
    scoring = Scoring(settings, metrics, pool)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watcher = asyncio.create_task(holder.watch(settings.reload_seconds)) if settings.reload_seconds else None
        yield
        if watcher is not None:
            watcher.cancel()
        pool.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(
        title="pocketrec", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    app.state.holder = holder
    app.add_middleware(Front, metrics=metrics, token=settings.token, routes=ROUTES)
    app.add_exception_handler(HTTPException, _http_error)
    app.openapi = lambda: describe(holder.current.artifact.recipe, settings)  # type: ignore[method-assign]
    _add_score(app, holder, scoring, settings)
    _add_about(app, holder, metrics, settings)
    _add_page(app, holder)
    return app


def _add_score(app: FastAPI, holder: Holder, scoring: Scoring, settings: Settings) -> None:
    bodies = Bodies(settings)

    def parse_json(served: Served, body: bytes) -> tuple[np.ndarray, np.ndarray]:
        return served.decoder.arrays(body)

    def parse_binary(served: Served, body: bytes) -> tuple[np.ndarray, np.ndarray]:
        return binary.arrays(body, served.artifact.recipe.inputs, settings.max_rows)

    async def score(request: Request) -> Response:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in ("application/json", binary.CONTENT_TYPE):
            raise Refusal(
                415,
                f"Content-Type must be application/json or {binary.CONTENT_TYPE}, got {content_type[:80]!r}",
                field="Content-Type",
            )
        body = await bodies.read(request.receive, request.headers)
        served = holder.current
        is_binary = content_type == binary.CONTENT_TYPE
        scores = await scoring.score(served, parse_binary if is_binary else parse_json, body)
        if is_binary:
            return Response(scores.astype("<f4", copy=False).tobytes(), media_type="application/octet-stream")
        return Response(json_bytes({"scores": scores.tolist(), "model": served.name}), media_type="application/json")

    # Not a route of FastAPI: looking for parameters that it has not costs some 30 us of the 330 that a row takes.
    app.add_route("/score", score, methods=["POST"])


def _add_about(app: FastAPI, holder: Holder, metrics: Metrics, settings: Settings) -> None:
    started = time.time()

    @app.api_route("/healthz", methods=["GET", "HEAD"], summary="Whether it serves, and what")
    async def healthz() -> Response:
        served = holder.current
        told = {
            "status": "ok",
            "model": served.name,
            "sha256": served.sha256,
            "engine": served.model.engine,
            "loaded_at": served.loaded_at,
            "uptime_seconds": time.time() - started,
            "refused": holder.refused,
        }
        return json_response(told)

    @app.api_route("/metrics", methods=["GET", "HEAD"], summary="Counts and times for Prometheus")
    async def prometheus() -> Response:
        return Response(metrics.text(), media_type=metrics_module.CONTENT_TYPE)

    @app.api_route("/model", methods=["GET", "HEAD"], summary="The recipe of the model served")
    async def model(request: Request) -> Response:
        return artifact_file(holder.current, RECIPE, request)

    @app.api_route("/artifact/{name}", methods=["GET", "HEAD"], summary="A part of the artifact, for the page")
    async def part(name: str, request: Request) -> Response:
        return artifact_file(holder.current, name, request)

    @app.post("/reload", summary="Load the artifact's file again")
    async def reload() -> Response:
        if settings.token is None:
            raise Refusal(403, "a server without a token reloads when its file is replaced, or on SIGHUP")
        if not await holder.reload():
            why = (holder.refused or {}).get("message")
            raise Refusal(409, f"the file is refused, the model before keeps answering: {why}")
        return json_response({"model": holder.current.name, "sha256": holder.current.sha256})

    @app.api_route("/openapi.json", methods=["GET", "HEAD"], include_in_schema=False)
    async def openapi() -> Response:
        return json_response(app.openapi())

    @app.api_route("/docs", methods=["GET", "HEAD"], include_in_schema=False)
    async def docs(request: Request) -> Response:
        page = docs_page(app.openapi(), f"http://{request.headers.get('host', '127.0.0.1')}")
        return HTMLResponse(page, headers={"content-security-policy": DOCS_POLICY})


def _add_page(app: FastAPI, holder: Holder) -> None:
    for ending, media_type in ((".mjs", "text/javascript"), (".js", "text/javascript"), (".wasm", "application/wasm")):
        mimetypes.add_type(media_type, ending)

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page() -> Response:
        if not (WEB / "index.html").exists():
            raise Refusal(404, "this installation has no page; POST /score answers")
        return WholeFile(WEB / "index.html", headers={"content-security-policy": POLICY, **HEADERS})

    if WEB.exists():
        app.mount("/web", PageFiles(directory=WEB))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    messages = {404: f"there is no {request.scope['path'][:200]!r} here", 405: f"{request.method} is not answered here"}
    return Refusal(
        error.status_code, messages.get(error.status_code, str(error.detail)), headers=error.headers
    ).response()
