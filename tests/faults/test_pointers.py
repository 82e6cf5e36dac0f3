"""A repository that was cloned without Git LFS holds pointers in place of its large files: each is called what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli_tools import sidelight as run_command
from export_toys import explainer_of
from sidelight import Explainer
from sidelight.core.files import find_weights, read_json
from sidelight.core.pointers import is_lfs_pointer, told_of_pointer
from sidelight.errors import CheckpointError, InputError
from sidelight.inputs.picture_files import read_image
from sidelight.lab.evaluation.map_files import read_maps
from sidelight.lab.runs.classifier import load_saved
from sidelight.rows.sources import rows_of
from sidelight.rows.table_source import open_source
from sidelight.targets import TARGETS, open_model

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 240124\n"


def pointer(path: Path) -> Path:
    path.write_text(POINTER)
    return path


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return explainer_of("bert")


@pytest.fixture
def folder(tmp_path: Path, explainer: Explainer) -> Path:
    place = tmp_path / "model"
    explainer.target.model.save_pretrained(place)
    explainer.target.reader.save(place)
    return place


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_kind_a_classifier_whose_weights_are_a_pointer_is_told(
    folder: Path, explainer: Explainer, name: str
) -> None:
    scorer = explainer.save_pretrained(folder.parent / "scorer")
    (folder / "model.safetensors").unlink()
    pointer(folder / name)
    ways: list[Callable[[], Any]] = [
        lambda: open_model(folder),
        lambda: Explainer.from_pretrained(scorer, folder),
        lambda: TARGETS["text"].load_model(str(folder)),
    ]
    if name == "model.safetensors":
        ways.append(lambda: load_saved(TARGETS["text"], folder))
    for way in ways:
        with pytest.raises(CheckpointError, match=rf"{name} is a pointer of Git LFS.*`git lfs pull`"):
            way()


def test_kind_a_tokenizer_that_is_a_pointer_is_told(folder: Path) -> None:
    pointer(folder / "tokenizer.json")
    with pytest.raises(CheckpointError, match=r"tokenizer.json is a pointer of Git LFS.*`git lfs pull`"):
        open_model(folder)


def test_kind_a_pointer_that_is_not_needed_stops_nobody(folder: Path) -> None:
    pointer(folder / "pytorch_model.bin")  # beside the weights in the other format
    assert open_model(folder)[1] is not None


@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "jsonl", "parquet", "csv.gz"])
def test_kind_a_table_that_is_a_pointer_is_told(tmp_path: Path, ending: str) -> None:
    table = pointer(tmp_path / f"rows.{ending}")
    with pytest.raises(InputError, match=r"is a pointer of Git LFS in place of the table.*`git lfs pull`"):
        rows_of(str(table), "train")
    kind = ending.removesuffix(".gz").replace("tsv", "csv")
    if kind != "json":
        with pytest.raises(InputError, match="is a pointer of Git LFS in place of the table"):
            open_source(table, kind, tmp_path / "out")


def test_kind_pictures_texts_maps_weights_and_json_that_are_pointers_are_told(
    tmp_path: Path, explainer: Explainer
) -> None:
    with pytest.raises(InputError, match="Git LFS pointer, not the picture itself: run `git lfs pull`"):
        read_image(pointer(tmp_path / "photo.png"))
    with pytest.raises(InputError, match="pointer of Git LFS in place of the maps"):
        read_maps(pointer(tmp_path / "maps.npz"))
    with pytest.raises(CheckpointError, match="pointer of Git LFS in place of the weights"):
        find_weights(str(pointer(tmp_path / "mobilenet.pt")))
    with pytest.raises(CheckpointError, match="pointer of Git LFS"):
        read_json(pointer(tmp_path / "config.json"))
    scorer = explainer.save_pretrained(tmp_path / "scorer")
    explainer.target.model.save_pretrained(tmp_path / "model")
    text = pointer(tmp_path / "review.txt")
    found = run_command("explain", scorer, text, "--model", tmp_path / "model", "--out", tmp_path / "out")
    assert found.code == 2
    assert "pointer of Git LFS in place of the text" in found.err


def test_kind_what_is_no_pointer_is_not_called_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "maps.npz", ids=[1])
    assert not is_lfs_pointer(tmp_path / "maps.npz")
    assert (
        told_of_pointer(tmp_path) == told_of_pointer("owner/name") == told_of_pointer(tmp_path / "none") == ""
    )
