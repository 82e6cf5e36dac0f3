"""Explaining: every form of input, one pass each of target and scorer, and clear refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from helpers_training import (
    SIZE,
    TRANSFORM,
    TinyNet,
    classifier,
    corner_images,
    corner_rows,
    corner_tensor,
    largest_difference,
    quick,
    state,
)
from sidelight import Explainer, Explanation, ScorerConfig
from sidelight.errors import (
    CheckpointError,
    ConfigError,
    InputError,
    InputTypeError,
    SidelightError,
    TargetMismatchError,
    UnsupportedTargetError,
)
from sidelight.scorers import Scorer
from sidelight.targets import as_target, fingerprint


def untrained(kind: str = "vit", **options: Any) -> Explainer:
    target = as_target(classifier(kind), TRANSFORM, **options)
    torch.manual_seed(0)
    return Explainer(target, Scorer(target.spec({"pixel_values": corner_tensor(1)})))


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return untrained()


def maps(found: Any) -> np.ndarray:
    return np.stack([e.map for e in found])


# -- forms of input ----------------------------------------------------------------------


def sample_of(kind: str, folder: Path) -> Any:
    array = corner_images(1)[0][0]
    picture = Image.fromarray(array)
    path = folder / "sample.png"
    picture.save(path)
    return {
        "str": str(path),
        "path": path,
        "pil": picture,
        "rgb": picture.convert("RGB"),
        "array": array,
        "array hwc": array[:, :, None],
        "bytes": path.read_bytes(),
        "row": {"image": picture, "label": 2},
        "tensor": TRANSFORM(array),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["str", "path", "pil", "rgb", "array", "array hwc", "bytes", "row", "tensor"]
)
def test_one_sample_in_every_form(kind: str, tmp_path: Path, explainer: Explainer) -> None:
    expected = explainer.explain({"pixel_values": corner_tensor(1)})[0]
    sample = sample_of(kind, tmp_path)
    single = explainer.explain(sample)
    assert isinstance(single, Explanation)
    (listed,) = explainer.explain([sample])
    for found in (single, listed):
        np.testing.assert_allclose(found.map, expected.map, atol=1e-5)
        assert (found.prediction, found.label) == (expected.prediction, expected.label)
        assert found.probability == pytest.approx(expected.probability, abs=1e-5)


def test_explanation_says_what_the_model_says(explainer: Explainer) -> None:
    x = corner_tensor(6)
    with torch.no_grad():
        probabilities = explainer.target.model(pixel_values=x).logits.softmax(-1)
    for found, p in zip(explainer.explain(x), probabilities, strict=True):
        assert found.prediction == int(p.argmax())
        assert found.probability == pytest.approx(float(p.max()), abs=1e-6)
        np.testing.assert_allclose(found.probabilities, p, atol=1e-6)
        assert found.label == explainer.target.model.config.id2label[found.prediction]


@pytest.mark.parametrize("kind", ["vit", "resnet", "plain"])
def test_map_has_the_input_resolution_and_spans_0_to_1(kind: str) -> None:
    options = {"layers": ["first", "second"]} if kind == "plain" else {}
    for found in untrained(kind, **options).explain(corner_tensor(3)):
        assert found.map.shape == (SIZE, SIZE)
        assert found.map.min() == 0
        assert found.map.max() == 1
        assert found.inputs["image"].shape == (SIZE, SIZE, 1)


def test_convolutional_target_takes_other_sizes() -> None:
    x = torch.randn(2, 1, 24, 40)
    assert maps(untrained("resnet").explain(x)).shape == (2, 24, 40)


def test_several_samples_in_every_form(explainer: Explainer) -> None:
    x = corner_tensor(5)
    images = list(corner_images(5)[0])
    expected = maps(explainer.explain(x))
    forms: list[Any] = [
        list(x),
        tuple(x),
        images,
        [Image.fromarray(i) for i in images],
        [{"image": i} for i in images],
        {"pixel_values": x},
        batch_feature(x),
    ]
    for form in forms:
        np.testing.assert_allclose(maps(explainer.explain(form)), expected, atol=1e-5)


def batch_feature(x: Tensor) -> Any:
    """What a Hugging Face processor returns: a mapping that is no dict."""
    from transformers import BatchFeature

    return BatchFeature({"pixel_values": x})


def test_data_set_column_of_images(explainer: Explainer) -> None:
    import datasets

    images, labels = corner_images(3)
    rows = datasets.Dataset.from_dict(
        {"image": [Image.fromarray(i) for i in images], "label": labels},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")}),
    )
    np.testing.assert_allclose(
        maps(explainer.explain(rows)), maps(explainer.explain(list(images))), atol=1e-6
    )


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("form", ["tensor", "list", "inputs"])
def test_batch_size_changes_nothing(size: int, form: str, explainer: Explainer) -> None:
    x = corner_tensor(5)
    samples: Any = {"tensor": x, "list": list(corner_images(5)[0]), "inputs": {"pixel_values": x}}[form]
    found = explainer.explain(samples, batch_size=size)
    assert len(found) == 5
    np.testing.assert_allclose(maps(found), maps(explainer.explain(x)), atol=1e-5)


# -- cost and cleanliness ----------------------------------------------------------------


class Counter:
    """Counts the passes through a module."""

    def __init__(self, module: nn.Module) -> None:
        self.passes, self.graphs = 0, 0
        self._handle = module.register_forward_hook(self._count)

    def _count(self, _module: nn.Module, _args: Any, _output: Any) -> None:
        self.passes += 1
        self.graphs += torch.is_grad_enabled()

    def remove(self) -> None:
        self._handle.remove()


@pytest.mark.parametrize(("count", "batch_size", "passes"), [(1, 32, 1), (5, 32, 1), (5, 2, 3)])
def test_one_clean_pass_and_one_scorer_pass(
    count: int, batch_size: int, passes: int, explainer: Explainer
) -> None:
    counters = [Counter(explainer.target.model), Counter(explainer.scorer.decoders["image"])]
    explainer.explain(corner_tensor(count), batch_size=batch_size)
    for counter in counters:
        counter.remove()
        assert counter.passes == passes
        assert counter.graphs == 0


def test_no_graph_is_kept_and_nothing_changes() -> None:
    explainer = untrained("resnet")
    model = explainer.target.model.train()
    before, own = fingerprint(model), fingerprint(explainer.scorer)
    x = corner_tensor(4).requires_grad_()
    encoding, scores = explainer.attribute({"pixel_values": x})
    assert not scores["image"].requires_grad
    assert not encoding.logits.requires_grad
    explainer.explain(x)
    assert x.grad is None
    assert model.training
    assert (fingerprint(model), fingerprint(explainer.scorer)) == (before, own)
    assert all(p.requires_grad for p in model.parameters())


def test_target_in_train_mode_is_explained_in_eval_mode() -> None:
    explainer = untrained("plain", layers=["first", "second"])
    x = corner_tensor(4)
    calm = maps(explainer.explain(x))
    explainer.target.model.train()  # dropout and batch statistics would change the maps
    np.testing.assert_array_equal(maps(explainer.explain(x)), calm)


# -- bad input ---------------------------------------------------------------------------


def bad_samples(kind: str, folder: Path) -> Any:
    x = corner_tensor(2)
    (folder / "text.png").write_text("not an image")
    Image.fromarray(corner_images(1)[0][0]).save(folder / "whole.png")
    (folder / "half.png").write_bytes((folder / "whole.png").read_bytes()[:60])
    nan = x.clone()
    nan[1, 0, 3, 3] = float("nan")
    return {
        "size": torch.zeros(2, 1, 20, 16),
        "channels": x.expand(2, 3, SIZE, SIZE),
        "nan": nan,
        "infinite": x / 0,
        "integers": torch.zeros(2, 1, SIZE, SIZE, dtype=torch.uint8),
        "no batch of images": torch.zeros(SIZE, SIZE),
        "five axes": torch.zeros(1, 2, 1, SIZE, SIZE),
        "empty tensor": x[:0],
        "empty inputs": {"pixel_values": x[:0]},
        "empty list": [],
        "empty mapping": {},
        "no such input": {"pixels": x},
        "ragged": [x[0], torch.zeros(1, 8, 8)],
        "no file": str(folder / "none.png"),
        "no image": folder / "text.png",
        "half an image": folder / "half.png",
        "folder": folder,
        "float array": np.zeros((SIZE, SIZE)),
        "number": 3,
        "none": None,
    }[kind]


BAD = {
    "size": "16×16 pixels; got 20×16",
    "channels": r"1 channel\(s\); got 3",
    "nan": r"NaN.*sample 1",
    "infinite": "infinite",
    "integers": "floating point",
    "no batch of images": "B, C, H, W",
    "five axes": "B, C, H, W",
    "empty tensor": "empty",
    "empty inputs": "empty",
    "empty list": "empty",
    "empty mapping": r"needs the column.*image",
    "no such input": "pixel_values",
    "ragged": "sample 1: the model takes",
    "no file": "does not exist",
    "no image": "cannot read",
    "half an image": "cannot read",
    "folder": "cannot read",
    "float array": "uint8",
    "number": "path, a PIL image",
    "none": "path, a PIL image",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_a_clear_error(kind: str, tmp_path: Path, explainer: Explainer) -> None:
    with pytest.raises(SidelightError, match=BAD[kind]) as caught:
        explainer.explain(bad_samples(kind, tmp_path))
    assert isinstance(caught.value, (InputError, InputTypeError))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("size", [0, -1])
def test_batch_size_must_be_positive(size: int, explainer: Explainer) -> None:
    with pytest.raises(InputError, match="batch_size"):
        explainer.explain(corner_tensor(2), batch_size=size)


def test_bad_sample_late_in_a_list_is_told(explainer: Explainer, tmp_path: Path) -> None:
    samples = [*corner_images(3)[0], tmp_path / "none.png"]
    with pytest.raises(InputError, match=r"none\.png"):
        explainer.explain(samples, batch_size=2)


@pytest.mark.parametrize("value", [0, 255])
def test_constant_image_is_explained(value: int, explainer: Explainer) -> None:
    found = explainer.explain(np.full((SIZE, SIZE), value, np.uint8))
    assert np.isfinite(found.map).all()
    assert 0 <= found.map.min() <= found.map.max() <= 1


def test_constant_map_says_so() -> None:
    explainer = untrained()
    nn.init.constant_(explainer.scorer.decoders["image"].decoder.readout.bias, -1e4)
    found = explainer.explain(corner_images(1)[0][0])
    assert found.meta["constant_map"] == ["image"]
    assert not found.map.any()


def test_raw_images_without_a_processor(tmp_path: Path) -> None:
    target = as_target(classifier())
    explainer = Explainer(target, Scorer(target.spec({"pixel_values": corner_tensor(1)})))
    assert explainer.explain(corner_tensor(1)[0]).map.shape == (SIZE, SIZE)
    with pytest.raises(InputError, match=r"image processor.*processor="):
        explainer.explain(corner_images(1)[0][0])


class Stateless(nn.Module):
    """Looks like a Hugging Face model but gives no hidden states."""

    def __init__(self, refuses: bool) -> None:
        super().__init__()
        self.config = type("Config", (), {"to_dict": dict, "num_channels": 1})()
        self.net, self.refuses = TinyNet(), refuses

    def forward(self, pixel_values: Tensor, **options: Any) -> Any:
        if self.refuses and options:
            raise TypeError("forward() got an unexpected keyword argument 'output_hidden_states'")
        return type("Output", (), {"logits": self.net(pixel_values)})()


@pytest.mark.parametrize("model", [Stateless(True), Stateless(False), TinyNet()])
def test_target_without_hidden_states(model: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedTargetError, match="layers="):
        Explainer.fit(model, corner_rows(8), processor=TRANSFORM, output_dir=tmp_path)


@pytest.mark.parametrize("model", [None, 3])
def test_not_a_model(model: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedTargetError, match="torch module"):
        Explainer.fit(model, corner_rows(8), output_dir=tmp_path)


def test_an_id_that_the_hub_does_not_give(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="the model 'google/vit' cannot be loaded"):
        Explainer.fit("google/vit", corner_rows(8), output_dir=tmp_path)


def test_unknown_layer(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedTargetError, match="no submodule named 'third'"):
        Explainer.fit(classifier("plain"), corner_rows(8), layers=["third"], output_dir=tmp_path)


def test_unknown_decoder_option(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="chanels"):
        Explainer.fit(
            classifier(),
            corner_rows(8),
            processor=TRANSFORM,
            scorer=ScorerConfig(decoder={"image": {"chanels": [8]}}),
            output_dir=tmp_path,
        )


# -- from end to end ---------------------------------------------------------------------


def test_plain_module_from_fit_to_load(tmp_path: Path) -> None:
    model = classifier("plain")
    fitted = Explainer.fit(
        model,
        corner_rows(32),
        eval=corner_rows(8, seed=1),
        processor=TRANSFORM,
        layers=["first", "second"],
        training=quick(),
        output_dir=tmp_path,
    )
    loaded = Explainer.from_pretrained(tmp_path / "scorer", model=classifier("plain"))
    assert loaded.target.layers == ("first", "second")
    images = list(corner_images(4, seed=2)[0])
    np.testing.assert_array_equal(maps(loaded.explain(images)), maps(fitted.explain(images)))


def test_tensors_without_a_processor_from_fit_to_load(tmp_path: Path) -> None:
    x, labels = corner_tensor(20), corner_images(20)[1]
    model = classifier("plain")
    fitted = Explainer.fit(
        model,
        list(zip(x, labels, strict=True)),
        layers=["second"],
        training=quick(),
        output_dir=tmp_path,
    )
    loaded = Explainer.from_pretrained(tmp_path / "scorer", model=classifier("plain"))
    np.testing.assert_array_equal(maps(loaded.explain(x)), maps(fitted.explain(x)))
    with torch.no_grad():
        next(model.parameters()).add_(1e-3)
    with pytest.raises(TargetMismatchError):
        Explainer.from_pretrained(tmp_path / "scorer", model=model)


def test_options_and_settings_mean_the_same(tmp_path: Path) -> None:
    rows = corner_rows(24)
    a = Explainer.fit(
        classifier(), rows, processor=TRANSFORM, training=quick(seed=2), output_dir=tmp_path / "a"
    )
    b = Explainer.fit(
        classifier(), rows, processor=TRANSFORM, training=quick(), seed=2, output_dir=tmp_path / "b"
    )
    assert largest_difference(state(a.scorer), state(b.scorer)) == 0
