"""Serve an artifact over HTTP: scores, its page, its metrics.

POST /score takes rows of raw feature values, as the log has them; / is a page that runs the model in the browser;
/openapi.json describes the rest. Replacing the artifact's file (by renaming another over it), SIGHUP and POST /reload
load the new one without dropping a request; a file that is refused leaves the old one serving. SIGTERM finishes what
is in flight.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pocketrec.errors import DataError, UsageError

EXAMPLE = """examples:
  pocketrec serve model.pocket                                         # http://127.0.0.1:8000
  pocketrec serve model.pocket --host 0.0.0.0 --token-file token.txt   # for others, who must know the token
"""
TOKEN = "POCKETREC_TOKEN"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", metavar="ARTIFACT", help="a file written by pocketrec export")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="to bind to (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="to bind to (default 8000; 0: a free one)")
    parser.add_argument(
        "--token-file",
        metavar="F",
        help=f"all but the page's files and /healthz ask for the token in this file (or in the variable {TOKEN})",
    )
    parser.add_argument("--max-body", default="8MB", metavar="SIZE", help="of one request (default 8MB)")
    parser.add_argument("--max-rows", type=int, default=4096, metavar="N", help="of one request (default 4096)")
    parser.add_argument(
        "--timeout",
        type=float,
        default=10.0,
        metavar="S",
        help="seconds for a body to arrive, and for its scores to be ready (default 10)",
    )
    parser.add_argument(
        "--engine",
        default="auto",
        metavar="auto|native|onnx",
        help="what scores (default: onnx where onnxruntime is installed; native starts sooner, in less memory)",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="cores that score (default: all there are)")
    parser.add_argument(
        "--reload",
        type=float,
        default=2.0,
        metavar="S",
        help="look every S seconds whether the file was replaced (default 2; 0: only SIGHUP and POST /reload)",
    )


def run(args: argparse.Namespace) -> None:
    from pocketrec.serving import Settings, serve
    from pocketrec.units import parse_bytes

    if not 0 <= args.port <= 65535:
        raise UsageError(f"--port must be in [0, 65535], got {args.port}")
    max_body = parse_bytes("--max-body", args.max_body)
    settings = Settings(
        token=_token(args.token_file),
        max_body=max_body,
        max_held=max(Settings.max_held, max_body),
        max_rows=args.max_rows,
        timeout=args.timeout,
        engine=args.engine,
        threads=args.threads,
        reload_seconds=args.reload,
    )
    serve(args.artifact, settings, args.host, args.port)


def _token(path: str | None) -> str | None:
    if path is None:
        told = os.environ.get(TOKEN)
        return None if told is None else told.strip()
    token = Path(path).read_text(encoding="utf-8").strip()
    if not token:
        raise DataError(f"{path}: the token file is empty: write a token into it")
    return token
