"""The command line (floor 10): parse, call, show progress, print. One command a file."""

from pocketrec.cli.main import main

__all__ = ["main"]
