"""Data sets of the hub by id, with the hub's own loader reading a local repository in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from cli_tools import sidelight
from helpers_training import TRANSFORM, classifier, corner_images
from sidelight import Explainer, ScorerConfig, read_explanations
from sidelight.errors import InputError
from sidelight.rows.hub import hub_id, is_hub_folder
from sidelight.rows.sources import rows_of
from sidelight.targets import as_target
from sidelight.training.network import new_scorer

QUICK: dict[str, Any] = {"epochs": 1, "batch_size": 8, "extra": {"disable_tqdm": True, "use_cpu": True}}


def split(count: int, seed: int) -> datasets.Dataset:
    images, labels = corner_images(count, seed)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    rows = {"image": [datasets.Image().encode_example(i) for i in images], "label": labels}
    return datasets.Dataset.from_dict(rows, features=features)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set as the hub keeps it: a card, and shards of Parquet in ``data``."""
    folder = tmp_path_factory.mktemp("repository") / "corners"
    (folder / "data").mkdir(parents=True)
    for name, count in (("train", 32), ("validation", 8), ("test", 4)):
        split(count, count).to_parquet(folder / "data" / f"{name}-00000-of-00001.parquet")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Corners\n")
    return folder


@pytest.fixture
def hub(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    real, asked = datasets.load_dataset, []
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def load(name: str, revision: str | None = None) -> Any:
        asked.append((name, revision))
        if name != "me/corners":
            raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{name}' doesn't exist on the Hub")
        return real(str(repository), cache_dir=str(tmp_path / "cache"))

    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


def test_fit_takes_an_id(hub: list[Any], tmp_path: Path) -> None:
    explainer = Explainer.fit(
        classifier(), "me/corners@v1", processor=TRANSFORM, output_dir=tmp_path / "run", **QUICK
    )
    assert set(hub) == {("me/corners", "v1")}
    facts = explainer.scorer.facts
    assert facts["rows"] == {"train": 32, "validation": 8}  # the splits of the data set
    assert facts["data"].items() >= {"name": "me/corners", "hub": "me/corners", "revision": "v1"}.items()
    card = (explainer.save_pretrained(tmp_path / "s") / "README.md").read_text()
    assert "datasets:\n- me/corners\n" in card
    assert "train = 'me/corners@v1'" in card


def test_explain_dataset_and_the_command_take_an_id(hub: list[Any], tmp_path: Path) -> None:
    model = classifier()
    model.save_pretrained(tmp_path / "model")
    target = as_target(str(tmp_path / "model"), TRANSFORM)
    explainer = Explainer(target, new_scorer(target, [corner_images(1)[0][0]], ScorerConfig()))
    found = explainer.explain_dataset("me/corners", tmp_path / "one", block_rows=20)
    assert len(found) == 32  # the training split
    assert found.to_arrow(["label"]).num_rows == 32
    scorer = explainer.save_pretrained(tmp_path / "scorer")
    words = ("--hub-dataset", "me/corners", "--block-rows", 20, "--out", tmp_path / "two")
    assert sidelight("explain", scorer, *words).code == 0
    for part in ("part-00000.parquet", "part-00001.parquet"):
        assert (tmp_path / "one" / "parts" / part).read_bytes() == (
            tmp_path / "two" / "parts" / part
        ).read_bytes()


def test_the_command_takes_a_split(hub: list[Any], tmp_path: Path) -> None:
    model = classifier()
    model.save_pretrained(tmp_path / "model")
    target = as_target(str(tmp_path / "model"), TRANSFORM)
    explainer = Explainer(target, new_scorer(target, [corner_images(1)[0][0]], ScorerConfig()))
    scorer = explainer.save_pretrained(tmp_path / "scorer")
    words = ("--hub-dataset", "me/corners", "--out", tmp_path / "out")
    assert sidelight("explain", scorer, *words, "--split", "test").code == 0
    found = read_explanations(tmp_path / "out")
    assert len(found) == 4
    own = explainer.explain(split(4, 4)[2]["image"])
    assert found[2].probability == pytest.approx(own.probability, abs=1e-6)
    wrong = sidelight("explain", scorer, *words, "--split", "tset")
    assert wrong.code == 2
    assert "has no split 'tset'. It has: train, validation, test." in wrong.err
    table = sidelight("explain", scorer, "--csv", tmp_path / "rows.csv", "--split", "test")
    assert table.code == 2
    assert "--split goes with --hub-dataset" in table.err


def test_a_folder_of_the_hubs_layout(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    assert is_hub_folder(str(repository))
    assert len(rows_of(repository, "train")) == 32
    assert len(rows_of(str(repository), "eval")) == 8


def test_an_id_that_the_hub_does_not_know(hub: list[Any]) -> None:
    with pytest.raises(
        InputError, match=r"train: 'me/typo'.*doesn't exist.*load_dataset\('me/typo', \.\.\.\)"
    ):
        rows_of("me/typo", "train")


@pytest.mark.parametrize(
    "text", ["a.csv", "photos/cat.png", "./a/b", "/a/b", "a", "a/b/c", "what a day", "~/x"]
)
def test_no_id(text: str) -> None:
    assert hub_id(text) is None


def test_a_folder_of_this_machine_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "me" / "corners").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert hub_id("me/corners") is None
    assert hub_id("hf://datasets/me/corners") == ("me/corners", None)
