"""Grad-CAM, occlusion, RISE and the trivial maps against independent references."""

import captum.attr
import pytest
import torch
import torch.nn.functional as F

from sidelight.errors import UnsupportedTargetError
from sidelight.lab.baselines import make_rival


def test_grad_cam_matches_captum(resnet_target, images, classes):
    model = resnet_target.model
    cam = captum.attr.LayerGradCam(lambda x: model(x).logits, model.resnet.encoder.stages[-1])
    x = images["pixel_values"].clone().requires_grad_()
    expected = cam.attribute(x, classes, relu_attributions=True)
    expected = F.interpolate(expected, size=(32, 32), mode="bilinear", align_corners=False)
    ours = make_rival("grad_cam")(resnet_target, images, classes)["image"]
    torch.testing.assert_close(ours, expected.detach())


def test_grad_cam_passes_over_a_state_without_gradient(vit_target, images, classes):
    x = images["pixel_values"].clone().requires_grad_()
    out = vit_target.model(pixel_values=x, output_hidden_states=True)
    states = out.hidden_states
    grads = torch.autograd.grad(out.logits.gather(1, classes[:, None]).sum(), states)
    assert grads[-1][:, 1:].abs().max() == 0  # only the class token is read at the end
    assert grads[-2][:, 1:].abs().max() > 0
    weight = grads[-2][:, 1:].mean(1, keepdim=True)
    cam = (weight * states[-2][:, 1:]).sum(-1).relu().view(3, 1, 4, 4)
    expected = F.interpolate(cam, size=(32, 32), mode="bilinear", align_corners=False)
    ours = make_rival("grad_cam")(vit_target, images, classes)["image"]
    torch.testing.assert_close(ours, expected.detach())


def test_grad_cam_says_where_it_cannot_work(text_target, texts, pair_target, pairs, classes):
    for target, inputs in ((text_target, texts), (pair_target, pairs)):
        with pytest.raises(UnsupportedTargetError, match="Leave 'grad_cam' out"):
            make_rival("grad_cam")(target, inputs, classes)


def test_occlusion_of_a_linear_model_is_the_sum_over_the_window(linear_target, small_images, classes):
    contribution = (small_images["pixel_values"] * linear_target.model.weight[classes]).sum(1, keepdim=True)
    blocks = F.avg_pool2d(contribution, 4) * 16
    expected = F.interpolate(blocks, scale_factor=4, mode="nearest").detach()
    ours = make_rival("occlusion", window=4, stride=4)(linear_target, small_images, classes)["image"]
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("window", "stride"), [(8, 4), (5, 3), (40, 1)])
def test_occlusion_matches_captum(vit_target, images, classes, window, stride):
    side = min(window, 32)
    reference = captum.attr.Occlusion(lambda x: vit_target.model(x).logits)
    expected = reference.attribute(
        images["pixel_values"], (3, side, side), strides=(3, stride, stride), target=classes
    )
    ours = make_rival("occlusion", window=window, stride=stride)(vit_target, images, classes)["image"]
    torch.testing.assert_close(ours, expected[:, :1], atol=1e-5, rtol=1e-4)


def test_occlusion_leaves_one_token_out(text_target, texts, classes):
    x = text_target.features(texts)["text"].detach()
    pick = classes[:, None]
    whole = text_target.forward(texts, {"text": x}).gather(1, pick)
    expected = torch.zeros(3, 5)
    for t in range(5):
        gone = x.clone()
        gone[:, t] = 0
        expected[:, t] = (whole - text_target.forward(texts, {"text": gone}).gather(1, pick))[:, 0].detach()
    expected = expected * texts["attention_mask"]
    ours = make_rival("occlusion")(text_target, texts, classes)["text"]
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-4)


def test_occlusion_runs_no_pass_for_padding(text_target, texts, classes, monkeypatch):
    rows = []
    plain = text_target.forward
    monkeypatch.setattr(text_target, "forward", lambda i, f: rows.append(len(f["text"])) or plain(i, f))
    texts = {k: F.pad(v, (0, 20)) for k, v in texts.items()}
    make_rival("occlusion")(text_target, texts, classes)
    assert sum(rows) == 3 + 3 * 5


def test_rise_finds_an_additive_model(text_target, texts, classes):
    weights = torch.tensor([[2.0, -1, 0.5, 3, 0], [1, 0, -2, 0, 0], [0.5, -1, 0, 0, 0]])
    real = texts["attention_mask"]

    def additive(inputs, features):
        shown = (features["text"] != 0).any(-1).float()
        row = inputs["row"]
        return (shown * weights[row] * real[row]).sum(1, keepdim=True).expand(-1, 5)

    text_target.forward = additive
    rival = make_rival("rise", n_masks=4000, output="logit", internal_batch=3000)
    maps = rival(text_target, {**texts, "row": torch.arange(3)}, classes)["text"]
    for i, count in enumerate(real.sum(1)):
        # E[f · m]/p is the feature's weight times 1 - p, plus a constant of the sample
        excess = maps[i, :count] - (weights[i] * real[i]).sum() * 0.5
        torch.testing.assert_close(excess, 0.5 * weights[i, :count], atol=0.25, rtol=0)


def test_rise_correlates_with_a_linear_image_model(linear_target, small_images, classes):
    weight = torch.zeros_like(linear_target.model.weight)
    weight[:, :, 2:8, 8:14] = 1
    linear_target.model.weight.data = weight
    inputs = {"pixel_values": torch.ones_like(small_images["pixel_values"])}
    rival = make_rival("rise", n_masks=2000, output="logit", grid=8, internal_batch=600)
    maps = rival(linear_target, inputs, classes)["image"]
    truth = weight[0].sum(0).flatten()
    for one in maps:
        assert torch.corrcoef(torch.stack([one.flatten(), truth]))[0, 1] > 0.8


def test_rise_masks_keep_the_share_p(vit_target, images, classes, monkeypatch):
    seen = []
    plain = vit_target.classify
    monkeypatch.setattr(vit_target, "classify", lambda i, s, f: seen.append(s["image"]) or plain(i, s, f))
    make_rival("rise", n_masks=150, p=0.3)(vit_target, images, classes)
    masks = torch.cat(seen)
    assert len(masks) == 450
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert masks.mean() == pytest.approx(0.3, abs=0.03)
    # a random shift: no pixel is favoured by the grid
    assert masks.mean(0).std() < 0.05


@pytest.mark.parametrize("fill", ["mean", "blur", "noise"])
def test_perturbation_takes_any_fill(fill, vit_target, images, classes):
    zero = make_rival("occlusion", window=8)(vit_target, images, classes)["image"]
    other = make_rival("occlusion", window=8, fill=fill)(vit_target, images, classes)["image"]
    assert not torch.allclose(zero, other)


def test_trivial_maps(vit_target, images, classes, text_target, texts):
    constant = make_rival("constant")(vit_target, images, classes)["image"]
    assert (constant == 1).all()
    centre = make_rival("centre")(vit_target, images, classes)["image"]
    assert centre[0, 0].argmax() in (15 * 32 + 15, 15 * 32 + 16, 16 * 32 + 15, 16 * 32 + 16)
    torch.testing.assert_close(centre, centre.flip(2).flip(3))
    random = make_rival("random")(vit_target, images, classes)["image"]
    assert 0 <= random.min() < random.max() < 1
    assert not torch.equal(random[0], random[1])
    norm = make_rival("input_norm")(vit_target, images, classes)["image"]
    torch.testing.assert_close(norm, images["pixel_values"].square().sum(1, keepdim=True).sqrt())
    assert make_rival("centre")(text_target, texts, classes)["text"][0].argmax() == 2
