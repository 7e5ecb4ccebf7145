"""Scores over HTTP (floor 8): one artifact, its API and its page. Never imports torch.

`create_app` is an ASGI app to put behind any server; `serve` is the process that `pocketrec serve` starts.
"""

from pocketrec.serving.app import create_app
from pocketrec.serving.server import serve
from pocketrec.serving.settings import Settings

__all__ = ["Settings", "create_app", "serve"]
