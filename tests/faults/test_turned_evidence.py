"""Known evidence that lies across its picture, or beyond what the classifier reads: it is told, and measured by nobody."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fault_models import SQUARE, T, eye
from PIL import Image

import pair_models
from sidelight.errors import InputError
from sidelight.inputs.base import Reader
from sidelight.lab.data.sets import DATASETS, DataSet
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.targets import as_target
from tiny_runs import TEXT, tiny_run

#: 20 rows of 30 columns, and what is marked in it
STORED = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
MASK = np.zeros((20, 30), dtype=bool)
MASK[2:9, 3:20] = True


@pytest.fixture(params=["image", "image+text"])
def reader(request: pytest.FixtureRequest) -> Reader:
    if request.param == "image":
        return as_target(eye(), SQUARE).reader
    return pair_models.make_target("fusion-resnet").reader


def truth(reader: Reader, picture: Any, mask: Any) -> torch.Tensor:
    row = {"image": picture, "text": "a red square", "evidence": {"image": mask}}
    found = reader.read([row], evidence=True).truth
    assert found is not None
    return found["image"]


@pytest.mark.parametrize("mask", [MASK.T, MASK.T.tolist(), torch.from_numpy(MASK.T.copy()), MASK.T[::2, ::2]])
def test_kind_a_mask_whose_axes_are_turned_is_told(reader: Reader, mask: Any) -> None:
    """It was stretched until it fitted, so that all metrics of agreement were of other places."""
    with pytest.raises(
        InputError, match=r"the evidence of row 0 is a mask of .* the mask is turned\..* give mask\.T"
    ):
        truth(reader, Image.fromarray(STORED), mask)


def exif(folder: Path) -> list[Any]:
    """A picture that EXIF turns, in each form in which a row may hold it."""
    turned, content = Image.Exif(), io.BytesIO()
    turned[274] = 6  # orientation: a viewer turns it by 90 degrees
    Image.fromarray(STORED).save(content, "PNG", exif=turned)
    path = folder / "turned.png"
    path.write_bytes(content.getvalue())
    return [str(path), content.getvalue(), {"bytes": None, "path": str(path)}, Image.open(path)]


def test_kind_a_mask_of_the_picture_as_it_is_stored_is_told(reader: Reader, tmp_path: Path) -> None:
    shown = Image.fromarray(np.rot90(STORED, -1).copy())
    wanted = truth(reader, shown, np.rot90(MASK, -1).copy())
    for picture in exif(tmp_path):
        with pytest.raises(InputError, match=r"has 30 rows and 20 columns: the mask is turned"):
            truth(reader, picture, MASK)
        assert torch.equal(truth(reader, picture, np.rot90(MASK, -1).copy()), wanted)


def test_kind_masks_of_other_sizes_stay_what_they_were(reader: Reader) -> None:
    picture = Image.fromarray(STORED)
    for mask in (MASK, MASK[::2, ::2], np.ones((7, 7)), np.ones((3, 9))):
        assert truth(reader, picture, mask).any()
    assert truth(reader, Image.fromarray(STORED[:, :20]), MASK[:, :20].T).any()  # nobody can tell of a square


# -- evidence that the classifier does not see -----------------------------------------------


@pytest.mark.usefixtures("kept_data_sets")
def test_kind_evidence_in_the_end_of_a_text_that_is_cut_is_told(tmp_path: Path) -> None:
    """These samples were left out of AUPRC and its kin without a word."""
    long = " ".join(T)

    def row(number: int) -> dict[str, Any]:
        text = long if number < 3 else T[number]
        spans = {2: [], 7: [(0, 3), (4, 9)]}.get(number, [(len(text) - 4, len(text))])
        return {"text": text, "label": number % 2, "evidence": {"text": spans}}

    DATASETS.add("mine", DataSet(("text",), ("no", "yes"), lambda **_: [row(i) for i in range(8)], "", True))
    section = {**TEXT["evaluation"], "metrics": ["auprc", "mean_score"], "rivals": []}
    run = tiny_run(tmp_path / "run", TEXT, data={"name": "mine"}, evaluation=section)
    assert run.tested_rows(8)[0]["text"] == long
    results = evaluate_run(run)
    told = [note for note in results["notes"] if "beyond what the classifier reads" in note]
    assert len(told) == 1
    assert told[0].startswith("2 of 8 samples have evidence in the text that lies wholly beyond")
    assert [r["n"] for r in results["rows"] if r["metric"] == "auprc"] == [5]
