"""The model card: its metadata block as the hub's own classes read it, its words, and what others wrote."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard import metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results

from helpers_training import TRANSFORM, classifier, corner_images, corner_tensor
from sidelight import Explainer
from sidelight.core.ownership import is_ours
from sidelight.errors import CheckpointError, ConfigError
from sidelight.hub.card import MAPS
from sidelight.hub.escaping import code_block, escape, plain
from sidelight.hub.options import CardOptions, card_options, is_hub_id
from sidelight.scorers import Scorer
from sidelight.targets import as_target

HOSTILE = ["<script>alert(1)</script>", "[a](http://evil.example)", "| x |\n---\n# y", "```\n`rm`"]
IMAGES = list(corner_images(3, seed=5)[0])


def make(labels: list[str] | None = None) -> Explainer:
    model = classifier()
    if labels:
        model.config.id2label = dict(enumerate(labels))
    target = as_target(model, TRANSFORM)
    torch.manual_seed(0)
    return Explainer(target, Scorer(target.spec({"pixel_values": corner_tensor(1)})))


def results(folder: Path, parameters: int, fills: tuple[str, ...] = ("zero", "blur")) -> Path:
    """A ``results.json`` with two methods under several fills."""
    rows = [
        {"method": method, "reduction": "none", "fill": fill, "granularity": "pixel", "modality": "image"}
        | {"metric": "srg", "mean": value + 0.1 * number, "n": 50}
        for method, value in (("sidelight", 0.5), ("occlusion", 0.25))
        for number, fill in enumerate(fills)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "dataset": "corners",
        "rows": rows,
        "notes": ["A <b>note</b>."],
        "target": {"parameters": parameters},
    }
    (folder / "results.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def text_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_hubs_classes_read_the_block(tmp_path: Path) -> None:
    options = {"license": "apache-2.0", "datasets": ["me/corners"], "base_model": "me/vit-corners"}
    folder = make().save_pretrained(tmp_path / "s", card=options)
    data = ModelCard.load(folder / "README.md").data
    assert isinstance(data, ModelCardData)
    assert data.to_dict() == metadata_load(folder / "README.md")
    assert (data.library_name, data.pipeline_tag, data.license) == (
        "sidelight",
        "image-classification",
        "apache-2.0",
    )
    assert (data.base_model, data.base_model_relation, data.datasets) == (
        "me/vit-corners",
        "adapter",
        ["me/corners"],
    )
    assert {"sidelight", "explainability", "image"} <= set(data.tags)


def test_results_come_back_as_the_hubs_eval_results(tmp_path: Path) -> None:
    explainer = make()
    count = sum(p.numel() for p in explainer.target.model.parameters())
    place = results(tmp_path / "run", count)
    folder = explainer.save_pretrained(tmp_path / "s", card={"results": place})
    name, found = model_index_to_eval_results(metadata_load(folder / "README.md")["model-index"])
    assert name == "s"
    values = {r.metric_config: r.metric_value for r in found}
    assert values == {"zero": 0.5, "blur": pytest.approx(0.6)}
    assert {(r.task_type, r.dataset_name, r.metric_type) for r in found} == {
        ("image-classification", "corners", "srg")
    }
    text = text_of(folder)
    assert "| srg | image, by pixel | 0.600 | 0.500 |" in text
    assert "| occlusion | 0.300 |" in text
    assert "A &#60;b&#62;note&#60;/b&#62;." in text


def test_results_of_another_classifier_are_refused(tmp_path: Path) -> None:
    place = results(tmp_path / "run", 7)
    with pytest.raises(ConfigError, match="another classifier"):
        make().save_pretrained(tmp_path / "s", card={"results": place})
    with pytest.raises(CheckpointError, match="run `sidelight evaluate"):
        make().save_pretrained(tmp_path / "s", card={"results": tmp_path / "nowhere"})
    assert not (tmp_path / "s").exists()


def test_no_name_becomes_markup(tmp_path: Path) -> None:
    explainer = make(HOSTILE)
    card = {"samples": IMAGES, "limits": HOSTILE, "title": HOSTILE[2], "license": "other"}
    more = {"license_name": HOSTILE[0], "license_link": "javascript:alert(1)"}
    folder = explainer.save_pretrained(tmp_path / "s", card={**card, **more})
    block = metadata_load(folder / "README.md")
    assert block is not None
    assert block["license_name"] == HOSTILE[0]
    body = text_of(folder).split("\n---\n", 1)[1]
    outside = re.sub(r"(?s)^```.*?^```$", "", body, flags=re.MULTILINE)
    tags = re.findall(r"<[^>]*>", outside)
    assert [t for t in tags if not t.startswith("<!-- sidelight.text")] == []
    assert re.findall(r"\]\(([^)]*)\)", outside) == [
        "https://github.com/sidelight-dev/sidelight",
        *(f"{MAPS}/sample-{n}.png" for n in (1, 2, 3)),
    ]
    headings = re.findall(r"^#+ .*$", outside, re.MULTILINE)
    assert headings[0] == f"# {escape(HOSTILE[2])}"
    assert len(headings) == 10
    rows = [line for line in outside.splitlines() if line.startswith("| classes")]
    assert [line.count("|") for line in rows] == [3]


@pytest.mark.parametrize("text", [*HOSTILE, "www.evil.example", "![x](y)", "a\u202eb", "\x1b[31m", "*b* _i_"])
def test_escaped_words_hold_no_sign_of_markdown(text: str) -> None:
    found = escape(text)
    assert not set(found) & set("<>[]|`*_\n\x1b\u202e!#") - {"#"}
    assert re.fullmatch(r"(?:&#\d+;|[^&#])*", found)
    assert "www." not in found
    assert "\n" not in plain(text)


def test_a_code_block_cannot_be_left() -> None:
    block = code_block("a\n````\n# b")
    assert block.splitlines()[0] == block.splitlines()[-1] == "`````"


def test_pictures_are_small_and_ours(tmp_path: Path) -> None:
    folder = make().save_pretrained(tmp_path / "s", card={"samples": IMAGES[:2]})
    pictures = sorted((folder / MAPS).iterdir())
    assert [p.name for p in pictures] == ["sample-1.png", "sample-2.png"]
    assert all(p.stat().st_size < 80_000 and is_ours(p) for p in pictures)


def test_a_sample_that_cannot_be_explained_is_named(tmp_path: Path) -> None:
    folder = make().save_pretrained(tmp_path / "s", card={"samples": [IMAGES[0], "no-such-picture.png"]})
    assert "* Sample 2: it could not be explained" in text_of(folder)
    assert len(list((folder / MAPS).iterdir())) == 1


def test_a_card_that_a_person_wrote_or_changed_stays(tmp_path: Path) -> None:
    explainer, folder = make(), tmp_path / "s"
    explainer.save_pretrained(folder, card={"samples": IMAGES[:1]})
    assert is_ours(folder / "README.md")
    explainer.save_pretrained(folder)  # ours, unchanged: replaced as a whole
    assert not (folder / MAPS).exists()
    changed = text_of(folder).replace("## Limits", "## My limits")
    (folder / "README.md").write_text(changed, encoding="utf-8")
    assert not is_ours(folder / "README.md")
    for overwrite in (False, True):
        explainer.save_pretrained(folder, overwrite=overwrite, card={"samples": IMAGES[:1]})
        assert text_of(folder) == changed
        assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "scorer.safetensors"]
    Explainer.from_pretrained(folder, classifier())


def test_a_card_can_be_left_out(tmp_path: Path) -> None:
    folder = make().save_pretrained(tmp_path / "s", card=False)
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "scorer.safetensors"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"licence": "mit"}, "Did you mean 'license'"),
        ({"license": "MIT License"}, "identifier of the hub"),
        ({"license": "other"}, "needs license_name"),
        ({"datasets": "me/x"}, "list of strings"),
        ({"base_model": "a b"}, "no id of the hub"),
        ("mit", "must be a mapping"),
    ],
)
def test_options_that_make_no_sense(given: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        card_options(given)


def test_what_is_known_of_the_training_is_told_also_after_loading(tmp_path: Path) -> None:
    rows = list(zip(*corner_images(40), strict=True))
    quick: dict[str, Any] = {"epochs": 1, "batch_size": 8, "extra": {"disable_tqdm": True, "use_cpu": True}}
    fitted = Explainer.fit(classifier(), rows, processor=TRANSFORM, output_dir=tmp_path / "run", **quick)
    loaded = Explainer.from_pretrained(tmp_path / "run" / "scorer", classifier())
    first, second = (e.save_pretrained(tmp_path / "x") and text_of(tmp_path / "x") for e in (fitted, loaded))
    assert first == second
    assert "Rows: 36 for train, 4 for validation." in first
    assert "batch_size=8" in first
    assert "use_cpu" not in first
    assert fitted.target.fingerprint() in first
    assert f"| loss | {fitted.training_metrics['eval_loss']:.3f} |" in first


def test_ids_of_the_hub() -> None:
    own = "me/my-model"
    assert is_hub_id(own)
    assert not is_hub_id(f"/{own}")
    assert not is_hub_id("a/b/c")
    assert CardOptions().license is None
