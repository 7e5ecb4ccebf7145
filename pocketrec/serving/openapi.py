"""The API described for the very model that is served: its features by name and kind, with a row of its own as example.

Written out instead of derived from handlers: bodies are read by hand (rows.py, binary.py), and a reload changes them.
"""

from __future__ import annotations

from typing import Any

import pocketrec
from pocketrec.artifact import Recipe
from pocketrec.artifact.archive import NAMES
from pocketrec.hashing import ID_LIMIT
from pocketrec.serving import binary
from pocketrec.serving.settings import Settings

Schema = dict[str, Any]
_NUMBER = r"^([+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30}))?$"
_LARGEST = 3e38  # within float32
_NULL: Schema = {"type": "null"}
_ID: Schema = {
    "type": "object",
    "properties": {"id": {"type": "integer", "minimum": 0, "maximum": ID_LIMIT - 1}},
    "required": ["id"],
    "additionalProperties": False,
    "description": "The raw id itself, where the text it came from is not known.",
}
_DENSE: Schema = {
    "anyOf": [
        {"type": "number", "minimum": -_LARGEST, "maximum": _LARGEST},
        {"type": "string", "pattern": _NUMBER, "description": "The number as text; empty for blank."},
        _NULL,
    ]
}
_KINDS: dict[str, Schema] = {
    "hex": {"type": "string", "pattern": "^[0-9a-fA-F]{0,8}$", "description": "Hex digits; empty for blank."},
    "integer": {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": ID_LIMIT - 1},
            {"type": "string", "pattern": "^[0-9]{0,18}$", "description": "The integer as text; empty for blank."},
        ]
    },
    "text": {"type": "string", "description": "Any text; empty for blank."},
}
_REASONS = {
    304: "As the ETag sent.",
    400: "Not JSON, or not safetensors.",
    401: "No token, or another one.",
    403: "A server without a token reloads otherwise.",
    404: "There is no such part, or its version is served no more.",
    408: "The body did not arrive in time.",
    409: "The file is refused; the model before keeps answering.",
    413: "Too many bytes, or too many rows.",
    415: "Another Content-Type than the two, or a compressed body.",
    422: "A feature is missing, is not the model's, or has a value that cannot be: `field` and `row` say where.",
    503: "Too many requests wait: Retry-After says when to try again.",
}


def describe(recipe: Recipe, settings: Settings) -> Schema:
    """The OpenAPI 3.1 document of a server with these settings, for the model of this recipe."""
    guarded: Schema = {"security": [{"token": []}]} if settings.token else {}
    paths = {
        "/score": {"post": guarded | _score(recipe, settings)},
        "/healthz": {"get": _get("Whether it serves, and what", "application/json", _HEALTH)},
        "/metrics": {"get": guarded | _get("Counts and times for Prometheus", "text/plain", {"type": "string"})},
        "/model": {"get": guarded | _get("The recipe of the model", "application/json", {"type": "object"}, 304)},
        "/artifact/{name}": {"get": guarded | _artifact()},
        "/reload": {"post": guarded | _reload(settings)},
    }
    if settings.token:
        for path in paths.values():
            for operation in path.values():
                if "security" in operation:
                    operation["responses"] |= _errors(401)
    components: Schema = {"schemas": _schemas(recipe)}
    if settings.token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"pocketrec: {recipe.name}",
            "version": pocketrec.__version__,
            "description": "Probabilities from rows of raw feature values.",
        },
        "paths": paths,
        "components": components,
    }


def _score(recipe: Recipe, settings: Settings) -> Schema:
    rows = {"minItems": 1, "maxItems": settings.max_rows}
    content: Schema = {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/Score"},
        },
        binary.CONTENT_TYPE: {
            "schema": {
                "type": "string",
                "format": "binary",
                "description": f"Tensors `dense` float32 (rows, {recipe.n_dense}), NaN for blank, and `ids` "
                f"int64 (rows, {recipe.n_features}), in safetensors format.",
            }
        },
    }
    examples = [dict(each.row) for each in recipe.examples[:2]]
    if examples:
        content["application/json"]["example"] = {"rows": examples}
    scores = {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}, **rows}
    told = {
        "type": "object",
        "properties": {"scores": scores, "model": {"type": "string"}},
        "required": ["scores", "model"],
    }
    return {
        "summary": "Probabilities of rows",
        "operationId": "score",
        "description": f"At most {settings.max_rows} rows and {settings.max_body} bytes.",
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {
                "description": "One probability a row, in their order; float32, little-endian, for a binary body.",
                "content": {
                    "application/json": {"schema": told},
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                },
            },
            **_errors(400, 408, 413, 415, 422, 503),
        },
    }


def _schemas(recipe: Recipe) -> Schema:
    values = dict.fromkeys(recipe.inputs.dense, _DENSE)
    for each in recipe.inputs.categorical:
        values[each.name] = {"anyOf": [_KINDS[each.kind], _NULL, {"$ref": "#/components/schemas/Id"}]}
    whole: Schema = {"type": "object", "additionalProperties": False, "required": list(values)}
    lists = {name: {"type": "array", "items": value, "minItems": 1} for name, value in values.items()}
    way: Schema = {"type": "object", "additionalProperties": False}
    return {
        "Id": _ID,
        "Row": {**whole, "properties": values, "description": "Raw values, as the log has them; null for blank."},
        "Columns": {**whole, "properties": lists, "description": "A list a feature, all of one length."},
        "Score": {
            "oneOf": [
                {
                    **way,
                    "required": ["rows"],
                    "properties": {
                        "rows": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}, "minItems": 1}
                    },
                },
                {**way, "required": ["columns"], "properties": {"columns": {"$ref": "#/components/schemas/Columns"}}},
            ]
        },
        "Error": _ERROR,
    }


_ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["message"],
            "additionalProperties": False,
            "properties": {
                "message": {"type": "string"},
                "field": {"type": "string", "description": "The feature, or the part of the request."},
                "row": {"type": "integer", "minimum": 0, "description": "Counted from 0."},
            },
        }
    },
}
_HEALTH: Schema = {
    "type": "object",
    "required": ["status", "model", "sha256", "refused"],
    "properties": {
        "status": {"const": "ok"},
        "model": {"type": "string"},
        "sha256": {"type": "string"},
        "engine": {"type": "string"},
        "loaded_at": {"type": "number", "description": "Seconds since 1970."},
        "uptime_seconds": {"type": "number"},
        "refused": {
            "type": ["object", "null"],
            "description": "Why the file that is there now is not the one served; null when it is.",
            "properties": {"message": {"type": "string"}, "at": {"type": "number"}},
        },
    },
}


def _get(summary: str, media_type: str, schema: Schema, *also: int) -> Schema:
    ok = {"description": "What was asked for.", "content": {media_type: {"schema": schema}}}
    return {"summary": summary, "responses": {"200": ok, **_errors(*also)}}


def _artifact() -> Schema:
    name = {
        "name": "name",
        "in": "path",
        "required": True,
        "schema": {"enum": list(NAMES)},
    }
    pin = {
        "name": "v",
        "in": "query",
        "schema": {"type": "string"},
        "description": "SHA-256 of the artifact (see /healthz): only of this one, to be kept for ever.",
    }
    content = {
        "application/json": {"schema": {"type": "object"}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    }
    return {
        "summary": "A part of the artifact",
        "parameters": [name, pin],
        "responses": {"200": {"description": "Its bytes.", "content": content}, **_errors(304, 404)},
    }


def _reload(settings: Settings) -> Schema:
    told = {"type": "object", "properties": {"model": {"type": "string"}, "sha256": {"type": "string"}}}
    ok = {"description": "It answers from now on.", "content": {"application/json": {"schema": told}}}
    answers = {"200": ok, **_errors(409)} if settings.token else _errors(403)
    return {"summary": "Load the artifact's file again", "responses": answers}


def _errors(*statuses: int) -> Schema:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        str(status): {"description": _REASONS[status]} | ({} if status == 304 else {"content": error})
        for status in statuses
    }
