"""The caller's process is the caller's: whatever is called, nothing of it is changed and left so."""

from __future__ import annotations

import copy
import io
import pickle
import random
import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from fault_models import SQUARE, P, S, T, bert, eye, tok, untrained
from process_state import assert_process_unchanged
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.checkpoint import checkpoint

from sidelight import Explainer
from sidelight.core.quiet import ignored_warnings
from sidelight.errors import SelfCheckError, SidelightError, UnsupportedTargetError
from sidelight.lab.baselines import RIVALS
from sidelight.models.encoders import text_channels
from sidelight.targets import as_target
from toy_models import seeded

matplotlib.use("agg")


def warm() -> None:
    """Import what configures itself when it is imported."""
    import accelerate  # noqa: F401
    import datasets  # noqa: F401
    import matplotlib.pyplot as plt  # noqa: F401
    import sklearn.linear_model  # noqa: F401


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One training of texts and one of pictures, each inside the comparison."""
    warm()
    folder = tmp_path_factory.mktemp("process")
    text, image, tokenizer = bert(), eye(), tok()
    with assert_process_unchanged(text, tokenizer):
        words = Explainer.fit(text, T, processor=tokenizer, output_dir=folder / "text", **S)
    with assert_process_unchanged(image):
        pictures = Explainer.fit(image, P, processor=SQUARE, output_dir=folder / "image", **S)
    return {"text": words, "image": pictures, "tokenizer": tokenizer, "folder": folder}


def test_kind_every_call_leaves_the_process_alone(fitted: dict[str, Any], tmp_path: Path) -> None:
    for kind, samples in (("text", T[:4]), ("image", P[:4])):
        explainer: Explainer = fitted[kind]
        processor = fitted["tokenizer"] if kind == "text" else SQUARE
        folder = tmp_path / kind
        calls: list[Callable[[], Any]] = [
            lambda e=explainer, s=samples: e.explain(s),
            lambda e=explainer, s=samples: e.explain(s[0]).plot(),
            lambda e=explainer, s=samples: e.explain(s[0]).to_html(),
            lambda e=explainer, s=samples, f=folder: e.explain(s[0]).save(f / "answer"),
            lambda e=explainer, s=samples: e.attribute(e.target.reader.read(s).inputs),
            lambda e=explainer, f=folder: e.save_pretrained(f / "scorer"),
            lambda e=explainer, f=folder, p=processor: Explainer.from_pretrained(
                f / "scorer", e.target.model, processor=p
            ),
        ]
        folder.mkdir()
        calls[1]()  # fonts are found once
        for call in calls:
            with assert_process_unchanged(explainer.target.model, fitted["tokenizer"]):
                call()


def test_kind_calls_that_fail_leave_the_process_alone(fitted: dict[str, Any], tmp_path: Path) -> None:
    explainer, tokenizer = fitted["text"], fitted["tokenizer"]
    calls: list[Callable[[], Any]] = [
        lambda: explainer.explain(""),
        lambda: Explainer.fit(bert(), [""] * 40, processor=tokenizer, output_dir=tmp_path / "a", **S),
        lambda: Explainer.fit(eye(), [], processor=SQUARE, output_dir=tmp_path / "b", **S),
        lambda: Explainer.from_pretrained(tmp_path / "nowhere", explainer.target.model, processor=tokenizer),
        lambda: fitted["image"].explain(b"not a picture"),
    ]
    for call in calls:
        with assert_process_unchanged(explainer.target.model, tokenizer), pytest.raises(SidelightError):
            call()


@pytest.mark.parametrize("name", ["grad_cam", "integrated_gradients", "lime", "attention_rollout", "random"])
def test_kind_rivals_leave_the_process_alone(fitted: dict[str, Any], name: str) -> None:
    target = fitted["image"].target
    inputs = target.reader.read(P[:2]).inputs
    with assert_process_unchanged(target.model):
        RIVALS[name]()(target, inputs, torch.tensor([0, 1]))


def test_kind_random_numbers_go_on_as_without_us(fitted: dict[str, Any], tmp_path: Path) -> None:
    def draws() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002

    def seed() -> None:
        random.seed(5)
        np.random.seed(5)  # noqa: NPY002
        torch.manual_seed(5)

    seed()
    alone = draws()
    seed()
    Explainer.fit(eye(), P, processor=SQUARE, output_dir=tmp_path, **S)
    assert draws() == alone


@pytest.mark.parametrize("kind", ["text", "image"])
def test_kind_the_model_saves_as_before(fitted: dict[str, Any], kind: str, tmp_path: Path) -> None:
    model = fitted[kind].target.model
    inputs = fitted[kind].target.reader.read((T if kind == "text" else P)[:2]).inputs
    inputs.pop("special_tokens_mask", None)
    own = model(**inputs).logits
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    model.save_pretrained(tmp_path)
    for other in (
        torch.load(buffer, weights_only=False),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        type(model).from_pretrained(tmp_path).eval(),
    ):
        assert torch.equal(other(**inputs).logits, own)


def test_kind_hooks_that_were_there_before_stay() -> None:
    model, pixels = eye(), torch.randn(2, 3, 32, 32)
    own = model(pixel_values=pixels, output_hidden_states=True).hidden_states
    with assert_process_unchanged(model):
        from sidelight.targets import ImageTarget

        ImageTarget(model).encode({"pixel_values": pixels})
    again = model(pixel_values=pixels, output_hidden_states=True).hidden_states
    assert len(again) == len(own) > 0
    assert all(torch.equal(a, b) for a, b in zip(own, again, strict=True))


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Any:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def _default_device(name: str) -> Any:
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device("cpu")  # after None, torch 2.8 and 2.9 cannot say which it is


MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "float64": lambda: _default_dtype(torch.float64),
    "bfloat16": lambda: _default_dtype(torch.bfloat16),
    "meta": lambda: _default_device("meta"),
}


@pytest.mark.parametrize("mode", MODES)
def test_kind_no_mode_of_the_callers_changes_a_training_or_a_map(
    fitted: dict[str, Any], mode: str, tmp_path: Path
) -> None:
    explainer: Explainer = fitted["image"]
    explainer.save_pretrained(tmp_path / "scorer")
    alone = np.stack([e.map for e in explainer.explain(P[:3])])
    model = eye()
    with MODES[mode](), assert_process_unchanged():
        other = Explainer.fit(model, P, processor=SQUARE, output_dir=tmp_path / "run", **S)
        again = Explainer.from_pretrained(tmp_path / "scorer", explainer.target.model, processor=SQUARE)
        found = [np.stack([e.map for e in x.explain(P[:3])]) for x in (explainer, other, again)]
    for maps in found:
        assert abs(maps - alone).max() <= 1e-6


def test_kind_weights_made_in_inference_mode_are_refused(tmp_path: Path) -> None:
    with torch.inference_mode():
        model = eye()
    with pytest.raises(SidelightError, match="inference_mode"):
        Explainer.fit(model, P, processor=SQUARE, output_dir=tmp_path, **S)


def test_kind_filters_are_whole_whichever_thread_leaves_first() -> None:
    before = list(warnings.filters)
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with ignored_warnings("ours"):
            first_in.set()
            second_in.wait(5)
        first_out.set()

    thread = threading.Thread(target=first)
    thread.start()
    first_in.wait(5)
    with ignored_warnings("ours"):
        second_in.set()
        first_out.wait(5)
        with warnings.catch_warnings(record=True) as caught:
            warnings.warn("ours is not said", stacklevel=1)
            warnings.warn("theirs is", stacklevel=1)
    thread.join()
    assert [str(w.message) for w in caught] == ["theirs is"]
    assert warnings.filters == before


def _with_spectral_norm(kind: str) -> tuple[nn.Module, Any, list[Any], Callable[[], Any]]:
    """A model in training mode whose looked-up weights take a step of their own in that mode, and how to ask it."""
    model = (bert() if kind == "text" else eye()).train()
    spectral_norm(model.classifier)
    if kind == "text":
        spectral_norm(model.get_input_embeddings())
    own = copy.deepcopy(model).eval()
    processor, samples = (tok(), T) if kind == "text" else (SQUARE, P)
    inputs = as_target(own, processor).reader.read(samples[:3]).inputs
    inputs.pop("special_tokens_mask", None)
    return model, processor, samples, lambda: own(**inputs).logits.softmax(1)


@pytest.mark.parametrize("kind", ["text", "image"])
def test_kind_weights_that_move_when_looked_at_stay(kind: str, tmp_path: Path) -> None:
    warm()
    model, processor, samples, ask = _with_spectral_norm(kind)
    with assert_process_unchanged(model):
        explainer = Explainer.fit(model, samples, processor=processor, output_dir=tmp_path / "run", **S)
        found = explainer.explain(samples[:3])
        again = Explainer.from_pretrained(tmp_path / "run" / "scorer", model, processor=processor)
        same = again.explain(samples[:3])
    shown = torch.stack([torch.tensor(e.probabilities) for e in found])
    torch.testing.assert_close(shown, ask().detach(), atol=1e-6, rtol=0)
    for one, other in zip(found, same, strict=True):
        assert one.to_dict() == other.to_dict()


def test_kind_the_width_of_an_encoder_is_found_without_a_step() -> None:
    encoder = bert().bert.train()
    spectral_norm(encoder.get_input_embeddings())
    with assert_process_unchanged(encoder):
        assert text_channels(encoder) == encoder.config.hidden_size


def test_kind_words_looked_up_in_training_mode_have_no_noise() -> None:
    # NEFTune adds noise to the word embeddings of a model in training mode
    model = bert().train()
    table = model.get_input_embeddings()
    table.register_forward_hook(lambda m, _, out: out + torch.randn_like(out) if m.training else out)
    target = as_target(model, tok())
    inputs = target.reader.read(T[:2]).inputs
    plain = table.weight[inputs["input_ids"]]
    assert torch.equal(target.features(inputs)["text"], plain)
    assert torch.equal(target.vocabulary.mean(), as_target(bert(), tok()).vocabulary.mean())
    assert model.training
    assert table.training


#: methods that draw at random, and one of a fixed shape
DRAWING = ("random", "gradient_shap", "kernel_shap", "centre")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["text", "image"])
def test_kind_no_mode_of_the_callers_changes_what_is_measured(
    fitted: dict[str, Any], kind: str, mode: str
) -> None:
    explainer: Explainer = fitted[kind]
    samples = (T if kind == "text" else P)[:2]

    def asked() -> dict[str, np.ndarray]:
        sure = [c for e in explainer.explain(samples, verify=True) for c in e.meta["certificate"]]
        inputs = explainer.target.reader.read(samples).inputs
        classes = torch.tensor([0, 1], device="cpu")
        return {
            "certificate": np.hstack([c[k] for c in sure for k in ("clean", "kept", "lost", "deletion")]),
            "refined": np.concatenate([e.map.ravel() for e in explainer.explain(samples, refine=2)]),
            **{name: RIVALS[name]()(explainer.target, inputs, classes)[kind].numpy() for name in DRAWING},
        }

    alone = asked()
    with MODES[mode](), assert_process_unchanged():
        found = asked()
    if mode == "bfloat16":
        del alone["kernel_shap"]  # Captum itself rounds to the default dtype
    for name, wanted in alone.items():
        np.testing.assert_allclose(found[name], wanted, atol=5e-6, rtol=1e-4, err_msg=name)


class Counting(nn.Module):
    """A classifier that counts its passes in a buffer."""

    def __init__(self, persistent: bool) -> None:
        super().__init__()
        self.eye = eye()
        self.register_buffer("passes", torch.zeros((), dtype=torch.long), persistent=persistent)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        return self.eye(pixels).logits


def test_kind_a_model_that_writes_to_its_own_buffers_is_told_before_training(tmp_path: Path) -> None:
    options = {**S, "processor": SQUARE, "layers": ["eye.vit.embeddings.patch_embeddings.projection"]}
    with pytest.raises(SelfCheckError, match=r"changes 'passes' in each pass.*persistent=False"):
        Explainer.fit(Counting(persistent=True), P, output_dir=tmp_path / "refused", **options)
    warned = Explainer.fit(
        Counting(persistent=True), P, output_dir=tmp_path / "warned", check="warn", **options
    )
    model = Counting(persistent=False)
    explainer = Explainer.fit(model, P, output_dir=tmp_path / "taken", **options)
    first = explainer.explain(P[0]).map
    assert model.passes > 0
    for again in (
        explainer,
        Explainer.from_pretrained(tmp_path / "taken" / "scorer", model, processor=SQUARE),
        warned,
    ):
        np.testing.assert_array_equal(again.explain(P[0]).map, first)


@pytest.mark.parametrize("check", ["error", "warn", "off"])
def test_kind_weights_that_are_gone_are_told_whatever_the_check(check: Any) -> None:
    """With "warn" and "off" the pass failed, and that was called a fault of sidelight."""
    explainer = untrained(bert(), tok(), T[0])
    explainer.check = check
    assert explainer.explain(T[0])
    explainer.target.model.classifier.to("meta")
    with pytest.raises(
        UnsupportedTargetError, match=r"has no weights: 'classifier\.weight' is on the meta device"
    ):
        explainer.explain(T[0])


class Checkpointed(nn.Module):
    """A network that computes its layers again in the backward pass, whatever its mode, as those of timm do."""

    def __init__(self, again: bool, reentrant: bool = False) -> None:
        super().__init__()
        self.again, self.reentrant = again, reentrant
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(8, 12, 3, 2), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(12, 3)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        for part in (self.stem, self.deep):
            pixels = checkpoint(part, pixels, use_reentrant=self.reentrant) if self.again else part(pixels)
        return self.head(pixels.mean((2, 3)))


def test_kind_a_model_in_training_mode_that_computes_layers_again_stays_as_it_is(tmp_path: Path) -> None:
    """The check of gradients ran the backward pass in training mode, which failed and moved the running means."""
    warm()
    maps = []
    for again in (False, True):
        model = seeded(lambda again=again: Checkpointed(again).train())
        with assert_process_unchanged(model):
            options = {"layers": ["stem", "deep"], "class_names": ["a", "b", "c"], **S}
            folder = tmp_path / str(again)
            explainer = Explainer.fit(model, P, processor=SQUARE, output_dir=folder, **options)
            maps.append([explainer.explain(P[0], refine=n).map for n in (0, 2)])
    np.testing.assert_array_equal(*maps)


def test_kind_checkpointing_that_lets_no_gradient_pass_is_named(tmp_path: Path) -> None:
    model = seeded(lambda: Checkpointed(True, reentrant=True).eval())
    options = {"layers": ["stem", "deep"], "class_names": ["a", "b", "c"], **S}
    with pytest.raises(
        SelfCheckError, match=r"\(gradient checkpointing\)\. Switch that off.*stay the same\.$"
    ):
        Explainer.fit(model, P, processor=SQUARE, output_dir=tmp_path, **options)
