"""Exported files: run by their own runtimes, compared with the explainer, refused if they are wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn

from export_toys import (
    TARGETS,
    assert_same,
    expected,
    explainer_for,
    explainer_of,
    exported,
    plain_inputs,
    read_inputs,
)
from helpers_training import TRANSFORM, classifier, corner_images, corner_tensor
from sidelight import Explainer, ImageTransform
from sidelight.core import ownership
from sidelight.errors import (
    ConfigError,
    ExportError,
    ForeignFileError,
    MissingPackageError,
    TargetMismatchError,
)
from sidelight.export import writing
from sidelight.export.check import difference
from sidelight.targets import as_target
from toy_models import resnet, seeded

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

#: kinds whose export is not left to the slow tests
QUICK = ("plain", "bert")


def run(path: Path, inputs: dict[str, Tensor], classes: Any = None) -> dict[str, np.ndarray]:
    """The file by ONNX Runtime, as a caller without sidelight has it."""
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    fed = {k: v.numpy() for k, v in inputs.items()}
    if classes is not None:
        fed["classes"] = np.asarray(classes, dtype=np.int64)
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, fed), strict=True))


def sidecar(path: Path) -> dict[str, Any]:
    return json.loads(path.with_name(path.name + ".json").read_text(encoding="utf-8"))


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in TARGETS]
)
def test_onnx_runtime_gives_what_the_explainer_gives(name: str) -> None:
    explainer, path = exported(name)
    inputs = plain_inputs(explainer)
    predicted = expected(explainer, read_inputs(explainer))
    assert_same(run(path, inputs, [-1, -1, -1]), predicted, atol=1e-4)
    chosen = (predicted["class"] + 1) % predicted["logits"].shape[1]
    mixed = torch.where(torch.tensor([True, False, False]), -1, chosen)
    wanted = expected(explainer, read_inputs(explainer), torch.where(mixed < 0, predicted["class"], mixed))
    assert_same(run(path, inputs, mixed), wanted, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit", "bert"])
def test_a_scorer_of_the_thesis_has_no_choice_and_no_effects(name: str) -> None:
    explainer, path = exported(name, by_class=False)
    found = run(path, plain_inputs(explainer))
    assert_same(found, expected(explainer, read_inputs(explainer)), atol=1e-4)
    assert not any(n.startswith("effects") for n in found)
    assert "classes" not in [i["name"] for i in sidecar(path)["inputs"]]


@pytest.mark.slow
def test_a_scorer_whose_ranking_is_its_map(tmp_path: Path) -> None:
    explainer = explainer_of("plain", ranked=False)
    path, inputs = explainer.export(tmp_path / "model.onnx"), plain_inputs(explainer)
    assert_same(run(path, inputs, [-1] * 3), expected(explainer, inputs), 1e-4)


@pytest.mark.parametrize(
    ("name", "by_class"),
    [
        ("plain", False),
        *(pytest.param(n, c, marks=pytest.mark.slow) for n in ("vit", "bert", "gpt2") for c in (True, False)),
        pytest.param("fusion-resnet", True, marks=pytest.mark.slow),
    ],
)
def test_torch_export_gives_what_the_explainer_gives(name: str, by_class: bool) -> None:
    explainer, path = exported(name, by_class, ".pt2")
    program = torch.export.load(path).module()
    inputs = plain_inputs(explainer)
    chosen = {"classes": torch.tensor([-1, -1, -1])} if by_class else {}
    with torch.no_grad():
        assert_same(program(**chosen, **inputs), expected(explainer, read_inputs(explainer)), atol=1e-4)
        one = {k: v[:1] for k, v in inputs.items()}
        first = {k: v[:1] for k, v in chosen.items()}
        alone = {k: v[:1] for k, v in read_inputs(explainer).items()}
        assert_same(program(**first, **one), expected(explainer, alone), atol=1e-4)
    assert "opset" not in sidecar(path)


def test_batches_and_texts_have_any_size() -> None:
    explainer, path = exported("bert")
    drawn = torch.Generator().manual_seed(0)
    for batch, length in [(1, 1), (1, 40), (7, 3), (2, 25)]:
        ids = torch.randint(5, 100, (batch, length), generator=drawn)
        mask = torch.ones_like(ids)
        mask[-1, length // 2 + 1 :] = 0
        every = {"input_ids": ids * mask, "token_type_ids": torch.zeros_like(ids), "attention_mask": mask}
        inputs = {k: every[k] for k in plain_inputs(explainer)}
        assert_same(run(path, inputs, [-1] * batch), expected(explainer, inputs), atol=1e-4)


def shapes_in(graph: Any) -> dict[str, list[Any]]:
    return {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*graph.input, *graph.output)
    }


@pytest.mark.parametrize("name", ["bert", pytest.param("fusion-resnet", marks=pytest.mark.slow)])
def test_the_graph_names_its_axes_and_its_maker(name: str) -> None:
    explainer, path = exported(name)
    model = onnx.load(path)
    shapes = shapes_in(model.graph)
    if "pixel_values" in shapes:
        assert shapes["pixel_values"] == ["batch", 3, 32, 32]
        assert shapes["scores_image"] == ["batch", 1, 32, 32]
    assert shapes["input_ids"] == shapes["scores_text"] == shapes["effects_text"] == ["batch", "length"]
    assert shapes["classes"] == shapes["class"] == ["batch"]
    assert shapes["logits"] == ["batch", 3]
    assert model.producer_name == "sidelight"
    about = {p.key: p.value for p in model.metadata_props}
    assert about["fingerprint"] == explainer.target.fingerprint()
    onnx.checker.check_model(model)


@pytest.mark.parametrize("ending", [".onnx", ".pt2"])
def test_files_name_no_folder_of_this_machine(ending: str) -> None:
    _, path = exported("plain", ending == ".onnx", ending)
    content = path.read_bytes() + path.with_name(path.name + ".json").read_bytes()
    assert str(Path(torch.__file__).parent).encode() not in content
    assert str(Path(writing.__file__).parent).encode() not in content


def test_the_sidecar_says_what_a_caller_needs() -> None:
    explainer, path = exported("plain")
    found = sidecar(path)
    assert found["format"] == "sidelight.export"
    assert found["classes"] == ["north west", "north east", "south west", "south east"]
    assert found["fingerprint"] == explainer.target.fingerprint()
    assert (found["file"], found["family"]) == ("model.onnx", "image")
    assert found["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [(i["name"], i["dtype"], i["shape"]) for i in found["inputs"]] == [
        ("classes", "int64", ["batch"]),
        ("pixel_values", "float32", ["batch", 1, 16, 16]),
    ]
    outputs = {o["name"]: (o["dtype"], o["shape"]) for o in found["outputs"]}
    assert outputs["scores_image"] == ("float32", ["batch", 1, 16, 16])
    assert outputs["class"] == ("int64", ["batch"])
    graph = onnx.load(path).graph
    assert list(outputs) == [o.name for o in graph.output]
    assert [i["name"] for i in found["inputs"]] == [i.name for i in graph.input]
    picture = found["preprocessing"]["image"]
    assert (picture["channels"], picture["size"], picture["resample"]) == ("L", [16, 16], "bilinear")
    assert (picture["mean"], picture["std"], picture["crop"]) == ([0.5], [0.5], False)
    assert [b["batch"] for b in found["checked"]["batches"]] == [1, 2, 5]
    assert all(0 <= b["difference"] <= 1e-4 for b in found["checked"]["batches"])


def test_the_sidecar_says_which_mask_a_text_needs() -> None:
    """The tokenizers of some models, such as SigLIP's, give ids alone, and the file needs a mask beside them."""
    about = {i["name"]: i.get("about", "") for i in sidecar(exported("bert")[1])["inputs"]}
    assert about["attention_mask"].startswith("1 at tokens, 0 at padding")


HEADS: dict[str, tuple[int, dict[str, Any]]] = {
    "classes": (3, {}),
    "one logit": (1, {"output": "sigmoid"}),
    "labels": (4, {"output": "labels"}),
    "a value": (1, {"output": "value", "threshold": 0.3, "scale": 2.0}),
}


@pytest.mark.parametrize("head", HEADS)
def test_prediction_and_value_follow_from_the_file_for_every_kind_of_head(head: str, tmp_path: Path) -> None:
    count, options = HEADS[head]
    model = seeded(lambda: resnet(num_labels=count, num_channels=3).eval())
    pictures = [
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (32, 32, 3), np.uint8)) for i in range(3)
    ]
    explainer = explainer_for(as_target(model, ImageTransform((32, 32)), **options), samples=pictures[:1])
    path = explainer.export(tmp_path / "model.onnx")
    about = sidecar(path)
    outputs = run(path, dict(explainer.target.reader.read(pictures, labelled=False).inputs), [-1] * 3)
    for i, wanted in enumerate(explainer.explain(pictures)):
        probabilities = outputs["probabilities"][i][: about["predictable"]]
        np.testing.assert_allclose(probabilities, wanted.probabilities, atol=1e-4)
        assert about["classes"][int(probabilities.argmax())] == wanted.label
        assert int(outputs["class"][i]) == wanted.prediction
        if head == "a value":
            value = about["threshold"] + about["scale"] * outputs["logits"][i][1]
            assert value == pytest.approx(wanted.meta["value"], abs=1e-3)


def test_the_steps_of_the_sidecar_make_the_explainers_pixels() -> None:
    _, path = exported("plain")
    steps = sidecar(path)["preprocessing"]["image"]
    picture = corner_images(1)[0][0]
    height, width = steps["size"]
    seen = Image.fromarray(picture).convert(steps["channels"]).resize((width, height))
    pixels = (np.asarray(seen, np.float32) / 255 - steps["mean"]) / steps["std"]
    np.testing.assert_allclose(pixels, TRANSFORM(picture)[0], atol=1e-6)


@pytest.mark.parametrize("name", ["bert", pytest.param("gpt2, padded on the left", marks=pytest.mark.slow)])
def test_the_tokenizer_lies_beside_the_file(name: str) -> None:
    """Texts prepared with nothing but the files have the explainer's answers."""
    explainer, path = exported(name)
    found = sidecar(path)["preprocessing"]["text"]
    tokenizer = Tokenizer.from_file(str(path.parent / found["tokenizer"]["folder"] / "tokenizer.json"))
    padding, rows = found["padding"], ["a dull film", "the story is charming and elegant"]
    tokenizer.enable_padding(direction=padding["side"], pad_id=padding["id"], pad_token="x")
    tokenizer.enable_truncation(found["longest"])
    read = tokenizer.encode_batch(rows)
    every = {
        "input_ids": torch.tensor([r.ids for r in read]),
        "attention_mask": torch.tensor([r.attention_mask for r in read]),
        "token_type_ids": torch.tensor([r.type_ids for r in read]),
    }
    given = {i["name"]: every[i["name"]] for i in sidecar(path)["inputs"] if i["name"] in every}
    answer = run(path, given, [-1, -1])
    assert_same(answer, expected(explainer, explainer.target.reader.prepare(rows).inputs), atol=1e-4)
    special = torch.isin(every["input_ids"], torch.tensor(found["special_ids"]))
    assert (answer["scores_text"][special.numpy()] == 1).all()


# -- files -------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".onnx", ".pt2"])
def test_a_file_of_ours_is_replaced_by_another_process(ending: str, tmp_path: Path) -> None:
    _, path = exported("plain", ending == ".onnx", ending)
    for file in path.parent.iterdir():
        shutil.copy(file, tmp_path / file.name)
    ownership._written.clear()  # another process knows a file by its content only
    before = path.read_bytes()
    explainer_of("resnet").export(tmp_path / path.name)
    assert names(tmp_path) == [path.name, f"{path.name}.json"]
    assert (tmp_path / path.name).read_bytes() != before


@pytest.mark.parametrize("ending", [".onnx", ".pt2"])
@pytest.mark.parametrize("which", ["", ".json"])
def test_a_file_of_others_stays(which: str, ending: str, tmp_path: Path) -> None:
    foreign = tmp_path / f"model{ending}{which}"
    foreign.write_text("{}")
    with pytest.raises(ForeignFileError, match="overwrite=True"):
        explainer_of("plain").export(tmp_path / f"model{ending}")
    assert foreign.read_text() == "{}"
    assert names(tmp_path) == [foreign.name]


def test_a_file_of_others_is_replaced_if_that_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_text("mine")
    path = explainer_of("plain").export(tmp_path / "model.pt2", overwrite=True)
    assert torch.export.load(path)


def test_a_file_in_the_place_of_the_tokenizer_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "model.onnx.tokenizer").write_text("mine")
    with pytest.raises(ForeignFileError):
        explainer_of("bert").export(tmp_path / "model.onnx")
    assert names(tmp_path) == ["model.onnx.tokenizer"]


@pytest.mark.parametrize("ending", [".pt2", pytest.param(".onnx", marks=pytest.mark.slow)])
def test_a_wrong_file_is_refused_and_not_left(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exporter changes a weight of the scorer."""
    right = writing.traced

    def wrong(module: Any, *rest: Any) -> Any:
        with torch.no_grad():
            readout = module.scorer.decoders["image"].decoder.readout
            readout.weight = nn.Parameter(readout.weight + 0.1, requires_grad=False)
        return right(module, *rest)

    monkeypatch.setattr(writing, "traced", wrong)
    with pytest.raises(
        ExportError, match=r"other results than PyTorch: (scores|ranking|effects)_image is off"
    ):
        explainer_of("plain").export(tmp_path / f"model{ending}")
    assert names(tmp_path) == []


class FixedBatch(nn.Module):
    """Knows one size of a batch only once it is traced."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = classifier("plain")

    def forward(self, x: Tensor) -> Tensor:
        return self.inside(x) + torch.zeros(len(x), 4)


class LooksAtValues(FixedBatch):
    """Its way depends on the pixels."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inside(x) if float(x.mean()) > 0 else self.inside(-x)


@pytest.mark.parametrize("kind", [FixedBatch, LooksAtValues])
def test_a_model_that_cannot_be_traced_is_named(kind: type[nn.Module], tmp_path: Path) -> None:
    explainer = explainer_for(as_target(kind(), TRANSFORM, layers=["inside.first"]))
    with pytest.raises(ExportError, match=f"{kind.__name__} cannot be traced"):
        explainer.export(tmp_path / "model.onnx")
    assert names(tmp_path) == []


class KnowsBessel(LooksAtValues):
    """Has an operation that ONNX lacks."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inside(x) + torch.special.bessel_j0(x.mean())


def test_an_operation_that_onnx_lacks_is_named_with_a_way_on(tmp_path: Path) -> None:
    """The message was the exporter's headline: escape codes of a terminal, "step 3/3", and "Next steps:" without any."""
    explainer = explainer_for(as_target(KnowsBessel(), TRANSFORM, layers=["inside.first"]))
    with pytest.raises(ExportError, match=r"bessel_j0.*Export to model\.pt2 instead") as told:
        explainer.export(tmp_path / "model.onnx")
    assert not any(noise in str(told.value) for noise in ("[96m", "step", "Next"))
    assert names(tmp_path) == []
    assert explainer.export(tmp_path / "model.pt2").is_file()


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.onnx or \.pt2; got 'model\.bin'"):
        explainer_of("plain").export(tmp_path / "model.bin")


def test_weights_beyond_one_file_are_refused_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "LARGEST", 1000)
    with pytest.raises(ExportError, match=r"one ONNX file holds 2 GB. Export to model\.pt2"):
        explainer_of("plain").export(tmp_path / "model.onnx")


def test_missing_packages_name_the_line_that_installs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr("sidelight.core.optional.find_spec", lambda name: None if "onnx" in name else 1)
    with pytest.raises(MissingPackageError, match=r"pip install 'sidelight\[onnx\]'"):
        explainer_of("plain").export(tmp_path / "model.onnx")


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    explainer = explainer_of("plain")
    with torch.no_grad():
        next(explainer.target.model.parameters()).add_(1)
    with pytest.raises(TargetMismatchError):
        explainer.export(tmp_path / "model.onnx")


@pytest.mark.slow
def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    target = as_target(classifier("vit").bfloat16(), TRANSFORM)
    explainer = explainer_for(target)
    path = explainer.export(tmp_path / "model.onnx")
    assert sidecar(path)["precision"] == "float32"
    exact = explainer_for(as_target(classifier("vit").bfloat16().float(), TRANSFORM))
    exact.scorer.load_state_dict(explainer.scorer.state_dict())
    assert_same(
        run(path, {"pixel_values": corner_tensor(3)}, [-1] * 3),
        expected(exact, {"pixel_values": corner_tensor(3)}),
        1e-4,
    )
    assert {p.dtype for p in target.model.parameters()} == {torch.bfloat16}


@pytest.mark.slow
def test_a_loaded_scorer_exports_the_same_file(tmp_path: Path) -> None:
    explainer = explainer_of("vit")
    explainer.save_pretrained(tmp_path / "scorer")
    again = Explainer.from_pretrained(tmp_path / "scorer", classifier(), check="off")
    inputs = plain_inputs(explainer)
    found = [
        run(e.export(tmp_path / f"{i}.onnx"), inputs, [-1] * 3) for i, e in enumerate((explainer, again))
    ]
    for name, value in found[0].items():
        np.testing.assert_array_equal(found[1][name], value)


def test_within_inference_mode_and_autocast(tmp_path: Path) -> None:
    explainer = explainer_of("vit")
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        path = explainer.export(tmp_path / "model.pt2")
    inputs = plain_inputs(explainer)
    with torch.no_grad():
        found = torch.export.load(path).module()(classes=torch.tensor([-1] * 3), **inputs)
    assert_same(found, expected(explainer, inputs), 1e-4)


def test_a_difference_is_a_share_of_large_values_only() -> None:
    assert difference(torch.tensor([0.5]), torch.tensor([0.4])) == pytest.approx(0.1)
    assert difference(torch.tensor([50.0, 0.0]), torch.tensor([50.0, 0.5])) == pytest.approx(0.01)
    assert difference(torch.tensor([float("nan")]), torch.tensor([1.0])) == float("inf")
