"""The plain module: the same numbers as the explainer, whole graphs, and a borrowed model that stays as it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from export_toys import (
    TARGETS,
    assert_same,
    expected,
    explainer_for,
    explainer_of,
    plain_inputs,
    read_inputs,
)
from helpers_training import TRANSFORM, classifier, corner_tensor
from sidelight import Explainer
from sidelight.errors import ConfigError, ExportError, InputError, TargetMismatchError
from sidelight.targets import as_target

SEVERAL = ["vit", "resnet", "plain", "bert", "gpt2, padded on the left", "fusion-resnet"]


def classes_of(explainer: Explainer, count: int) -> Tensor:
    return torch.arange(count) % int(explainer.scorer.spec.classes or 1)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("by_class", [True, False])
def test_it_gives_what_the_explainer_gives(name: str, by_class: bool) -> None:
    explainer = explainer_of(name, by_class)
    inputs = read_inputs(explainer)
    module = explainer.module()
    found = module(**plain_inputs(explainer))
    assert_same(found, expected(explainer, inputs))
    assert tuple(found) == module.output_names
    assert (f"effects_{next(iter(explainer.target.modalities))}" in found) is by_class


@pytest.mark.parametrize("name", SEVERAL)
def test_a_class_may_be_chosen_for_each_sample(name: str) -> None:
    explainer = explainer_of(name)
    module, inputs, classes = explainer.module(), plain_inputs(explainer), classes_of(explainer_of(name), 3)
    wanted = expected(explainer, read_inputs(explainer), classes)
    assert_same(module(classes=classes, **inputs), wanted)
    # -1 leaves the choice to the model, for each sample alone
    mixed = torch.where(torch.tensor([True, False, True]), -1, classes)
    found = module(classes=mixed, **inputs)
    predicted = wanted["logits"].argmax(-1)
    assert found["class"].tolist() == torch.where(mixed < 0, predicted, classes).tolist()


@pytest.mark.parametrize("name", TARGETS)
def test_it_compiles_as_one_graph(name: str) -> None:
    explainer = explainer_of(name)
    torch._dynamo.reset()
    compiled = torch.compile(explainer.module(), fullgraph=True, backend="eager", dynamic=True)
    inputs = plain_inputs(explainer)
    with torch.no_grad():
        assert_same(compiled(**inputs), expected(explainer, read_inputs(explainer)))
        few = {k: v[:2] for k, v in inputs.items()}
        assert_same(
            compiled(**few), expected(explainer, {k: v[:2] for k, v in read_inputs(explainer).items()})
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit", "bert", "fusion-resnet"])
def test_compiled_code_gives_the_same_numbers(name: str) -> None:
    explainer = explainer_of(name)
    torch._dynamo.reset()
    compiled = torch.compile(explainer.module(), fullgraph=True)
    with torch.no_grad():
        found = compiled(classes=torch.tensor([0, 1, -1]), **plain_inputs(explainer))
    predicted = int(found["logits"][2].argmax())
    wanted = expected(explainer, read_inputs(explainer), torch.tensor([0, 1, predicted]))
    assert_same(found, wanted, atol=1e-4)


def hooks_of(model: nn.Module) -> list[int]:
    return [len(m._forward_hooks) for m in model.modules()]


@pytest.mark.parametrize("name", ["vit", "resnet", "plain", "bert", "fusion-vit"])
def test_the_borrowed_model_stays_as_it_was(name: str) -> None:
    explainer = explainer_of(name)
    model = explainer.target.model.train()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    before = hooks_of(model), [m.training for m in model.modules()], list(map(id, model.parameters()))
    module = explainer.module()
    module(**plain_inputs(explainer))
    assert before == (
        hooks_of(model),
        [m.training for m in model.modules()],
        list(map(id, model.parameters())),
    )
    assert all(p.requires_grad for p in model.parameters())
    assert not any(p.requires_grad for p in module.parameters())
    assert not any(m.training for m in module.train().modules())


def test_weights_share_memory_until_the_module_is_moved() -> None:
    explainer = explainer_of("vit")
    module, model = explainer.module(), explainer.target.model
    own = dict(model.named_parameters())
    assert {p.data_ptr() for p in module.model.parameters()} == {p.data_ptr() for p in own.values()}
    module.double()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert {p.dtype for p in explainer.scorer.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", ["plain", "resnet", "vit", "bert"])
def test_threads_do_not_mix_their_states(name: str) -> None:
    explainer = explainer_of(name)
    module, inputs = explainer.module(), plain_inputs(explainer)
    rows = [{k: v[i : i + 1] for k, v in inputs.items()} for i in range(3)] * 20
    alone = [module(**row) for row in rows[:3]]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda row: module(**row), rows))
    for i, answer in enumerate(found):
        assert_same(answer, alone[i % 3])


def test_a_scorer_of_the_predicted_class_takes_no_choice() -> None:
    module = explainer_of("vit", by_class=False).module()
    with pytest.raises(ConfigError, match="predicted class only"):
        module(pixel_values=corner_tensor(2), classes=torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("name", "given"), [("vit", {}), ("bert", {"pixel_values": torch.zeros(1, 1, 2, 2)})]
)
def test_missing_inputs_are_named(name: str, given: dict[str, Tensor]) -> None:
    with pytest.raises(InputError, match="inputs are missing"):
        explainer_of(name).module()(**given)


def test_changed_weights_are_refused() -> None:
    explainer = explainer_of("vit")
    with torch.no_grad():
        next(explainer.target.model.parameters()).add_(1)
    with pytest.raises(TargetMismatchError):
        explainer.module()


class Locked(nn.Module):
    """A model that holds what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = classifier("plain")
        self.file = open(__file__)  # noqa: SIM115

    def forward(self, x: Tensor) -> Tensor:
        return self.inside(x)


def test_a_model_that_cannot_be_copied_is_named() -> None:
    explainer = explainer_for(as_target(Locked(), TRANSFORM, layers=["inside.first"]))
    with pytest.raises(ExportError, match="Locked cannot be copied"):
        explainer.module()


class Probabilities(nn.Module):
    """Ends in a softmax, or in one probability or logit."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.inside, self.kind = classifier("plain"), kind

    def forward(self, x: Tensor) -> Tensor:
        logits = self.inside(x)
        return {
            "probabilities": lambda: logits.softmax(-1),
            "sigmoid": lambda: logits[:, 0],
            "one probability": lambda: logits[:, :1].sigmoid(),
        }[self.kind]()


@pytest.mark.parametrize("kind", ["probabilities", "sigmoid", "one probability"])
def test_logits_are_those_that_are_read(kind: str) -> None:
    options: dict[str, Any] = {"output": "sigmoid" if kind == "sigmoid" else "probabilities"}
    explainer = explainer_for(as_target(Probabilities(kind), TRANSFORM, layers=["inside.first"], **options))
    found = explainer.module()(pixel_values=corner_tensor(3))
    alone = explainer.target.model(corner_tensor(3))
    if kind == "probabilities":
        torch.testing.assert_close(found["probabilities"], alone)
    else:
        yes = alone.sigmoid() if kind == "sigmoid" else alone.squeeze(1)
        torch.testing.assert_close(found["probabilities"][:, 1], yes)
