"""POST /score says what the model says, whichever way rows come in."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save
from small_models import IDS, QUOTED, ROW, expected

from pocketrec.hashing import text_id


def scores(answer: Any) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["scores"], np.float32)


def drawn(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Dense values, some of them blank, and ids of all sizes."""
    random = np.random.default_rng(rows)
    dense = random.integers(-3, 1000, (rows, 2)).astype(np.float32)
    dense[random.random((rows, 2)) < 0.2] = np.nan
    return dense, random.integers(0, 1 << 62, (rows, 3))


def as_rows(dense: np.ndarray, ids: np.ndarray) -> list[dict[str, Any]]:
    values = np.where(np.isnan(dense), None, dense).tolist()
    return [
        {"I1": d[0], "I2": d[1], "C1": {"id": i[0]}, "C2": i[1], "odd name[0].x": {"id": i[2]}}
        for d, i in zip(values, ids.tolist(), strict=True)
    ]


def test_a_row_scores_as_the_model_says(asked):
    async def work(client, app):
        return await client.post("/score", json={"rows": [ROW]})

    answer = asked(work)
    np.testing.assert_allclose(scores(answer), expected([[3, np.nan]], [IDS]), atol=1e-6)
    assert answer.json()["model"] == "small"


@pytest.mark.parametrize(
    ("change", "dense", "ids"),
    [
        ({"I1": "3"}, [3, 0], IDS),
        ({"I2": ""}, [3, 0], IDS),
        ({"I1": -5.5}, [-5.5, 0], IDS),
        ({"C1": "1e"}, [3, 0], [0x1E, *IDS[1:]]),
        ({"C1": None}, [3, 0], [0, *IDS[1:]]),
        ({"C1": "", "odd name[0].x": ""}, [3, 0], [0, IDS[1], 0]),
        ({"C2": "7"}, [3, 0], IDS),
        ({"C2": (1 << 62) - 1}, [3, 0], [IDS[0], (1 << 62) - 1, IDS[2]]),
        ({"odd name[0].x": {"id": 12}}, [3, 0], [*IDS[:2], 12]),
        ({"odd name[0].x": "schön\n"}, [3, 0], [*IDS[:2], text_id("schön\n")]),
    ],
)
def test_values_follow_the_rules_of_the_log(asked, change, dense, ids):
    async def work(client, app):
        return await client.post("/score", json={"rows": [ROW | change]})

    np.testing.assert_allclose(scores(asked(work)), expected([dense], [ids]), atol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 255, 256, 257, 1000])
def test_rows_columns_and_binary_say_the_same(asked, rows):
    """The slices that long requests are scored in must join in order."""
    dense, ids = drawn(rows)
    listed = as_rows(dense, ids)
    columns = {name: [row[name] for row in listed] for name in listed[0]}

    async def work(client, app):
        return [
            await client.post("/score", json={"rows": listed}),
            await client.post("/score", json={"columns": columns}),
            await client.post("/score", content=save({"dense": dense, "ids": ids}), headers=BINARY),
        ]

    by_row, by_column, binary = asked(work)
    np.testing.assert_allclose(scores(by_row), expected(dense, ids), atol=1e-5)
    np.testing.assert_array_equal(scores(by_row), scores(by_column))
    assert binary.headers["content-type"] == "application/octet-stream"
    np.testing.assert_array_equal(scores(by_row), np.frombuffer(binary.content, "<f4"))


def test_a_feature_with_quotes_in_its_name(asked, quoted):
    """It can be prepared, trained and exported, so it must be served."""
    dense, ids = drawn(300)
    renamed = [{QUOTED if name == "odd name[0].x" else name: row[name] for name in row} for row in as_rows(dense, ids)]
    columns = {name: [row[name] for row in renamed] for name in renamed[0]}

    async def work(client, app):
        return [
            await client.post("/score", json={"rows": renamed}),
            await client.post("/score", json={"columns": columns}),
            await client.post("/score", content=save({"dense": dense, "ids": ids}), headers=BINARY),
        ]

    by_row, by_column, binary = asked(work, path=quoted)
    np.testing.assert_allclose(scores(by_row), expected(dense, ids), atol=1e-5)
    np.testing.assert_array_equal(scores(by_row), scores(by_column))
    np.testing.assert_array_equal(scores(by_row), np.frombuffer(binary.content, "<f4"))


BINARY = {"content-type": "application/x-safetensors"}


def test_requests_scored_together_get_their_own_scores(asked):
    """Those that wait are gathered into one batch; each answer must be cut from its own place."""
    drawn_rows = [drawn(1 + number % 7) for number in range(60)]

    async def work(client, app):
        asks = [client.post("/score", json={"rows": as_rows(*each)}) for each in drawn_rows]
        return await asyncio.gather(*asks)

    for each, answer in zip(drawn_rows, asked(work, threads=1), strict=True):
        np.testing.assert_allclose(scores(answer), expected(*each), atol=1e-5)


def binary_body(header: Any, content: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


ONE = {"dtype": "I64", "shape": [1, 3], "data_offsets": [0, 24]}
DENSE_ONE = {"dtype": "F32", "shape": [1, 2], "data_offsets": [24, 32]}


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, None),
        (b"short", 400, None),
        (b"\xff" * 64, 400, None),
        (binary_body(b"no json"), 400, None),
        (binary_body(b"[" * 4000), 400, None),
        (binary_body({}), 422, "ids"),
        (binary_body({"ids": ONE}, bytes(24)), 422, "dense"),
        (binary_body({"ids": ONE, "dense": DENSE_ONE}, bytes(20)), 400, "ids"),
        (binary_body({"ids": ONE, "dense": DENSE_ONE}, bytes(24)), 400, "dense"),
        (binary_body({"ids": ONE, "dense": DENSE_ONE | {"dtype": "F64"}}, bytes(32)), 422, "dense"),
        (binary_body({"ids": ONE | {"shape": [3]}, "dense": DENSE_ONE}, bytes(32)), 422, "ids"),
        (binary_body({"ids": ONE | {"shape": [-1, 3]}, "dense": DENSE_ONE}, bytes(32)), 422, "ids"),
        (binary_body({"ids": ONE | {"shape": [1 << 61, 3]}, "dense": DENSE_ONE}, bytes(32)), 400, "ids"),
        (binary_body({"ids": ONE | {"data_offsets": [-8, 16]}, "dense": DENSE_ONE}, bytes(32)), 400, "ids"),
        (binary_body({"ids": ONE, "dense": DENSE_ONE, "more": ONE}, bytes(32)), 400, None),
        (save({"ids": np.zeros((2, 3), np.int64), "dense": np.zeros((1, 2), np.float32)}), 422, "dense"),
        (save({"ids": np.zeros((0, 3), np.int64), "dense": np.zeros((0, 2), np.float32)}), 422, "ids"),
        (save({"ids": np.array([[1, -1, 1]]), "dense": np.zeros((1, 2), np.float32)}), 422, "C2"),
        (save({"ids": np.array([[1 << 62, 1, 1]]), "dense": np.zeros((1, 2), np.float32)}), 422, "C1"),
        (save({"ids": np.zeros((1, 3), np.int64), "dense": np.array([[1, np.inf]], np.float32)}), 422, "I2"),
        (save({"ids": np.zeros((5000, 3), np.int64), "dense": np.zeros((5000, 2), np.float32)}), 413, "ids"),
    ],
)
def test_binary_bodies_that_are_none(asked, body, status, field):
    async def work(client, app):
        return await client.post("/score", content=body, headers=BINARY)

    answer = asked(work)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"].get("field") == field
