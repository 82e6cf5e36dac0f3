"""Our pipelines beside the plain ones of transformers: the same labels and scores, and the explanations of `explain`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.pt_utils import KeyDataset

import pair_models
import sidelight
import text_models
from face_toys import (
    CLASSES,
    TRANSFORM,
    image_explainer,
    image_model,
    pair_explainer,
    pictures,
    text_explainer,
)
from sidelight import Explainer, Explanation
from sidelight.errors import ConfigError, InputError, TargetMismatchError, UnsupportedTargetError
from sidelight.scorers import Scorer
from sidelight.targets import as_target
from tiny_models import plain

TEXTS = [*text_models.TEXTS, "the story is charming"]


@pytest.fixture(scope="module")
def texts() -> Explainer:
    return text_explainer()


@pytest.fixture(scope="module")
def images() -> Explainer:
    return image_explainer()


@pytest.fixture(scope="module")
def plain_texts(texts: Explainer) -> Any:
    reader = texts.target.reader
    return transformers.pipeline(
        "text-classification", model=texts.target.model, tokenizer=reader.tokenizer, device="cpu"
    )


@pytest.fixture(scope="module")
def plain_images(images: Explainer) -> Any:
    """With a processor of transformers that does what our transform does."""
    processor = transformers.ViTImageProcessor(
        size={"height": 32, "width": 32},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        resample=2,
    )
    return transformers.pipeline(
        "image-classification", model=images.target.model, image_processor=processor, device="cpu"
    )


def bare(answers: Any) -> Any:
    """Answers without what explains them."""
    if isinstance(answers, list):
        return [bare(a) for a in answers]
    return {k: v for k, v in answers.items() if k in ("label", "score")}


def same(found: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Lists or answers with equal labels and close scores."""
    assert type(found) is type(expected)
    if isinstance(found, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other, tolerance)
        return
    assert found["label"] == expected["label"]
    assert found["score"] == pytest.approx(expected["score"], abs=tolerance)


# -- texts -------------------------------------------------------------------------------


CALLS: list[dict[str, Any]] = [
    {},
    {"top_k": 2},
    {"top_k": None},
    {"top_k": 1},
    {"function_to_apply": "sigmoid"},
    {"function_to_apply": "none", "top_k": None},
    {"batch_size": 3},
    {"batch_size": 2, "top_k": None},
    {"truncation": True, "padding": True},
]


@pytest.mark.parametrize("options", CALLS, ids=str)
def test_texts_get_the_plain_labels_and_scores(
    texts: Explainer, plain_texts: Any, options: dict[str, Any]
) -> None:
    pipe = sidelight.pipeline("text-classification", explainer=texts, device="cpu")
    same(bare(pipe(TEXTS, **options)), plain_texts(TEXTS, **options))
    same(bare(pipe(TEXTS[0], **options)), plain_texts(TEXTS[0], **options))


def test_an_answer_holds_the_explanation_of_explain(texts: Explainer) -> None:
    answers = sidelight.pipeline(explainer=texts, device="cpu")(TEXTS, batch_size=4)
    for answer, expected in zip(answers, texts.explain(TEXTS), strict=True):
        found = answer["explanation"]
        assert isinstance(found, Explanation)
        assert (found.label, found.inputs) == (expected.label, expected.inputs)
        assert answer["label"] == found.label
        for kind in ("scores", "ranking", "effects"):
            np.testing.assert_allclose(
                getattr(found, kind)["text"], getattr(expected, kind)["text"], atol=1e-5
            )
        assert found.meta == expected.meta


def test_words_have_scores_and_places(texts: Explainer) -> None:
    text = "  a truly awful movie,\twith weak acting! "
    (answer,) = sidelight.pipeline("sentiment-analysis", explainer=texts, device="cpu")(text)
    explanation = texts.explain(text)
    words = answer["words"]
    assert [text[w["start"] : w["end"]] for w in words] == [w["word"] for w in words]
    assert [w["word"] for w in words] == [shown.strip() for shown in explanation.inputs["text"]]
    np.testing.assert_allclose([w["score"] for w in words], explanation.map, atol=1e-6)


def test_words_that_the_model_did_not_read_are_left_out(texts: Explainer) -> None:
    long = " ".join(["great"] * 60)
    with pytest.warns(UserWarning, match="were cut"):
        (answer,) = sidelight.pipeline(explainer=texts, device="cpu")(long)
    assert 0 < len(answer["words"]) < 60
    assert answer["explanation"].meta["truncated"]
    assert all(long[w["start"] : w["end"]] == "great" for w in answer["words"])


def test_pairs_of_texts(texts: Explainer, plain_texts: Any) -> None:
    pipe = sidelight.pipeline(explainer=texts, device="cpu")
    pair = {"text": "the film was great", "text_pair": "dull"}
    same(bare(pipe(pair)), plain_texts(pair))
    same(bare(pipe([pair, pair], batch_size=2)), plain_texts([pair, pair]))
    assert {(w["word"], w["segment"]) for w in pipe(pair)["words"]} >= {("film", 0), ("dull", 1)}


def test_each_answer_may_have_the_map_of_its_own_label(texts: Explainer) -> None:
    pipe = sidelight.pipeline(explainer=texts, device="cpu", top_k=None)
    names = texts.target.id2label
    for answers in pipe(TEXTS[:2], maps=None, batch_size=2):
        assert [a["explanation"].explained_label for a in answers] == [a["label"] for a in answers]
        assert sorted(a["label"] for a in answers) == sorted(names.values())
    (answers,) = pipe(TEXTS[:1], maps=2)
    expected = texts.explain(TEXTS[0], target=answers[1]["label"])
    np.testing.assert_allclose(answers[1]["explanation"].map, expected.map, atol=1e-6)
    assert answers[1]["explanation"].explained == expected.explained
    assert answers[2]["explanation"] is answers[2]["words"] is None
    (answers,) = pipe(TEXTS[:1], maps=0)
    assert all(a["explanation"] is None for a in answers)


@pytest.mark.parametrize("family", ["roberta", "gpt2", "llama", "distilbert"])
def test_other_families_in_batches(family: str) -> None:
    explainer = text_explainer(family)
    model, tokenizer = explainer.target.model, explainer.target.reader.tokenizer
    expected = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")(
        TEXTS
    )
    for size in (1, 3):
        found = sidelight.pipeline(explainer=explainer, device="cpu", batch_size=size)(TEXTS)
        same(bare(found), expected, 1e-4)


def test_data_sets_and_generators_stream(texts: Explainer, plain_texts: Any) -> None:
    pipe = sidelight.pipeline(explainer=texts, device="cpu", batch_size=2)
    read: list[int] = []

    def rows() -> Iterator[str]:
        for number in range(100):
            read.append(number)
            yield TEXTS[number % len(TEXTS)]

    stream = iter(pipe(rows()))
    first = [next(stream) for _ in range(3)]
    same(bare(first), plain_texts([TEXTS[i] for i in range(3)]))
    assert len(read) <= 6
    data = KeyDataset([{"text": text} for text in TEXTS], "text")  # type: ignore[arg-type]
    same(bare(list(pipe(data))), plain_texts(TEXTS))
    same(bare(list(pipe(data, num_workers=1, batch_size=3))), plain_texts(TEXTS))


# -- pictures ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"top_k": 2}, {"top_k": 1}, {"batch_size": 3}, {"function_to_apply": "none"}]
)
def test_pictures_get_the_plain_labels_and_scores(
    images: Explainer, plain_images: Any, options: dict[str, Any]
) -> None:
    pipe = sidelight.pipeline("image-classification", explainer=images, device="cpu")
    shown = pictures(5)
    # the processor rounds to whole grey levels, with torchvision to others than ours
    same(bare(pipe(shown, **options)), plain_images(shown, **options), 3e-3)
    same(bare(pipe(shown[0], **options)), plain_images(shown[0], **options), 3e-3)


def test_a_picture_has_a_map(images: Explainer, tmp_path: Path) -> None:
    shown = pictures(3)
    shown[0].save(tmp_path / "photo.png")
    pipe = sidelight.pipeline(explainer=images, device="cpu")
    expected = images.explain(shown)
    for size in (1, 2):
        found = pipe(shown, batch_size=size)
        for answers, one in zip(found, expected, strict=True):
            assert len(answers) == CLASSES
            np.testing.assert_allclose(answers[0]["map"], one.map, atol=1e-5)
            assert answers[0]["map"].shape == (32, 32)
            assert answers[0]["score"] == pytest.approx(one.probability, abs=1e-5)
            assert answers[1]["map"] is None
    by_path = pipe(str(tmp_path / "photo.png"))
    np.testing.assert_allclose(by_path[0]["map"], expected[0].map, atol=1e-5)


def test_pictures_that_the_plain_pipeline_decodes(images: Explainer, tmp_path: Path) -> None:
    import base64

    shown = pictures(1)[0]
    shown.save(tmp_path / "photo.png")
    address = "data:image/png;base64," + base64.b64encode((tmp_path / "photo.png").read_bytes()).decode()
    found = sidelight.pipeline(explainer=images, device="cpu")(address)
    np.testing.assert_allclose(found[0]["map"], images.explain(shown).map, atol=1e-5)


def test_worker_processes_prepare_pictures(images: Explainer) -> None:
    shown = pictures(4)
    pipe = sidelight.pipeline(explainer=images, device="cpu")
    same(bare(pipe(shown, num_workers=1, batch_size=2)), bare(pipe(shown)))


# -- pairs -------------------------------------------------------------------------------


def test_pairs_have_a_map_and_words() -> None:
    explainer = pair_explainer()
    pipe = sidelight.pipeline(explainer=explainer, device="cpu")
    assert pipe.task == "image-text-classification"
    samples = pair_models.pairs()
    expected = explainer.explain(samples)
    for size in (1, 3):
        for answer, one in zip(pipe(samples, batch_size=size), expected, strict=True):
            assert answer["label"] == one.label
            assert answer["score"] == pytest.approx(one.probability, abs=1e-5)
            np.testing.assert_allclose(answer["map"], one.scores["image"], atol=1e-5)
            np.testing.assert_allclose([w["score"] for w in answer["words"]], one.scores["text"], atol=1e-5)
    image, text = samples[1]
    for sample in (samples[1], {"image": image, "text": text}, {"image": image, "question": text}):
        answers = pipe(sample, top_k=2, maps=2)
        assert [a["explanation"].explained_label for a in answers] == [a["label"] for a in answers]
    with pytest.raises(InputError, match="the text of sample 0 is missing"):
        pipe({"image": image})
    with pytest.raises(ConfigError, match="no option 'function_to_apply'"):
        pipe(samples[0], function_to_apply="none")


# -- models of other kinds ---------------------------------------------------------------


def test_one_yes_or_no_logit_has_the_plain_score(texts: Explainer) -> None:
    config = transformers.BertConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        vocab_size=512,
        num_labels=1,
    )
    config.problem_type = "multi_label_classification"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.BertForSequenceClassification(config).eval()
    model.config.problem_type = None
    tokenizer = texts.target.reader.tokenizer
    target = as_target(model, tokenizer, output="sigmoid")
    explainer = Explainer(target, Scorer(target.spec(dict(target.reader.read(TEXTS).inputs))))
    expected = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")(
        TEXTS
    )
    same(bare(sidelight.pipeline(explainer=explainer, device="cpu")(TEXTS)), expected)


def test_half_precision(tmp_path: Path) -> None:
    explainer, folder = _saved(tmp_path)
    expected = explainer.explain(TEXTS)
    for dtype in (torch.bfloat16, "bfloat16"):
        pipe = sidelight.pipeline(
            "text-classification", str(folder / "model"), scorer=folder / "scorer", dtype=dtype, device="cpu"
        )
        assert pipe.dtype == torch.bfloat16
        for answer, one in zip(pipe(TEXTS, batch_size=2), expected, strict=True):
            assert answer["score"] == pytest.approx(
                one.probabilities[_number(one, answer["label"])], abs=0.05
            )
            assert answer["explanation"].map.shape == one.map.shape


def _number(explanation: Explanation, label: str) -> int:
    return int(label.removeprefix("LABEL_"))


def _saved(folder: Path) -> tuple[Explainer, Path]:
    """A model with its tokenizer, and a scorer of it, in folders."""
    explainer = text_explainer()
    explainer.target.model.save_pretrained(folder / "model")
    explainer.target.reader.tokenizer.save_pretrained(folder / "model")
    loaded = as_target(str(folder / "model"))
    Explainer(loaded, explainer.scorer).save_pretrained(folder / "scorer")
    return explainer, folder


# -- opening -----------------------------------------------------------------------------


def test_a_pipeline_opens_folders(tmp_path: Path) -> None:
    explainer, folder = _saved(tmp_path)
    expected = explainer.explain(TEXTS[0])
    ways: list[dict[str, Any]] = [
        {"scorer": folder / "scorer"},
        {"scorer": str(folder / "scorer"), "model": str(folder / "model")},
        {"scorer": folder / "scorer", "model": explainer.target.model},
        {"scorer": folder / "scorer", "tokenizer": explainer.target.reader.tokenizer},
    ]
    for way in ways:
        (answer,) = sidelight.pipeline("text-classification", device="cpu", **way)(TEXTS[0])
        np.testing.assert_allclose(answer["explanation"].map, expected.map, atol=1e-5)


def test_a_pipeline_is_saved_as_its_scorer(images: Explainer, tmp_path: Path) -> None:
    shown = pictures(1)[0]
    sidelight.pipeline(explainer=images, device="cpu").save_pretrained(tmp_path / "scorer")
    again = sidelight.pipeline(model=images.target.model, scorer=tmp_path / "scorer", device="cpu")
    np.testing.assert_allclose(again(shown)[0]["map"], images.explain(shown).map, atol=1e-6)
    assert not list((tmp_path / "scorer").glob("model*"))
    with pytest.raises(ConfigError, match="without options; got safe"):
        again.save_pretrained(tmp_path / "other", safe=True)


def test_another_model_is_refused(tmp_path: Path) -> None:
    _, folder = _saved(tmp_path)
    other = text_models.make_model("bert")
    with torch.no_grad():
        next(other.parameters()).add_(1)
    with pytest.raises(TargetMismatchError):
        sidelight.pipeline("text-classification", other, scorer=folder / "scorer")
    sidelight.pipeline("text-classification", other, scorer=folder / "scorer", check="warn", device="cpu")


def test_bad_calls_are_named(images: Explainer, texts: Explainer) -> None:
    with pytest.raises(ConfigError, match="needs a scorer"):
        sidelight.pipeline("text-classification")
    with pytest.raises(ConfigError, match="needs a scorer"):
        sidelight.pipeline("text-classification", texts.target.model)
    with pytest.raises(ConfigError, match="leave out model, processor"):
        sidelight.pipeline(explainer=texts, model=texts.target.model, processor=1)
    with pytest.raises(ConfigError, match="leave out dtype"):
        sidelight.pipeline(explainer=texts, dtype=torch.float16)
    with pytest.raises(ConfigError, match="names of one argument"):
        sidelight.pipeline(scorer="x", processor=1, tokenizer=2)
    with pytest.raises(ConfigError, match=r"'text-classification' does not fit.*reads image"):
        sidelight.pipeline("text-classification", explainer=images)
    with pytest.raises(
        ConfigError, match=r"no pipeline for 'text-clasification'. Did you mean 'text-classification'"
    ):
        sidelight.pipeline("text-clasification", explainer=texts)
    with pytest.raises(ConfigError, match="dtype must be a floating-point type"):
        sidelight.pipeline(scorer="x", dtype="int8")
    with pytest.raises(ConfigError, match="which is yours"):
        sidelight.pipeline(model=texts.target.model, scorer="x", dtype="float16")
    for bad in (-1, True, 1.5, "two"):
        with pytest.raises(ConfigError, match="maps must be a number"):
            sidelight.pipeline(explainer=texts, maps=bad)
    with pytest.raises(ConfigError, match=r"no option 'max_length'. Known: maps, top_k"):
        sidelight.pipeline(explainer=texts, device="cpu")(TEXTS[0], max_length=5)
    with pytest.raises(ConfigError, match="truncation may be True, 'longest_first'"):
        sidelight.pipeline(explainer=texts, device="cpu", truncation=False)
    with pytest.raises(ConfigError, match=r"no option 'topk'. Did you mean 'top_k'"):
        sidelight.pipeline(explainer=images, device="cpu", topk=3)


def test_a_plain_module_is_sent_to_explain() -> None:
    target = as_target(plain().eval(), TRANSFORM, layers=["stem", "deep"])
    explainer = Explainer(target, Scorer(target.spec({"pixel_values": torch.zeros(1, 3, 32, 32)})))
    with pytest.raises(UnsupportedTargetError, match=r"PlainNet is a plain module. Call explainer\.explain"):
        sidelight.pipeline(explainer=explainer)


def test_a_scorer_of_the_thesis_explains_the_first_answer_only() -> None:
    explainer = image_explainer(by_class=False)
    pipe = sidelight.pipeline(explainer=explainer, device="cpu")
    shown = pictures(2)
    for answers, one in zip(pipe(shown, batch_size=2), explainer.explain(shown), strict=True):
        np.testing.assert_allclose(answers[0]["map"], one.map, atol=1e-5)
    with pytest.raises(ConfigError, match="maps=3 needs a scorer that knows every class"):
        pipe(shown, maps=3)


def test_transformers_registry_stays_as_it_was(texts: Explainer) -> None:
    before = dict(PIPELINE_REGISTRY.supported_tasks)
    sidelight.pipeline(explainer=texts, device="cpu")
    assert PIPELINE_REGISTRY.supported_tasks == before
    assert image_model().config.id2label[0] == "cat"


@pytest.mark.parametrize("kind", ["texts", "images"])
@pytest.mark.parametrize("none", [[], (), KeyDataset([], "text")])  # type: ignore[arg-type]
def test_no_sample_at_all_is_told(kind: str, none: Any, request: pytest.FixtureRequest) -> None:
    """The plain pipelines raise an IndexError without a word."""
    with pytest.raises(InputError, match="the batch is empty: give at least one sample"):
        sidelight.pipeline(explainer=request.getfixturevalue(kind))(none)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_pair_given_as_a_list_is_one_sample(texts: Explainer, batch_size: int) -> None:
    """One by one its first text was explained alone, as a batch of two."""
    pipe = sidelight.pipeline(explainer=texts)
    (answer,) = pipe([[TEXTS[0], TEXTS[1]]], batch_size=batch_size)
    (wanted,) = pipe([(TEXTS[0], TEXTS[1])])
    assert answer["score"] == pytest.approx(wanted["score"], abs=1e-6)
    assert {word["segment"] for word in answer["words"]} == {0, 1}
