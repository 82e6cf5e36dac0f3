"""The check finds the pairs that are one method, and no others."""

import pytest
import torch

from baseline_toys import SeparateReluNet, mobilenet
from sidelight.errors import ConfigError
from sidelight.lab.baselines import RIVALS, coincidences, make_rival
from sidelight.lab.baselines.base import Rival
from sidelight.lab.evaluation.run import degeneracy_notes
from sidelight.targets import ImageTarget


def named(found):
    return {frozenset(c.names) for c in found}


def test_two_of_captums_methods_are_plain_on_a_gelu_transformer(vit_target, images, classes):
    found = coincidences(vit_target, images, classes)
    assert named(found) == {
        frozenset({"guided_backprop", "gradient"}),
        frozenset({"deep_lift", "input_x_gradient"}),
        frozenset({"deep_lift_shap", "reference_x_gradient"}),
    }
    notes = {c.note for c in found}
    assert "Guided Backprop is the same as Gradient (signed) on this target." in notes
    assert "DeepLIFT is the same as Input × Gradient on this target." in notes


def test_nothing_coincides_on_relu_networks(resnet_target, images, classes):
    assert coincidences(resnet_target, images, classes) == []
    torch.manual_seed(0)
    net = ImageTarget(SeparateReluNet(), layers=["third"])
    assert coincidences(net, images, classes) == []


def test_relu6_is_no_relu_to_captum(images, classes):
    torch.manual_seed(0)
    found = named(coincidences(ImageTarget(mobilenet()), images, classes))
    assert {"guided_backprop", "gradient"} in found
    assert {"deep_lift", "input_x_gradient"} in found


def test_a_linear_model_makes_one_of_all(linear_target, small_images, classes):
    found = coincidences(linear_target, small_images, classes)
    together = {"integrated_gradients", "deep_lift", "input_x_gradient"}
    assert any(together <= set(c.names) for c in found)
    assert any("Integrated Gradients and DeepLIFT are the same as Input × Gradient" in c.note for c in found)


def test_saliency_of_grey_images_is_the_absolute_gradient(classes):
    torch.manual_seed(0)
    net = SeparateReluNet()
    net.first = torch.nn.Conv2d(1, 6, 3)
    target = ImageTarget(net, layers=["third"])
    found = coincidences(target, {"pixel_values": torch.randn(3, 1, 16, 16)}, classes)
    assert [(c.names, c.absolute) for c in found] == [(("saliency", "gradient"), True)]
    assert found[0].note == "Saliency is the absolute value of Gradient (signed) on this target."


def test_rivals_among_themselves(vit_target, text_target, texts, images, classes):
    few = {"n_samples": 20, "window": 8}
    options = {"rise": {"n_masks": 8}, "lime": few, "kernel_shap": few}
    rivals = [make_rival(n, **options.get(n, {})) for n in RIVALS]
    found = named(coincidences(vit_target, images, classes, rivals))
    lonely = {"constant", "rise", "lime", "kernel_shap", "attention_rollout"}
    assert not any(lonely & group for group in found)
    assert named(coincidences(text_target, texts, classes, ["constant", "random"])) == set()


def test_maps_that_differ_in_scale_coincide_and_a_shift_does_not(vit_target, images, classes):
    class Scaled(Rival):
        signed, reduction = True, "sum"

        def __init__(self, name, scale, shift):
            super().__init__()
            object.__setattr__(self, "name", name)
            object.__setattr__(self, "change", (scale, shift))

        def _maps(self, job):
            x = job.features["image"].sum(1, keepdim=True)
            return {"image": x * self.change[0] + self.change[1]}

    rivals = [Scaled("a", 1, 0), Scaled("b", 1e-25, 0), Scaled("c", 1, 2)]
    assert named(coincidences(vit_target, images, classes, rivals)) == {frozenset("ab")}


@pytest.mark.parametrize(("words", "padding", "same"), [(1.0, 0.0, False), (0.0, 1.0, True)])
def test_only_features_count(text_target, texts, words, padding, same):
    """One special token may hold nearly all of a gradient, and padding may hold anything."""
    real = text_target.feature_mask(texts)["text"]
    assert bool((real.any(1) & ~real.all(1)).any())

    class Changed(Rival):
        signed, reduction = True, "sum"

        def __init__(self, name, words, padding):
            super().__init__()
            object.__setattr__(self, "name", name)
            object.__setattr__(self, "change", (words, padding))

        def _maps(self, job):
            place = torch.arange(job.features["text"].shape[1]).expand(job.size, -1).float()
            there = job.target.feature_mask(job.inputs)["text"]
            return {
                "text": torch.where(there, 1 + self.change[0] * place, 1e4 * (1 + self.change[1] * place))
            }

    few = {name: value[1:] for name, value in texts.items()}  # of the first text every token is a word
    rivals = [Changed("a", 0.5, 0.5), Changed("b", 0.5 - 0.4 * words, 0.5 - 0.4 * padding)]
    assert (frozenset("ab") in named(coincidences(text_target, few, torch.tensor([0, 1]), rivals))) is same


def test_a_rival_given_twice_is_refused(vit_target, images, classes):
    with pytest.raises(ConfigError, match="once"):
        coincidences(vit_target, images, classes, ["saliency", "saliency"])


def test_notes_of_a_run_cost_no_pass_of_slow_rivals(vit_target, images, monkeypatch):
    def fail(*_):
        raise AssertionError("the check ran a rival that cannot degenerate")

    slow = [make_rival(n) for n in ("lime", "kernel_shap", "occlusion", "rise", "attention_rollout")]
    for rival in slow:
        monkeypatch.setattr(type(rival), "_maps", fail)
    rows = list(images["pixel_values"])
    assert degeneracy_notes(vit_target, rows, [*slow, make_rival("guided_backprop")]) == [
        "Guided Backprop is the same as Gradient (signed) on this target."
    ]
    assert degeneracy_notes(vit_target, rows, slow) == []
