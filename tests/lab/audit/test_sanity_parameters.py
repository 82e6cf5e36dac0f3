"""Cascading randomisation: order of the blocks, what each step touches, and a target that stays as it was."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pair_models import make_target, pairs
from sidelight import Explainer, ScorerConfig
from sidelight.errors import InputError, UnsupportedTargetError
from sidelight.inputs.base import Batch
from sidelight.lab.audit.blocks import (
    Block,
    block_name,
    copy_target,
    merge_blocks,
    parameter_blocks,
    randomise,
    randomised_copy,
)
from sidelight.lab.audit.parameters import parameter_randomisation, tables
from sidelight.targets import TargetModel, as_target
from sidelight.training.network import scorer_of
from tiny_models import pixels, plain, tiny


def image_target(name: str = "vit") -> tuple[TargetModel, dict[str, Tensor]]:
    return as_target(tiny(name)), {"pixel_values": pixels(3)}


def text_target(name: str) -> tuple[TargetModel, dict[str, Tensor]]:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    own = {
        "bert": sizes,
        "deberta-v2": {
            **sizes,
            "relative_attention": True,
            "position_biased_input": False,
            "pos_att_type": ["p2c"],
        },
        "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2},
    }[name]
    config = AutoConfig.for_model(name, vocab_size=50, pad_token_id=0, bos_token_id=1, eos_token_id=1, **own)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config).eval()
    ids = torch.randint(2, 50, (3, 7), generator=torch.Generator().manual_seed(0))
    return as_target(model), {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def names(target: TargetModel, inputs: dict[str, Tensor]) -> list[str]:
    return [b.name for b in parameter_blocks(target, inputs)]


def test_blocks_go_from_the_head_to_the_embedding() -> None:
    found = names(*image_target("vit"))
    assert found[0] == "classifier"
    assert found[-1] == "vit.embeddings"
    assert [n[-1] for n in found if n[-1].isdigit()] == ["2", "1", "0"]
    assert [n[-1] for n in names(*image_target("resnet")) if "stages" in n] == ["2", "1", "0"]


@pytest.mark.parametrize("family", ["bert", "deberta-v2", "gpt2"])
def test_blocks_of_texts(family: str) -> None:
    target, inputs = text_target(family)
    found = parameter_blocks(target, inputs)
    assert {"bert": "classifier", "deberta-v2": "classifier", "gpt2": "score"}[family] == found[0].name
    held = {id(p) for b in found for m in b.modules for p in m.parameters(recurse=False)}
    assert held == {id(p) for p in target.model.parameters()}
    numbers = [int(b.name.rsplit(".", 1)[1]) for b in found if b.name.rsplit(".", 1)[-1].isdigit()]
    assert numbers == sorted(numbers, reverse=True)


def test_names_of_blocks() -> None:
    assert block_name("vit.encoder.layer.3.attention.query.0") == "vit.encoder.layer.3"
    assert block_name("bert.embeddings.word_embeddings") == "bert.embeddings"
    assert block_name("classifier") == "classifier"


@pytest.mark.parametrize(("count", "steps"), [(7, 3), (5, 5), (2, 8), (10, 4)])
def test_merged_blocks_are_even_and_complete(count: int, steps: int) -> None:
    blocks = [Block(str(i), (nn.Identity(),)) for i in range(count)]
    merged = merge_blocks(blocks, steps)
    assert len(merged) == min(count, steps)
    assert [m for b in merged for m in b.modules] == [m for b in blocks for m in b.modules]
    sizes = [len(b.modules) for b in merged]
    assert max(sizes) - min(sizes) <= 1


def test_randomising_touches_its_block_alone_and_repeats_itself() -> None:
    target, inputs = image_target("resnet")
    blocks = parameter_blocks(target, inputs)
    before = {n: p.clone() for n, p in target.model.named_parameters()}
    own = {
        n
        for n, p in target.model.named_parameters()
        if any(p is q for m in blocks[1].modules for q in m.parameters())
    }
    draws = []
    for seed in (5, 5, 6):
        randomise(blocks[1], seed)
        draws.append({n: p.clone() for n, p in target.model.named_parameters()})
    for name, value in before.items():
        assert torch.equal(draws[0][name], draws[1][name])
        if name not in own:
            assert torch.equal(draws[0][name], value)
        elif value.ndim > 1:
            assert not torch.equal(draws[0][name], value)
            assert not torch.equal(draws[0][name], draws[2][name])


class Bare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(3 + 0.5 * torch.randn(100, 100))
        self.scale = nn.Parameter(torch.tensor([2.0]))


class Scaled(nn.Linear):
    """A layer whose own parameter the initialisation of its kind does not know."""

    def __init__(self) -> None:
        super().__init__(6, 5)
        self.scale = nn.Parameter(torch.randn(5, generator=torch.Generator().manual_seed(1)))


class Asked(nn.Module):
    """A layer whose initialisation must be told something."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, generator=torch.Generator().manual_seed(1)))

    def reset_parameters(self, deviation: float) -> None:
        raise AssertionError(deviation)


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("make", [Scaled, Asked, lambda: nn.utils.weight_norm(nn.Linear(6, 5))])
def test_every_parameter_of_layers_of_ones_own_is_drawn_anew(make: Callable[[], nn.Module]) -> None:
    """What the layer's initialisation does not reach stayed trained, so methods seemed not to look at the model."""
    module = make()
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    randomise(Block("own", (module,)), 0)
    assert not [name for name, p in module.named_parameters() if torch.equal(p, before[name])]


class Whole(nn.Linear):
    """A layer whose weights are whole numbers and a scale, as of a classifier that was loaded in int8."""

    def __init__(self) -> None:
        super().__init__(16, 5)
        self.weight = nn.Parameter(torch.arange(-40, 40, dtype=torch.int8).view(5, 16), requires_grad=False)
        self.scale = nn.Parameter(torch.linspace(0.01, 0.02, 5))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight * self.scale[:, None], self.bias)


def test_whole_numbers_change_places() -> None:
    """PyTorch draws no int8 from a normal distribution, so the audit of a quantised classifier failed."""
    module = Whole()
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    randomise(Block("whole", (module,)), 0)
    assert module.weight.dtype is torch.int8
    assert not torch.equal(module.weight, before["weight"])
    assert torch.equal(module.weight.flatten().sort().values, before["weight"].flatten())
    assert not torch.equal(module.scale, before["scale"])
    assert not torch.equal(module.bias, before["bias"])


class Packed(nn.Module):
    """A layer of whole numbers in a buffer, as GPTQ and AWQ make it."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("scale", layer.weight.detach().abs().max() / 127)
        self.register_buffer("qweight", (layer.weight.detach() / self.scale).round().to(torch.int8))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.qweight * self.scale)


def test_weights_in_buffers_are_drawn_too() -> None:
    """They stayed trained, so maps seemed not to depend on the model, and the block was not named at all."""
    net = plain().eval()
    net.head[1] = Packed(net.head[1])
    target, inputs = as_target(net, layers=["stem", "deep"]), {"pixel_values": pixels(3)}
    before = net.head[1].qweight.clone()
    assert names(target, inputs)[0] == "head.1"
    assert not torch.equal(randomised_copy(target, inputs, 0).model.head[1].qweight, before)
    assert torch.equal(net.head[1].qweight, before)


def test_numbers_of_one_byte_change_places() -> None:
    layer = nn.Linear(8, 4).requires_grad_(False)
    layer.weight = nn.Parameter(layer.weight.to(torch.float8_e4m3fn), requires_grad=False)
    before = layer.weight.float()
    randomise(Block("small", (layer,)), 0)
    assert not torch.equal(layer.weight.float(), before)
    assert torch.equal(layer.weight.float().flatten().sort().values, before.flatten().sort().values)


@pytest.mark.filterwarnings("ignore")
def test_packed_weights_that_cannot_be_drawn_are_told() -> None:
    net = torch.ao.quantization.quantize_dynamic(plain().eval(), {nn.Linear})
    target = as_target(net, layers=["stem", "deep"])
    with pytest.raises(UnsupportedTargetError, match=r"head\.1.*original model"):
        randomised_copy(target, {"pixel_values": pixels(3)}, 0)


def with_weight_norm() -> nn.Module:
    net = plain()
    net.head[1] = nn.utils.weight_norm(net.head[1])
    return net


class Remembering(nn.Module):
    """A classifier that keeps its features."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep, self.head = plain().children()

    def forward(self, x: Tensor) -> Tensor:
        self.features = self.deep(self.stem(x)).mean((2, 3))
        found: Tensor = self.head(self.features)
        return found


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("make", [with_weight_norm, Remembering])
def test_what_a_pass_with_gradients_left_in_a_model_is_copied(make: Callable[[], nn.Module]) -> None:
    """PyTorch deep-copies no tensor with a graph, so an audit after a training step failed."""
    net, inputs = make(), {"pixel_values": pixels(3)}
    target = as_target(net, layers=["stem", "deep"])
    net(inputs["pixel_values"]).sum().backward()
    found = copy.deepcopy(Explainer(target, scorer_of(target, inputs, ScorerConfig()), check="off")).target
    assert torch.equal(found.encode(inputs).logits, target.encode(inputs).logits)
    net(inputs["pixel_values"]).sum().backward()
    assert randomised_copy(target, inputs, 0).fingerprint() != target.fingerprint()


def test_a_model_that_cannot_be_copied_is_told() -> None:
    net = plain()
    net.lock = threading.Lock()
    with pytest.raises(UnsupportedTargetError, match=r"PlainNet cannot be copied.*locks"):
        copy_target(as_target(net, layers=["stem", "deep"]))


def test_constants_stay_what_their_initialisation_gives() -> None:
    norm = nn.LayerNorm(4)
    randomise(Block("norm", (norm, nn.Linear(2, 2))), 0)
    assert norm.weight.tolist() == [1.0] * 4
    assert norm.bias.tolist() == [0.0] * 4


def test_what_has_no_initialisation_keeps_its_moments() -> None:
    torch.manual_seed(0)
    module = Bare()
    before = module.table.clone()
    randomise(Block("bare", (module,)), 0)
    assert not torch.equal(module.table, before)
    assert module.table.mean().item() == pytest.approx(before.mean().item(), abs=0.02)
    assert module.table.std().item() == pytest.approx(before.std().item(), abs=0.02)
    assert module.scale.item() == 2.0


def copies() -> list[Callable[[], tuple[TargetModel, dict[str, Tensor]]]]:
    def hooked() -> tuple[TargetModel, dict[str, Tensor]]:
        return as_target(plain(), layers=["stem", "deep"]), {"pixel_values": pixels(3)}

    def pair() -> tuple[TargetModel, dict[str, Tensor]]:
        target = make_target("fusion-resnet")
        return target, target.reader.read(pairs()).inputs

    return [
        hooked,
        pair,
        lambda: image_target("convnext"),
        lambda: text_target("deberta-v2"),
        lambda: text_target("gpt2"),
    ]


@pytest.mark.parametrize("number", range(5))
def test_a_copy_is_random_all_over_and_the_model_is_not_touched(number: int) -> None:
    target, inputs = copies()[number]()
    target.model.train()
    mark, logits = target.fingerprint(), target.encode(inputs).logits
    first, second = (randomised_copy(target, inputs, seed) for seed in (0, 0))
    assert target.fingerprint() == mark
    assert target.model.training
    assert torch.equal(target.encode(inputs).logits, logits)
    assert first.fingerprint() == second.fingerprint() != mark
    assert not torch.allclose(first.encode(inputs).logits, logits, atol=1e-3)
    known = dict(target.model.named_parameters())
    for name, parameter in first.model.named_parameters():
        assert parameter is not known[name]
        if parameter.ndim > 1 and float(known[name].detach().std()) > 0:
            assert not torch.equal(parameter, known[name]), name
    # states and features of the copy are the copy's own
    assert {m: [s.shape for s in v] for m, v in first.encode(inputs).states.items()} == {
        m: [s.shape for s in v] for m, v in target.encode(inputs).states.items()
    }


class Watches:
    """Its map is the input, turned round once ``parameter`` of the target is not what it was."""

    signed = False

    def __init__(self, parameter: str, target: TargetModel) -> None:
        self.name, self.parameter = parameter, parameter
        self.value = target.model.get_parameter(parameter).clone()

    def __call__(self, target: TargetModel, inputs: dict[str, Tensor], classes: Tensor) -> dict[str, Tensor]:
        changed = not torch.equal(target.model.get_parameter(self.parameter), self.value)
        return {"image": inputs["pixel_values"][:, :1] * (-1 if changed else 1)}


def cascade(methods: dict, target: TargetModel, **options: object) -> dict:
    batches = [Batch({"pixel_values": pixels(2, seed=i)}, [2 * i, 2 * i + 1]) for i in range(2)]
    return parameter_randomisation(target, lambda _: methods, batches, **options)


def test_similarity_turns_at_the_step_of_what_a_method_reads() -> None:
    """Closed form: +1 before its block's step, −1 from it on; the input's norm alone never changes."""
    from sidelight.lab.baselines import make_rival

    target, _ = image_target("vit")
    watched = ["classifier.weight", "vit.embeddings.patch_embeddings.projection.weight"]
    methods = {name: Watches(name, target) for name in watched} | {"input_norm": make_rival("input_norm")}
    found = cascade(methods, target, steps=3)
    steps = found["facts"]["steps"]
    assert [s["step"] for s in steps] == [0, 1, 2, 3]
    assert steps[0] == {"step": 0, "layer": "trained", "same_prediction": 1.0}
    at = {(r["method"], r["step"]): r["mean"] for r in found["rows"] if r["metric"] == "spearman"}
    assert [at[watched[0], s] for s in range(4)] == pytest.approx([1, -1, -1, -1])
    assert [at[watched[1], s] for s in range(4)] == pytest.approx([1, 1, 1, -1])
    for row in found["rows"]:
        assert row["n"] == 4
        if row["method"] == "input_norm" or row["step"] == 0:
            assert row["mean"] == pytest.approx(1)
    assert {r["metric"] for r in found["rows"]} == {"spearman", "top_k", "ssim"}
    titles = [t.title for t in tables(found)]
    assert any("SSIM" in t for t in titles)


class Breaks:
    name, signed = "breaks", True

    def __call__(self, target: TargetModel, inputs: dict[str, Tensor], classes: Tensor) -> dict[str, Tensor]:
        if not torch.equal(target.model.classifier.weight, self.weight):
            raise RuntimeError("on purpose")
        return {"image": inputs["pixel_values"][:, :1]}


def test_the_model_is_the_same_after_an_error() -> None:
    target, inputs = image_target("vit")
    mark, logits = target.fingerprint(), target.encode(inputs).logits
    flags = [(m.training, [p.requires_grad for p in m.parameters()]) for m in target.model.modules()]
    method = Breaks()
    method.weight = target.model.classifier.weight.clone()
    with pytest.raises(RuntimeError, match="on purpose"):
        cascade({"breaks": method}, target)
    assert target.fingerprint() == mark
    assert torch.equal(target.encode(inputs).logits, logits)
    assert flags == [(m.training, [p.requires_grad for p in m.parameters()]) for m in target.model.modules()]
    assert not any(m._forward_pre_hooks for m in target.model.modules())


def test_nothing_to_audit() -> None:
    target, _ = image_target("vit")
    with pytest.raises(InputError, match="no samples"):
        parameter_randomisation(target, lambda _: {}, [])
