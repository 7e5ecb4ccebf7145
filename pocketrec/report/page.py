"""The page: `page.html` filled with what a study says. It asks for nothing from any network."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import PurePath

import pocketrec
from pocketrec.report import paper
from pocketrec.report.evidence import Evidence
from pocketrec.report.figures import Picture
from pocketrec.report.looks import name_of
from pocketrec.report.tables import Table, every_run, how_trained, in_numbers
from pocketrec.report.verdict import verdict
from pocketrec.report.words import count, listed

GLOSSARY = (
    ("compression", "Bytes of the full tables (float32, a row for every value seen in training) / stored bytes."),
    ("stored", "Everything a sharing scheme keeps to recover rows from its ids. Id maps are counted beside."),
    ("with id map", "The same ratio with the table that turns a raw id into the scheme's counted on both sides."),
    ("inflation", "Iterations to a target, compressed / full: medians over seeds."),
    ("step speed-up", "Time of a training step, full / compressed."),
    ("total-time ratio", "Inflation / step speed-up: below 1, the small model also trains sooner."),
    (
        "paper",
        f"Desai and Shrivastava, arXiv 2207.10731: at {paper.COMPRESSION:,}x, {paper.INFLATION}x the iterations and "
        f"steps {paper.SPEED_UP}x faster, on Criteo-TB.",
    ),
)


def page(evidence: Evidence, pictures: Sequence[tuple[Picture, str]], gpu: Table | None = None) -> str:
    """HTML; `pictures` with the data URI of each, empty for those that are missing."""
    from jinja2 import Environment, StrictUndefined

    room = files("pocketrec.report")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_tied)
    return environment.from_string(room.joinpath("page.html").read_text(encoding="utf-8")).render(
        version=pocketrec.__version__,
        css=room.joinpath("page.css").read_text(encoding="utf-8"),
        title=f"{_name(evidence)}: is the smaller model worth it?",
        subtitle=_subtitle(evidence),
        verdict=verdict(evidence),
        in_numbers=in_numbers(evidence),
        drawn=[(picture, uri) for picture, uri in pictures if uri],
        not_drawn=[picture for picture, uri in pictures if not uri],
        gpu=gpu,
        provenance=_provenance(evidence),
        how_trained=how_trained(evidence),
        every_run=every_run(evidence),
        glossary=GLOSSARY,
    )


def _tied(value: object) -> object:
    """Text whose lines do not break between a number and its sign."""
    if not isinstance(value, str):
        return value
    space = "\N{NO-BREAK SPACE}"
    return value.replace(" %", f"{space}%").replace(" ± ", f"{space}±{space}")


def _name(evidence: Evidence) -> str:
    return evidence.study.folder.resolve().name


def _subtitle(evidence: Evidence) -> str:
    schemes = listed([name_of(scheme) for scheme in evidence.looks]) or "nothing yet"
    models = listed(sorted({f"{row['model']} ({row['preset']})" for row in evidence.study.rows})) or "no model"
    return f"{schemes} against full tables · {models} · {count(len(evidence.study.rows), 'run')} · {_dates(evidence)}"


def _dates(evidence: Evidence) -> str:
    dates = sorted({row["date"] for row in evidence.study.rows}) or ["no date"]
    return dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"


def _provenance(evidence: Evidence) -> list[tuple[str, str]]:
    """What was run on what, when, at which version and machine."""
    told = [
        ("log", _log(evidence)),
        ("model and preset", f"{_values(evidence, 'model')}, {_values(evidence, 'preset')}"),
        ("when", _dates(evidence)),
        ("pocketrec", f"{_values(evidence, 'version')}, commit {_values(evidence, 'commit')}"),
        ("libraries", _values(evidence, "versions")),
        ("machine", _values(evidence, "machine")),
    ]
    if evidence.study.timing:
        told.append(("step time", _timing(evidence)))
    return told


def _log(evidence: Evidence) -> str:
    """The end of its path, which says no more of a machine than its user meant to, and its fingerprint."""
    name = "/".join(PurePath(str(evidence.study.settings.get("data", ""))).parts[-2:])
    fingerprint = f"fingerprint {_values(evidence, 'data')}"
    return f"{name}, {fingerprint}" if name else fingerprint


def _timing(evidence: Evidence) -> str:
    found = dict.fromkeys(
        f"{row['machine']}, {count(int(row['threads']), 'thread')}, batches of {row['batch_size']}, "
        f"{row['rounds']} turns{', ' if row['conditions'] else ''}{row['conditions']}"
        for row in evidence.study.timing
    )
    return "; ".join(found)


def _values(evidence: Evidence, column: str) -> str:
    return "; ".join(sorted({row[column] for row in evidence.study.rows if row[column]})) or "not known"
