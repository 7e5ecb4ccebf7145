"""What to install where the library of an extra is missing."""

from __future__ import annotations

import re
from importlib import metadata

DISTRIBUTIONS = ("pocketrec", "pocketrec-runtime")
"""That bring this package; one of them is installed."""
_OPTIONAL = re.compile(r"(?P<name>[A-Za-z0-9_.-]+).*;.*\bextra *== *['\"](?P<extra>[a-z]+)['\"]")
_OF_DEVELOPERS = {"test", "bench"}


def what_to_install(module: str, command: str) -> str | None:
    """The sentence for a user whose command needs `module`; None where no extra brings it."""
    library = module.partition(".")[0].replace("_", "-")
    for distribution in DISTRIBUTIONS:
        extras = _extras_with(library, distribution)
        if extras:
            extra = command if command in extras else extras[0]
            return f"{command} needs {library}, which is not installed: pip install '{distribution}[{extra}]'"
    return None


def _extras_with(library: str, distribution: str) -> list[str]:
    try:
        required = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return []
    found = [told for told in map(_OPTIONAL.match, required) if told and told["name"].lower() == library.lower()]
    return [told["extra"] for told in found if told["extra"] not in _OF_DEVELOPERS]
