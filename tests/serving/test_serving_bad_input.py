"""Whatever is sent to a real server, it answers with a 4xx that names the field, and others notice nothing."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import Any

import httpx
import pytest
from small_models import QUOTED, ROW
from sockets import answer, connected, ends, head

JSON = {"content-type": "application/json"}
MILLION = 1_000_000


def without(name: str) -> dict[str, Any]:
    return {each: value for each, value in ROW.items() if each != name}


def column(name: str, values: Any) -> dict[str, Any]:
    return {"columns": {each: [value] for each, value in ROW.items()} | {name: values}}


def rows(*changed: dict[str, Any]) -> bytes:
    return json.dumps({"rows": list(changed)}).encode()


WRONG = [
    ("empty", b"", 400, None, None),
    ("cut short", rows(ROW)[:-3], 400, None, None),
    ("not JSON", b"score me", 400, None, None),
    ("not UTF-8", b'{"rows":[{"odd name[0].x":"\xff\xfe"}]}', 400, None, None),
    ("half a surrogate pair", rows(ROW | {"odd name[0].x": "\ud800"}), 400, None, None),
    ("NaN", rows(ROW | {"I2": float("nan")}), 400, "I2", None),
    ("infinity", rows(ROW | {"I1": float("-inf")}), 400, "I1", None),
    ("deep", b'{"rows":' + b"[" * 100_000, 422, "rows", 0),
    ("an array", b"[]", 422, None, None),
    ("a number", b"1", 422, None, None),
    ("neither way", b"{}", 422, "rows", None),
    ("both ways", json.dumps({"rows": [ROW], **column("I1", [3])}).encode(), 422, "rows", None),
    ("another key", json.dumps({"rows": [ROW], "model": "x"}).encode(), 422, "model", None),
    ("rows no list", b'{"rows": {}}', 422, "rows", None),
    ("no rows", b'{"rows": []}', 422, "rows", None),
    ("a row no object", b'{"rows": [5]}', 422, "rows", 0),
    ("too many rows", rows(*[ROW] * 4097), 413, "rows", None),
    ("missing", rows(ROW, without("C2")), 422, "C2", 1),
    ("missing, oddly named", rows(without("odd name[0].x")), 422, "odd name[0].x", 0),
    ("extra", rows(ROW, ROW, ROW | {"C9": 1}), 422, "C9", 2),
    ("extra and long", rows(ROW | {"C9" * MILLION: 1}), 422, ("C9" * MILLION)[:60], 0),
    ("another key, and long", json.dumps({"rows": [ROW], "x" * MILLION: 1}).encode(), 422, "x" * 60, None),
    ("a column extra and long", json.dumps(column("x" * MILLION, [1])).encode(), 422, "x" * 60, None),
    ("dense a word", rows(ROW | {"I1": "many"}), 422, "I1", 0),
    ("dense too large", rows(ROW | {"I1": 1e39}), 422, "I1", 0),
    ("dense beyond double", rows(ROW).replace(b"3,", b"1e999,"), 422, "I1", 0),
    ("dense NaN as text", rows(ROW | {"I1": "nan"}), 422, "I1", 0),
    ("dense true", rows(ROW | {"I1": True}), 422, "I1", 0),
    ("dense a list", rows(ROW, ROW | {"I1": [1]}), 422, "I1", 1),
    ("hex an integer", rows(ROW | {"C1": 5}), 422, "C1", 0),
    ("hex too long", rows(ROW | {"C1": "0123456789"}), 422, "C1", 0),
    ("hex a word", rows(ROW | {"C1": "shoes"}), 422, "C1", 0),
    ("integer negative", rows(ROW | {"C2": -1}), 422, "C2", 0),
    ("integer 2^62", rows(ROW | {"C2": 1 << 62}), 422, "C2", 0),
    ("integer huge", rows(ROW | {"C2": 10**400}), 422, "C2", 0),
    ("integer a fraction", rows(ROW | {"C2": 1.5}), 422, "C2", 0),
    ("integer a word", rows(ROW | {"C2": "x"}), 422, "C2", 0),
    ("text a fraction", rows(ROW | {"odd name[0].x": 1.5}), 422, "odd name[0].x", 0),
    ("id of another form", rows(ROW | {"C1": {"ID": 5}}), 422, "C1", 0),
    ("id negative", rows(ROW | {"C1": {"id": -5}}), 422, "C1", 0),
    ("id a word", rows(ROW | {"C1": {"id": "5"}}), 422, "C1", 0),
    ("a million ids in a bag", rows(ROW, ROW | {"C1": ["0"] * MILLION}), 422, "C1", 1),
    ("a million bags", json.dumps(column("C2", [[]] * MILLION)).encode(), 422, "C2", 0),
    ("a million values in a column", json.dumps(column("C2", [7] * MILLION)).encode(), 422, "C2", None),
    ("a column no list", json.dumps(column("C1", "0")).encode(), 422, "C1", None),
    ("a column missing", json.dumps({"columns": {"I1": [1]}}).encode(), 422, "I2", None),
    ("a bad value in a column", json.dumps(column("odd name[0].x", [{}])).encode(), 422, "odd name[0].x", 0),
    ("columns empty", json.dumps({"columns": {each: [] for each in ROW}}).encode(), 422, "columns", None),
]


@pytest.mark.parametrize(("body", "status", "field", "row"), [each[1:] for each in WRONG], ids=[e[0] for e in WRONG])
def test_a_wrong_body_is_told_where(server, body, status, field, row):
    told = httpx.post(f"{server.url}/score", content=body, headers=JSON)
    error = told.json()["error"]
    assert (told.status_code, error.get("field"), error.get("row")) == (status, field, row), error
    assert field is None or field in error["message"]
    assert len(told.content) < 1000, "an answer must not repeat a request"


ODD = "odd name[0].x"
UNTYPED = [each for each in WRONG if each[0] != "a million bags"]
"""What is told alike where values are checked after they are read: there lengths are looked at first."""


@pytest.mark.parametrize(("body", "status", "field", "row"), [e[1:] for e in UNTYPED], ids=[e[0] for e in UNTYPED])
def test_a_wrong_body_where_a_name_has_quotes(quoted_server, body, status, field, row):
    body = body.replace(json.dumps(ODD).encode(), json.dumps(QUOTED).encode())
    told = httpx.post(f"{quoted_server.url}/score", content=body, headers=JSON)
    error = told.json()["error"]
    wanted = QUOTED if field == ODD else field
    assert (error.get("field"), error.get("row")) == (wanted, row), error
    assert told.status_code in (status, 422)
    assert len(told.content) < 1000


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_json_number_is_named(server, word):
    body = rows(ROW | {"I1": 'I2"', "C2": "here"}).replace(b'"here"', word.encode())
    error = httpx.post(f"{server.url}/score", content=body, headers=JSON).json()["error"]
    assert error["message"].startswith(f"{word} is no JSON")
    assert error["field"] == "C2"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/nothing", {}, 404),
        ("GET", "/artifact/secrets", {}, 404),
        ("GET", "/artifact/../../etc/passwd", {}, 404),
        ("GET", "/web/../app.py", {}, 404),
        ("GET", "/web/%2e%2e/app.py", {}, 404),
        ("GET", "/%00%ff", {}, 404),
        ("GET", "/artifact/model.onnx?v=0123", {}, 404),
        ("POST", "/nothing", {}, 404),
        ("GET", "/nothing", {"host": "["}, 404),
        ("GET", "/score/", {"host": "]:99999999"}, 404),
        ("GET", "/score", {}, 405),
        ("DELETE", "/model", {}, 405),
        ("POST", "/healthz", {}, 405),
        ("POST", "/score", {}, 415),
        ("POST", "/score", {"content-type": "text/plain"}, 415),
        ("POST", "/score", {"content-type": "application/json", "content-encoding": "gzip"}, 415),
        ("POST", "/reload", {}, 403),
    ],
)
def test_a_wrong_route_method_or_type(server, method, path, headers, status):
    told = httpx.request(method, f"{server.url}{path}", headers=headers)
    assert told.status_code == status
    assert told.json()["error"]["message"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), 400),
        (b"SCORE ME\r\n\r\n", 400),
        (b"POST /score HTTP/1.1\r\ncontent-length: -5\r\n\r\n", 400),
        (b"POST /score HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n", 400),
        (b"POST /score HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-type: application/json\r\n\r\nxyz\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n" + b"x: y\r\n" * 20_000, 431),
        (b"GET /" + b"x" * 100_000, 431),
        (b"GET /healthz HTTP/1.1\r\nx: " + b"y" * 66_000 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_no_http(server, sent, status):
    with connected(server) as sock:
        sock.sendall(sent)
        told = answer(sock)
        assert told[0] == status
        assert told[2]["error"]["message"]
        assert ends(sock)


def test_the_largest_head(server):
    """Whole in one read or in two, with a body right behind it."""
    body = json.dumps({"rows": [ROW]}).encode()
    with connected(server) as sock:
        for pad in (60_000, 65_000):
            sock.sendall(head(len(body), f"x: {'y' * pad}") + body)
            assert answer(sock)[0] == 200


@pytest.mark.parametrize("trailers", [b"x: %s\r\n" % (b"y" * 1000), b"y" * 1000], ids=["many", "one"])
def test_trailers_without_end(server, trailers):
    """Fields after the body are held in memory like those before it."""
    before = server.resident()
    with connected(server) as sock:
        sock.sendall(head(None, "transfer-encoding: chunked") + b"2\r\n{}\r\n0\r\n" + trailers.partition(b" ")[0])
        with contextlib.suppress(ConnectionError):  # the server may have had enough
            for _ in range(64):
                sock.sendall(trailers * 1000)
        status, headers, _ = answer(sock)
    assert (status, headers["connection"]) == (431, "close")
    assert server.resident() - before < 40e6


def disturbed(server, work):
    """Do `work` while others ask for scores; what `work` returned. Fails when one of them does."""
    statuses: list[int] = []
    asking, done = threading.Event(), threading.Event()

    def others() -> None:
        with httpx.Client(base_url=server.url) as client:
            while not (statuses and done.is_set()):
                statuses.append(client.post("/score", json={"rows": [ROW]}).status_code)
                asking.set()

    thread = threading.Thread(target=others)
    thread.start()
    asking.wait(20)
    try:
        return work()
    finally:
        done.set()
        thread.join()
        assert set(statuses) == {200}, "others were disturbed"


PIECE = bytes(1 << 16)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_hundred_megabytes(server, chunked):
    """Told 413 whether or not the length is declared, and never held in memory; the client can send to the end."""
    before = server.resident()

    def send() -> Any:
        with connected(server) as sock:
            sock.sendall(head(None, "transfer-encoding: chunked") if chunked else head(100 << 20))
            for _ in range(1600):
                sock.sendall(b"10000\r\n" + PIECE + b"\r\n" if chunked else PIECE)
            return answer(sock)

    status, headers, error = disturbed(server, send)
    assert (status, headers["connection"]) == (413, "close")
    assert "8000000 bytes" in error["error"]["message"]
    assert server.resident() - before < 40e6


def test_a_slow_client_is_told(server):
    """A body that does not come is 408 after the second that this server gives it."""

    def slowly() -> Any:
        with connected(server) as sock:
            sock.sendall(head(1000) + b'{"rows": [')
            told = answer(sock)
            assert ends(sock)
            return told

    status, headers, error = disturbed(server, slowly)
    assert (status, headers["connection"]) == (408, "close")
    assert "10 bytes came" in error["error"]["message"]


def test_a_client_that_goes_away_is_no_error(server):
    for sent in (b"", head(1000), head(1000) + b'{"rows": [', b"POST /sco"):
        with connected(server) as sock:
            sock.sendall(sent)
    assert httpx.get(f"{server.url}/healthz").json()["status"] == "ok"


def test_pipelined_requests_are_answered_in_order(server):
    body, wrong = json.dumps({"rows": [ROW]}).encode(), b"{}"
    with connected(server) as sock:
        sock.sendall((head(len(body)) + body + head(len(wrong)) + wrong) * 3)
        file = sock.makefile("rb")
        statuses = []
        for _ in range(6):
            statuses.append(int(file.readline().split()[1]))
            length = 0
            while line := file.readline().strip():
                if line.startswith(b"content-length"):
                    length = int(line.split()[1])
            file.read(length)
    assert statuses == [200, 422] * 3


def test_nothing_was_an_error_of_ours(server):
    """Runs last in this file: 5xx would be counted, and a traceback logged."""
    counted = httpx.get(f"{server.url}/metrics").text
    assert 'status="5' not in counted
    assert not [line for line in server.log if "ERROR" in line or "Traceback" in line]


LONG = 200_000
"""Characters, at which twice as many take four times as long where a search begins again at each of them: minutes."""
PRETENDING = [
    b'{"' + b'\\"' * LONG + b'\\q"',
    b'{"' + b"\\\\" * LONG,
    b'{"rows": [{"' + b'\\"' * LONG,
    json.dumps({"x` - at `$.rows[" + "9" * 5000 + "]": 1}).encode(),
    json.dumps({"x` - at `$.rows[0]." + "A" * LONG: 1}).encode(),
    json.dumps({"unknown field `" * LONG + "x - at `$x": 1}).encode(),
    json.dumps({" - at `$" * LONG: 1}).encode(),
    json.dumps({"rows": [{"x` - at `$.columns.y[" + "9" * 5000 + "]": 1}]}).encode(),
    json.dumps({"columns": {"x` - at `$.columns[" + "9" * 5000 + "]": 1}}).encode(),
]


@pytest.mark.parametrize("body", PRETENDING, ids=range(len(PRETENDING)))
def test_names_that_pretend_to_be_messages(server, quoted_server, body):
    """What a stranger calls a feature lies within msgspec's message: it must not be read as the message's own words."""
    for each in (server, quoted_server):
        told = httpx.post(f"{each.url}/score", content=body, headers=JSON, timeout=60)
        assert told.status_code in (400, 422)
        assert len(told.content) < 1000
        assert httpx.get(f"{each.url}/healthz").status_code == 200
