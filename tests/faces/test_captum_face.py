"""Our attributions in the real Captum, compared with formulas by hand and with the explainer itself."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, NoiseTunnel
from captum.attr import visualization as viz
from captum.metrics import infidelity, sensitivity_max
from torch import Tensor

import sidelight
from face_toys import NAMES, image_explainer, pair_explainer, pixels, text_explainer
from pair_models import pairs
from sidelight import Explainer
from sidelight.errors import ConfigError, InputError, InputTypeError
from sidelight.faces.captum import SidelightAttribution
from text_models import TEXTS

EXPLAINERS = {"image": image_explainer, "text": text_explainer, "pair": pair_explainer}


@pytest.fixture(scope="module")
def images() -> Explainer:
    return image_explainer()


@pytest.fixture(scope="module")
def texts() -> Explainer:
    return text_explainer()


def own(explainer: Explainer, inputs: dict[str, Tensor], classes: Tensor | None = None) -> Any:
    """The explainer's own reading."""
    return explainer.read(explainer.target.encode(inputs), classes)


# -- the values are ours ----------------------------------------------------------------


def test_channels_of_pixels_add_up_to_the_map(images: Explainer) -> None:
    x = pixels(3)
    found = SidelightAttribution(images).attribute(x)
    assert isinstance(found, Tensor)
    assert found.shape == x.shape
    assert found.dtype == x.dtype
    torch.testing.assert_close(found.sum(1, keepdim=True), own(images, {"pixel_values": x}).scores["image"])
    assert torch.equal(found[:, 0], found[:, 2])


@pytest.mark.parametrize(
    "target", [2, torch.tensor(2), torch.tensor([2]), [2, 2, 2], torch.tensor([2] * 3), (2,)]
)
def test_any_class_in_every_form_that_captum_knows(images: Explainer, target: Any) -> None:
    x = pixels(3)
    found = SidelightAttribution(images).attribute(x, target)
    expected = own(images, {"pixel_values": x}, torch.tensor([2, 2, 2])).scores["image"]
    torch.testing.assert_close(found.sum(1, keepdim=True), expected)


def test_a_class_for_each_sample_by_number_and_by_name(images: Explainer) -> None:
    x, face = pixels(3), SidelightAttribution(images)
    by_number = face.attribute(x, [3, 0, 1])
    assert torch.equal(by_number, face.attribute(x, [NAMES[3], NAMES[0], NAMES[1]]))
    torch.testing.assert_close(by_number[1:2], face.attribute(x[1:2], 0))
    assert not torch.allclose(by_number[1:2], face.attribute(x[1:2], 1))


def test_effects_keep_their_sign_and_a_ranking_its_order(images: Explainer) -> None:
    x, one = pixels(2), torch.tensor([1, 1])
    reading = own(images, {"pixel_values": x}, one)
    effects = SidelightAttribution(images, "effects").attribute(x, 1)
    torch.testing.assert_close(effects.sum(1, keepdim=True), reading.effects["image"])
    assert bool((effects < 0).any()) or bool((reading.effects["image"] >= 0).all())
    order = SidelightAttribution(images, reading="ranking").attribute(x, 1).sum(1)
    assert float(order.min()) == 0
    raw = reading.ranking["image"][:, 0]
    torch.testing.assert_close(order, raw - raw.amin((1, 2), keepdim=True))


@pytest.mark.parametrize("kind", EXPLAINERS)
def test_raw_samples_become_tensors_that_give_the_same_values(kind: str) -> None:
    """Word embeddings seen in place of the model's own are the model's own, so nothing may change."""
    explainer = EXPLAINERS[kind]()
    samples: Any = {"image": list(pixels(3)), "text": TEXTS, "pair": pairs()}[kind]
    batch = explainer.target.reader.read(samples)
    reading = own(explainer, dict(batch.inputs))
    face = SidelightAttribution(explainer)
    inputs, others = face.tensors(samples)
    found = face.attribute(inputs, additional_forward_args=others)
    listed = found if isinstance(found, tuple) else (found,)
    real = explainer.target.feature_mask(batch.inputs)
    for (name, modality), values in zip(explainer.target.modalities.items(), listed, strict=True):
        expected = torch.where(real[name], reading.scores[name], 0.0)
        torch.testing.assert_close(modality.reduce_sum(values), expected)
    logits = face.forward_func(*(inputs if isinstance(inputs, tuple) else (inputs,)), *(others or ()))
    torch.testing.assert_close(logits, explainer.target.encode(batch.inputs).logits)


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2"])
def test_ids_and_embeddings_give_the_same_values(family: str) -> None:
    explainer = text_explainer(family)
    face = SidelightAttribution(explainer)
    embedded, others = face.tensors(TEXTS)
    assert others is not None
    by_embedding = face.attribute(embedded, 1, others)
    by_ids = face.attribute(others[0], 1, others[1:])
    assert isinstance(by_ids, Tensor)
    assert by_ids.shape == others[0].shape
    torch.testing.assert_close(by_embedding.sum(-1), by_ids)
    real = explainer.target.feature_mask({"input_ids": others[0], "attention_mask": others[1]})["text"]
    assert bool((by_ids[~real] == 0).all())


def test_changed_embeddings_are_what_the_model_sees(texts: Explainer) -> None:
    """With the embeddings of another text of the same length, values are those of the other text."""
    face = SidelightAttribution(texts)
    first, others = face.tensors(["the film was great"])
    second, of_second = face.tensors(["great was film the"])
    assert first.shape == second.shape
    assert others is not None
    assert of_second is not None
    mixed = face.attribute(second, 0, others)
    torch.testing.assert_close(mixed, face.attribute(second, 0, of_second))
    assert not torch.allclose(mixed, face.attribute(first, 0, others))


# -- Captum's own functions --------------------------------------------------------------


def test_noise_tunnel_is_the_mean_over_its_draws(images: Explainer) -> None:
    x, face = pixels(2), SidelightAttribution(images)
    torch.manual_seed(5)
    found = NoiseTunnel(face).attribute(x, nt_samples=4, stdevs=0.2, target=[1, 3])
    torch.manual_seed(5)
    noise = torch.normal(0, torch.full((8, *x.shape[1:]), 0.2))
    drawn = face.attribute(x.repeat_interleave(4, 0) + noise, [1] * 4 + [3] * 4)
    torch.testing.assert_close(found, drawn.view(2, 4, *x.shape[1:]).mean(1))
    squares = NoiseTunnel(face).attribute(
        x, "smoothgrad_sq", nt_samples=5, nt_samples_batch_size=2, stdevs=0.1
    )
    assert float(squares.min()) >= 0


def test_noise_tunnel_on_words(texts: Explainer) -> None:
    face = SidelightAttribution(texts)
    embedded, others = face.tensors(TEXTS)
    options = {"target": 2, "additional_forward_args": others}
    torch.manual_seed(0)
    found = NoiseTunnel(face).attribute(embedded, nt_samples=3, stdevs=0.05, **options)
    assert found.shape == embedded.shape
    quiet = NoiseTunnel(face).attribute(embedded, nt_samples=3, stdevs=0.0, **options)
    torch.testing.assert_close(quiet, face.attribute(embedded, **options))
    assert not torch.allclose(found, quiet)


def test_infidelity_is_the_formula(images: Explainer) -> None:
    """Mean over perturbations I of (Σ I·a − (f(x) − f(x − I)))², Yeh et al. 2019."""
    x, face = pixels(2), SidelightAttribution(images, "effects")
    attributions = face.attribute(x, 2)
    perturbation = 0.1 * pixels(6, seed=8)

    def perturb(inputs: Tensor) -> tuple[Tensor, Tensor]:
        return perturbation, inputs - perturbation

    found = infidelity(face.forward_func, perturb, x, attributions, target=2, n_perturb_samples=3)
    repeated = x.repeat_interleave(3, 0)
    with torch.no_grad():
        drop = (face.forward_func(repeated) - face.forward_func(repeated - perturbation))[:, 2]
    expected = ((attributions.repeat_interleave(3, 0) * perturbation).sum((1, 2, 3)) - drop) ** 2
    torch.testing.assert_close(found, expected.view(2, 3).mean(1))


def test_infidelity_of_words_and_pictures_together() -> None:
    explainer = pair_explainer()
    face = SidelightAttribution(explainer, "effects")
    inputs, others = face.tensors(pairs())
    assert isinstance(inputs, tuple)
    attributions = face.attribute(inputs, 1, others)

    def perturb(*given: Any) -> Any:
        (parts,) = given
        noise = tuple(0.01 * torch.ones_like(part) for part in parts)
        return noise, tuple(part - n for part, n in zip(parts, noise, strict=True))

    found = infidelity(face.forward_func, perturb, inputs, attributions, None, others, 1, n_perturb_samples=2)
    assert found.shape == (3,)
    with torch.no_grad():
        less = tuple(part - 0.01 for part in inputs)
        drop = (face.forward_func(*inputs, *others) - face.forward_func(*less, *others))[:, 1]
    told = sum(0.01 * a.flatten(1).sum(1) for a in attributions)
    torch.testing.assert_close(found, (told - drop) ** 2)


def test_sensitivity_is_the_largest_relative_change(images: Explainer) -> None:
    x, face = pixels(2), SidelightAttribution(images)
    moved = pixels(6, seed=11)
    found = sensitivity_max(face.attribute, x, lambda _: moved, n_perturb_samples=3, target=[0, 2])
    clean = face.attribute(x, [0, 2]).flatten(1)
    changed = face.attribute(moved, [0] * 3 + [2] * 3).flatten(1)
    distance = (clean.repeat_interleave(3, 0) - changed).norm(dim=1).view(2, 3) / clean.norm(
        dim=1, keepdim=True
    )
    torch.testing.assert_close(found, distance.amax(1))


def test_pictures_of_captum_show_our_values(images: Explainer) -> None:
    x = pixels(1)
    attribution = SidelightAttribution(images).attribute(x)
    array, shown = (v[0].permute(1, 2, 0).numpy() for v in (attribution, (x + 1) / 2))
    figure, axis = viz.visualize_image_attr(
        array, shown, "heat_map", "positive", outlier_perc=0, use_pyplot=False
    )
    drawn = axis.images[-1].get_array()
    np.testing.assert_allclose(drawn, attribution[0].sum(0).numpy(), atol=1e-6)
    assert figure.axes
    viz.visualize_image_attr_multiple(
        array, shown, ["original_image", "blended_heat_map"], ["all", "absolute_value"], use_pyplot=False
    )


def test_words_in_captums_record(texts: Explainer) -> None:
    face = SidelightAttribution(texts)
    embedded, others = face.tensors(TEXTS[:1])
    assert others is not None
    values = face.attribute(embedded, None, others).sum(-1)[0]
    tokens = texts.target.reader.tokenizer.convert_ids_to_tokens(others[0][0].tolist())
    record = viz.VisualizationDataRecord(values, 0.5, "a", "a", "a", values.sum(), tokens, 0)
    html = viz.format_word_importances(record.raw_input_ids, record.word_attributions)
    assert html.count("<mark") == len(tokens)


def test_captums_methods_take_our_forward_function(images: Explainer) -> None:
    x, face = pixels(2), SidelightAttribution(images)
    steps = {"target": 1, "n_steps": 64}
    found, delta = IntegratedGradients(face.forward_func).attribute(x, return_convergence_delta=True, **steps)
    plain = IntegratedGradients(lambda v: images.target.model(v).logits).attribute(x, **steps)
    torch.testing.assert_close(found, plain)
    assert float(delta.abs().max()) < 0.1


# -- what a caller may rely on -----------------------------------------------------------


def test_the_callers_tensors_and_modes_stay(images: Explainer) -> None:
    x = pixels(2).requires_grad_()
    before = x.detach().clone()
    images.target.model.train()
    try:
        found = SidelightAttribution(images).attribute(x, 0)
        assert images.target.model.training
    finally:
        images.target.model.eval()
    assert torch.equal(x, before)
    assert not found.requires_grad
    found += 1  # no tensor of inference mode, which could not be changed


def test_a_scorer_of_the_thesis_explains_the_prediction_only() -> None:
    explainer = image_explainer(by_class=False)
    x, face = pixels(3), SidelightAttribution(explainer)
    predicted = explainer.target.encode({"pixel_values": x}).prediction
    assert torch.equal(face.attribute(x, predicted), face.attribute(x))
    with pytest.raises(ConfigError, match=r"predicted class only, and sample\(s\) \[0, 1, 2\]"):
        face.attribute(x, (predicted + 1) % 4)
    with pytest.raises(ConfigError, match="no effects"):
        SidelightAttribution(explainer, "effects")


def test_bad_input_is_named(images: Explainer, texts: Explainer) -> None:
    face, words = SidelightAttribution(images), SidelightAttribution(texts)
    embedded, others = words.tensors(TEXTS)
    with pytest.raises(ConfigError, match="reading must be one of"):
        SidelightAttribution(images, "map")  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="sidelight Explainer; got ResNet"):
        SidelightAttribution(images.target.model)
    with pytest.raises(InputError, match=r"takes 1 input tensor\(s\); got 2"):
        face.attribute((pixels(1), pixels(1)))
    with pytest.raises(InputTypeError, match="must be tensors; got ndarray for the image"):
        face.attribute(pixels(1).numpy())
    with pytest.raises(InputError, match="look like raw pixels"):
        face.attribute(pixels(1) * 255)
    with pytest.raises(InputError, match="at most 0"):
        face.attribute(pixels(1), None, pixels(1))
    with pytest.raises(ConfigError, match="target=4 is no class"):
        face.attribute(pixels(1), 4)
    with pytest.raises(ConfigError, match="several indices"):
        face.attribute(pixels(1), (1, 2))
    with pytest.raises(InputError, match="lists 2 classes for 1 sample"):
        face.attribute(pixels(1), [1, 2])
    with pytest.raises(InputError, match=r"need their input_ids \(3, .*got none"):
        words.attribute(embedded)
    with pytest.raises(InputTypeError, match="attention_mask is str"):
        words.attribute(embedded, None, (others[0], "yes"))  # type: ignore[index]
    with pytest.raises(InputError, match="the model also takes attention_mask"):
        SidelightAttribution(texts, arguments=["input_ids"]).tensors(TEXTS)


def test_the_name_at_the_top_is_the_same_class() -> None:
    assert sidelight.SidelightAttribution is SidelightAttribution
    assert SidelightAttribution.get_name() == "Sidelight Attribution"


def test_without_captum_the_line_that_installs_it_is_named() -> None:
    code = (
        "import sys; sys.modules['captum'] = None\n"
        "import sidelight\nfrom sidelight import *\n"
        "try:\n    sidelight.SidelightAttribution\n"
        "except sidelight.errors.MissingPackageError as error:\n    print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("SidelightAttribution needs captum")
    assert "pip install 'sidelight[lab]'" in run.stdout
