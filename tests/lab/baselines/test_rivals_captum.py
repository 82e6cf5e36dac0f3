"""Gradient rivals against Captum called directly and against closed forms."""

import captum.attr
import pytest
import torch
from torch import nn

from baseline_toys import SeparateReluNet, SharedReluNet
from sidelight.lab.baselines import make_rival
from sidelight.targets import ImageTarget


class Logits(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        out = self.model(x)
        return getattr(out, "logits", out)


@pytest.fixture(params=["vit", "resnet"])
def case(request, images, classes):
    target = request.getfixturevalue(f"{request.param}_target")
    return target, images, classes, images["pixel_values"].clone().requires_grad_()


def test_saliency(case):
    target, images, classes, x = case
    expected = captum.attr.Saliency(Logits(target.model)).attribute(x, classes, abs=True)
    expected = expected.square().sum(1, keepdim=True).sqrt()
    torch.testing.assert_close(make_rival("saliency")(target, images, classes)["image"], expected)


def test_guided_backprop(case):
    target, images, classes, x = case
    expected = captum.attr.GuidedBackprop(Logits(target.model)).attribute(x, classes).sum(1, keepdim=True)
    torch.testing.assert_close(make_rival("guided_backprop")(target, images, classes)["image"], expected)


def test_integrated_gradients(case):
    target, images, classes, x = case
    ig = captum.attr.IntegratedGradients(Logits(target.model))
    expected = ig.attribute(x, target=classes, n_steps=20).sum(1, keepdim=True)
    rival = make_rival("integrated_gradients", n_steps=20, internal_batch=8)
    torch.testing.assert_close(rival(target, images, classes)["image"], expected, atol=1e-5, rtol=1e-4)


def test_integrated_gradients_from_another_baseline(case):
    target, images, classes, x = case
    base = x.detach().mean((2, 3), keepdim=True).expand_as(x).contiguous()
    ig = captum.attr.IntegratedGradients(Logits(target.model))
    expected = ig.attribute(x, base, target=classes, n_steps=10).sum(1, keepdim=True)
    rival = make_rival("integrated_gradients", n_steps=10, baseline="mean")
    torch.testing.assert_close(rival(target, images, classes)["image"], expected, atol=1e-5, rtol=1e-4)


def test_deep_lift(case):
    target, images, classes, x = case
    expected = captum.attr.DeepLift(Logits(target.model)).attribute(x, target=classes).sum(1, keepdim=True)
    torch.testing.assert_close(
        make_rival("deep_lift")(target, images, classes)["image"], expected, atol=1e-5, rtol=1e-4
    )


def test_deep_lift_shap_with_a_bank(case):
    target, images, classes, x = case
    bank = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(9))
    target.reference["image"] = bank
    expected = captum.attr.DeepLiftShap(Logits(target.model)).attribute(x, bank, target=classes)
    torch.testing.assert_close(
        make_rival("deep_lift_shap")(target, images, classes)["image"],
        expected.sum(1, keepdim=True).detach(),
        atol=1e-5,
        rtol=1e-4,
    )


def test_input_x_gradient(case):
    target, images, classes, x = case
    expected = captum.attr.InputXGradient(Logits(target.model)).attribute(x, classes).sum(1, keepdim=True)
    torch.testing.assert_close(
        make_rival("input_x_gradient")(target, images, classes)["image"], expected.detach()
    )


def test_gradient_shap_estimates_what_captum_estimates(resnet_target, images, classes):
    bank = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(9))
    resnet_target.reference["image"] = bank
    torch.manual_seed(0)
    shap = captum.attr.GradientShap(Logits(resnet_target.model))
    expected = shap.attribute(images["pixel_values"], bank, n_samples=300, target=classes)
    ours = make_rival("gradient_shap", n_samples=300)(resnet_target, images, classes)["image"]
    pair = torch.stack([ours.flatten(), expected.sum(1).flatten().detach()])
    assert torch.corrcoef(pair)[0, 1] > 0.97


def test_a_large_bank_is_drawn_from(vit_target, images, classes):
    vit_target.reference["image"] = torch.randn(30, 3, 32, 32)
    maps = [
        make_rival("deep_lift_shap", n_baselines=3, seed=s)(vit_target, images, classes)["image"]
        for s in (0, 0, 1)
    ]
    assert torch.equal(maps[0], maps[1])
    assert not torch.allclose(maps[0], maps[2])


@pytest.mark.parametrize("name", ["integrated_gradients", "deep_lift", "input_x_gradient"])
def test_a_linear_model_is_explained_exactly(name, linear_target, small_images, classes):
    x = small_images["pixel_values"]
    expected = (x * linear_target.model.weight[classes]).sum(1, keepdim=True).detach()
    maps = make_rival(name)(linear_target, small_images, classes)
    torch.testing.assert_close(maps["image"], expected, atol=1e-5, rtol=1e-4)


def test_gradient_shap_of_a_linear_model(linear_target, small_images, classes):
    base = torch.randn(1, 3, 16, 16)
    linear_target.reference["image"] = base
    expected = ((small_images["pixel_values"] - base) * linear_target.model.weight[classes]).sum(
        1, keepdim=True
    )
    for name in ("gradient_shap", "deep_lift_shap"):
        maps = make_rival(name)(linear_target, small_images, classes)
        torch.testing.assert_close(maps["image"], expected.detach(), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def completeness_gap(target, inputs, classes, maps):
    """``[B]`` sum of a signed map minus ``logit(x) − logit(0)``; 0 by the axiom of completeness."""
    features = target.features(inputs)
    zero = {name: torch.zeros_like(x) for name, x in features.items()}
    full, empty = (target.forward(inputs, f).gather(1, classes[:, None])[:, 0] for f in (features, zero))
    return sum(m.flatten(1).sum(1) for m in maps.values()) - (full - empty)


def test_integrated_gradients_are_complete(vit_target, pair_target, images, pairs, classes):
    for target, inputs in ((vit_target, images), (pair_target, pairs)):
        gaps = []
        for steps in (2, 200):
            maps = make_rival("integrated_gradients", n_steps=steps)(target, inputs, classes)
            gaps.append(completeness_gap(target, inputs, classes, maps).abs().max())
        assert gaps[1] < 2e-2
        assert gaps[1] <= gaps[0]


def test_deep_lift_is_complete_on_relu_and_not_on_gelu(resnet_target, vit_target, images, classes):
    target = ImageTarget(SeparateReluNet().eval(), layers=["third"])
    maps = make_rival("deep_lift")(target, images, classes)
    assert completeness_gap(target, images, classes, maps).abs().max() < 1e-5
    maps = make_rival("deep_lift")(vit_target, images, classes)
    assert completeness_gap(vit_target, images, classes, maps).abs().max() > 1e-2


def test_reused_activations_give_the_map_of_separate_ones(images, classes):
    torch.manual_seed(0)
    shared = SharedReluNet().eval()
    separate = SeparateReluNet().eval()
    separate.load_state_dict(shared.state_dict())
    x = images["pixel_values"].clone()
    with pytest.raises(RuntimeError, match="used more than once"):
        captum.attr.DeepLift(SharedReluNet().eval()).attribute(x.clone().requires_grad_(), target=classes)
    expected = captum.attr.DeepLift(separate).attribute(x.requires_grad_(), target=classes)
    target = ImageTarget(shared, layers=["third"])
    relu = shared.relu
    ours = make_rival("deep_lift")(target, images, classes)["image"]
    torch.testing.assert_close(ours, expected.sum(1, keepdim=True).detach(), atol=1e-6, rtol=1e-4)
    assert shared.relu is relu


def test_text_gradients_match_autograd(text_target, texts, classes):
    x = text_target.features(texts)["text"].detach().requires_grad_()
    logits = text_target.forward(texts, {"text": x})
    (grad,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), x)
    torch.testing.assert_close(make_rival("saliency")(text_target, texts, classes)["text"], grad.norm(dim=-1))
    torch.testing.assert_close(make_rival("gradient")(text_target, texts, classes)["text"], grad.sum(-1))
    assert (make_rival("deep_lift")(text_target, texts, classes)["text"][1, 3:] == 0).all()


def test_pairs_are_explained_modality_by_modality(pair_target, pairs, classes):
    maps = make_rival("integrated_gradients")(pair_target, pairs, classes)
    weight = pair_target.model.image.weight[classes]
    expected = (pairs["pixel_values"] * weight).sum(1, keepdim=True).detach()
    torch.testing.assert_close(maps["image"], expected, atol=1e-5, rtol=1e-4)
