"""What every rival promises: shapes, determinism, independence of the batch, a model given back."""

import pytest
import torch
from torch import nn

from sidelight.errors import ConfigError, InputError, InputTypeError, UnknownNameError
from sidelight.lab.baselines import DEFAULT_RIVALS, RIVALS, make_rival
from sidelight.lab.baselines.base import Rival

QUICK = {
    "rise": {"n_masks": 12, "internal_batch": 8},
    "integrated_gradients": {"n_steps": 8, "internal_batch": 7},
    "deep_lift_shap": {"n_baselines": 3},
    "gradient_shap": {"n_samples": 4, "n_baselines": 3, "stdev": 0.1},
    "occlusion": {"internal_batch": 16},
    # sixteen patches of 8 pixels: too many to try every choice
    "lime": {"n_samples": 50, "window": 8},
    "kernel_shap": {"n_samples": 50, "window": 8},
    "distillation_masks": {"n_samples": 30, "steps": 30, "window": 8},
}
RANDOM = ("random", "rise", "gradient_shap", "deep_lift_shap", "lime", "kernel_shap", "distillation_masks")
#: methods that never call the model
TRIVIAL = ("random", "centre", "constant", "input_norm")
#: rivals that need a kind of model: the toys here that are not of it
PICKY = {"attention_rollout": ("resnet", "mobilenet", "shared_relu")}


def quick(name: str, **options) -> Rival:
    return make_rival(name, **{**QUICK.get(name, {}), **options})


def same(first, second, rtol=1e-4):
    for name, value in first.items():
        scale = float(second[name].abs().max()) or 1.0
        torch.testing.assert_close(value / scale, second[name] / scale, atol=1e-5, rtol=rtol)


def state(model: nn.Module):
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()
    ]
    return (
        {k: v.clone() for k, v in model.state_dict().items()},
        hooks,
        [(type(m), m.training, sorted(m.__dict__)) for m in model.modules()],
        [(p.requires_grad, p.grad) for p in model.parameters()],
    )


def assert_state_equal(before, after):
    assert before[0].keys() == after[0].keys()
    assert all(torch.equal(v, after[0][k]) for k, v in before[0].items())
    assert before[1:] == after[1:]


def test_the_default_set_is_registered():
    assert set(DEFAULT_RIVALS) <= set(RIVALS)
    assert {"gradient", "input_x_gradient", "lime", "kernel_shap"} <= set(RIVALS) - set(DEFAULT_RIVALS)


@pytest.mark.parametrize("name", list(RIVALS))
def test_every_rival_declares_itself(name):
    rival = make_rival(name)
    assert rival.name == name
    assert rival.title
    assert isinstance(rival.signed, bool)
    assert rival.reduction in ("sum", "l2", "none")
    assert type(rival).__doc__
    assert type(rival)() == rival  # its defaults are those of its name


@pytest.mark.parametrize("name", list(RIVALS))
def test_shape_determinism_and_an_untouched_model(name, target, images, classes, request):
    if request.node.callspec.params["target"] in PICKY.get(name, ()):
        assert make_rival(name).refusal(target)
        return
    assert make_rival(name).refusal(target) is None
    target.model.train()
    before, pixels = state(target.model), images["pixel_values"].clone()
    rival = quick(name)
    with torch.no_grad():  # the caller's mode does not matter
        maps = rival(target, images, classes)
    assert maps["image"].shape == (3, 1, 32, 32)
    assert not maps["image"].requires_grad
    assert torch.isfinite(maps["image"]).all()
    assert rival.signed or (maps["image"] >= 0).all()
    assert_state_equal(before, state(target.model))
    assert torch.equal(pixels, images["pixel_values"])
    assert not images["pixel_values"].requires_grad
    torch.rand(3)  # no rival listens to the global generator
    same(rival(target, images, classes), maps, rtol=0)


@pytest.mark.parametrize("name", list(RIVALS))
def test_a_sample_keeps_its_map_in_any_batch(name, vit_target, images, classes):
    rival = quick(name)
    whole = rival(vit_target, images, classes, ids=[7, 8, 9])
    for i in range(3):
        one = {k: v[i : i + 1] for k, v in images.items()}
        alone = rival(vit_target, one, classes[i : i + 1], ids=[7 + i])
        same(alone, {k: v[i : i + 1] for k, v in whole.items()})


@pytest.mark.parametrize("name", [n for n in RIVALS if n not in PICKY])
def test_chunks_do_not_change_the_map(name, resnet_target, images, classes):
    chunked = quick(name, internal_batch=2)(resnet_target, images, classes)
    same(chunked, quick(name, internal_batch=64)(resnet_target, images, classes))


@pytest.mark.parametrize("name", RANDOM)
def test_another_seed_or_id_gives_another_map(name, vit_target, images, classes):
    reference = quick(name)(vit_target, images, classes)["image"]
    assert not torch.allclose(quick(name, seed=1)(vit_target, images, classes)["image"], reference)
    other = quick(name)(vit_target, images, classes, ids=[10, 11, 12])["image"]
    assert not torch.allclose(other, reference)


@pytest.mark.parametrize("name", [n for n in RIVALS if n not in ("grad_cam", "attention_rollout")])
def test_text_and_pairs_go_the_same_way(name, text_target, texts, pair_target, pairs, classes):
    maps = quick(name)(text_target, texts, classes)
    assert maps["text"].shape == (3, 5)
    both = quick(name)(pair_target, pairs, classes)
    assert {k: v.shape for k, v in both.items()} == {"image": (3, 1, 16, 16), "text": (3, 5)}
    assert all(torch.isfinite(v).all() for v in both.values())


def test_gradients_of_a_pair_are_those_of_its_parts(pair_target, text_target, texts, pairs, classes):
    """The pair's logits are the sum of a linear model of the image and the model of the text."""
    own = pair_target.model.image.weight.detach()[classes]
    text = quick("gradient")(text_target, texts, classes)["text"]
    both = quick("gradient")(pair_target, pairs, classes)
    torch.testing.assert_close(both["image"], own.sum(1, keepdim=True))
    torch.testing.assert_close(both["text"], text)
    both = quick("input_x_gradient")(pair_target, pairs, classes)
    torch.testing.assert_close(both["image"], (own * pairs["pixel_values"]).sum(1, keepdim=True))


@pytest.mark.parametrize("name", [n for n in RIVALS if n not in (*TRIVIAL, *PICKY)])
def test_an_error_inside_leaves_no_trace(name, resnet_target, images, classes):
    class Boom(RuntimeError):
        pass

    def fail(*_):
        raise Boom

    resnet_target.model.train()
    handle = resnet_target.model.resnet.encoder.stages[1].register_forward_hook(fail)
    before = state(resnet_target.model)
    with pytest.raises(Boom):
        quick(name)(resnet_target, images, classes)
    assert_state_equal(before, state(resnet_target.model))
    handle.remove()


def test_an_error_in_the_backward_pass_leaves_no_trace(resnet_target, images, classes):
    class Boom(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            raise RuntimeError("boom")

    handle = resnet_target.model.resnet.embedder.register_forward_hook(lambda _m, _a, out: Boom.apply(out))
    before = state(resnet_target.model)
    for name in ("deep_lift", "guided_backprop", "saliency", "deep_lift_shap"):
        with pytest.raises(RuntimeError, match="boom"):
            quick(name)(resnet_target, images, classes)
        assert_state_equal(before, state(resnet_target.model))
    handle.remove()


@pytest.mark.parametrize("name", list(RIVALS))
def test_inference_mode_changes_no_map(name, vit_target, images, classes):
    expected = quick(name)(vit_target, images, classes)
    with torch.inference_mode():
        inputs = {"pixel_values": images["pixel_values"].clone()}
        found = quick(name)(vit_target, inputs, classes)
    assert torch.equal(found["image"], expected["image"])


def test_unknown_names_and_options_are_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'saliency'"):
        make_rival("salency")
    with pytest.raises(ConfigError, match=r"no option 'steps'.*n_steps"):
        make_rival("integrated_gradients", steps=3)
    with pytest.raises(ConfigError, match=r"n_steps.*at least 1 and.*; got 0"):
        make_rival("integrated_gradients", n_steps=0)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        make_rival("rise", p=1.0)
    with pytest.raises(ConfigError, match="logit"):
        make_rival("occlusion", output="score")
    with pytest.raises(ConfigError, match="width"):
        make_rival("centre", width=0)
    with pytest.raises(ConfigError, match="stdev"):
        make_rival("gradient_shap", stdev=-1)
    with pytest.raises(ConfigError, match="window"):
        make_rival("occlusion", window=0)
    for name in ("lime", "kernel_shap"):
        with pytest.raises(
            ConfigError,
            match=f"'window' of baseline method '{name}' must be an integer of at least 1 and at most 1000000; got 0",
        ):
            make_rival(name, window=0)
        with pytest.raises(
            ConfigError,
            match=f"'n_samples' of baseline method '{name}' must be an integer of at least 2 and at most 1000000; got 1",
        ):
            make_rival(name, n_samples=1)
    with pytest.raises(ConfigError, match=r"'kernel_width' .* must be positive; got 0"):
        make_rival("lime", kernel_width=0)
    with pytest.raises(ConfigError, match=r"'alpha' .* must not be negative; got -1"):
        make_rival("lime", alpha=-1)


def test_an_unknown_fill_is_refused(vit_target, images, classes):
    for rival in (make_rival("occlusion", fill="blurr"), make_rival("deep_lift", baseline="blurr")):
        with pytest.raises(UnknownNameError, match="Did you mean 'blur'"):
            rival(vit_target, images, classes)


def test_hidden_states_can_still_be_asked_for_afterwards(vit_target, images, classes):
    for name in ("deep_lift", "grad_cam", "attention_rollout"):
        quick(name)(vit_target, images, classes)
        assert len(vit_target.encode(images).states["image"]) > 1


@pytest.mark.parametrize("name", ["saliency", "gradient", "occlusion", "grad_cam", "deep_lift"])
def test_classes_that_do_not_fit_are_refused(name, vit_target, images):
    rival = quick(name)
    with pytest.raises(InputError, match="has 5 classes"):
        rival(vit_target, images, torch.tensor([0, 1, 5]))
    with pytest.raises(InputError, match="has 5 classes"):
        rival(vit_target, images, torch.tensor([0, 1, -1]))
    with pytest.raises(InputError, match="one class per sample"):
        rival(vit_target, images, torch.tensor([0, 1]))
    with pytest.raises(InputTypeError, match="integers"):
        rival(vit_target, images, torch.rand(3))
    with pytest.raises(InputError, match="one number for each sample"):
        rival(vit_target, images, torch.tensor([0, 1, 2]), ids=[1])
