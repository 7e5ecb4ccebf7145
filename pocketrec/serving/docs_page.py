"""/docs: the OpenAPI document as a page to read. Written here, so that nothing comes from another server."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;"
    "background:#fff}pre{background:#f3f3f3;padding:1rem;white-space:pre-wrap;overflow-wrap:anywhere}"
    "code{background:#f3f3f3}table{border-collapse:collapse}"
    "td,th{text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0;border-bottom:1px solid #ddd}"
)


def docs_page(described: dict[str, Any], url: str) -> str:
    """HTML of what `describe` says of the server at `url`."""
    info = described["info"]
    operations = [
        _operation(method, path, about)
        for path, methods in described["paths"].items()
        for method, about in methods.items()
    ]
    row = described["components"]["schemas"]["Row"]["properties"]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{escape(info['title'])}</h1><p>{_said(info['description'])} For programs: "
        f'<a href="/openapi.json">/openapi.json</a>; to try it: <a href="/">the page</a>.</p>'
        f"{_example(described, url)}{''.join(operations)}<h2>Features</h2>"
        f"<p>A row has all of them, and no other.</p>{_table([(n, _words(s)) for n, s in row.items()])}</html>"
    )


def _example(described: dict[str, Any], url: str) -> str:
    content = described["paths"]["/score"]["post"]["requestBody"]["content"]["application/json"]
    if "example" not in content:
        return ""
    body = json.dumps(content["example"], ensure_ascii=False).replace("'", "'\\''")
    token = " -H 'Authorization: Bearer TOKEN'" if "securitySchemes" in described["components"] else ""
    command = f"curl {url.rstrip('/')}/score{token} -H 'Content-Type: application/json' -d '{body}'"
    return f"<h2>An example</h2><pre>{escape(command)}</pre>"


def _operation(method: str, path: str, about: dict[str, Any]) -> str:
    answers = [(status, answer["description"]) for status, answer in about["responses"].items()]
    told = [about["summary"], about.get("description", "")]
    return f"<h2>{method.upper()} {escape(path)}</h2><p>{_said('. '.join(filter(None, told)))}</p>{_table(answers)}"


def _words(schema: dict[str, Any]) -> str:
    """A feature's values in a line."""
    if "anyOf" in schema:
        return "; or ".join(_words(each) for each in schema["anyOf"])
    if "$ref" in schema:
        return '{"id": N}: the raw id itself'
    if schema["type"] == "null":
        return "null for blank"
    bounds = f" in [{schema['minimum']:.12g}, {schema['maximum']:.12g}]" if "minimum" in schema else ""
    return f"{schema['type']}{bounds}" + (f": {schema['description'].rstrip('.')}" if "description" in schema else "")


def _said(text: str) -> str:
    """HTML of words with `code` among them."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _table(lines: list[tuple[str, str]]) -> str:
    cells = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{_said(text)}</td></tr>' for name, text in lines)
    return f"<table>{cells}</table>"
