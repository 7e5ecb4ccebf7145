"""The planner through the command line."""

from __future__ import annotations

import json

from pocketrec.cli import main

TINY = "400x8,100x8"
BASE = ("--tables", "1000x8")


def told(capsys, *flags: str) -> dict:
    assert main(["plan", *flags, "--json"]) == 0
    return json.loads(capsys.readouterr().out)
