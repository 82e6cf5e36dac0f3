"""The same faults in other forms: other calls, containers, modalities and kinds of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from fault_models import SQUARE, P, S, T, bert, bt, eye, tok, untrained
from transformers import GPT2Config, GPT2ForSequenceClassification

import pair_models
from serving_toys import one
from sidelight import Explainer
from sidelight.errors import ConfigError, ExportError, InputError, InputTypeError
from sidelight.explanations.origins import origin_of
from sidelight.serving import app
from sidelight.targets import ImageTextProcessor, as_target

# -- options of a target ------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "here"),
    [("bla", "For a Bert"), ("layer", "Did you mean 'layers'"), ("labels", r"class_names=\[")],
)
def test_kind_an_unknown_option_names_the_call_that_was_made(option: str, here: str) -> None:
    with pytest.raises(ConfigError, match=rf"as_target\(\) has no option '{option}'.*{here}") as told:
        as_target(bert(), tok(), **{option: 1})
    assert "settings" not in str(told.value)  # they are fields of fit alone


def test_kind_an_option_of_a_training_is_not_advised_where_nothing_is_trained() -> None:
    with pytest.raises(ConfigError, match=r"as_target\(\) has no option 'lr'") as told:
        as_target(bert(), tok(), lr=1)
    assert "learning_rate" not in str(told.value)


def test_kind_class_names_of_another_number_are_told_without_a_training() -> None:
    two, pixels = eye(labels=2), SQUARE(P[0])[None]
    target = as_target(two, SQUARE, class_names=["a"])
    with pytest.raises(ConfigError, match="class_names holds 1 name, but the model tells 2 classes apart"):
        target.encode({"pixel_values": pixels})
    target = as_target(
        bert(labels=2, problem_type="multi_label_classification"), tok(), class_names=["a", "b"]
    )
    assert target.encode(target.reader.read(T[:1]).inputs).logits.shape == (1, 4)  # with their opposites


# -- arrays of several columns ------------------------------------------------------


def test_kind_a_table_of_numpy_holds_rows(texts: Explainer, images: Explainer, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": T[:3], "b": T[3:6]})
    pairs = list(zip(T[:3], T[3:6], strict=True))
    expected = texts.explain(pairs)
    for data in (frame.to_numpy(), frame.to_numpy().astype(str), np.array(pairs, dtype=object)):
        for found, wanted in zip(texts.explain(data), expected, strict=True):
            assert found.inputs == wanted.inputs
    one = texts.explain(frame[["a"]].to_numpy())
    assert [found.inputs for found in one] == [found.inputs for found in texts.explain(T[:3])]
    P[0].save(tmp_path / "p.png")
    (found,) = images.explain(np.array([[str(tmp_path / "p.png")]], dtype=object))
    np.testing.assert_array_equal(found.map, images.explain(P[0]).map)


def test_kind_texts_with_labels_in_a_table_of_numpy_are_learnt_from(tmp_path: Path) -> None:
    rows = np.array([(text, i % 3) for i, text in enumerate(T)], dtype=object)
    fitted = Explainer.fit(bert(), rows, processor=tok(), output_dir=tmp_path, **{**S, "label": "data"})
    assert len(fitted.explain(T[0]).map) == len(T[0].split())


def test_kind_paths_in_a_new_array_of_strings_are_several(images: Explainer, tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{i}.png") for i in range(2)]
    for path, picture in zip(paths, P, strict=False):
        picture.save(path)
    strings = getattr(np.dtypes, "StringDType", None)
    data = np.array(paths, dtype=strings() if strings else object)
    assert len(images.explain(data)) == 2


# -- pictures that a table holds or names -------------------------------------------


def test_kind_a_named_picture_behind_a_stored_one_makes_another_job(
    images: Explainer, tmp_path: Path
) -> None:
    for i in range(2):
        P[i].save(tmp_path / f"{i}.png")
    stored = {"bytes": (tmp_path / "0.png").read_bytes(), "path": None}
    table = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"image": [stored, {"bytes": None, "path": "1.png"}]}), table)
    images.explain_dataset(table, tmp_path / "out")
    assert len(images.explain_dataset(table, tmp_path / "out")) == 2  # the same job
    P[2].resize((64, 64)).save(tmp_path / "1.png")
    with pytest.raises(ConfigError, match="another job"):
        images.explain_dataset(table, tmp_path / "out")


# -- another working directory ------------------------------------------------------


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two pictures, in which this test works, beside another whose pictures have the same names."""
    for name, shift in (("here", 0), ("there", 5)):
        (tmp_path / name / "pictures").mkdir(parents=True)
        for i in range(2):
            P[i + shift].save(tmp_path / name / "pictures" / f"{i}.png")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "there"


def test_kind_a_stream_of_a_folder_stays_in_it(
    images: Explainer, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in (Path("pictures"), "pictures"):
        monkeypatch.chdir(away.parent / "here")
        answers = images.explain_stream(given, batch_size=1)
        found = [next(answers)]
        monkeypatch.chdir(away)
        found += answers
        for answer, picture in zip(found, P[:2], strict=True):
            np.testing.assert_allclose(answer.probabilities, images.explain(picture).probabilities, atol=1e-6)


def test_kind_a_session_reads_its_own_picture_again(away: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processor = ImageTextProcessor(pair_models.TRANSFORM, pair_models.make_tokenizer())
    explainer = untrained(pair_models.make("fusion-vit").eval(), processor, pair_models.pairs()[0])
    path = "pictures/0.png"
    session, explained = explainer.live((path, "a red square")), explainer.explain((path, "a red square"))
    monkeypatch.chdir(away)
    expected = explainer.explain((P[0], "dull")).probabilities
    np.testing.assert_allclose(session.retype("dull").probabilities, expected, atol=1e-6)
    expected = explainer.explain((P[0], "a red square")).probabilities
    np.testing.assert_allclose(
        explainer.live(origin_of(explained).sample()).explanation.probabilities, expected, atol=1e-6
    )


def test_kind_a_text_that_names_a_file_stays_a_text(texts: Explainer, away: Path) -> None:
    Path("film").write_text("x")
    assert texts.live("film").sample == "film"
    assert origin_of(texts.explain("film")).sample() == "film"


def test_kind_a_share_may_be_a_number_of_numpy(texts: Explainer) -> None:
    session = texts.live(T[0])
    assert session.keep(np.float32(0.5)).share == session.keep(torch.tensor(0.5)).share == 0.5
    with pytest.raises(InputError, match="share must be a number"):
        session.keep(np.float32("nan"))


# -- words that say what to do ------------------------------------------------------


def test_kind_a_model_without_padding_is_not_exported(tmp_path: Path) -> None:
    sizes = {
        "vocab_size": len(bt()),
        "n_embd": 16,
        "n_layer": 1,
        "n_head": 2,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    model = GPT2ForSequenceClassification(GPT2Config(**sizes)).eval()
    explainer = untrained(model, bt(), T[0])
    for name in ("model.onnx", "model.pt2"):
        with pytest.raises(ExportError, match=r"no padding token.*model\.config\.pad_token_id"):
            explainer.export(tmp_path / name)


def test_kind_fields_of_a_request_with_other_usual_names_are_told(texts: Explainer) -> None:
    service = app({"films": texts})
    for field, advice in (
        ("text_pair", '"text": ["first", "second"]'),
        ("sentence", "Call it 'text'"),
        ("img", "Call it 'image'"),
    ):
        message = one(service, json={"text": T[0], field: "b"}).json()["error"]["message"]
        assert f"there is no field '{field}'" in message
        assert advice in message


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_kind_a_table_in_another_encoding_is_told_so(texts: Explainer, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{ending}"
    path.write_bytes(
        '{"text": "café"}\n'.encode("latin-1") if ending == "jsonl" else "text\ncafé\n".encode("utf-16")
    )
    with pytest.raises(InputError, match="UTF-8"):
        texts.explain(path)


def test_kind_a_column_as_pandas_writes_it_is_told(texts: Explainer, tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": T[:2]})
    frame.to_json(tmp_path / "t.json")
    for data in (tmp_path / "t.json", [frame.to_dict()]):
        with pytest.raises(InputTypeError, match="orient='records'"):
            texts.explain(data)


def test_kind_pictures_in_lists_are_told_the_way_on(images: Explainer) -> None:
    with pytest.raises(InputTypeError, match=r"numpy.array\(value, dtype='uint8'\).*with_format\('numpy'\)"):
        images.explain(np.asarray(P[0])[None].tolist())
    with pytest.raises(InputTypeError, match=r"permute\(1, 2, 0\)"):
        images.explain(torch.zeros(3, 32, 32, dtype=torch.uint8))


def test_kind_a_wrong_name_of_a_picture_is_told_without_texts(tmp_path: Path) -> None:
    rows = [{"image": picture, "label": "cat"} for picture in P]
    with pytest.raises(InputError, match="no class of the model") as told:
        Explainer.fit(eye(), rows, processor=SQUARE, output_dir=tmp_path, **{**S, "label": "data"})
    assert "texts" not in str(told.value)
