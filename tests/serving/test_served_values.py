"""Regression values over HTTP, and pictures in the place of texts."""

from __future__ import annotations

import base64
from typing import Any

import pytest

pytest.importorskip("prometheus_client", reason="the extra serve is not installed")

import toy_models
from face_toys import beside, lively, pair_explainer, text_explainer
from live_toys import png
from serving_toys import TEXTS, one
from sidelight.serving import app
from sidelight.targets import as_target
from text_models import make_tokenizer

PNG = base64.b64encode(png()).decode()


@pytest.fixture(scope="module")
def service() -> Any:
    regression = {"vocab_size": 512, "num_labels": 1, "problem_type": "regression"}
    model = lively(toy_models.seeded(lambda: toy_models.bert(**regression)), 4)
    target = as_target(model, make_tokenizer("wordpiece"), threshold=0.1, scale=1 / 3)
    values = beside(target, dict(target.reader.read(TEXTS[:2]).inputs), by_class=True)
    return app({"values": values, "texts": text_explainer(), "pairs": pair_explainer()})


@pytest.mark.parametrize("url", ["/explain", "/classify"])
def test_numbers_have_six_significant_digits(service: Any, url: str) -> None:
    """A value had all digits of its float, as 3.141592741012573, and the guide promises six."""
    asking: dict[str, Any] = {"model": "values", "text": TEXTS[0], "verify": url == "/explain"}
    found = one(service, url=url, json={name: value for name, value in asking.items() if value}).json()
    about = found.get("meta", found)
    assert about["value"] == float(f"{about['value']:.6g}")
    assert about["value"] == pytest.approx(0, abs=50)
    numbers = list(_fractions(found))
    assert len(numbers) > 3
    assert numbers == [float(f"{n:.6g}") for n in numbers]


def _fractions(value: Any) -> Any:
    if isinstance(value, float):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _fractions(part)


@pytest.mark.parametrize("content", [PNG, f"data:image/png;base64,{PNG}", png().decode("latin-1")])
@pytest.mark.parametrize("url", ["/explain", "/classify"])
def test_a_picture_in_the_place_of_a_text_is_told(service: Any, url: str, content: str) -> None:
    """Its letters were explained as words."""
    forms: list[dict[str, Any]] = [
        {"json": {"model": "texts", "text": content}},
        {"json": {"model": "texts", "text": [TEXTS[0], content]}},
        {"files": {"model": (None, "texts"), "text": (None, content.encode("latin-1"))}},
        {"json": {"model": "pairs", "text": content, "image": PNG}},
    ]
    for form in forms:
        found = one(service, url=url, **form)
        assert found.status_code == 422
        assert "text is the content of a picture, and" in found.json()["error"]["message"]
    answers = one(service, url=url, json={"model": "texts", "texts": [TEXTS[0], content]}).json()["answers"]
    assert ["error" in answer for answer in answers] == [False, True]


@pytest.mark.parametrize(
    "text", ["R0lGOD is how a GIF begins in base64", "GIF89a", "/9j/ is a JPEG", "data:"]
)
def test_texts_about_pictures_are_texts(service: Any, text: str) -> None:
    assert one(service, json={"model": "texts", "text": text}).status_code == 200


def sent(service: Any, fields: dict[str, bytes], kind: str = "") -> Any:
    """The answer to a form of these bytes, as a browser writes it: a file that nobody chose has a name, an empty one."""
    body = b""
    for name, value in fields.items():
        file = f'; filename="{"a.png" if value else ""}"' if name == "image" else ""
        body += (
            f'--x\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"
        )
    head = {"Content-Type": f"multipart/form-data; boundary=x{kind}"}
    return one(service, content=body + b"--x--\r\n", headers=head)


def test_a_form_of_other_letters_is_told(service: Any) -> None:
    """curl under Windows sends the bytes of its code page, and they were explained as other letters."""

    def told(content: bytes, kind: str = "", field: str = "text") -> Any:
        return sent(service, {"model": b"texts", "text": b"a film", field: content}, kind)

    for coding in ("cp1251", "utf-16"):
        for field in ("text", "target"):
            found = told("скучный фильм".encode(coding), field=field)
            assert found.status_code == 400
            assert f"the field '{field}' of the form is no UTF-8" in found.json()["error"]["message"]
    for content, kind in (("größe".encode(), ""), ("größe".encode("latin-1"), "; charset=iso-8859-1")):
        found = told(content, kind).json()
        assert "".join(found["inputs"]["text"]) == "größe"


def test_an_empty_field_of_a_form_is_left_out(service: Any) -> None:
    """A browser sends every field of its form, also those that nobody filled. Empty classes and maps were refused."""
    empty = dict.fromkeys(("target", "versus", "verify", "maps", "inputs", "texts", "image"), b"")
    pair = {"model": b"pairs", "text": TEXTS[0].encode(), "image": png()}
    found = sent(service, {**empty, "model": b"texts", "text": TEXTS[0].encode()})
    assert found.status_code == 200, found.text
    assert found.json() == one(service, json={"model": "texts", "text": TEXTS[0]}).json()
    found = sent(service, {**empty, **pair})
    assert found.json() == one(service, json={"model": "pairs", "text": TEXTS[0], "image": PNG}).json()
    for name, said in (
        ("image", "'image' is missing"),
        ("text", "'text' is missing"),
        ("model", "model must be one of"),
    ):
        assert said in sent(service, {**pair, name: b""}).json()["error"]["message"]
    unknown = sent(service, {"model": b"texts", "text": b"a film", "send": b""})
    assert "no field 'send'" in unknown.json()["error"]["message"]


def test_maps_of_a_form_may_have_spaces_between(service: Any) -> None:
    form = {"model": (None, "texts"), "text": (None, TEXTS[0]), "maps": (None, "scores, effects")}
    found = one(service, files=form)
    assert found.status_code == 200
    assert {"scores", "ranking", "effects"} & set(found.json()) == {"scores", "effects"}


def test_a_very_long_name_of_a_class_is_told_to_be_one(service: Any) -> None:
    """It was called no name."""
    found = one(service, json={"model": "texts", "text": TEXTS[0], "target": "so-so " * 50})
    assert found.json()["error"]["message"] == (
        "target has 300 characters, and names of up to 200 are read: give the number of the class."
    )


def test_names_of_models_are_quoted_as_the_one_that_was_given() -> None:
    """Folders of runs may be called 1 and 2. The answer to the number 1 was "one of 1, a, b; got 1"."""
    explainer = text_explainer()
    found = one(app({"1": explainer, "a, b": explainer}), json={"model": 1, "text": TEXTS[0]})
    assert found.json()["error"]["message"] == "model must be one of '1', 'a, b'; got 1."
