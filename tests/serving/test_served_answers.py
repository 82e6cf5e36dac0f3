"""Answers over HTTP are those of the library, alone and in batches, and batches happen."""

from __future__ import annotations

import base64
import functools
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("prometheus_client", reason="the extra serve is not installed")

import text_models
from face_toys import image_explainer, pair_explainer, text_explainer
from live_toys import png
from serving_toys import TEXTS, as_numbers, asked, assert_same, held_app, one, picture
from sidelight import Explainer, Explanation
from sidelight.errors import CheckpointError, ConfigError, InputTypeError
from sidelight.inputs.file_names import FileNameWarning
from sidelight.serving import ServeOptions, app, opened
from sidelight.targets import as_target


@pytest.fixture(scope="module")
def explainers() -> dict[str, Explainer]:
    return {"texts": text_explainer(), "images": image_explainer(), "pairs": pair_explainer()}


@pytest.fixture(scope="module")
def service(explainers: dict[str, Explainer]) -> Any:
    return app(explainers)


def expected(explainer: Explainer, sample: Any, **options: Any) -> dict[str, Any]:
    """The library's own answer as JSON. A picture is not sent back."""
    found = json.loads(json.dumps(explainer.explain(sample, **options).to_dict()))
    found["inputs"].pop("image", None)
    return found


def test_a_text(service: Any, explainers: dict[str, Explainer]) -> None:
    found = one(service, json={"model": "texts", "text": TEXTS[0]})
    assert found.status_code == 200
    assert_same(found.json(), expected(explainers["texts"], TEXTS[0]))
    assert Explanation.from_dict(found.json()).modalities == ("text",)


def test_a_picture_as_a_form_and_in_json(service: Any, explainers: dict[str, Explainer]) -> None:
    content = png()
    own = expected(explainers["images"], picture(content))
    form = one(service, data={"model": "images"}, files={"image": ("a.png", content)})
    assert_same(form.json(), own)
    coded = base64.b64encode(content).decode()
    assert one(service, json={"model": "images", "image": coded}).json() == form.json()


def test_a_pair(service: Any, explainers: dict[str, Explainer]) -> None:
    content = png()
    found = one(service, data={"model": "pairs", "text": TEXTS[1]}, files={"image": ("a.png", content)})
    assert_same(found.json(), expected(explainers["pairs"], (picture(content), TEXTS[1])))


def test_two_texts(service: Any, explainers: dict[str, Explainer]) -> None:
    found = one(service, json={"model": "texts", "texts": [TEXTS[:2], TEXTS[2:4]]}).json()["answers"]
    assert_same(found[0], expected(explainers["texts"], tuple(TEXTS[:2])))
    assert_same(found[1], expected(explainers["texts"], tuple(TEXTS[2:4])))


@pytest.mark.parametrize("options", [{"target": "LABEL_2"}, {"target": "second"}, {"target": 0, "versus": 2}])
def test_classes(service: Any, explainers: dict[str, Explainer], options: dict[str, Any]) -> None:
    found = one(service, json={"model": "texts", "text": TEXTS[2], **options})
    assert_same(found.json(), expected(explainers["texts"], TEXTS[2], **options))


def test_a_measured_map(service: Any, explainers: dict[str, Explainer]) -> None:
    found = one(service, json={"model": "texts", "text": TEXTS[0], "verify": True}).json()
    own = expected(explainers["texts"], TEXTS[0], verify=True)
    assert [c["fill"] for c in found["meta"]["certificate"]] == [
        c["fill"] for c in own["meta"]["certificate"]
    ]
    assert_same(found, own)


@pytest.mark.parametrize("url", ["/explain", "/classify"])
def test_a_bad_text_among_several_is_answered_in_its_place(url: str, service: Any) -> None:
    texts = [TEXTS[0], "", "x" * 30_000, 7, ["a", "b", "c"], None, TEXTS[1]]
    found = one(service, url=url, json={"model": "texts", "texts": texts})
    assert found.status_code == 200
    answers = found.json()["answers"]
    assert ["error" in answer for answer in answers] == [False, *[True] * 5, False]
    assert "is empty" in answers[1]["error"]["message"]
    assert "characters" in answers[2]["error"]["message"]
    assert answers[3]["error"]["kind"] == "field"
    single = one(service, url=url, json={"model": "texts", "text": TEXTS[1]}).json()
    assert answers[6]["label"] == single["label"]
    none = one(service, url=url, json={"model": "texts", "texts": ["", " "]})
    assert (none.status_code, len(none.json()["answers"])) == (200, 2)


def test_base64_as_programs_write_it(service: Any) -> None:
    content = png()
    plain = base64.b64encode(content).decode()
    forms = [
        base64.encodebytes(content).decode(),
        base64.urlsafe_b64encode(content).decode(),
        base64.urlsafe_b64encode(content).decode().rstrip("="),  # as JavaScript and Go write it
        f"data:image/png;base64,{plain}",
        f"DATA:;base64,\n{plain}",
    ]
    own = one(service, json={"model": "images", "image": plain}).json()
    for form in forms:
        found = one(service, json={"model": "images", "image": form})
        assert found.status_code == 200, found.text
        assert_same(found.json(), own)
    for wrong in ("data:image/png,abcd", f"data:image/png;base64{plain}", f"x,{plain}"):
        assert one(service, json={"model": "images", "image": wrong}).status_code == 422


def test_the_head_of_the_health_is_told(service: Any) -> None:
    assert one(service, method="HEAD", url="/health").status_code == 200


def test_parts_that_are_sent(service: Any) -> None:
    asking = {"data": {"model": "images", "maps": "scores,effects"}, "files": {"image": ("a", png())}}
    found = one(service, **asking).json()
    assert "effects" in found
    assert "ranking" not in found
    assert found["inputs"] == {}
    with pytest.raises(CheckpointError, match=r"no input of image.*Ask again with 'inputs': true"):
        Explanation.from_dict(found)
    asking["data"]["inputs"] = "true"
    whole = Explanation.from_dict(one(service, **asking).json())
    assert whole.inputs["image"].shape[:2] == whole.scores["image"].shape
    asking["data"]["maps"] = "effects"
    with pytest.raises(CheckpointError, match=r"no scores.*with 'scores' among them"):
        Explanation.from_dict(one(service, **asking).json())


def test_nobody_learns_which_files_lie_beside_a_service(
    service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret.csv").write_text("text")
    with warnings.catch_warnings():
        warnings.simplefilter("error", FileNameWarning)
        for texts in (["secret.csv"], ["secret.csv", TEXTS[0]]):
            assert one(service, json={"model": "texts", "texts": texts}).status_code == 200


def test_nobody_learns_where_the_classifier_lies(tmp_path: Path, explainers: dict[str, Explainer]) -> None:
    """Each answer held the path of its folder, and with it names of users and projects."""
    folder = tmp_path / "films"
    explainers["texts"].target.model.save_pretrained(folder)
    target = as_target(folder, explainers["texts"].target.reader.tokenizer)
    found = one(app({"texts": Explainer(target, explainers["texts"].scorer)}), json={"text": TEXTS[0]})
    assert found.json()["target"] == "films"
    assert str(tmp_path) not in found.text


def test_a_verdict(service: Any, explainers: dict[str, Explainer]) -> None:
    found = asked(service, *({"url": "/classify", "json": {"model": "texts", "text": t}} for t in TEXTS))
    for text, answer in zip(TEXTS, found, strict=True):
        own = explainers["texts"].explain(text)
        assert answer.json()["label"] == own.label
        assert answer.json()["probabilities"] == pytest.approx(own.probabilities.tolist(), abs=2e-6)


def test_many_at_once(service: Any, explainers: dict[str, Explainer]) -> None:
    contents = [png(seed=i) for i in range(6)]
    texts = [{"json": {"model": "texts", "text": t, "target": i % 3}} for i, t in enumerate(TEXTS)]
    pictures = [{"data": {"model": "images"}, "files": {"image": ("a.png", c)}} for c in contents]
    found = asked(service, *texts, *pictures)
    for i, text in enumerate(TEXTS):
        assert_same(found[i].json(), expected(explainers["texts"], text, target=i % 3))
    for i, content in enumerate(contents):
        assert_same(found[len(texts) + i].json(), expected(explainers["images"], picture(content)))


def test_requests_join_one_pass(explainers: dict[str, Explainer]) -> None:
    service, held = held_app(explainers["texts"], wait=0.3, batch_size=8)
    held.let_go()
    found = asked(service, *({"json": {"text": t}} for t in TEXTS))
    assert held.passes == [len(TEXTS)]
    assert len({answer.text for answer in found}) == len(TEXTS)


def test_a_batch_has_a_size(explainers: dict[str, Explainer]) -> None:
    service, held = held_app(explainers["texts"], wait=0.3, batch_size=4)
    held.let_go()
    asked(service, *({"json": {"text": t}} for t in TEXTS))
    assert held.passes == [4, 2]


def test_only_like_requests_join(explainers: dict[str, Explainer]) -> None:
    service, held = held_app(explainers["texts"], wait=0.3)
    held.let_go()
    plain = [{"json": {"text": t}} for t in TEXTS[:2]]
    other = [{"json": {"text": t, "target": 1}} for t in TEXTS[:3]]
    long = [{"json": {"text": "a dull film " * 200}}]
    measured = [{"json": {"text": TEXTS[0], "verify": True}}] * 2
    assert all(r.status_code == 200 for r in asked(service, *plain, *other, *long, *measured))
    assert sorted(held.passes) == [1, 1, 1, 2, 3]


def test_a_lone_request_waits_no_longer_than_it_must(explainers: dict[str, Explainer]) -> None:
    service, held = held_app(explainers["texts"], wait=0.0)
    held.let_go()
    assert one(service, json={"text": TEXTS[0]}).status_code == 200
    assert held.passes == [1]


def test_one_bad_input_harms_no_other(explainers: dict[str, Explainer]) -> None:
    service, held = held_app(explainers["texts"], wait=0.3)
    held.let_go()
    asking = [{"json": {"text": t, "target": "LABEL_1"}} for t in TEXTS[:3]]
    asking[1]["json"]["target"] = "nothing"
    good, bad, other = asked(service, *asking)
    assert held.passes == [3, 1, 1, 1]
    assert bad.status_code == 422
    assert bad.json()["error"]["kind"] == "option"
    assert_same(good.json(), expected(explainers["texts"], TEXTS[0], target="LABEL_1"))
    assert_same(other.json(), expected(explainers["texts"], TEXTS[2], target="LABEL_1"))


def test_a_bad_picture_among_good_ones(service: Any, explainers: dict[str, Explainer]) -> None:
    contents = [png(seed=1), b"no picture", png(seed=2)]
    asking = [{"data": {"model": "images"}, "files": {"image": ("a", c)}} for c in contents]
    first, bad, last = asked(service, *asking)
    assert bad.status_code == 422
    assert "no known format" in bad.json()["error"]["message"]
    assert_same(first.json(), expected(explainers["images"], picture(contents[0])))
    assert_same(last.json(), expected(explainers["images"], picture(contents[2])))


def test_several_texts_with_an_error_among_them(explainers: dict[str, Explainer]) -> None:
    service, held = held_app(explainers["texts"], wait=0.3)
    held.let_go()
    held.refused = TEXTS[1]
    found = one(service, json={"texts": TEXTS[:3]}).json()["answers"]
    assert ["error" in answer for answer in found] == [False, True, False]
    assert found[1]["error"]["kind"] == "input"
    assert_same(found[2], expected(explainers["texts"], TEXTS[2]))
    assert held.passes == [3, 1, 1, 1]


def test_it_is_plain_asgi_and_any_process_can_make_it(
    tmp_path: Path, explainers: dict[str, Explainer]
) -> None:
    """As Ray Serve does: the application itself is never sent anywhere, but what makes it is."""
    target = explainers["texts"].target
    explainers["texts"].save_pretrained(tmp_path / "scorer")
    target.model.save_pretrained(tmp_path / "model")
    text_models.make_pair("bert")[1].save_pretrained(tmp_path / "model")
    make = functools.partial(opened, {"texts": str(tmp_path / "scorer")}, ServeOptions(), Opening(tmp_path))
    service = pickle.loads(pickle.dumps(make))()
    sent: list[dict[str, Any]] = []
    call_by_hand(service, sent)
    assert sent[0]["status"] == 200
    own = explainers["texts"].explain(TEXTS[0]).to_dict()
    assert_same(json.loads(sent[1]["body"]), json.loads(json.dumps(own)))


class Opening:
    """Opens a scorer beside the classifier of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, scorer: Any) -> Explainer:
        return Explainer.from_pretrained(scorer, str(self.folder / "model"))


def call_by_hand(service: Any, sent: list[dict[str, Any]]) -> None:
    """A request as the ASGI specification has it, with nothing between."""
    import asyncio

    body = json.dumps({"text": TEXTS[0]}).encode()
    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST"},
        **{"scheme": "http", "path": "/explain", "raw_path": b"/explain", "query_string": b""},
        **{"root_path": "", "headers": [(b"content-type", b"application/json")], "server": ("test", 80)},
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    asyncio.run(service(scope, receive, send))


def test_what_the_service_tells(service: Any) -> None:
    told = one(service, method="GET", url="/health").json()
    assert told["status"] == "ok"
    assert told["models"]["pairs"]["reads"] == ["image", "text"]
    assert told["models"]["images"]["classes"] == ["cat", "dog", "cow", "hen"]
    page = one(service, method="GET", url="/docs")
    assert "<script" not in page.text
    assert "http" not in page.text.replace("http://127.0.0.1:8000", "")  # nothing of other machines
    schema = one(service, method="GET", url="/openapi.json").json()
    assert set(schema["paths"]) == {"/explain", "/classify", "/health", "/metrics"}
    content = schema["paths"]["/explain"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data"}
    assert "width=device-width" in page.text  # else a phone shows it as small as a wide screen


def test_the_description_of_a_form_is_what_a_form_may_hold(service: Any) -> None:
    schema = one(service, method="GET", url="/openapi.json").json()
    content = schema["paths"]["/explain"]["post"]["requestBody"]["content"]
    fields = content["multipart/form-data"]["schema"]["properties"]
    for name in ("text", "image", "maps"):  # a list would be sent as a field that is there twice
        assert fields[name]["type"] == "string", name
    form = {"model": "pairs", "text": TEXTS[0], "maps": "scores,effects"}
    found = one(service, data=form, files={"image": png()})
    assert {"scores", "effects"} <= set(found.json())
    assert "nullable" not in str(schema)  # a word of OpenAPI 3.0, and this is 3.1


def test_the_examples_of_the_description_are_answered(explainers: dict[str, Explainer]) -> None:
    service = app({"texts": explainers["texts"]})
    schema = one(service, method="GET", url="/openapi.json").json()
    for path in ("/explain", "/classify"):
        content = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        for example in content["examples"].values():
            assert one(service, url=path, json=example["value"]).status_code == 200


def test_bad_services_are_named(explainers: dict[str, Explainer], monkeypatch: pytest.MonkeyPatch) -> None:
    for bad in ({}, {"": explainers["texts"]}, None):
        with pytest.raises(ConfigError):
            app(bad)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="'texts' must be an Explainer; got str"):
        app({"texts": "a folder"})  # type: ignore[dict-item]
    for options in (
        {"batch_size": 0},
        {"queue": True},
        {"wait": float("nan")},
        {"timeout": 0},
        {"verify": "no"},
    ):
        with pytest.raises(ConfigError):
            ServeOptions(**options)  # type: ignore[arg-type]
    monkeypatch.delenv("NO_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="NO_TOKEN"):
        app({"texts": explainers["texts"]}, ServeOptions(token_from="NO_TOKEN"))


def test_the_comparison_itself_sees_a_difference(explainers: dict[str, Explainer]) -> None:
    own = expected(explainers["texts"], TEXTS[0])
    other = json.loads(json.dumps(own))
    other["scores"]["text"][0] += 1e-4
    assert len(as_numbers(own)) > 10
    with pytest.raises(AssertionError):
        assert_same(other, own)
