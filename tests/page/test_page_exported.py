"""A model that was trained and exported: what the page shows of it is what the server says."""

from __future__ import annotations

import httpx
import pytest
from showing import score_of, served

from pocketrec.cli import main

CLOSE = 1e-5


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A log of integers, text and numbers, trained on for a few steps, its memory in int8, ids filtered."""
    folder = tmp_path_factory.mktemp("exported")
    lines = ["clicked,price,shop,query"]
    lines += [f"{i % 3 % 2},{i % 17 if i % 5 else ''},{i % 40},word {i * i % 60}" for i in range(3000)]
    (folder / "log.csv").write_text("\n".join(lines) + "\n")
    for command in (
        f"prepare {folder}/log.csv --format csv --label clicked --dense price --categorical shop,query "
        f"--out {folder}/data",
        f"train --data {folder}/data --compression 4 --batch-size 256 --epochs 1 --out {folder}/run",
        f"export {folder}/run --out {folder}/shop.pocket --dtype int8",
    ):
        assert main(command.split()) == 0
    return folder / "shop.pocket"


@pytest.mark.usefixtures("runtime_files")
def test_an_exported_model_scores_in_the_browser_as_on_the_server(exported, tab):
    with served(exported) as address:
        shown = tab(address).open()
        recipe = httpx.get(f"{address}artifact/recipe.json").json()
        assert "rows of the log score as at export" in shown.text("#state")
        row = recipe["examples"][0]["row"]
        assert shown.score() == pytest.approx(score_of(address, row), abs=CLOSE)
        for feature, typed in (
            ("price", ""),
            ("price", "12"),
            ("shop", "3"),
            ("query", "word 4"),
            ("query", "unheard of"),
        ):
            shown.fill(feature, typed)
            row[feature] = typed
            assert shown.score() == pytest.approx(score_of(address, row), abs=CLOSE), (feature, typed)
        assert f"AUC, validation\n{recipe['metrics']['validation']['auc']:.4f} on 300 rows" in shown.text("#about")
        assert not shown.complaints
