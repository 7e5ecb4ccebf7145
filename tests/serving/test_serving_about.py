"""What the server says of itself: health, metrics, the model, its parts for the page; and what it must not load."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
from small_models import ROW

from pocketrec.artifact import read_artifact


def test_health_says_what_is_served(asked, artifact):
    async def work(client, app):
        assert (await client.head("/healthz")).status_code == 200
        return (await client.get("/healthz")).json()

    told = asked(work)
    assert (told["status"], told["model"], told["refused"]) == ("ok", "small", None)
    assert told["sha256"] == hashlib.sha256(artifact.read_bytes()).hexdigest()


def test_metrics_count_requests_rows_and_loads(asked, artifact):
    async def work(client, app):
        await client.post("/score", json={"rows": [ROW] * 3})
        await client.post("/score", json={"rows": [ROW]})
        await client.post("/score", json={"rows": []})
        for number in range(3):
            await client.get(f"/some/{number}/path")
        answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        return answer.text.splitlines()

    lines = asked(work)
    sha256 = read_artifact(artifact).sha256
    for line in (
        "pocketrec_rows_total 4.0",
        'pocketrec_requests_total{route="/score",status="200"} 2.0',
        'pocketrec_requests_total{route="/score",status="422"} 1.0',
        'pocketrec_requests_total{route="other",status="404"} 3.0',
        'pocketrec_request_seconds_count{route="/score"} 3.0',
        "pocketrec_requests_in_flight 1.0",
        'pocketrec_model_loads_total{outcome="loaded"} 1.0',
        'pocketrec_model_loads_total{outcome="refused"} 0.0',
    ):
        assert line in lines, "\n".join(lines)
    assert any(line.startswith("pocketrec_model_info") and f'sha256="{sha256}"' in line for line in lines)
    assert any(line.startswith("process_resident_memory_bytes") for line in lines)


def test_parts_of_the_artifact(asked, artifact):
    """Byte for byte, and kept by a browser only as long as they are true."""
    whole = read_artifact(artifact)

    async def work(client, app):
        graph = await client.get("/artifact/model.onnx")
        weights = await client.get(f"/artifact/model.safetensors?v={whole.sha256}")
        assert (graph.content, weights.content) == (whole.graph, bytes(whole.weights))
        assert graph.headers["cache-control"] == "no-cache"
        assert "immutable" in weights.headers["cache-control"]
        again = await client.get("/artifact/model.onnx", headers={"if-none-match": graph.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert graph.headers["etag"] != weights.headers["etag"]
        recipe = await client.get("/artifact/recipe.json")
        assert recipe.json() == (await client.get("/model")).json() == whole.recipe.told

    asked(work)


@pytest.mark.parametrize("asked_for", ["bytes=zz", "bytes=0-1", "bytes=99999999-", "lines=1-2", "bytes"])
@pytest.mark.parametrize("path", ["/", "/web/app.js"])
def test_files_of_the_page_come_whole(asked, path, asked_for):
    """No part of one is worth asking for, and a wrong Range must not be answered otherwise than the API promises."""

    async def work(client, app):
        return await client.get(path), await client.get(path, headers={"range": asked_for})

    whole, ranged = asked(work)
    assert (ranged.status_code, ranged.content) == (200, whole.content)
    assert ranged.headers["accept-ranges"] == "none"
    assert ranged.headers["cache-control"] == "no-cache"


def test_a_file_of_the_page_that_a_browser_has(asked):
    async def work(client, app):
        etag = (await client.get("/web/app.js")).headers["etag"]
        return await client.get("/web/app.js", headers={"if-none-match": etag})

    assert asked(work).status_code == 304


def test_types_are_as_said(asked):
    async def work(client, app):
        return [await client.get(path) for path in ("/", "/web/app.js", "/healthz", "/model", "/nothing")]

    assert all(answer.headers["x-content-type-options"] == "nosniff" for answer in asked(work))


def test_serving_never_loads_torch():
    code = "import pocketrec.serving.server, pocketrec.cli.serve, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "polars", "onnx", "matplotlib"} & set(loaded)
    assert "fastapi" in loaded


def said(*arguments):
    """(exit code, what it says) of a server that does not start."""
    command = [sys.executable, "-m", "pocketrec", "serve", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_a_port_that_another_has(server, artifact):
    """Told before the artifact is loaded, and what to do."""
    code, told = said(artifact, "--port", server.port)
    assert code == 1
    assert f"127.0.0.1:{server.port}: Address already in use: stop what listens there, or choose another --port" in told
    assert "serving" not in told


def test_the_engine_is_a_choice(asked):
    async def work(client, app):
        return (await client.get("/healthz")).json()["engine"]

    assert asked(work, engine="onnx") == "onnx"
    code, told = said("x.pocket", "--engine", "torch")
    assert code == 2
    assert "engine: unknown name 'torch': choose from auto, native, onnx" in told
