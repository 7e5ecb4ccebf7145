"""`pocketrec info` on folders whose JSON is torn or odd."""

import json

import pytest

from pocketrec.cli.main import main

CONFIG = {"run": {"model": "dlrm", "training": {"seed": 0}}, "data": "0" * 32, "shape": {}}


@pytest.mark.parametrize(
    ("config", "metrics", "told"),
    [
        (json.dumps(CONFIG), '{"steps": ', "metrics.json: damaged"),
        (json.dumps(CONFIG), "{}", "metrics.json: damaged"),
        (json.dumps(CONFIG), "[1]", "metrics.json: damaged"),
        (json.dumps(CONFIG | {"run": [1]}), None, "config.json: damaged"),
        (json.dumps(CONFIG | {"run": {"model": "dlrm"}}), None, "config.json: damaged"),
        ('{"run": ', None, "config.json: damaged"),
    ],
)
def test_damaged_runs(tmp_path, capsys, config, metrics, told):
    (tmp_path / "config.json").write_text(config)
    if metrics:
        (tmp_path / "metrics.json").write_text(metrics)
    assert main(["info", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert "train the run again" in error


def test_an_unfinished_run(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert main(["info", str(tmp_path)]) == 0
    assert "not finished" in capsys.readouterr().out
