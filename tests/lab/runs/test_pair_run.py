"""Images with texts from rows to a saved explainer: library, run folder and command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pair_models import make, make_tokenizer, match_rows
from sidelight.errors import ConfigError, InputError, TargetMismatchError
from sidelight.explainer import Explainer
from sidelight.explanations.explanation import Explanation
from sidelight.inputs.images import ImageTransform
from sidelight.lab.config.files import load_config
from sidelight.lab.data.sets import DATASETS, DataSet
from sidelight.lab.data.tokenizers import TOKENIZERS
from sidelight.lab.runs.classifier import accuracy
from sidelight.lab.runs.run import Run
from sidelight.models.fusion import FusionClassifier
from sidelight.scorers.checkpoint import load_scorer
from sidelight.targets import ImageTextProcessor, ImageTextTarget, as_target

SIZES = {"train": 256, "validation": 32, "test": 64}
CLASSES = ("no match", "match")


def load(split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0) -> list[Any]:
    return match_rows(count or SIZES[split], seed=100 * seed + list(SIZES).index(split))


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """The data set and tokenizer of this module, by name for as long as a test runs."""
    DATASETS.add("test_pairs", DataSet(("image", "text"), CLASSES, load, "made for a test", True))
    TOKENIZERS.add("test_pairs", make_tokenizer)
    yield
    DATASETS._entries.pop("test_pairs")
    TOKENIZERS._entries.pop("test_pairs")


CONFIG: dict[str, Any] = {
    "name": "pairs",
    "data": {"name": "test_pairs"},
    "target": {
        "fusion": {
            "text": {
                "architecture": {
                    "model_type": "bert",
                    "hidden_size": 16,
                    "num_hidden_layers": 1,
                    "num_attention_heads": 2,
                    "intermediate_size": 32,
                },
                "tokenizer": "test_pairs",
            },
            "image": {
                "architecture": {
                    "model_type": "resnet",
                    "embedding_size": 8,
                    "hidden_sizes": [8, 16],
                    "depths": [1, 1],
                    "layer_type": "basic",
                },
                "transform": {"size": [16, 16]},
            },
            "width": 32,
            "layers": 1,
            "heads": 2,
            "dropout": 0.0,
        },
        "training": {"epochs": 12, "batch_size": 16, "learning_rate": 0.005},
    },
    "scorer": {"channels": [8, 8], "width": 16, "layers": 1, "heads": 2},
    "objective": {"label": "prediction", "fills": ["zero", "noise+random"]},
    "training": {"epochs": 1, "batch_size": 16, "on_collapse": "warn"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pairs")


def start(folder: Path, *overrides: str) -> Run:
    path = folder / "pairs.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    return Run.create(folder / "run", load_config(path, overrides))


def test_a_run_trains_the_classifier_and_its_scorer(folder: Path) -> None:
    run = start(folder)
    facts = run.fit()
    assert facts["target"]["accuracy"] > 0.9, "neither image nor text alone tells the label"
    assert facts["scorers"]["0"]["parameters"] > 0
    explainer = run.explainer()
    target = explainer.target
    assert isinstance(target, ImageTextTarget)
    assert type(target.model) is FusionClassifier
    assert accuracy(target, run.rows("test")) == facts["target"]["accuracy"]
    assert explainer.scorer.spec.fusion_dim == 3 * 32  # class token, and a mean token of each modality

    rows = run.rows("test", 3)
    found = explainer.explain(rows)
    one = explainer.explain((rows[1]["image"], rows[1]["text"]))
    assert isinstance(one, Explanation)
    assert one.modalities == ("image", "text")
    assert one.scores["image"].shape == (16, 16)
    assert one.inputs["text"] == rows[1]["text"].replace(" ", " |").split("|")
    assert one.label in CLASSES
    for name in one.modalities:
        np.testing.assert_allclose(one.scores[name], found[1].scores[name], atol=1e-4)
    figure = one.plot()
    assert len(figure.axes) > 1
    assert "red" in one.to_html() or "blue" in one.to_html()


def test_it_goes_on_from_what_is_there(folder: Path) -> None:
    run = start(folder)
    before = (run.folder / "fit.json").read_text()
    weights = run.explainer().target.fingerprint()
    run.fit()
    assert (run.folder / "fit.json").read_text() == before
    assert Run.open(run.folder).explainer().target.fingerprint() == weights


def test_the_explainer_opens_by_itself(folder: Path) -> None:
    run = start(folder)
    own = run.explainer()
    again = Explainer.from_pretrained(run.scorer_folder(0) / "scorer")
    saved = load_scorer(run.scorer_folder(0) / "scorer")
    assert saved.target["family"] == "image+text"
    assert type(again.target.model) is FusionClassifier
    rows = run.rows("test", 2)
    for a, b in zip(own.explain(rows), again.explain(rows), strict=True):
        assert a.probability == b.probability
        assert all(np.array_equal(a.scores[m], b.scores[m]) for m in a.scores)
    with pytest.raises(TargetMismatchError):
        Explainer.from_pretrained(
            run.scorer_folder(0) / "scorer",
            make("fusion-resnet"),
            processor=ImageTextProcessor(ImageTransform((16, 16)), make_tokenizer()),
        )


def test_bad_pairs_name_their_number(folder: Path) -> None:
    explainer = start(folder).explainer()
    rows = match_rows(5)
    rows[3] = {**rows[3], "text": ""}
    with pytest.raises(InputError, match="sample 3 is empty"):
        explainer.explain(rows, batch_size=2)
    rows[3]["text"], rows[3]["image"] = "a red square", "nowhere.png"
    with pytest.raises(InputError, match=r"sample 3: 'nowhere\.png' does not exist"):
        explainer.explain(rows, batch_size=2)


def test_a_fusion_on_data_of_one_modality_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    run = Run.create(tmp_path / "run", load_config(path, ["data.name=digits"]))
    with pytest.raises(ConfigError):
        run.fit()


def test_a_new_vilt_from_its_options(tmp_path: Path) -> None:
    path = tmp_path / "vilt.yaml"
    architecture = {
        "model_type": "vilt",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "image_size": 16,
        "patch_size": 4,
    }
    target = {"architecture": architecture, "tokenizer": "test_pairs", "transform": {"size": [16, 16]}}
    path.write_text(yaml.safe_dump({**CONFIG, "target": target}))
    opened = Run.create(tmp_path / "run", load_config(path)).open_target()
    assert type(opened.model).__name__ == "ViltForQuestionAnswering"
    assert opened.encode(
        opened.reader.read([(r["image"], r["text"]) for r in match_rows(2)]).inputs
    ).logits.shape == (
        2,
        2,
    )
    assert isinstance(as_target(opened.model, opened.reader.processor), ImageTextTarget)  # type: ignore[attr-defined]


def test_the_command_fits_it(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from sidelight.cli.app import app

    path = tmp_path / "pairs.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    out = tmp_path / "run"
    result = CliRunner().invoke(
        app,
        ["fit", str(path), "--out", str(out), "--set", "data.train=32", "--set", "target.training.epochs=1"],
    )
    assert result.exit_code == 0, result.output
    assert (out / "scorer-0" / "scorer" / "scorer.safetensors").is_file()
    assert (out / "target" / "sidelight_transform.json").is_file()
