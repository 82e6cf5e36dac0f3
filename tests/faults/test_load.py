"""Wrapped models, other precisions, what is kept of a tokenizer, hashes of weights, and the self-check."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fault_models import SQUARE, P, S, T, bert, eye, tok
from safetensors.torch import load_file, save_file
from tokenizers import normalizers, processors
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    BertJapaneseTokenizer,
    BertModel,
    BertPreTrainedModel,
    BertTokenizer,
    ByT5Tokenizer,
)
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from face_toys import pair_explainer
from rounding_processor import Rounding
from sidelight import Explainer, ImageTransform, ScorerConfig, SidelightError
from sidelight.checks.selfcheck import made_up_samples, self_check
from sidelight.errors import (
    CheckpointError,
    InputTypeError,
    SelfCheckError,
    TargetMismatchError,
    UnsupportedTargetError,
)
from sidelight.inputs.kept_tokenizer import pack_tokenizer, tokenizer_hash, unpack_tokenizer
from sidelight.scorers.checkpoint import save_scorer
from sidelight.targets import TARGETS, as_target
from sidelight.targets.opening import open_model
from sidelight.targets.weights import WeightWatch, fingerprint
from sidelight.targets.wrappers import plain_model
from sidelight.training.network import new_scorer


def explainer_of(model: Any, processor: Any, row: Any) -> Explainer:
    """An explainer whose scorer is random."""
    target = as_target(model, processor)
    torch.manual_seed(0)
    return Explainer(target, new_scorer(target, [row], ScorerConfig()))


def compiled(model: nn.Module) -> Any:
    return torch.compile(model, backend="eager")


def test_kind_loading_beside_a_target_of_other_options_is_refused(tmp_path: Path) -> None:
    explainer = explainer_of(bert(), tok(), T[0])
    explainer.save_pretrained(tmp_path / "texts")
    for other in ({"layers": [0]}, {"output": "labels"}):
        target = as_target(bert(), tok(), **other)
        with pytest.raises(TargetMismatchError, match=f"{next(iter(other))} .* before, .* now"):
            Explainer.from_pretrained(tmp_path / "texts", target)
    same = as_target(bert(), tok(), class_names=["a", "b", "c"])  # names change no map
    found = Explainer.from_pretrained(tmp_path / "texts", same).explain(T[0])
    np.testing.assert_array_equal(found.map, explainer.explain(T[0]).map)


@pytest.mark.parametrize("wrapped", [False, True])
def test_kind_loading_with_another_preprocessing_is_told(
    wrapped: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    explainer_of(eye(), SQUARE, P[0]).save_pretrained(tmp_path / "pictures")
    other = ImageTransform(SQUARE.size, mean=(0.0, 0.0, 0.0), std=(0.1, 0.1, 0.1))
    for processor, told in ((SQUARE, False), (other, True)):
        caplog.clear()
        given = {} if wrapped else {"processor": processor}
        Explainer.from_pretrained(
            tmp_path / "pictures", as_target(eye(), processor) if wrapped else eye(), **given
        )
        assert ("inputs are prepared otherwise" in caplog.text) == told


def test_kind_the_same_pixels_by_other_means_are_no_other_preprocessing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A processor that resizes by torchvision stands beside our settings, or beside the one for Pillow."""
    size = dict(zip(("height", "width"), SQUARE.size, strict=True))
    explainer_of(eye(), Rounding(size=size), P[0]).save_pretrained(tmp_path / "pictures")
    other = ImageTransform(SQUARE.size, mean=(0.0, 0.0, 0.0), std=(0.1, 0.1, 0.1))
    for processor, told in ((SQUARE, False), (ViTImageProcessorPil(size=size), False), (other, True)):
        caplog.clear()
        Explainer.from_pretrained(tmp_path / "pictures", eye(), processor=processor)
        assert ("prepared otherwise" in caplog.text) == told
        assert ("grey levels" in caplog.text) == told


def test_kind_texts_that_are_cut_elsewhere_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    explainer_of(bert(), tok(), T[0]).save_pretrained(tmp_path / "texts")
    Explainer.from_pretrained(tmp_path / "texts", as_target(bert(), tok()))
    assert caplog.text == ""
    Explainer.from_pretrained(tmp_path / "texts", as_target(bert(), tok(), max_length=6))
    assert "prepared otherwise" in caplog.text
    assert "max_length" in caplog.text


def answers_in(folder: Path) -> Any:
    """Logits that a saved scorer remembers of its classifier."""
    return json.loads((folder / "config.json").read_text())["target"]["answers"]


def relu_for_gelu(model: Any) -> None:
    for layer in model.bert.encoder.layer:
        layer.intermediate.intermediate_act_fn = nn.ReLU()


def doubled(model: Any) -> None:
    model.bert.encoder.layer[0].register_forward_hook(lambda module, given, out: out * 2)


@pytest.mark.parametrize("change", [relu_for_gelu, doubled])
def test_kind_a_classifier_of_the_same_weights_that_answers_otherwise_is_told(
    change: Callable[[Any], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    explainer_of(bert(), tok(), T[0]).save_pretrained(tmp_path / "scorer")
    model = bert()
    Explainer.from_pretrained(tmp_path / "scorer", model)
    assert caplog.text == ""
    change(model)
    again = Explainer.from_pretrained(tmp_path / "scorer", model)
    assert "answers otherwise" in caplog.text
    again.save_pretrained(tmp_path / "again")  # the answers of the training are kept
    assert answers_in(tmp_path / "scorer") == answers_in(tmp_path / "again")


def test_kind_answers_are_kept_of_pictures_and_pairs_too(tmp_path: Path) -> None:
    for name, made in (("picture", explainer_of(eye(), SQUARE, P[0])), ("pair", pair_explainer())):
        made.save_pretrained(tmp_path / name)
        kept = answers_in(tmp_path / name)
        samples = made_up_samples(made.target)
        with torch.no_grad():
            expected = made.target.encode(made.target.reader.prepare(samples).inputs).logits
        np.testing.assert_allclose(kept, expected.numpy(), rtol=1e-5)


# -- wrappers -----------------------------------------------------------------------


@pytest.mark.parametrize("other", [lambda: nn.Linear(3, 3), eye, lambda: nn.Sequential(nn.Conv2d(3, 3, 1))])
def test_kind_loading_beside_a_classifier_of_another_kind_names_both(other: Any, tmp_path: Path) -> None:
    own = nn.Sequential()
    own.add_module("first", nn.Conv2d(3, 4, 3, 2))
    own.add_module("head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)))
    target = as_target(own, SQUARE, layers=["first"])
    Explainer(target, new_scorer(target, P[:1], ScorerConfig())).save_pretrained(tmp_path)
    model = other()
    with pytest.raises(
        TargetMismatchError, match=f"beside 'Sequential', and {type(model).__name__} is another"
    ):
        Explainer.from_pretrained(tmp_path, model, check="warn")


@pytest.mark.parametrize("wrap", [compiled, nn.DataParallel, lambda m: compiled(nn.DataParallel(m))])
def test_fault_16_a_wrapped_model_explains_as_the_plain_one(wrap: Callable[..., Any], tmp_path: Path) -> None:
    own = explainer_of(bert(), tok(), T[0])
    own.save_pretrained(tmp_path / "scorer")
    beside = Explainer.from_pretrained(tmp_path / "scorer", wrap(bert()), processor=tok())
    back = explainer_of(wrap(bert()), tok(), T[0])
    back.save_pretrained(tmp_path / "back")
    again = Explainer.from_pretrained(tmp_path / "back", bert(), processor=tok())
    for text in T[:3]:
        expected = own.explain(text)
        for other in (beside, back, again):
            np.testing.assert_array_equal(other.explain(text).map, expected.map)


def test_fault_16_fit_takes_a_compiled_model(tmp_path: Path) -> None:
    explainer = Explainer.fit(compiled(bert()), T, processor=tok(), output_dir=tmp_path, **S)
    alone = bert()(**tok()(T[0], return_tensors="pt")).logits.softmax(-1)[0]
    np.testing.assert_allclose(explainer.explain(T[0]).probabilities, alone.detach().numpy(), atol=1e-6)


@pytest.mark.parametrize(("model", "processor", "row"), [(bert, tok, T[0]), (eye, lambda: SQUARE, P[0])])
def test_fault_17_data_parallel_reads_what_its_model_reads(model: Any, processor: Any, row: Any) -> None:
    assert as_target(nn.DataParallel(model()), processor()).family == as_target(model(), processor()).family
    own, wrapped = (explainer_of(m, processor(), row) for m in (model(), nn.DataParallel(model())))
    np.testing.assert_array_equal(own.explain(row).map, wrapped.explain(row).map)


def _in_place(model: Any) -> Any:
    model.compile(backend="eager")
    return model


def _parts_compiled(model: Any) -> Any:
    model.bert = torch.compile(model.bert, backend="eager")
    return model


def _forward_compiled(model: Any) -> Any:
    model.forward = torch.compile(model.forward, backend="eager")
    return model


class HandsOn(nn.Module):
    """What people write around a model: a forward that names no argument."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.config, self.main_input_name = inner, inner.config, "input_ids"
        self.get_input_embeddings = inner.get_input_embeddings

    def forward(self, **inputs: Any) -> Any:
        return self.inner(**inputs)


@pytest.mark.parametrize("wrap", [_in_place, _parts_compiled, _forward_compiled, HandsOn])
def test_fault_16_masks_reach_models_that_are_compiled_in_part(wrap: Callable[[Any], Any]) -> None:
    plain, model = bert(), wrap(bert())
    model(**tok()(T[0], return_tensors="pt"))  # compiled now, before our hooks are there
    own, other = as_target(plain, tok()), as_target(model, tok())
    inputs = own.reader.read(T[:2]).inputs
    torch.manual_seed(0)
    scores = {"text": torch.rand(own.feature_mask(inputs)["text"].shape)}
    masked = own.classify(inputs, scores)
    assert float((masked - own.encode(inputs).logits).abs().max()) > 0.1
    torch.testing.assert_close(other.classify(inputs, scores), masked)
    torch.testing.assert_close(other.encode(inputs).states["text"], own.encode(inputs).states["text"])


@pytest.mark.parametrize("wrap", [compiled, nn.DataParallel])
def test_fault_16_wrappers_within_a_model_leave_no_trace_in_names(
    wrap: Callable[..., Any], tmp_path: Path
) -> None:
    def network() -> Any:
        torch.manual_seed(0)
        stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU())
        return nn.Sequential(stem, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)).eval()

    inside = network()
    inside[0] = wrap(inside[0])
    assert fingerprint(inside) == fingerprint(network())
    target = as_target(network(), SQUARE, layers=["0.1"])
    Explainer(target, new_scorer(target, [P[0]], ScorerConfig())).save_pretrained(tmp_path / "scorer")
    pair = [Explainer.from_pretrained(tmp_path / "scorer", m) for m in (network(), inside)]
    np.testing.assert_array_equal(*(e.explain(P[0]).map for e in pair))


def test_fault_16_an_adapter_that_is_switched_off_is_another_model() -> None:
    peft = pytest.importorskip("peft")
    model = peft.get_peft_model(bert(), peft.LoraConfig(target_modules=["query"], r=2)).eval()
    explainer = explainer_of(model, tok(), T[0])
    explainer.explain(T[0])
    with model.disable_adapter(), pytest.raises(TargetMismatchError):
        explainer.explain(T[0])
    explainer.explain(T[0])


@pytest.mark.parametrize("copied", [lambda e: e, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_kind_an_adapter_that_counts_more_or_less_than_before_is_another_model(copied: Any) -> None:
    peft = pytest.importorskip("peft")
    model = peft.get_peft_model(bert(), peft.LoraConfig(target_modules=["query"], r=2)).eval()
    explainer = explainer_of(model, tok(), T[0])
    explainer.explain(T[0])
    with peft.helpers.rescale_adapter_scale(model, 0.5):
        scaled = copied(explainer)
        for _ in range(2):
            with pytest.raises(TargetMismatchError, match="an adapter scaled"):
                scaled.explain(T[0])
    explainer.explain(T[0])


def test_fault_16_an_adapter_inside_the_layers_counts() -> None:
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    config = peft.LoraConfig(target_modules=["query", "value"], r=2, modules_to_save=["classifier"])
    model = peft.get_peft_model(bert(), config).eval()
    for name, value in model.named_parameters():
        if "lora_B" in name:
            value.data.normal_()
    explainer = explainer_of(model, tok(), T[0])
    seen = np.stack([e.probabilities for e in explainer.explain(T[:4])])
    with torch.no_grad():
        own = torch.cat([model(**tok()(t, return_tensors="pt")).logits.softmax(-1) for t in T[:4]])
        bare = torch.cat([bert()(**tok()(t, return_tensors="pt")).logits.softmax(-1) for t in T[:4]])
    np.testing.assert_allclose(seen, own.numpy(), atol=1e-5)
    assert np.abs(seen - bare.numpy()).max() > 1e-3


def test_fault_16_a_learned_prompt_is_refused_by_name() -> None:
    peft = pytest.importorskip("peft")
    config = peft.PromptTuningConfig(
        task_type="SEQ_CLS", num_virtual_tokens=2, num_layers=2, token_dim=32, num_attention_heads=2
    )
    with pytest.raises(UnsupportedTargetError, match="learns a prompt"):
        as_target(peft.get_peft_model(bert(), config), tok())


def _sparse(model: Any) -> Any:
    model.classifier.weight = nn.Parameter(model.classifier.weight.detach().to_sparse())
    return model


def _offloaded(model: Any) -> Any:
    accelerate = pytest.importorskip("accelerate")
    return accelerate.cpu_offload(model, execution_device=torch.device("cpu"))


def test_kind_raw_exceptions_models_that_cannot_be_read_are_named() -> None:
    for model, word in (
        (torch.jit.script(nn.Linear(2, 2)), "TorchScript"),
        (eye().to("meta"), "meta device"),
        (_sparse(eye()), "sparse"),
        (_offloaded(eye()), "offloaded"),
        (
            torch.jit.trace(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.rand(1, 3, 2, 2)),
            "TorchScript",
        ),
    ):
        with pytest.raises(UnsupportedTargetError, match=word):
            as_target(model, SQUARE)
        with pytest.raises(UnsupportedTargetError, match=word):
            Explainer.fit(model, P, processor=SQUARE)


# -- precision ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize(("model", "processor", "rows"), [(eye, lambda: SQUARE, P), (bert, tok, T)])
def test_fault_15_other_precisions_fit_explain_save_and_load(
    model: Any, processor: Any, rows: Any, dtype: torch.dtype, tmp_path: Path
) -> None:
    explainer = Explainer.fit(
        model().to(dtype), rows, processor=processor(), output_dir=tmp_path / "run", **S
    )
    explainer.save_pretrained(tmp_path / "scorer")
    again = Explainer.from_pretrained(tmp_path / "scorer", model().to(dtype), processor=processor())
    found = explainer.explain(rows[0])
    np.testing.assert_array_equal(found.map, again.explain(rows[0]).map)
    whole = explainer_of(model(), processor(), rows[0]).explain(rows[0])  # the same weights in float32
    np.testing.assert_allclose(found.probabilities, whole.probabilities, atol=0.05)
    assert next(explainer.scorer.parameters()).dtype == torch.float32


def test_fault_15_half_precision_of_accelerate_passes_the_self_check() -> None:
    model = eye()
    model.forward = torch.autocast("cpu", torch.bfloat16)(model.forward)  # as Accelerator.prepare does
    target = as_target(model, SQUARE)
    self_check(target, P[:3], gradients=True)
    own = model(pixel_values=target.reader.read(P[:1]).inputs["pixel_values"]).logits
    torch.testing.assert_close(target.encode(target.reader.read(P[:1]).inputs).logits, own.detach())


@pytest.mark.parametrize("kind", ["sparse", "meta"])
def test_kind_raw_exceptions_inputs_without_ordinary_memory_are_named(kind: str) -> None:
    def hollow(value: torch.Tensor) -> torch.Tensor:
        return value.to_sparse() if kind == "sparse" else value.to("meta")

    with pytest.raises(InputTypeError, match="dense tensor"):
        explainer_of(eye(), SQUARE, P[0]).explain({"pixel_values": hollow(torch.rand(2, 3, 32, 32))})
    with pytest.raises(InputTypeError, match="dense tensor"):
        explainer_of(bert(), tok(), T[0]).explain({"input_ids": hollow(torch.ones(2, 5).long())})


def test_kind_loading_the_same_weights_in_another_precision_can_be_said_yes_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = explainer_of(eye(), SQUARE, P[0])
    own.save_pretrained(tmp_path / "scorer")
    half = eye().to(torch.bfloat16)
    with pytest.raises(TargetMismatchError, match=r"same architecture.*float32.*bfloat16.*check='warn'"):
        Explainer.from_pretrained(tmp_path / "scorer", half)
    loaded = Explainer.from_pretrained(tmp_path / "scorer", half, check="warn")
    assert "same architecture" in caplog.text
    np.testing.assert_allclose(loaded.explain(P[0]).probabilities, own.explain(P[0]).probabilities, atol=0.05)


# -- quantised ----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_fault_29_a_quantised_model_is_refused_by_fit_and_explained_beside_a_scorer(tmp_path: Path) -> None:
    def quantised() -> Any:
        return torch.ao.quantization.quantize_dynamic(bert(), {nn.Linear}, dtype=torch.qint8)

    with pytest.raises(SelfCheckError, match=r"no gradient passes.*quantised.*check='warn'"):
        Explainer.fit(quantised(), T, processor=tok(), output_dir=tmp_path / "run", **S)
    explainer_of(bert(), tok(), T[0]).save_pretrained(tmp_path / "scorer")
    with pytest.raises(TargetMismatchError, match="check='warn'"):
        Explainer.from_pretrained(tmp_path / "scorer", quantised(), processor=tok())
    loaded = Explainer.from_pretrained(tmp_path / "scorer", quantised(), processor=tok(), check="warn")
    own = quantised()(**tok()(T[0], return_tensors="pt")).logits.softmax(-1)[0]
    np.testing.assert_allclose(loaded.explain(T[0]).probabilities, own.detach().numpy(), atol=1e-5)
    assert fingerprint(quantised()) == fingerprint(quantised()) != fingerprint(bert())


@pytest.mark.filterwarnings("ignore")
def test_fault_29_quantised_word_embeddings_are_masked_as_others_are(tmp_path: Path) -> None:
    """The quantised layers of torch have a method ``weight`` in place of a tensor."""
    explainer_of(bert(), tok(), T[0]).save_pretrained(tmp_path / "scorer")
    rule = torch.ao.quantization.float_qparams_weight_only_qconfig
    quantised = torch.ao.quantization.quantize_dynamic(bert(), {"bert.embeddings.word_embeddings": rule})
    loaded = Explainer.from_pretrained(tmp_path / "scorer", quantised, processor=tok(), check="warn")
    own = quantised(**tok()(T[0], return_tensors="pt")).logits.softmax(-1)[0]
    np.testing.assert_allclose(loaded.explain(T[0]).probabilities, own.detach().numpy(), atol=1e-5)


# -- tokenizers ---------------------------------------------------------------------


def test_fault_27_the_tokenizer_of_the_training_is_there_after_loading(tmp_path: Path) -> None:
    bert().save_pretrained(tmp_path / "saved")
    tok().save_pretrained(tmp_path / "saved")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    short = tok(max_length=8)
    explainer = explainer_of(model, short, T[0])
    explainer.save_pretrained(tmp_path / "scorer")
    text = " ".join(T[:3])
    expected = explainer.explain(text)
    assert len(expected.map) == 7  # six words between the first and the last token, and what was cut
    for loaded in (
        Explainer.from_pretrained(tmp_path / "scorer", model),
        Explainer.from_pretrained(tmp_path / "scorer"),
    ):
        np.testing.assert_array_equal(loaded.explain(text).map, expected.map)


@pytest.mark.parametrize("side", ["left", "right"])
def test_fault_27_settings_of_a_tokenizer_are_kept(side: str) -> None:
    given = tok(max_length=9)
    given.padding_side = given.truncation_side = side
    again = unpack_tokenizer(json.loads(json.dumps(pack_tokenizer(given))))
    assert tokenizer_hash(again) == tokenizer_hash(given) != tokenizer_hash(tok())
    options = {"padding": True, "truncation": True}
    assert dict(again(T[:4], **options)) == dict(given(T[:4], **options))


def test_fault_27_tokenizers_written_in_python_are_kept_too(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys("この映画は最高つまらない話だ")]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    japanese = BertJapaneseTokenizer(
        str(tmp_path / "vocab.txt"), word_tokenizer_type="basic", subword_tokenizer_type="character"
    )
    for given in (japanese, ByT5Tokenizer()):
        again = unpack_tokenizer(json.loads(json.dumps(pack_tokenizer(given))))
        assert again("この映画は最高") == given("この映画は最高")


def _without_post_processor(tokenizer: Any) -> None:
    tokenizer.backend_tokenizer.post_processor = None


def _with_another_frame(tokenizer: Any) -> None:
    first = [("[CLS]", tokenizer.convert_tokens_to_ids("[CLS]"))]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=first
    )


def _with_another_normalizer(tokenizer: Any) -> None:
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("film", "plot")


@pytest.mark.parametrize(
    "change",
    [_without_post_processor, _with_another_frame, _with_another_normalizer],
    ids=lambda f: f.__name__,
)
def test_kind_steps_of_a_tokenizer_that_were_changed_by_hand_are_kept(
    tmp_path: Path, change: Callable[[Any], None]
) -> None:
    """Some classes of transformers make these steps anew when they are loaded."""
    given = BertTokenizer(vocab=tok().get_vocab(), model_max_length=64)
    change(given)
    expected = given(T[0]).input_ids
    explainer = explainer_of(bert(), given, T[0])
    explainer.save_pretrained(tmp_path / "scorer")
    loaded = Explainer.from_pretrained(tmp_path / "scorer", bert())
    assert loaded.target.reader.tokenizer(T[0]).input_ids == expected != tok()(T[0]).input_ids
    np.testing.assert_array_equal(loaded.explain(T[0]).map, explainer.explain(T[0]).map)


def test_a_damaged_tokenizer_is_told() -> None:
    packed: dict[str, Any] = json.loads(json.dumps(pack_tokenizer(tok())))
    text = packed["files"]["tokenizer.json"]["text"]
    packed["files"]["tokenizer.json"]["text"] = text.replace('"film"', '"flim"')
    with pytest.raises(CheckpointError, match="damaged"):
        unpack_tokenizer(packed)
    packed["files"]["../outside.json"] = {"text": "{}"}
    with pytest.raises(CheckpointError, match="outside its folder"):
        unpack_tokenizer(packed)


def test_kind_loading_a_model_from_nowhere_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    explainer_of(bert(), tok(), T[0]).save_pretrained(tmp_path / "scorer")
    start = time.perf_counter()
    with pytest.raises(CheckpointError, match=r"BertForSequenceClassification.*model="):
        Explainer.from_pretrained(tmp_path / "scorer")
    assert time.perf_counter() - start < 5


def test_kind_loading_a_relative_folder_is_found_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bert().save_pretrained(tmp_path / "models" / "mine")
    tok().save_pretrained(tmp_path / "models" / "mine")
    monkeypatch.chdir(tmp_path)
    explainer = explainer_of("models/mine", None, T[0])
    explainer.save_pretrained("scorer")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    explainer.save_pretrained("saved-later")  # the name counts from where the classifier was loaded
    np.testing.assert_array_equal(
        Explainer.from_pretrained("saved-later").explain(T[0]).map, explainer.explain(T[0]).map
    )
    np.testing.assert_array_equal(
        Explainer.from_pretrained("../scorer").explain(T[0]).map, explainer.explain(T[0]).map
    )
    given = Explainer.from_pretrained("../scorer", "../models/mine")
    np.testing.assert_array_equal(given.explain(T[0]).map, explainer.explain(T[0]).map)
    shutil.move(tmp_path / "models", tmp_path / "moved")
    with pytest.raises(CheckpointError, match=r"models/mine.*no folder"):
        Explainer.from_pretrained("../scorer")
    with pytest.raises(CheckpointError, match="no model folder at 'none/at/all'"):
        as_target("none/at/all")


def test_kind_loading_beside_a_moved_folder_takes_the_tokenizer_there(tmp_path: Path) -> None:
    """It was looked for in the remembered folder alone, so a scorer of an earlier version read no texts any more."""
    bert().save_pretrained(tmp_path / "mine")
    tok().save_pretrained(tmp_path / "mine")
    explainer = explainer_of(str(tmp_path / "mine"), None, T[0])
    folder = explainer.save_pretrained(tmp_path / "scorer")
    (
        folder / "processor.json"
    ).unlink()  # as those of earlier versions, or of a tokenizer that cannot be saved
    shutil.move(tmp_path / "mine", tmp_path / "moved")
    again = Explainer.from_pretrained(folder, tmp_path / "moved")
    np.testing.assert_array_equal(again.explain(T[0]).map, explainer.explain(T[0]).map)


def test_kind_a_relative_folder_is_published_from_no_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another working directory "clients/acme" looked like an id of the hub, and stood in the public files."""
    monkeypatch.chdir(tmp_path)
    bert().save_pretrained("clients/acme")
    tok().save_pretrained("clients/acme")
    explainer = explainer_of("clients/acme", None, T[0])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    save_scorer(Path("public"), explainer.scorer, explainer.target, public=True)
    written = b"".join(p.read_bytes() for p in Path("public").iterdir())
    assert b"clients" not in written
    assert json.loads(Path("public/config.json").read_text())["target"]["name"] == "acme"


# -- weights ------------------------------------------------------------------------


@pytest.fixture
def scorer(tmp_path: Path) -> Path:
    return explainer_of(bert(), tok(), T[0]).save_pretrained(tmp_path / "scorer")


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def test_kind_nan_and_damage_one_flipped_bit_of_the_scorer_is_noticed(scorer: Path) -> None:
    raw = bytearray((scorer / "scorer.safetensors").read_bytes())
    raw[-1] ^= 1
    (scorer / "scorer.safetensors").write_bytes(raw)
    with pytest.raises(CheckpointError, match="not what was saved"):
        Explainer.from_pretrained(scorer, bert(), processor=tok())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_kind_nan_and_damage_weights_that_are_no_numbers_are_refused(scorer: Path, value: float) -> None:
    state = load_file(scorer / "scorer.safetensors")
    next(iter(state.values())).view(-1)[0] = value
    save_file(state, scorer / "scorer.safetensors")
    rewrite(scorer, lambda c: c.pop("weights_hash"))  # as an earlier version saved it
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        Explainer.from_pretrained(scorer, bert(), processor=tok())


def test_scorers_without_a_hash_load(scorer: Path) -> None:
    rewrite(scorer, lambda c: c.pop("weights_hash"))
    assert Explainer.from_pretrained(scorer, bert(), processor=tok()).explain(T[0]).map.shape == (9,)


SIZES: list[Callable[[dict[str, Any]], Any]] = [
    lambda c: c["spec"]["states"]["text"][0].update(channels=10**9),
    lambda c: c["spec"]["states"]["text"][0].update(channels=10**13),
    lambda c: c["scorer"]["decoder"].update(text={"width": 2**20, "heads": 2}),
    lambda c: c["scorer"]["decoder"].update(text={"layers": 10**7}),
    lambda c: c["scorer"]["decoder"].update(text={"width": 10**400}),
    lambda c: c["spec"]["states"].update(text=c["spec"]["states"]["text"] * 10**5),
    lambda c: c["spec"].update(fusion_dim=10**12),
]


@pytest.mark.parametrize("number", range(len(SIZES)))
def test_kind_sizes_taken_on_trust_are_compared_before_memory_is_taken(scorer: Path, number: int) -> None:
    rewrite(scorer, SIZES[number])
    start = time.perf_counter()
    with pytest.raises(CheckpointError):
        Explainer.from_pretrained(scorer, bert(), processor=tok())
    assert time.perf_counter() - start < 5


DAMAGE: list[Callable[[dict[str, Any]], Any]] = [
    lambda c: c["target"].update(family="smell"),
    lambda c: c["target"].update(options={"no_such": 1}),
    lambda c: c["target"].update(options=[1]),
    lambda c: c["target"].update(processor=3),
    lambda c: c.update(spec={"states": 3}),
    lambda c: c["spec"]["states"]["text"][0].update(channels="many"),
    lambda c: c["spec"]["states"]["text"][0].update(channels=-1),
    lambda c: c["scorer"].update(relu="no"),
    lambda c: c["scorer"].update(decoder={"smell": {}}),
    lambda c: c["scorer"].update(decoder={"text": {"no_such": 1}}),
    lambda c: c["scorer"].update(decoder={"text": {"width": "wide"}}),
    lambda c: c["scorer"].update(decoder={"text": {"heads": 3}}),
    lambda c: c.update(scorer=None),
    lambda c: c.update(target=None),
    lambda c: c.update(format="other"),
]


@pytest.mark.parametrize("number", range(len(DAMAGE)))
def test_kind_raw_exceptions_a_damaged_configuration_is_a_checkpoint_error(scorer: Path, number: int) -> None:
    rewrite(scorer, DAMAGE[number])
    with pytest.raises(CheckpointError):
        Explainer.from_pretrained(scorer, bert(), processor=tok())


def _paths(values: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = (
        values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    )
    return [path, *(p for key, value in inside for p in _paths(value, (*path, key)))]


@pytest.mark.parametrize(
    "value", [None, "left out", *(pytest.param(v, marks=pytest.mark.soak) for v in ("x", 1.5, [], True))]
)
def test_kind_raw_exceptions_no_value_of_a_configuration_ends_in_a_builtin_error(
    value: Any, tmp_path: Path
) -> None:
    folder = explainer_of(eye(), SQUARE, P[0]).save_pretrained(tmp_path / "scorer")
    whole = json.loads((folder / "config.json").read_text())
    for path in _paths(whole)[1:]:
        config = json.loads(json.dumps(whole))
        part = config
        for key in path[:-1]:
            part = part[key]
        if value == "left out":
            del part[path[-1]]
        else:
            part[path[-1]] = value
        (folder / "config.json").write_text(json.dumps(config))
        with suppress(SidelightError):  # it may load as well: not every value is needed
            Explainer.from_pretrained(folder, eye(), check="off").explain(P[0])


def test_keys_of_a_newer_version_are_passed_over(scorer: Path) -> None:
    rewrite(scorer, lambda c: (c.update(new=1), c["scorer"].update(newer=2), c["target"].update(newest=3)))
    assert Explainer.from_pretrained(scorer, bert(), processor=tok()).explain(T[0]).map.shape == (9,)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "in place": lambda m: m.classifier.weight.detach().mul_(2),
    "past autograd": lambda m: m.classifier.weight.data.mul_(2),
    "replaced": lambda m: setattr(m.classifier, "bias", nn.Parameter(m.classifier.bias + 1)),
    "loaded": lambda m: m.load_state_dict(bert(seed=1).state_dict()),
    "precision": lambda m: m.half(),
    "a part": lambda m: setattr(m, "classifier", bert(seed=1).classifier),
    "emptied": lambda m: m.to("meta"),
}


@pytest.mark.parametrize("how", CHANGES)
def test_kind_nan_and_damage_weights_changed_after_fit_are_noticed(how: str) -> None:
    model = bert()
    explainer = explainer_of(model, tok(), T[0])
    explainer.explain(T[0])
    with torch.no_grad():
        CHANGES[how](model)
    gone = how == "emptied"
    error, words = (
        (UnsupportedTargetError, "has no weights") if gone else (TargetMismatchError, "have changed")
    )
    for _ in range(2):  # not only the first time
        with pytest.raises(error, match=words):
            explainer.explain(T[0])
    if not gone:
        explainer.check = "warn"
        explainer.explain(T[0])


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))], ids=["copy", "pickle"]
)
def test_kind_nan_and_damage_a_copy_notices_weights_changed_before_it_was_made(copied: Any) -> None:
    explainer = explainer_of(bert(), tok(), T[0])
    assert copied(explainer).explain(T[0]).label == explainer.explain(T[0]).label
    with torch.no_grad():
        explainer.target.model.classifier.weight.neg_()
    for found in (copied(explainer), copied(copied(explainer))):
        with pytest.raises(TargetMismatchError, match="have changed"):
            found.explain(T[0])


def test_weights_that_only_moved_are_the_same() -> None:
    model = bert()
    explainer = explainer_of(model, tok(), T[0])
    before = explainer.explain(T[0])
    for value in model.parameters():
        value.data = value.data.clone()
    np.testing.assert_array_equal(explainer.explain(T[0]).map, before.map)


def test_watching_weights_costs_little() -> None:
    explainer = explainer_of(eye(), SQUARE, P[0])
    watch, count = WeightWatch(explainer.target.model), 50
    watch.changed()
    start = time.perf_counter()
    for _ in range(count):
        watch.changed()
    watched = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(count):
        explainer.explain(P[0])
    assert watched < 0.05 * (time.perf_counter() - start)  # of a model of two layers, the smallest there is


# -- self-check ---------------------------------------------------------------------


class Drifting(nn.Module):
    """Draws at random, in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 3, 2), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(nn.functional.dropout(self.stem(x), 0.5, training=True).mean((2, 3))) * 9


class Together(Drifting):
    """A sample's logits depend on the rest of its batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.stem(x).mean((2, 3))
        return self.head(y - y.mean(0) * (len(y) > 1)) * 9


class Detached(Drifting):
    """No gradient reaches the input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stem(x).mean((2, 3)).detach()) * 9


@pytest.mark.parametrize(
    ("kind", "word"), [(Drifting, "by itself"), (Together, "batch"), (Detached, "no gradient")]
)
def test_the_self_check_finds_models_that_cannot_be_trusted(kind: Any, word: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    with pytest.raises(SelfCheckError, match=word):
        Explainer.fit(kind().eval(), P, processor=SQUARE, layers=["stem"], output_dir=tmp_path / "a", **S)
    assert not (tmp_path / "a").exists()


def test_the_self_check_shows_both_and_can_be_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    model = Together().eval()
    with pytest.raises(
        SelfCheckError, match=r"by itself with its own processor the logits are \[.*\]; in a batch"
    ):
        Explainer.fit(model, P, processor=SQUARE, layers=["stem"], output_dir=tmp_path, **S)
    for check, said in (("warn", True), ("off", False)):
        caplog.clear()
        options = {**S, "check": check, "output_dir": tmp_path / check}
        Explainer.fit(model, P, processor=SQUARE, layers=["stem"], **options)
        assert any("sees something else" in r.getMessage() for r in caplog.records) == said


def test_the_self_check_at_loading_needs_no_data(tmp_path: Path) -> None:
    for model, processor, row in ((bert(), tok(), T[0]), (eye(), SQUARE, P[0])):
        target = as_target(model, processor)
        assert len(made_up_samples(target)) == 2
        self_check(target, made_up_samples(target))
        explainer_of(model, processor, row).save_pretrained(tmp_path / target.family)
        Explainer.from_pretrained(tmp_path / target.family, model, processor=processor)


def test_a_check_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SidelightError, match="check must be one of 'error', 'warn', 'off'; got 'maybe'"):
        Explainer.fit(bert(), T, processor=tok(), output_dir=tmp_path, check="maybe", **S)  # type: ignore[arg-type]


def test_plain_model_takes_off_every_wrapper() -> None:
    model = bert()
    assert plain_model(compiled(nn.DataParallel(model))) is model
    assert plain_model(model) is model


class OwnForSequenceClassification(BertPreTrainedModel):
    """A class of the user's, with the model type of BERT and other names of weights."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.encoder, self.out = BertModel(config), nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()


def test_kind_a_folder_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    """transformers drew them at random, and the scorer was trained beside another classifier than the one saved."""
    place = tmp_path / "own"
    OwnForSequenceClassification(bert().config).save_pretrained(place)
    tok().save_pretrained(place)
    words = (
        r"was saved by the class OwnForSequenceClassification.* of BertForSequenceClassification .* at random"
    )
    with pytest.raises(UnsupportedTargetError, match=words):
        Explainer.fit(place, T, output_dir=tmp_path / "run", **S)
    assert type(TARGETS["text"].load_model(str(place), classes=["a", "b"])).__name__.startswith("Bert")


def test_kind_weights_of_another_model_are_told_with_their_sizes(tmp_path: Path) -> None:
    bert().save_pretrained(tmp_path / "model")
    saved = json.loads((tmp_path / "model" / "config.json").read_text())
    wider = {**saved, "intermediate_size": saved["intermediate_size"] + 8}
    (tmp_path / "model" / "config.json").write_text(json.dumps(wider))
    # also where the model gets a new head: then the rest must fit all the same
    for classes in ((), ("yes", "no")):
        with pytest.raises(UnsupportedTargetError, match=r"\d+ weights of .* have other sizes .* two models"):
            TARGETS["text"].load_model(str(tmp_path / "model"), None, classes)
    with pytest.raises(UnsupportedTargetError, match=r"have other sizes than its config\.json says"):
        open_model(tmp_path / "model")


def test_kind_a_new_head_may_have_other_classes_than_the_saved_one(tmp_path: Path) -> None:
    bert().save_pretrained(tmp_path / "model")
    model: Any = TARGETS["text"].load_model(str(tmp_path / "model"), None, tuple("abcde"))
    assert model.config.num_labels == 5
    torch.testing.assert_close(model.bert.state_dict(), bert().bert.state_dict())


def test_kind_a_folder_of_checkpoints_names_one_of_them(tmp_path: Path) -> None:
    for name in ("checkpoint-9", "checkpoint-10", "runs"):
        (tmp_path / "out" / name).mkdir(parents=True)
    for name in ("checkpoint-9", "checkpoint-10"):
        (tmp_path / "out" / name / "config.json").write_text("{}")
    with pytest.raises(
        CheckpointError, match=r"further down \(2 models\): give one, e.g. .*checkpoint-10'\."
    ):
        open_model(tmp_path / "out")
    with pytest.raises(CheckpointError) as told:
        open_model(tmp_path / "out" / "checkpoint-9")  # its own fault is told, and no other place
    assert "further down" not in str(told.value)
