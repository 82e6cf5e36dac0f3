"""Models as people have them: with an adapter, compiled, in half precision, quantised. Each gives its own logits."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers_training import TRANSFORM, classifier, corner_images
from sidelight import Explainer, ScorerConfig
from sidelight.errors import UnsupportedTargetError
from sidelight.targets import TARGETS, as_target, fingerprint
from sidelight.training.network import new_scorer
from text_models import TEXTS, make_pair

IMAGES = list(corner_images(3, seed=5)[0])


def with_lora(model: nn.Module) -> nn.Module:
    peft = pytest.importorskip("peft")
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and "attention" in n]
    config = peft.LoraConfig(r=2, target_modules=names, init_lora_weights=False)
    return peft.get_peft_model(model, config)


def quantised(model: nn.Module) -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


def by_torchao(model: nn.Module) -> nn.Module:
    ao = pytest.importorskip("torchao.quantization")
    ao.quantize_(model, ao.Int8WeightOnlyConfig())
    return model


FORMS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "plain": lambda model: model,
    "LoRA": with_lora,
    "compiled": lambda model: torch.compile(model, backend="eager"),  # type: ignore[return-value]
    "compiled in place": lambda model: model.compile(backend="eager") or model,
    "bfloat16": lambda model: model.to(torch.bfloat16),
    "float16": lambda model: model.to(torch.float16),
    "int8 of torch": quantised,
    "int8 of torchao": by_torchao,
    "LoRA, compiled, bfloat16": lambda model: torch.compile(
        with_lora(model).to(torch.bfloat16), backend="eager"
    ),  # type: ignore[return-value]
}
#: these pass no gradient to their input, so fit refuses them, and the scorer of the original is loaded beside them
NO_GRADIENT = ("int8 of torch",)


def parts(modality: str) -> tuple[nn.Module, Any, list[Any]]:
    if modality == "image":
        return classifier(), TRANSFORM, IMAGES
    model, tokenizer = make_pair("bert")
    return model.eval(), tokenizer, TEXTS


def alone(model: nn.Module, inputs: Any, kind: torch.dtype) -> Tensor:
    cast = {k: v.to(kind) if v.is_floating_point() else v for k, v in inputs.items()}
    with torch.no_grad():
        return model(**cast).logits.float()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("modality", ["image", "text"])
@pytest.mark.parametrize("form", FORMS)
def test_the_logits_are_those_of_the_model_by_itself(form: str, modality: str, tmp_path: Path) -> None:
    original, processor, samples = parts(modality)
    torch.manual_seed(0)
    target = as_target(original, processor)
    saved = Explainer(target, new_scorer(target, samples[:1], ScorerConfig())).save_pretrained(tmp_path / "s")
    model = FORMS[form](copy.deepcopy(original)).eval()
    explainer = Explainer.from_pretrained(saved, model, processor=processor, check="warn")
    inputs = explainer.target.reader.read(samples).inputs
    kind = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    expected = alone(model, inputs, kind)
    torch.testing.assert_close(explainer.target.encode(inputs).logits.float(), expected, atol=1e-5, rtol=1e-5)
    for explanation, row in zip(explainer.explain(samples), expected, strict=True):
        assert explanation.prediction == int(row.argmax())
        assert explanation.probability == pytest.approx(float(row.softmax(-1).amax()), abs=1e-3)
        assert all(np.isfinite(scores).all() for scores in explanation.scores.values())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", [f for f in FORMS if f not in NO_GRADIENT and "compiled" not in f])
def test_fit_takes_it(form: str, tmp_path: Path) -> None:
    original, tokenizer = make_pair("bert")
    torch.manual_seed(0)
    model = FORMS[form](original).eval()
    rows = [text for text in TEXTS for _ in range(6)]
    quick: dict[str, Any] = {"epochs": 1, "batch_size": 6, "extra": {"disable_tqdm": True, "use_cpu": True}}
    explainer = Explainer.fit(
        model, rows, processor=tokenizer, output_dir=tmp_path / "run", on_collapse="warn", **quick
    )
    assert len(explainer.explain(TEXTS)) == 3


def test_a_weight_that_is_made_of_tensors_counts_with_each_of_them() -> None:
    """As weights of torchao are, of values and scales: here of two tensors."""
    from torch.testing._internal.two_tensor import TwoTensor

    from sidelight.targets.weights import WeightWatch, fingerprint

    def layer(second: float) -> nn.Linear:
        made = nn.Linear(2, 2, bias=False)
        pair = TwoTensor(torch.eye(2), torch.full((2, 2), float(second)))
        made.weight = nn.Parameter(pair, requires_grad=False)
        return made

    assert fingerprint(layer(1)) == fingerprint(layer(1)) != fingerprint(layer(2))
    own = layer(1)
    watch = WeightWatch(own)
    assert not watch.changed()
    own.weight.b.mul_(3)
    assert watch.changed()


def test_a_pipeline_is_told_what_it_holds() -> None:
    transformers = pytest.importorskip("transformers")
    model, tokenizer = make_pair("bert")
    held = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)
    with pytest.raises(
        UnsupportedTargetError, match=r"It holds one: give it\.model, and processor=it\.tokenizer"
    ):
        Explainer.fit(held, TEXTS)


class Scorer(nn.Module):
    """As the cross-encoders of sentence-transformers are: model and tokenizer are inside, and the forward is its own."""

    def __init__(self) -> None:
        super().__init__()
        self.model, self.tokenizer = make_pair("bert")

    def forward(self, features: dict[str, Tensor]) -> Any:
        return self.model(**features)


@pytest.mark.parametrize("beside", [False, True])
def test_a_module_around_a_text_classifier_is_told_what_it_holds(beside: bool, tmp_path: Path) -> None:
    """Its texts were taken for paths of pictures."""
    model = Scorer()
    with pytest.raises(UnsupportedTargetError, match=r"give it\.model, and processor=it\.tokenizer"):
        Explainer.fit(
            model, TEXTS, processor=model.tokenizer if beside else None, output_dir=tmp_path / "run"
        )


class Around(nn.Module):
    """Holds a whole model under any name, and perhaps other weights."""

    def __init__(self, name: str, inside: nn.Module, *more: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, inside)
        self.more = nn.ModuleList(more)

    def forward(self, *values: Any, **named: Any) -> Any:
        return self.get_submodule(self.name)(*values, **named)


@pytest.mark.parametrize("name", ["model", "net", "module", "_forward_module", "backbone"])
def test_the_model_of_a_wrapper_is_found_under_any_name(name: str, tmp_path: Path) -> None:
    model, tokenizer = make_pair("bert")
    for processor in (tokenizer, None):
        with pytest.raises(UnsupportedTargetError, match=rf"It holds one: give it\.{name}\."):
            Explainer.fit(Around(name, model), TEXTS, processor=processor, output_dir=tmp_path / "run")
    with pytest.raises(UnsupportedTargetError, match=rf"It holds one: give it\.{name}\."):
        as_target(Around(name, classifier()))
    with pytest.raises(UnsupportedTargetError, match=rf"It holds one: give it\[0\]\.{name}\."):
        as_target(nn.Sequential(Around(name, model)), tokenizer)


def test_a_model_that_is_only_a_part_is_not_called_the_whole() -> None:
    model, tokenizer = make_pair("bert")
    for part in (Around("net", model, nn.Linear(2, 2)), Around("net", model.base_model)):
        with pytest.raises(UnsupportedTargetError) as told:
            as_target(part, tokenizer)
        assert "It holds" not in str(told.value)


def test_texts_of_a_body_of_sentence_transformers_are_not_taken_for_paths(tmp_path: Path) -> None:
    """Its tokenizer says what it reads, also if other layers follow the body."""
    model, tokenizer = make_pair("bert")
    body = nn.Sequential(Around("auto_model", model.base_model), nn.Linear(2, 2))
    body.tokenizer, body.config = tokenizer, model.config
    with pytest.raises(UnsupportedTargetError, match="has no word embeddings"):
        Explainer.fit(body, TEXTS, output_dir=tmp_path / "run")


class Module(nn.Module):
    """As the first module of sentence-transformers is: it shows the configuration of the model inside as its own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @property
    def config(self) -> Any:
        return self.model.config

    def forward(self, features: dict[str, Tensor]) -> Any:
        return self.model(**features)


class Modules(nn.Sequential):
    """As the models of sentence-transformers are: modules in a row, with tokenizer and configuration of the first."""

    def __init__(self, tokenizer: Any, *modules: nn.Module) -> None:
        super().__init__(*modules)
        self.tokenizer = tokenizer

    @property
    def config(self) -> Any:
        return self[0].config


@pytest.mark.parametrize("beside", [False, True])
def test_a_cross_encoder_of_modules_in_a_row_is_told_which_part_to_give(beside: bool, tmp_path: Path) -> None:
    """Its texts were taken for paths of pictures, and the part that was named is no classifier either."""
    model, tokenizer = make_pair("bert")
    encoder = Modules(tokenizer, Module(model))
    with pytest.raises(UnsupportedTargetError, match=r"give it\[0\]\.model, and processor=it\.tokenizer"):
        Explainer.fit(encoder, TEXTS, processor=tokenizer if beside else None, output_dir=tmp_path / "run")
    assert as_target(encoder[0].model, encoder.tokenizer).model is model


def test_an_embedder_beside_a_head_of_another_kind_is_not_called_the_classifier(tmp_path: Path) -> None:
    """As SetFit keeps them. Its body alone decides nothing."""
    model, tokenizer = make_pair("bert")
    body = Modules(tokenizer, Module(model.base_model), nn.Identity())
    with pytest.raises(UnsupportedTargetError, match="has no word embeddings") as told:
        Explainer.fit(body, TEXTS, output_dir=tmp_path / "run")
    assert "It holds" not in str(told.value)

    class Pair:
        def __init__(self) -> None:
            self.model_body, self.model_head = body, object()

    with pytest.raises(
        UnsupportedTargetError, match=r"holds torch modules \(model_body\), but .*one of them alone"
    ):
        as_target(Pair())  # type: ignore[arg-type]


def test_the_network_of_skorch_is_named() -> None:
    """It was told of functions and of models of scikit-learn, as which it acts."""

    class Net:
        def __init__(self) -> None:
            self.module_, self.criterion_ = nn.Linear(2, 2), nn.CrossEntropyLoss()

        def predict(self, rows: Any) -> Any: ...

    with pytest.raises(UnsupportedTargetError, match=r"got Net\. It holds one: give it\.module_\."):
        as_target(Net())  # type: ignore[arg-type]


def test_lazy_layers_without_weights_are_refused() -> None:
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(2))
    with pytest.raises(
        UnsupportedTargetError, match=r"'0\.weight' belongs to a lazy layer.* Call the model once"
    ):
        as_target(net, TRANSFORM, layers=["0"])
    net(torch.zeros(1, 3, 16, 16))
    assert as_target(net, TRANSFORM, layers=["0"]).model is net


class Replacing(nn.Module):
    """A classifier that replaces a part of itself in its first pass, as BigBird does if a text is short."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2)
        self.kept = nn.Dropout(0.1)
        self.frozen = nn.Sequential(nn.Dropout(0.2))
        self.part = nn.Sequential(nn.Dropout(0.3))
        self.head = nn.Linear(4, 3)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if len(self.part) == 1:
            part = nn.Sequential(self.kept, nn.Sequential(nn.Dropout(0.4)), self.frozen)
            self.part = part if self.training else part.eval()
        return self.head(self.part(self.stem(pixels).mean((2, 3))))


@pytest.mark.parametrize("training", [True, False])
def test_parts_that_a_pass_made_have_the_mode_of_the_model(training: bool) -> None:
    """They stayed in evaluation mode, so a training that went on had no dropout in them."""
    model = Replacing().train(training)
    model.frozen.eval()
    as_target(model, layers=["stem"]).encode({"pixel_values": torch.zeros(2, 3, 16, 16)})
    assert len(model.part) == 3
    off = {name for name, module in model.named_modules() if not module.training}
    assert off == ({"frozen", "frozen.0"} if training else {name for name, _ in model.named_modules()})


@pytest.mark.parametrize("family", list(TARGETS))
def test_a_target_of_something_else_than_a_module_says_what_it_needs(family: str) -> None:
    with pytest.raises(UnsupportedTargetError, match=r"must be a torch module.*got int"):
        TARGETS[family](5)  # type: ignore[arg-type]


def test_a_fingerprint_of_something_else_than_a_module_says_what_it_needs() -> None:
    with pytest.raises(UnsupportedTargetError, match=r"must be a torch module.*got dict"):
        fingerprint({})  # type: ignore[arg-type]
