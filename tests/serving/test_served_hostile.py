"""Hostile requests: each is refused with a structured error, or answered as plain data. None harms another request."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("prometheus_client", reason="the extra serve is not installed")

from PIL import Image

from face_toys import pair_explainer
from live_toys import HOSTILE, encoded, hostile_images, hostile_texts, png, promising_png
from serving_toys import asked, metric, one
from sidelight.inputs.limits import Limits
from sidelight.serving import ServeOptions, app

PAGE = b"<!DOCTYPE html><script>window.hacked=1</script>"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def service() -> Any:
    explainers = {"texts": hostile_texts(), "images": hostile_images(), "pairs": pair_explainer()}
    return app(explainers, ServeOptions(limits=Limits(characters=5_000, bytes=2**20)))


def form(content: bytes, **fields: str) -> dict[str, Any]:
    return {"data": {"model": "images", **fields}, "files": {"image": ("/etc/passwd", content)}}


def text(**fields: Any) -> dict[str, Any]:
    return {"json": {"model": "texts", "text": "a dull film", **fields}}


def raw(body: bytes | str, kind: str = "application/json") -> dict[str, Any]:
    return {"content": body, "headers": {"Content-Type": kind}}


def unended(**fields: str) -> bytes:
    """A form of these fields that was cut off before its last boundary."""
    head = "--x\r\nContent-Disposition: form-data; name="
    return "\r\n".join(f'{head}"{name}"\r\n\r\n{value}' for name, value in fields.items()).encode()


#: name -> request, status, kind, and words of the message
REFUSED: dict[str, tuple[Callable[[], dict[str, Any]], int, str, str]] = {
    "a number as text": (lambda: text(text=7), 422, "field", "must be a string; got int"),
    "an object as text": (lambda: text(text={"a": 1}), 422, "field", "must be a string; got dict"),
    "a list of numbers as text": (lambda: text(text=[1, 2]), 422, "field", "must be a string; got int"),
    "a text as inputs": (
        lambda: {"json": {"model": "texts", "inputs": "a dull film"}},
        422,
        "field",
        "the field 'text' is missing: texts reads text; got 'model', 'inputs'. 'inputs' says whether pixels are sent back",
    ),
    "no picture beside a text": (
        lambda: {"json": {"model": "pairs", "text": "a dull film"}},
        422,
        "field",
        "the field 'image' is missing: pairs reads image, text; got 'model', 'text'.",
    ),
    "null as text": (lambda: text(text=None), 422, "field", "the field 'text' is missing"),
    "a field in capitals": (lambda: text(Text="a dull film"), 422, "field", "Call it 'text'"),
    "several pictures": (lambda: text(images=["a"]), 422, "field", "Call it 'image'"),
    "a text as texts": (
        lambda: {"json": {"model": "texts", "texts": "a"}},
        422,
        "field",
        "of 1 to 32 texts; got str",
    ),
    "a list of one text": (lambda: text(text=["a"]), 422, "field", "got a list of 1. Send JSON"),
    "a list as the body": (lambda: raw("[1]"), 400, "body", "must be an object; got list"),
    "no JSON": (lambda: raw("{'text'"), 400, "body", "no valid JSON"),
    "NaN": (lambda: raw('{"model": "texts", "text": "a", "target": NaN}'), 400, "body", "NaN is no number"),
    "infinity": (
        lambda: raw('{"model": "texts", "text": "a", "target": 1e999}'),
        422,
        "field",
        "target must be",
    ),
    "an endless number": (lambda: raw('{"target": ' + "9" * 50_000 + "}"), 400, "body", "no valid JSON"),
    "a huge class": (lambda: text(target=10**30), 422, "field", "target must be"),
    "deep JSON": (lambda: raw('{"text": ' + "[" * 100_000), 400, "body", "nested too deeply|no valid JSON"),
    "bytes that are no text": (lambda: raw(b'{"text": "\xff\xfe\xfa"}'), 400, "body", "no valid JSON"),
    "a huge text": (lambda: text(text="film " * 5_000), 422, "input", "25,000 characters, more than"),
    "too many texts": (
        lambda: {"json": {"model": "texts", "texts": ["a"] * 33}},
        422,
        "field",
        "list of 1 to 32",
    ),
    "an unknown field": (lambda: text(path="/etc/passwd"), 422, "field", "no field 'path'"),
    "an unknown model": (lambda: text(model="../../x"), 422, "option", "model must be one of"),
    "an unknown class": (lambda: text(target="\x1b[31mnothing"), 422, "option", "is no class of the model"),
    "a class beyond the last": (lambda: text(target=99), 422, "option", "is no class"),
    "a flag that is none": (lambda: text(verify="maybe"), 422, "field", "verify must be true or false"),
    "a map that is none": (lambda: text(maps=["__class__"]), 422, "field", "maps must list"),
    "a path as picture": (
        lambda: {"json": {"model": "images", "image": "/etc/passwd"}},
        422,
        "field",
        "no base64",
    ),
    "an address as picture": (
        lambda: {"json": {"model": "images", "image": "http://127.0.0.1/x.png"}},
        422,
        "field",
        "no base64",
    ),
    "a row as picture": (
        lambda: {"json": {"model": "images", "image": {"path": "/etc/passwd"}}},
        422,
        "field",
        "in base64",
    ),
    "a path in the content": (lambda: form(b"/etc/passwd"), 422, "input", "no known format"),
    "a bomb": (lambda: form(promising_png(60_000, 60_000)), 422, "input", "cannot read|more than the limit"),
    "100 megapixels": (
        lambda: form(encoded(Image.new("1", (10_000, 10_000)), "PNG")),
        422,
        "input",
        "more than the limit",
    ),
    "a page named as a picture": (lambda: form(PAGE), 422, "input", "it is a web page"),
    "a cut picture": (lambda: form(png()[:200]), 422, "input", "cannot read"),
    "an empty picture": (lambda: form(b""), 422, "input", "there is no picture"),
    "a large file": (lambda: form(png() + bytes(2**20)), 422, "input", "more than the limit of 1,048,576"),
    "a form without end": (
        lambda: raw(b"--x\r\nContent-Disposition: form-data; name=text", "multipart/form-data; boundary=x"),
        400,
        "body",
        "ends before its last boundary",
    ),
    "a form that lost its last field": (
        lambda: raw(
            unended(model="texts", text="a dull film", target="2"), "multipart/form-data; boundary=x"
        ),
        400,
        "body",
        "ends before its last boundary",
    ),
    "a form without a boundary": (lambda: raw(b"--x", "multipart/form-data"), 400, "body", "form cannot be"),
    "a field twice": (
        lambda: {"files": [("text", (None, "a")), ("text", (None, "b"))]},
        422,
        "field",
        "the form has 'text' twice. Send JSON: {\"text\"",
    ),
    "two texts in a form, in JSON": (
        lambda: {"files": [("model", (None, "texts")), ("text", (None, '["a", "b"]'))]},
        422,
        "field",
        'a form holds one text. Send JSON: {"text": ["first", "second"]}',
    ),
    "several texts in a form": (
        lambda: {"files": [("model", (None, "texts")), ("texts", (None, '["a", "b"]'))]},
        422,
        "field",
        'a form holds one text. Send JSON: {"text": ["first", "second"]}',
    ),
    "a field twice in JSON": (
        lambda: raw('{"model": "texts", "text": "a dull film", "target": 0, "target": 1}'),
        400,
        "body",
        "'target' twice",
    ),
    "a field twice among very many in JSON": (
        lambda: raw("{" + ",".join(f'"k{i}": 1' for i in [*range(100_000), 99_999]) + "}"),
        400,
        "body",
        "'k99999' twice",
    ),
    "many fields": (
        lambda: {"files": [(f"f{i}", (None, "a")) for i in range(2_000)]},
        400,
        "body",
        "Too many",
    ),
    "a file as text": (lambda: {"files": {"text": ("a.txt", b"words")}}, 422, "field", "must be a value"),
    "a class in the address": (
        lambda: {**text(), "url": "/explain?target=1"},
        422,
        "field",
        "the address holds the field 'target', which is read from the body",
    ),
    "another type": (lambda: raw("text=a", "text/plain"), 415, "media_type", "'text/plain'"),
    "an unknown address": (
        lambda: {"url": "/../../etc/passwd", "method": "GET"},
        404,
        "not_found",
        "not served",
    ),
    "an address with a slash behind it": (
        lambda: {**text(), "url": "/explain/"},
        404,
        "not_found",
        "'/explain/' is not served",
    ),
    "another method": (lambda: {"method": "DELETE"}, 405, "method", "not served"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_requests_that_are_refused(service: Any, name: str) -> None:
    request, status, kind, said = REFUSED[name]
    start = time.perf_counter()
    found = one(service, **request())
    error = found.json()["error"]
    assert (found.status_code, error["kind"]) == (status, kind), error
    assert any(words in error["message"] for words in said.split("|")), error
    assert set(error) == {"kind", "message", "advice"}
    assert error["advice"]
    assert_harmless(found)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("/explain", "POST"),
        ("/classify", "POST"),
        ("/health", "GET, HEAD"),
        ("/metrics", "GET"),
        ("/docs", "GET"),
    ],
)
def test_a_refused_method_is_told_which_ones_are_served(service: Any, url: str, allowed: str) -> None:
    """As RFC 9110 requires of every 405."""
    found = one(service, url=url, method="DELETE")
    assert (found.status_code, found.headers["Allow"]) == (405, allowed)
    assert found.headers["Cache-Control"] == "no-store"


def test_errors_of_routes_that_a_user_adds_are_theirs() -> None:
    """They were answered as addresses that are not served, without their headers."""
    from fastapi import HTTPException

    own = app({"texts": hostile_texts()}, ServeOptions())
    raised = {
        401: HTTPException(401, "who?", {"WWW-Authenticate": "Basic"}),
        404: HTTPException(404, "no such job"),
        429: HTTPException(429, "later", {"Retry-After": "7"}),
    }

    @own.get("/jobs/{status}")
    def job(status: int) -> None:
        raise raised[status]

    for status, error in raised.items():
        found = one(own, url=f"/jobs/{status}", method="GET")
        assert (found.status_code, found.json()) == (status, {"detail": error.detail})
        assert all(found.headers[name] == value for name, value in (error.headers or {}).items())


def test_a_broken_form_says_nothing_in_the_log(service: Any, caplog: pytest.LogCaptureFixture) -> None:
    found = one(service, **raw(b"nothing of a form", "multipart/form-data; boundary=x"))
    assert found.status_code == 400
    assert not caplog.records


@pytest.mark.parametrize(
    "given",
    [
        "<script>window.hacked=1</script> a film",
        "/etc/passwd",
        "http://127.0.0.1:1/secret",
        "\x1b]0;hacked\x07 film \u202e gnp.exe",
        "null \0 film",
        "half \ud800 film",
        "{{7*7}} ${7*7} %s%n '; DROP TABLE films; --",
        HOSTILE,
    ],
    ids=range(8),
)
def test_texts_are_data(service: Any, given: str) -> None:
    found = one(service, content=json.dumps({"model": "texts", "text": given}), headers=JSON)
    assert found.status_code == 200
    assert "root:" not in found.text
    assert "".join(found.json()["inputs"]["text"]).strip()
    assert_harmless(found)


def test_only_pixels_are_left_of_a_picture_with_a_page_behind_it(service: Any) -> None:
    found = one(service, **form(png() + PAGE, inputs="true"))
    assert found.status_code == 200
    assert "hacked=1</script>" not in json.dumps(found.json()["inputs"])
    assert found.json()["inputs"] == one(service, **form(png(), inputs="true")).json()["inputs"]


def test_a_file_of_this_machine_is_not_opened(service: Any, tmp_path: Path) -> None:
    place = tmp_path / "photo.png"
    place.write_bytes(png())
    for value in (str(place), f"file://{place}", base64.b64encode(str(place).encode()).decode()):
        found = one(service, json={"model": "images", "image": value})
        assert found.status_code == 422
        as_form = one(service, **form(value.encode()))
        assert as_form.status_code == 422


def test_a_body_without_end_is_not_read_to_its_end(service: Any) -> None:
    read = 0

    async def endless() -> Any:
        nonlocal read
        while read < 2**31:
            read += 2**16
            yield b" " * 2**16

    found = one(service, content=endless(), headers=JSON)
    assert found.status_code == 413
    limit = service.state.service.options.most_bytes(True)
    assert read <= limit + 2**17
    read = 0
    told = one(service, content=endless(), headers={**JSON, "Content-Length": "999999999"})
    assert told.status_code == 413
    assert read == 0
    boundary = {"Content-Type": "multipart/form-data; boundary=x"}
    assert one(service, content=endless(), headers=boundary).status_code in (400, 413)
    assert read <= limit + 2**17


def test_the_token(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SERVE_TEST_TOKEN", "long-secret")
    options = ServeOptions(token_from="SERVE_TEST_TOKEN")
    service = app({"texts": hostile_texts()}, options)
    schema = one(service, method="GET", url="/openapi.json").json()
    assert schema["security"] == [{"token": []}]
    body = {"json": {"text": "a dull film"}}
    for bad in (
        "",
        "Bearer",
        "Bearer long-secre",
        "Basic long-secret",
        "long-secret",
        "Bearer \xe9",
        "b " * 9_999,
    ):
        found = one(service, **body, headers={"Authorization": bad.encode("latin-1")})
        assert found.status_code == 401
        assert found.headers["WWW-Authenticate"] == "Bearer"
    good = {"Authorization": "Bearer long-secret"}
    assert one(service, **body, headers=good).status_code == 200
    assert one(service, method="GET", url="/metrics").status_code == 401
    assert one(service, method="GET", url="/health").json() == {"status": "ok"}
    assert "models" in one(service, method="GET", url="/health", headers=good).json()
    told = [one(service, method="GET", url=u, headers=good).text for u in ("/metrics", "/docs", "/health")]
    assert not any("long-secret" in words for words in (*told, repr(options), *capsys.readouterr()))


@pytest.mark.parametrize(
    ("token", "coding"), [("géheim", "utf-8"), ("géheim", "latin-1"), ("à", "utf-8"), ("密", "utf-8")]
)
def test_a_token_of_other_letters_is_borne_too(
    token: str, coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """curl sends the bytes of the terminal, which were taken for other letters."""
    monkeypatch.setenv("SERVE_TEST_TOKEN", token)
    service = app({"texts": hostile_texts()}, ServeOptions(token_from="SERVE_TEST_TOKEN"))
    for sent, status in ((token, 200), (f" {token} ", 200), (token[:-1], 401), (f"{token}x", 401)):
        header = {"Authorization": f"Bearer {sent}".encode(coding)}
        found = one(service, json={"text": "a dull film"}, headers=header)
        assert found.status_code == status


def test_measured_maps_can_be_refused() -> None:
    service = app({"texts": hostile_texts()}, ServeOptions(verify=False))
    found = one(service, json={"text": "a dull film", "verify": True})
    assert found.status_code == 422
    assert "measures no maps" in found.json()["error"]["message"]
    assert one(service, json={"text": "a dull film", "verify": False}).status_code == 200


def test_a_failure_of_the_service_tells_no_secrets(caplog: pytest.LogCaptureFixture) -> None:
    service = app({"texts": hostile_texts()})

    class Broken:
        def explain(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("at /home/someone/secret.py")

    model = service.state.service.models["texts"]
    own, model.explainer = model.explainer, Broken()
    model.explainer.target = own.target
    found = one(service, json={"text": "a dull film"})
    assert found.status_code == 500
    assert found.json()["error"]["kind"] == "internal"
    assert "secret" not in found.text
    assert "secret" in caplog.text
    model.explainer = own
    assert one(service, json={"text": "a dull film"}).status_code == 200


def test_hostile_requests_harm_no_other(service: Any) -> None:
    before = set(os.listdir())
    bad = [make() for make, *_ in REFUSED.values()][::2]
    good = [text() for _ in range(8)]
    found = asked(service, *(request for pair in zip(bad, good, strict=False) for request in pair))
    assert all(answer.status_code == 200 for answer in found[1::2])
    assert all(400 <= answer.status_code < 500 for answer in found[::2])
    assert metric(service, "sidelight_inputs_due") == 0
    assert set(os.listdir()) == before


def assert_harmless(found: Any) -> None:
    """A browser takes the answer as JSON, and nothing in it steers a terminal or tells how the service is built."""
    assert found.headers["content-type"] == "application/json"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert "Traceback" not in found.text
    assert 'File "' not in found.text
    assert "\x1b" not in found.text
