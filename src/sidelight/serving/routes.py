"""The addresses of the service, their OpenAPI description with examples, and a page that shows it."""

from __future__ import annotations

import html
import json
import logging
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from sidelight.serving.answers import MAPS
from sidelight.serving.models import CLASSIFY, EXPLAIN
from sidelight.serving.problems import KINDS
from sidelight.serving.service import Service
from sidelight.serving.settings import MOST_TEXTS, ServeOptions

if TYPE_CHECKING:
    from sidelight.explainer import Explainer

_CLASS = {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}
_TEXT = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2},
    ]
}
#: field -> its schema
FIELDS: dict[str, dict[str, Any]] = {
    "model": {"type": "string", "description": "Name of the model, if there are several."},
    "text": {**_TEXT, "description": "A text, or two for a classifier of two texts."},
    "texts": {
        "type": "array",
        "items": _TEXT,
        "minItems": 1,
        "maxItems": MOST_TEXTS,
        "description": "Several texts. The answer is then {'answers': [...]} in their order.",
    },
    "image": {
        "type": "string",
        "contentEncoding": "base64",
        "description": "Content of a picture's file, or a data URI.",
    },
    "target": {**_CLASS, "description": "Class of the map: a name, a number, or 'second'."},
    "versus": {**_CLASS, "description": "A second class: why target and not this one."},
    "verify": {"type": "boolean", "description": "Measure the map on this input. Costs about 90 passes."},
    "maps": {
        "type": "array",
        "items": {"type": "string", "enum": list(MAPS)},
        "description": "Maps that are sent (default: all).",
    },
    "inputs": {"type": "boolean", "description": "Send the picture's pixels back, too."},
}
#: fields that are another thing in a form, of which each part is one value
IN_FORM: dict[str, dict[str, Any]] = {
    "text": {"type": "string", "description": "A text. Two go in JSON alone."},
    "image": {"type": "string", "format": "binary", "description": "A picture's file."},
    "maps": {
        "type": "string",
        "description": f"Maps that are sent, separated by commas, of {', '.join(MAPS)} (default: all).",
    },
}
#: name -> an example of a body
EXAMPLES: dict[str, dict[str, Any]] = {
    "a text": {"text": "the story is charming"},
    "several texts": {"texts": ["the story is charming", "a dull film"]},
    "another class": {"text": "the story is charming", "target": "second"},
}
_CURL = """curl -X POST http://127.0.0.1:8000/explain -H 'Content-Type: application/json' -d '{"text": "a dull film"}'
curl -X POST http://127.0.0.1:8000/explain -F image=@photo.jpg -F maps=scores
curl -X POST http://127.0.0.1:8000/explain -F image=@photo.jpg -F text='two dogs on the beach'
curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8000/health"""
_STYLE = "body{font:16px/1.5 system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}pre{overflow:auto;padding:1rem;border:1px solid}"


def make_app(explainers: dict[str, Explainer], options: ServeOptions, version: str) -> FastAPI:
    """The application. Its ``state.service`` is the :class:`Service`."""
    service = Service(explainers, options)
    # a broken form is answered, and no client may fill the log with remarks on it
    forms = logging.getLogger("python_multipart")
    if forms.level == logging.NOTSET:
        forms.setLevel(logging.ERROR)
    # FastAPI's own pages load scripts from another machine, so /docs is a page of ours
    app = FastAPI(
        title="sidelight",
        version=version,
        summary="Verdicts, and maps of what in the input made them.",
        docs_url=None,
        redoc_url=None,
        lifespan=service.life,
        redirect_slashes=False,  # a redirection names plain HTTP if a proxy speaks HTTPS, and a client follows with its token
    )
    app.state.service = service
    for kind, work in ((EXPLAIN, service.explain), (CLASSIFY, service.classify)):
        app.add_api_route(
            f"/{kind}", work, methods=["POST"], responses=_responses(), openapi_extra=_body(kind)
        )
    app.add_api_route("/health", service.health, methods=["GET"])
    app.add_api_route(
        "/health", service.health, methods=["HEAD"], include_in_schema=False
    )  # of load balancers
    app.add_api_route("/metrics", service.metrics, methods=["GET"])
    app.add_api_route("/docs", lambda: _page(app), methods=["GET"], include_in_schema=False)
    if options.token_from is not None:
        schema = app.openapi()  # made once and kept
        schema["components"] = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
        schema["security"] = [{"token": []}]
    app.add_exception_handler(HTTPException, service.refuse)
    return app


def _body(kind: str) -> dict[str, Any]:
    """The OpenAPI description of a body."""
    options = () if kind == EXPLAIN else ("target", "versus", "verify", "maps", "inputs")
    fields = {name: schema for name, schema in FIELDS.items() if name not in options}
    examples = {n: {"value": v} for n, v in EXAMPLES.items() if set(v) <= set(fields)}
    form = {name: IN_FORM.get(name, schema) for name, schema in fields.items() if name != "texts"}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"type": "object", "properties": fields, "additionalProperties": False},
                    "examples": examples,
                },
                "multipart/form-data": {"schema": {"type": "object", "properties": form}},
            },
        }
    }


def _responses() -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of errors."""
    told: dict[int | str, dict[str, Any]] = {}
    for kind, (status, advice) in KINDS.items():
        example = {"error": {"kind": kind, "message": "...", "advice": advice}}
        known = told.setdefault(
            status, {"description": "", "content": {"application/json": {"examples": {}}}}
        )
        known["description"] = ", ".join(filter(None, [known["description"], kind]))
        known["content"]["application/json"]["examples"][kind] = {"value": example}
    return told


def _page(app: FastAPI) -> HTMLResponse:
    """A page without scripts: the addresses, examples and fields."""
    rows = "".join(
        f"<li><code>{html.escape(name)}</code>: {html.escape(schema['description'])}</li>"
        for name, schema in FIELDS.items()
    )
    bodies = "\n".join(json.dumps(body) for body in EXAMPLES.values())
    places = "".join(
        f"<li><code>{method.upper()} {html.escape(path)}</code></li>"
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    )
    return HTMLResponse(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>sidelight</title><style>{_STYLE}</style>"
        f"<h1>sidelight {html.escape(app.version)}</h1><ul>{places}</ul><h2>Examples</h2>"
        f"<pre>{html.escape(_CURL)}</pre><h2>Bodies</h2><pre>{html.escape(bodies)}</pre>"
        f'<h2>Fields</h2><ul>{rows}</ul><p>For programs: <a href="openapi.json">openapi.json</a></p></html>',
        headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"},
    )
