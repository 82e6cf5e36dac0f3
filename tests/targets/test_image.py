"""Image targets: every family's own logits, states on the right cells, and a model given back as it was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sidelight.errors import InputError, InputTypeError, SidelightError, UnsupportedTargetError
from sidelight.inputs.base import Batch
from sidelight.inputs.images import ImageTransform
from sidelight.targets.base import fingerprint
from sidelight.targets.image import ImageTarget
from sidelight.targets.recording import takes_numbers
from tiny_models import BUILDERS, CLASSES, SIZE, STATES, pixels, plain, tiny

FAMILIES = sorted(BUILDERS)
TOKEN_FAMILIES = {"vit": 1, "deit": 2, "beit": 1, "dinov2_registers": 5}


def _is_ours(hook: Any) -> bool:
    return getattr(hook, "__module__", "").startswith("sidelight")


def snapshot(model: nn.Module) -> dict[str, Any]:
    return {
        "state": {k: v.clone() for k, v in model.state_dict().items()},
        "training": [m.training for m in model.modules()],
        "trainable": [p.requires_grad for p in model.parameters()],
        # transformers leaves hooks of its own on a model asked for hidden states
        "hooks": [h for m in model.modules() for h in m._forward_hooks.values() if _is_ours(h)],
    }


def assert_given_back(model: nn.Module, before: dict[str, Any]) -> None:
    after = snapshot(model)
    for key in ("training", "trainable", "hooks"):
        assert after[key] == before[key]
    for name, value in before["state"].items():
        assert torch.equal(value, after["state"][name]), name
    assert all(p.grad is None for p in model.parameters())


@torch.no_grad()
def own_logits(model: nn.Module, x: Tensor) -> Tensor:
    flags = [(m, m.training) for m in model.modules()]
    model.eval()
    out = model(x)
    for module, training in flags:
        module.training = training
    return getattr(out, "logits", out)


@pytest.mark.parametrize("family", FAMILIES)
def test_encode_gives_the_models_logits_and_states_on_its_grids(family: str) -> None:
    model, x = tiny(family), pixels()
    before = snapshot(model)
    target = ImageTarget(model)

    encoding = target.encode({"pixel_values": x})

    assert torch.equal(encoding.logits, own_logits(model, x))
    assert [(s.shape[1], tuple(s.shape[-2:])) for s in encoding.states["image"]] == STATES[family]
    assert all(len(s) == 2 and not s.requires_grad for s in encoding.states["image"])
    assert encoding.feature_mask["image"].shape == (2, 1, *SIZE)
    assert bool(encoding.feature_mask["image"].all())
    spec = target.spec({"pixel_values": x})
    assert [(s.channels, s.grid) for s in spec.states["image"]] == STATES[family]
    assert spec.feature_shape["image"] == (3, *SIZE)
    assert_given_back(model, before)


@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_corner_of_the_image_is_the_same_corner_of_the_states(family: str, corner: tuple[int, int]) -> None:
    target = ImageTarget(tiny(family))
    x = pixels(1)
    first = target.encode({"pixel_values": x}).states["image"][0]
    rows, columns = first.shape[-2:]
    height, width = SIZE[0] // rows, SIZE[1] // columns
    changed = x.clone().unflatten(2, (rows, height)).unflatten(4, (columns, width))
    changed[:, :, corner[0], :, corner[1]] += 3.0

    second = target.encode({"pixel_values": changed.reshape(x.shape)}).states["image"][0]

    moved = (second - first).abs().sum(1)[0]
    place = (corner[0] % rows, corner[1] % columns)
    row, column = divmod(int(moved.argmax()), columns)
    reach = 0 if family in TOKEN_FAMILIES else 1  # a convolution's answer may peak next door
    assert abs(row - place[0]) <= reach
    assert abs(column - place[1]) <= reach
    if family in TOKEN_FAMILIES:  # embeddings: no other cell has seen that patch
        assert torch.nonzero(moved > 1e-6).tolist() == [list(place)]


@pytest.mark.parametrize("family", sorted(TOKEN_FAMILIES))
def test_extra_tokens_are_dropped(family: str) -> None:
    model = tiny(family).eval()
    x = pixels()
    with torch.no_grad():
        hidden = model(x, output_hidden_states=True).hidden_states
    extra = TOKEN_FAMILIES[family]
    assert hidden[0].shape[1] == 24 + extra

    states = ImageTarget(model).encode({"pixel_values": x}).states["image"]

    for state, index in zip(states, (0, 1, 2, 3), strict=True):
        assert torch.equal(state.flatten(2).transpose(1, 2), hidden[index][:, extra:])


@pytest.mark.parametrize("family", [*FAMILIES, "plain"])
def test_scores_of_one_change_nothing_and_gradients_reach_scores_alone(family: str) -> None:
    model = plain() if family == "plain" else tiny(family)
    target = ImageTarget(model, layers=["stem", "deep"] if family == "plain" else ())
    x = pixels()
    before = snapshot(model)

    ones = torch.ones(2, 1, *SIZE)
    for fill in ("zero", "mean", "noise"):
        logits = target.classify({"pixel_values": x}, {"image": ones}, fill)
        torch.testing.assert_close(logits, own_logits(model, x), rtol=0, atol=1e-6)

    scores = torch.full((2, 1, *SIZE), 0.5, requires_grad=True)
    logits = target.classify({"pixel_values": x}, {"image": scores})
    torch.testing.assert_close(logits, own_logits(model, x * 0.5), rtol=1e-5, atol=1e-6)
    logits.logsumexp(-1).sum().backward()

    assert scores.grad is not None
    assert bool(torch.isfinite(scores.grad).all())
    assert all(float(g.abs().sum()) > 0 for g in scores.grad)
    assert_given_back(model, before)


def test_the_gradient_of_scores_is_the_gradient_of_pixels_times_pixels() -> None:
    model, x = tiny("vit").eval(), pixels()
    scores = torch.ones(2, 1, *SIZE, requires_grad=True)
    ImageTarget(model).classify({"pixel_values": x}, {"image": scores})[:, 0].sum().backward()

    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf).logits[:, 0].sum(), leaf)

    torch.testing.assert_close(scores.grad, (gradient * x).sum(1, keepdim=True), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["vit", "resnet"])
def test_the_model_is_given_back_after_an_error(family: str) -> None:
    model = tiny(family)
    next(iter(model.parameters())).requires_grad_(False)  # a mix of flags must come back as a mix
    list(model.modules())[-1].eval()
    before = snapshot(model)
    target = ImageTarget(model)

    with pytest.raises(Exception, match=r"."):
        target.encode({"pixel_values": torch.zeros(1, 7, *SIZE)})
    with pytest.raises(Exception, match=r"."):
        target.classify({"pixel_values": pixels()}, {"image": torch.ones(2, 1, 3, 3)})
    with pytest.raises(RuntimeError, match="stop"), target.borrowed(), target.borrowed():
        raise RuntimeError("stop")

    assert_given_back(model, before)
    hooked = ImageTarget(model, layers=[name for name, _ in model.named_modules() if name][:2])
    with pytest.raises(Exception, match=r"."):
        hooked.encode({"pixel_values": torch.zeros(1, 7, *SIZE)})
    assert_given_back(model, before)


def test_a_plain_module_gives_the_named_layers_in_the_order_named() -> None:
    model, x = plain(), pixels()
    target = ImageTarget(model, layers=["stem", "deep"])

    states = target.encode({"pixel_values": x}).states["image"]

    model.eval()
    with torch.no_grad():
        stem = model.stem(x)
        expected = (stem, model.deep(stem))
    assert [tuple(s.shape[1:]) for s in states] == [(6, 16, 24), (12, 8, 12)]
    assert all(torch.equal(a, b) for a, b in zip(states, expected, strict=True))
    expected = {"layers": ["stem", "deep"], "max_states": 4, "states": [0, 1], "layouts": "BCHW"}
    assert target.options() == expected
    assert target.name == "PlainNet"
    assert target.id2label == {}


def test_named_layers_of_a_hugging_face_model_are_read_instead_of_hidden_states() -> None:
    model, x = tiny("resnet"), pixels()
    target = ImageTarget(model, layers=["resnet.encoder.stages.1"])

    encoding = target.encode({"pixel_values": x})

    assert [tuple(s.shape[1:]) for s in encoding.states["image"]] == [(16, 4, 6)]
    assert torch.equal(encoding.logits, own_logits(model, x))


def test_max_states_limits_what_is_read() -> None:
    x = {"pixel_values": pixels()}
    assert len(ImageTarget(tiny("vit"), max_states=2).encode(x).states["image"]) == 2
    deepest = ImageTarget(tiny("mobilenet_v2"), max_states=2).encode(x).states["image"]
    assert [tuple(s.shape[-2:]) for s in deepest] == [(16, 24), (2, 3), (1, 2)]  # and the finest


@pytest.mark.parametrize("states", [None, (0,), (1, -1)])
@pytest.mark.parametrize("family", FAMILIES)
def test_later_passes_keep_the_states_that_are_read(family: str, states: tuple[int, ...] | None) -> None:
    model, inputs = tiny(family), {"pixel_values": pixels()}
    every = ImageTarget(model, max_states=99)
    every.encode(inputs)
    assert every.options()["states"] is not None
    count = len(every.options()["states"])
    asked = None if states is None else [i % count for i in states]
    target, given = ImageTarget(model, max_states=2, states=asked), []
    handle = model.register_forward_hook(lambda _m, _a, out: given.append(out.hidden_states))
    found = [target.encode(inputs).states["image"] for _ in range(3)]
    handle.remove()
    for later in found[1:]:
        assert len(later) == len(found[0])
        assert all(torch.equal(one, other) for one, other in zip(found[0], later, strict=True))
    if takes_numbers(model) and family != "swin":  # its states are copies of another shape
        kept = [sum(state is not None for state in hidden) for hidden in (given[0], given[-1])]
        assert kept[0] == len(given[0]) > kept[1] > 0


def test_targets_that_cannot_be_explained_say_what_to_do() -> None:
    with pytest.raises(UnsupportedTargetError, match=r"layers=.*top level here: stem, deep, head"):
        ImageTarget(plain())
    with pytest.raises(UnsupportedTargetError, match=r"no submodule named 'dep'.*Did you mean 'deep'"):
        ImageTarget(plain(), layers=["stem", "dep"])
    with pytest.raises(UnsupportedTargetError, match=r"fit no patch grid|no state has the shape"):
        ImageTarget(plain(), layers=["head"]).encode({"pixel_values": pixels()})


class _NoStates(nn.Module):
    def __init__(self, takes_argument: bool) -> None:
        super().__init__()
        self.config = SimpleNamespace(to_dict=dict, num_channels=3)
        self.net, self.takes_argument = plain(), takes_argument

    def forward(self, pixel_values: Tensor, **kwargs: Any) -> Any:
        if kwargs and not self.takes_argument:
            raise TypeError(f"unexpected keyword argument {next(iter(kwargs))!r}")
        return SimpleNamespace(logits=self.net(pixel_values), hidden_states=None)


@pytest.mark.parametrize("takes_argument", [True, False])
def test_a_hugging_face_model_without_hidden_states_is_refused(takes_argument: bool) -> None:
    model = _NoStates(takes_argument)
    before = snapshot(model)
    with pytest.raises(UnsupportedTargetError, match=r"gives no hidden states.*layers="):
        ImageTarget(model).encode({"pixel_values": pixels()})
    assert_given_back(model, before)
    named = ImageTarget(model, layers=["net.deep"]).encode({"pixel_values": pixels()})
    assert named.states["image"][0].shape == (2, 12, 8, 12)


def test_a_model_without_logits_is_refused() -> None:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(image_size=16, patch_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    with pytest.raises(UnsupportedTargetError, match="without logits"):
        ImageTarget(ViTModel(config)).encode({"pixel_values": pixels(1, (16, 16))})


GOOD = torch.zeros(2, 3, *SIZE)
NAN = GOOD.clone()
NAN[1, 0, 3, 3] = float("nan")


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ({"pixel_values": torch.zeros(2, 3, 32, 32)}, InputError, r"takes 32×48 pixels; got 32×32"),
        ({"pixel_values": torch.zeros(2, 1, *SIZE)}, InputError, r"takes 3 channel\(s\); got 1"),
        ({"pixel_values": NAN}, InputError, r"NaN or infinite values in sample\(s\) \[1\]"),
        ({"pixel_values": GOOD / 0 + 1}, InputError, r"NaN or infinite"),
        ({"pixel_values": GOOD[:0]}, InputError, "batch is empty"),
        ({"pixel_values": GOOD.to(torch.uint8)}, InputTypeError, "floating point.*uint8"),
        ({"pixel_values": GOOD[0]}, InputError, r"\[B, C, H, W\].*unsqueeze"),
        ({"pixel_values": GOOD[..., None]}, InputError, r"\[B, C, H, W\]"),
        ({"pixels": GOOD}, InputTypeError, r"expected a 'pixel_values' tensor.*\['pixels'\]"),
        ({"pixel_values": GOOD.numpy()}, InputTypeError, "ndarray"),
        ({}, InputTypeError, "expected a 'pixel_values' tensor"),
        (GOOD, InputTypeError, "expected a mapping.*got Tensor"),
    ],
)
def test_check_refuses_bad_inputs(inputs: Any, error: type[Exception], message: str) -> None:
    target = ImageTarget(tiny("vit"))
    target.check({"pixel_values": GOOD})
    with pytest.raises(error, match=message) as caught:
        target.check(inputs)
    assert isinstance(caught.value, SidelightError)


def test_a_plain_module_refuses_the_wrong_channels_too() -> None:
    target = ImageTarget(plain(), layers=["deep"])
    target.check({"pixel_values": GOOD})
    with pytest.raises(InputError, match=r"PlainNet cannot take.*channels"):
        target.encode({"pixel_values": GOOD[:, :1]})


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"vit", "deit"}))
def test_a_model_that_takes_any_size_is_not_bound_to_its_training_size(family: str) -> None:
    target = ImageTarget(tiny(family))
    x = {"pixel_values": pixels(1, (64, 32))}
    target.check(x)
    assert torch.equal(target.encode(x).logits, own_logits(target.model, x["pixel_values"]))
    grids = [tuple(s.shape[-2:]) for s in target.encode(x).states["image"]]
    assert all(rows == 2 * columns for rows, columns in grids)


def test_prepare_takes_tensors_images_and_refuses_mixtures() -> None:
    target = ImageTarget(tiny("vit"), ImageTransform(SIZE))
    x = pixels()
    assert target.reader.read(x).inputs["pixel_values"] is x
    assert torch.equal(target.reader.read([x[0], x[1]]).inputs["pixel_values"], x)
    grey = torch.full((10, 10, 3), 127.5).to(torch.uint8).numpy()
    assert target.reader.read([grey, grey]).inputs["pixel_values"].shape == (2, 3, *SIZE)
    with pytest.raises(InputError, match="batch is empty"):
        target.reader.read([])
    with pytest.raises(InputError, match="must share one shape"):
        target.reader.read([x[0], x[1, :, :8]])
    with pytest.raises(InputError, match="image processor"):
        ImageTarget(tiny("vit")).reader.read([grey])


def test_truth_display_and_scores_have_the_sizes_of_the_input() -> None:
    target = ImageTarget(tiny("vit"), ImageTransform(SIZE))
    x = {"pixel_values": pixels()}
    evidence = torch.zeros(16, 24, dtype=torch.bool)
    evidence[2:4, 5] = True
    batch, real = target.reader.read(x), target.feature_mask(x)
    truth = target.reader.truth([{"image": evidence.numpy()}] * 2, batch)["image"]
    assert truth.shape == (2, 1, *SIZE)
    assert truth[0, 0].nonzero().amin(0).tolist() == [4, 10]
    assert int(truth[0].sum()) == 8

    shown = target.reader.show(batch, real)[0]["image"]
    assert shown.shape == (*SIZE, 3)
    expected = (x["pixel_values"][0] * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 0)
    torch.testing.assert_close(torch.from_numpy(shown), expected)
    flat = ImageTarget(tiny("vit")).reader.show(Batch({"pixel_values": torch.ones(1, 3, *SIZE)}), {})[0][
        "image"
    ]
    assert ((flat >= 0) & (flat <= 1)).all()  # a constant image, no transform
    strange = ImageTarget(plain(channels=5), layers=["deep"]).reader
    five = strange.show(Batch({"pixel_values": pixels(1, SIZE, 5)}), {})
    assert five[0]["image"].shape == (*SIZE, 1)
    assert (
        target.reader.show_scores(batch, {"image": torch.rand(2, 1, *SIZE)}, real)[1]["image"].shape == SIZE
    )


def test_the_fingerprint_tells_weights_and_buffers_apart() -> None:
    one, same, other = tiny("resnet"), tiny("resnet"), tiny("resnet", seed=1)
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)
    with torch.no_grad():
        next(v for k, v in same.state_dict().items() if k.endswith("running_var"))[0] += 1e-6
    assert fingerprint(one) != fingerprint(same)
    assert fingerprint(one.to(torch.bfloat16)) != fingerprint(other.to(torch.bfloat16))


def test_a_saved_processor_comes_back(tmp_path: Any) -> None:
    transform = ImageTransform((8, 10), "L", (0.1,), (0.3,), crop=True, resize_to=12, resample="bicubic")
    target = ImageTarget(plain(channels=1), transform, layers=["deep"])
    target.reader.save(tmp_path)
    assert ImageTarget.reader_type.load(str(tmp_path), {}) == transform
    assert ImageTarget.reader_type.load("nowhere", target.reader.state()) == transform
    identity = target.identity()
    assert identity["family"] == "image"
    assert identity["fingerprint"] == fingerprint(target.model)


def test_states_with_grad_are_on_the_path_to_the_logits() -> None:
    for family in ("vit", "convnext", "swin"):
        target = ImageTarget(tiny(family))
        x = {"pixel_values": pixels()}
        logits, states, lay_out = target.states_with_grad(x)
        grads = torch.autograd.grad(logits[:, 1].sum(), states, allow_unused=True)
        assert any(g is not None and float(g.abs().sum()) > 0 for g in grads)
        assert lay_out(states[0]).ndim == 4
        assert all(p.grad is None for p in target.model.parameters())
        assert logits.shape == (2, CLASSES)


def test_the_choice_of_states_is_remembered_whatever_the_size_of_the_next_input() -> None:
    model = tiny("resnet")
    first = ImageTarget(model)
    chosen = first.options()
    assert chosen["states"] is None
    first.encode({"pixel_values": torch.randn(1, 3, 64, 64)})
    again = ImageTarget(model, **first.options())
    # at 8 pixels a fresh target sees other resolutions, hence chooses other states
    small = {"pixel_values": torch.randn(1, 3, 8, 8)}
    assert len(again.encode(small).states["image"]) == len(first.encode(small).states["image"])
    assert again.options() == first.options()
    with pytest.raises(UnsupportedTargetError, match="states"):
        ImageTarget(model, states=[99]).encode(small)
