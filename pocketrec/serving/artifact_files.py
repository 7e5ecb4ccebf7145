"""The parts of the artifact over HTTP, so that the page can run the model itself."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from pocketrec.artifact.archive import GRAPH, NAMES, RECIPE
from pocketrec.serving.refusal import Refusal, json_bytes
from pocketrec.serving.served import Served

_PIECE = 1 << 18


def artifact_file(served: Served, name: str, request: Request) -> Response:
    """An entry of the artifact, with its own SHA-256 as ETag.

    `?v=SHA256` of the whole artifact pins it: another model since is a 404, and the answer may be kept for ever.
    """
    if name not in NAMES:
        raise Refusal(404, f"an artifact has no part {name[:80]!r}: {', '.join(NAMES)}", field="name")
    pinned = request.query_params.get("v")
    if pinned is not None and pinned != served.sha256:
        raise Refusal(404, "the model of that sha256 is served no more: ask /healthz for the one that is", field="v")
    etag = f'"{served.sha256}-{name}"'
    headers = {"etag": etag, "cache-control": "public, max-age=31536000, immutable" if pinned else "no-cache"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    content = _entry(served, name)
    headers["content-length"] = str(len(content))
    media_type = "application/json" if name == RECIPE else "application/octet-stream"
    return StreamingResponse(_pieces(content), headers=headers, media_type=media_type)


def _entry(served: Served, name: str) -> memoryview:
    artifact = served.artifact
    if name == RECIPE:
        return memoryview(json_bytes(artifact.recipe.told))
    return memoryview(artifact.graph if name == GRAPH else artifact.weights)


def _pieces(content: memoryview) -> Iterator[bytes]:
    for start in range(0, len(content), _PIECE):
        yield bytes(content[start : start + _PIECE])
