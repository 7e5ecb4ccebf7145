"""The API's description is of the model served, and true: fuzzed against itself by schemathesis."""

from __future__ import annotations

import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings as hypothesis_settings
from schemathesis import GenerationMode
from small_models import DENSE, KINDS, ROW, write_model

from pocketrec.serving import Settings, create_app
from pocketrec.serving.app import ROUTES

UNHURRIED = list(HealthCheck)
POSITIVE, NEGATIVE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
OPERATIONS = [
    ("post", "/score", POSITIVE, 60),
    ("post", "/score", NEGATIVE, 60),
    ("get", "/artifact/{name}", POSITIVE, 10),
    ("get", "/artifact/{name}", NEGATIVE, 20),
    ("get", "/healthz", POSITIVE, 3),
    ("get", "/metrics", POSITIVE, 3),
    ("get", "/model", POSITIVE, 3),
    ("post", "/reload", POSITIVE, 3),
]


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    path = write_model(tmp_path_factory.mktemp("api") / "small.pocket")
    return create_app(path, Settings(threads=1, reload_seconds=0))


@pytest.fixture(scope="module")
def api(app):
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.parametrize(("method", "path", "mode", "examples"), OPERATIONS)
def test_it_does_what_it_says(api, method, path, mode, examples):
    """Valid requests are answered, invalid ones refused, by documented statuses and bodies; never a 5xx."""

    @hypothesis_settings(
        max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(case=api[path][method].as_strategy(generation_mode=mode))
    def fuzz(case):
        if mode is POSITIVE:
            case.body = sayable(case.body)
        case.call_and_validate()

    fuzz()


def sayable(body: Any) -> Any:
    """What JSON Schema cannot ask for: columns of one length, and 5 rather than 5.0 where it takes an integer."""
    if isinstance(body, dict) and "columns" in body:
        shortest = min(len(each) for each in body["columns"].values())
        body = {"columns": {name: each[:shortest] for name, each in body["columns"].items()}}
    return _integers(body)


def _integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _integers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_integers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def test_every_route_is_described(app):
    described = {re.sub(r"\{.*", "", path) for path in app.openapi()["paths"]}
    for route in ROUTES - {"/", "/openapi.json", "/docs"}:
        assert route in described or route.rpartition("/")[0] + "/" in described, route


def test_it_describes_the_model_served(asked, tmp_path):
    """By its features and kinds; after a reload, the new one's."""

    async def work(client, app):
        told = (await client.get("/openapi.json")).json()
        row = told["components"]["schemas"]["Row"]
        assert list(row["properties"]) == row["required"] == [*DENSE, *KINDS]
        assert "[0-9a-fA-F]" in str(row["properties"]["C1"])
        write_model(path, seed=1, name="second")
        assert await app.state.holder.reload()
        return told, (await client.get("/openapi.json")).json()

    path = write_model(tmp_path / "own.pocket")
    first, second = asked(work, path=path, reload_seconds=0, max_rows=7)
    assert first["info"]["title"] == "pocketrec: small"
    assert second["info"]["title"] == "pocketrec: second"
    assert "At most 7 rows" in first["paths"]["/score"]["post"]["description"]


def test_its_example_is_a_row_that_can_be_sent(asked, tmp_path):
    async def work(client, app):
        told = (await client.get("/openapi.json")).json()
        body = told["paths"]["/score"]["post"]["requestBody"]["content"]["application/json"]
        return await client.post("/score", json=body["example"])

    path = write_model(tmp_path / "own.pocket", examples=[ROW])
    answer = asked(work, path=path)
    assert answer.status_code == 200
    assert len(answer.json()["scores"]) == 1


def test_the_page_of_it(asked, tmp_path):
    """Names of features are text there, whatever is in them; and it asks no other server for anything."""

    async def work(client, app):
        return await client.get("/docs")

    path = write_model(tmp_path / "own.pocket", name="<script>x()<script>", examples=[ROW])
    page = asked(work, path=path)
    assert page.headers["content-type"].startswith("text/html")
    assert "odd name[0].x" in page.text
    assert "68fd1e64" in page.text
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.findall(r"(?:src|href)=[^/]*//", page.text)


def test_a_token_is_told(asked):
    async def work(client, app):
        right = {"authorization": "Bearer right"}
        return (await client.get("/openapi.json", headers=right)).json()

    told = asked(work, token="right")
    assert told["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, operations in told["paths"].items():
        for operation in operations.values():
            assert ("401" in operation["responses"]) == (path != "/healthz"), path
