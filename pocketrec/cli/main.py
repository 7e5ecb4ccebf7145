"""`pocketrec COMMAND ...`: the parser, and what an error looks like from outside."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pocketrec
from pocketrec.cli.missing import what_to_install
from pocketrec.errors import PocketrecError, UsageError

COMMANDS = (
    *("demo", "synth", "prepare", "plan", "train", "encode", "evaluate", "info", "study", "report"),
    *("export", "score", "serve"),
)
INTERRUPTED = 130


def commands_here() -> list[ModuleType]:
    """The modules of the commands that are installed: `pocketrec-runtime` brings those that need no torch."""
    here = Path(__file__).parent
    return [importlib.import_module(f"pocketrec.cli.{name}") for name in COMMANDS if (here / f"{name}.py").exists()]


def parser() -> argparse.ArgumentParser:
    """All commands and their flags."""
    here = commands_here()
    epilog = "`pocketrec COMMAND --help` shows each command with an example."
    if any(command.__name__.endswith(".demo") for command in here):
        epilog = f"Start with `pocketrec demo`; {epilog}"
    top = argparse.ArgumentParser(
        prog="pocketrec",
        description="Recommendation models thousands of times smaller: one shared memory instead of embedding tables.",
        epilog=epilog,
    )
    top.add_argument("--version", action="version", version=f"pocketrec {pocketrec.__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in here:
        name = command.__name__.rsplit(".", 1)[1]
        doc, _, rest = (command.__doc__ or "").partition("\n")
        own = commands.add_parser(
            name,
            help=doc.rstrip("."),
            description=f"{doc}\n{rest.rstrip()}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog=command.EXAMPLE,
        )
        command.add_arguments(own)
        own.set_defaults(run=command.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, 1 for bad data or a failed run, 2 for a bad command, 130 for Ctrl-C."""
    args = parser().parse_args(argv)
    try:
        args.run(args)
    except PocketrecError as error:
        print(f"pocketrec: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("pocketrec: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; closing stdout keeps the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        print("pocketrec: error: not enough memory: lower --batch-size or --embedding-dim", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        told = what_to_install(error.name or "", args.run.__module__.rpartition(".")[2])
        if told is None:
            raise
        print(f"pocketrec: error: {told}", file=sys.stderr)
        return UsageError.exit_code
    except OSError as error:
        print(f"pocketrec: error: {_explain(error)}", file=sys.stderr)
        return 1
    return 0


def _explain(error: OSError) -> str:
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{what}: make room, or choose another --out"
    if error.errno == errno.EADDRINUSE:
        return f"{what}: stop what listens there, or choose another --port"
    return what
