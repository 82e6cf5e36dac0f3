"""Exported files and modules, as programs without sidelight use them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, BertTokenizer

import pair_models
import text_models
from export_toys import assert_same, expected, explainer_for, explainer_of, plain_inputs, read_inputs
from rounding_processor import Rounding
from sidelight import Explainer, ImageTransform
from sidelight.errors import CheckpointError, ForeignFileError
from sidelight.export import writing
from sidelight.export.examples import Examples
from sidelight.export.sidecar import picture_steps, preprocessing, sha256
from sidelight.export.writing import Writing
from sidelight.inputs.images import as_transform
from sidelight.targets import as_target

#: what a text classifier of tweets often has beside its own special tokens
WRITTEN = "the @user film was <mask> great"


def _tweets(family: str) -> Explainer:
    model, tokenizer = text_models.make_pair(family)
    mark = tokenizer.mask_token or tokenizer.eos_token
    tokenizer.add_special_tokens({"additional_special_tokens": ["@user"]})
    explainer = explainer_for(as_target(model, tokenizer), samples=["the film"])
    explainer.text = WRITTEN.replace("<mask>", mark)  # type: ignore[attr-defined]
    return explainer


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama"])
def test_kind_special_tokens_that_a_text_holds_are_words_in_files_and_tensors_too(family: str) -> None:
    """`explain` scored "@user" as a word; the exported file took it for the tokenizer's own, and all scores differed."""
    explainer = _tweets(family)
    read = explainer.target.reader.prepare([explainer.text, "dull"]).inputs  # type: ignore[attr-defined]
    wanted = expected(explainer, read)
    given = {k: v for k, v in read.items() if k not in ("special_tokens_mask", "position_ids")}
    with torch.no_grad():
        assert_same(explainer.module()(**given), wanted)
    mask = explainer.target.feature_mask
    assert torch.equal(mask(given)["text"], mask(read)["text"])
    pairs = explainer.target.reader.prepare([("the film", "was dull")]).inputs
    bare = {k: v for k, v in pairs.items() if k != "special_tokens_mask"}
    assert torch.equal(mask(bare)["text"], mask(pairs)["text"])


def test_kind_a_model_whose_own_tokenizer_gives_no_attention_mask_is_exported(tmp_path: Path) -> None:
    """SigLIP attends to padding. The comparison before writing heeded the mask, so every file was called wrong."""
    explainer = explainer_for(pair_models.make_target("siglip"))
    program = torch.export.load(explainer.export(tmp_path / "model.pt2")).module()
    with torch.no_grad():
        found = program(classes=torch.full((3,), -1), **plain_inputs(explainer))
    assert_same(found, expected(explainer, read_inputs(explainer)), 1e-4)


# -- what the JSON says ------------------------------------------------------------------


def _text_steps(family: str, max_length: int | None = None, truncation_side: str = "right") -> dict[str, Any]:
    model, tokenizer = text_models.make_pair(family)
    tokenizer.truncation_side = truncation_side
    explainer = explainer_for(as_target(model, tokenizer, max_length=max_length), samples=["the film"])
    found: dict[str, Any] = preprocessing(
        explainer.target, Examples(explainer.target, explainer.scorer), None
    )["text"]
    return found


@pytest.mark.parametrize("length", [300, None])
def test_kind_texts_of_a_model_without_a_table_of_positions_are_read_to_their_end(length: int | None) -> None:
    """The JSON said 128 tokens for every Llama and Qwen2, and `explain` reads as many as the model was trained on."""
    model, tokenizer = text_models.make_pair("llama")
    target = as_target(model, tokenizer, max_length=length)
    assert target.reader.tokenizing.max_length is not None
    assert _text_steps("llama", length)["longest"] == target.reader.tokenizing.max_length


def test_kind_texts_of_a_model_without_any_limit_are_never_cut() -> None:
    model, tokenizer = text_models.make_pair("llama")
    model.config.max_position_embeddings = -1  # as XLNet says that there is none
    target = as_target(model, tokenizer)
    frame = Examples(target, explainer_for(target, samples=["the film"]).scorer).frame
    assert frame is not None
    assert frame.longest is target.reader.tokenizing.max_length is None


@pytest.mark.parametrize("side", ["left", "right"])
def test_kind_the_side_on_which_long_texts_are_cut_is_told(side: str) -> None:
    """Files of a tokenizer need not hold it, so callers cut the other end off."""
    assert _text_steps("bert", truncation_side=side)["truncation"] == {"side": side}


def test_kind_a_crop_is_described_whole() -> None:
    """Half a pixel of an odd margin, and a length that the other settings imply, were left to the caller's guess."""
    steps = picture_steps(ImageTransform((24, 32), crop=True, centre="even"))
    assert (steps["centre"], steps["resize_to"]) == ("even", 32)
    assert picture_steps(ImageTransform((24, 32)))["resize_to"] is None
    assert picture_steps(ImageTransform((24, 32), crop=True, resize_to=(40, 48)))["resize_to"] == [40, 48]


def test_kind_a_processor_that_keeps_the_shape_of_pictures_needs_one_shape() -> None:
    steps = picture_steps(as_transform(Rounding(do_resize=False)))
    assert "bring the picture to that shape" in steps["steps"]


def test_kind_the_folder_of_a_classifier_is_nobodys_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its whole path went into the file if the folder was moved after loading."""
    model, tokenizer = text_models.make_pair("bert")
    for place in (tmp_path / "secret" / "mine", "secret/own"):
        monkeypatch.chdir(tmp_path)
        model.save_pretrained(place)
        tokenizer.save_pretrained(place)
        explainer = explainer_for(as_target(str(place)), samples=["the film"])
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / "elsewhere")
        shutil.rmtree(tmp_path / "secret")
        about = Writing(explainer.target, explainer.scorer, "hash", tmp_path / "model.onnx")._about()
        assert about["target"] == Path(place).name


# -- files that are replaced -------------------------------------------------------------


@pytest.fixture
def untraced(monkeypatch: pytest.MonkeyPatch) -> list[Explainer]:
    """Exports write some bytes in place of a graph, which takes no time. The list holds one entry for each."""
    done: list[Any] = []

    def write(_program: Any, path: Path, _about: Any) -> None:
        done.append(path)
        path.write_bytes(b"PK" + bytes([len(done)]) + b"/extra/sidelight.json")

    monkeypatch.setattr(writing, "traced", lambda *_: None)
    monkeypatch.setattr(writing, "write_pt2", write)
    monkeypatch.setattr(writing, "pt2_runner", lambda *_: None)
    monkeypatch.setattr(writing, "compare", lambda *_: [])
    return done


class Killed(BaseException):
    """Nobody catches it, as nobody catches a kill."""


def test_kind_a_kill_between_two_replacements_is_seen_by_the_hash(
    untraced: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tokenizer was replaced first: an old file with its old JSON then had a new tokenizer, and nothing told."""
    path = tmp_path / "model.pt2"
    explainer_of("bert").export(path)
    tokenizer = (tmp_path / "model.pt2.tokenizer" / "tokenizer.json").read_bytes()
    other, replace = explainer_of("roberta"), os.replace
    moved: list[str] = []

    def stop(source: Any, place: Any) -> None:
        if moved:
            raise Killed
        moved.append(Path(place).name)
        replace(source, place)

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(Killed):
        other.export(path)
    monkeypatch.setattr(os, "replace", replace)
    assert moved == ["model.pt2"]
    assert sha256(path) != json.loads((tmp_path / "model.pt2.json").read_bytes())["sha256"]
    assert (tmp_path / "model.pt2.tokenizer" / "tokenizer.json").read_bytes() == tokenizer
    other.export(path)
    assert sha256(path) == json.loads((tmp_path / "model.pt2.json").read_bytes())["sha256"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        path.name,
        f"{path.name}.json",
        f"{path.name}.tokenizer",
    ]


def test_kind_a_tokenizer_that_somebody_changed_is_found_before_the_work(
    untraced: list[Any], tmp_path: Path
) -> None:
    """It was found last, after a minute, when everything else was ready."""
    path, explainer = tmp_path / "model.pt2", explainer_of("bert")
    explainer.export(path)
    file = tmp_path / "model.pt2.tokenizer" / "tokenizer_config.json"
    file.write_text("{}")
    before = path.read_bytes()
    with pytest.raises(ForeignFileError, match=r"tokenizer_config\.json.*overwrite=True"):
        explainer.export(path)
    assert len(untraced) == 1
    assert (path.read_bytes(), file.read_text()) == (before, "{}")
    explainer.export(path, overwrite=True)
    assert file.read_text() != "{}"


def test_kind_a_tokenizer_that_transformers_opens_otherwise_is_told(
    untraced: list[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever opened the folder with AutoTokenizer gave the file other ids, and nothing told."""
    model, tokenizer = text_models.make_pair("bert")
    explainer_for(as_target(model, tokenizer)).export(tmp_path / "plain.pt2")
    assert "AutoTokenizer" not in caplog.text
    changed = BertTokenizer(vocab=tokenizer.get_vocab())
    changed.backend_tokenizer.post_processor = None
    explainer_for(as_target(model, changed)).export(tmp_path / "model.pt2")
    assert "tokenizers.Tokenizer.from_file" in caplog.text
    folder, text = tmp_path / "model.pt2.tokenizer", "a dull film"
    assert Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids == changed(text).input_ids
    assert AutoTokenizer.from_pretrained(folder)(text).input_ids != changed(text).input_ids


def test_kind_a_name_that_is_too_long_beside_its_endings_is_told(tmp_path: Path) -> None:
    """The system's bare error came out, with the request to report a fault."""
    with pytest.raises(CheckpointError, match="Choose another name"):
        explainer_of("plain").export(tmp_path / f"{'x' * 247}.pt2")
    assert list(tmp_path.iterdir()) == []


def test_kind_the_tokenizer_of_an_earlier_file_of_this_name_goes(untraced: list[Any], tmp_path: Path) -> None:
    path, folder = tmp_path / "model.pt2", tmp_path / "model.pt2.tokenizer"
    text, image = explainer_of("bert"), explainer_of("plain")
    text.export(path)
    image.export(path)
    assert not folder.exists()
    text.export(path)
    (folder / "mine.txt").write_text("mine")
    image.export(path)
    assert (folder / "mine.txt").read_text() == "mine"
