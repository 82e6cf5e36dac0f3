"""``explain_dataset`` on streams that fail, reuse their memory or begin oddly, and on disks that fail for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from helpers_training import TRANSFORM, classifier, corner_images
from sidelight import Explainer, ExplainFailure, ScorerConfig, read_explanations
from sidelight.errors import CheckpointError, InputError
from sidelight.rows.sources import rows_of
from sidelight.targets import as_target
from sidelight.training.network import new_scorer
from text_models import TEXTS, make_pair

ROWS = [f"{TEXTS[i % 3]} {' '.join(['dull'] * (i * 7 % 11))}".strip() for i in range(40)]
SIZES: dict[str, Any] = {"block_rows": 8, "batch_size": 4}


@pytest.fixture(scope="module")
def texts() -> Explainer:
    target = as_target(*make_pair("bert"), class_names=["bad", "fair", "good"])
    torch.manual_seed(0)
    return Explainer(target, new_scorer(target, TEXTS[:1], ScorerConfig()))


@pytest.fixture(scope="module")
def images() -> Explainer:
    target = as_target(classifier(), TRANSFORM)
    torch.manual_seed(0)
    return Explainer(target, new_scorer(target, [corner_images(1)[0][0]], ScorerConfig()))


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "parts").iterdir())}


@pytest.mark.parametrize("failing", [1, 2, 3, 5])
def test_a_block_that_cannot_be_written_is_followed_by_none(
    failing: int, texts: Explainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the disk may have room again a moment later, while the next block is on its way already
    texts.explain_dataset(list(ROWS), tmp_path / "whole", **SIZES)
    write, calls = pq.write_table, []

    def flaky(*args: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) == failing:
            raise OSError(28, "No space left on device")
        write(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(pq, "write_table", flaky)
        with pytest.raises(CheckpointError, match="No space left"):
            texts.explain_dataset(list(ROWS), tmp_path / "out", **SIZES)
    assert len(parts(tmp_path / "out")) == failing - 1
    texts.explain_dataset(list(ROWS), tmp_path / "out", **SIZES)
    assert parts(tmp_path / "out") == parts(tmp_path / "whole")


def broken(rows: list[Any], end: int) -> Iterator[Any]:
    yield from rows[:end]
    raise ConnectionError("the server went away")


@pytest.mark.parametrize("strict", [False, True])
def test_a_stream_that_breaks_off_is_told_and_goes_on(strict: bool, texts: Explainer, tmp_path: Path) -> None:
    options = {**SIZES, "strict": strict}
    texts.explain_dataset((row for row in ROWS), tmp_path / "whole", **options)
    for end in (21, 21, 3):  # twice the same, and once before what is finished
        with pytest.raises(InputError, match=rf"row {end} of source .*the server went away.*goes on"):
            texts.explain_dataset(broken(ROWS, end), tmp_path / "out", **options)
        assert len(read_explanations(tmp_path / "out")) == 16
    found = texts.explain_dataset((row for row in ROWS), tmp_path / "out", **options)
    assert len(found) == 40
    assert not list(found.errors())
    assert parts(tmp_path / "out") == parts(tmp_path / "whole")


def test_an_answer_in_memory_says_that_the_stream_ended(texts: Explainer) -> None:
    found = texts.explain(broken(ROWS, 5), errors="skip")
    assert len(found) == 6
    assert "row 5 of samples" in found[5].reason
    assert "gives no more rows" in found[5].reason


def test_an_empty_first_row_is_a_row(texts: Explainer, tmp_path: Path) -> None:
    found = texts.explain_dataset(iter([None, *ROWS]), tmp_path / "out", **SIZES)
    assert len(found) == 41
    assert [failure.row for failure in found.errors()] == [0]
    assert found[1].label == texts.explain(ROWS[0]).label


def test_one_row_that_cannot_be_named_does_not_end_a_stream(texts: Explainer, tmp_path: Path) -> None:
    twice = pd.DataFrame([["a", "b"]], columns=["text", "text"]).iloc[0]
    rows = [{"text": ROWS[0]}, twice, {"text": ROWS[1]}]
    for columns in ((), ("text",)):
        found = texts.explain_dataset(iter(rows), tmp_path / f"out{len(columns)}", columns=columns)
        assert [type(one) is ExplainFailure for one in found] == [False, True, False]
    assert [bool(one) for one in texts.explain(iter(rows), errors="skip")] == [True, False, True]
    with pytest.raises(InputError, match="several columns text"):
        texts.explain(iter(rows))


def one_buffer(pictures: np.ndarray, form: str) -> Iterator[Any]:
    """Pictures one after another in the same memory, as readers of cameras and videos give them."""
    buffer = np.empty_like(pictures[0])
    shared = torch.from_numpy(buffer)
    for picture in pictures:
        buffer[:] = picture
        yield {"array": buffer, "row": {"image": buffer}, "view": buffer[:], "tensor": shared[None]}[form]


@pytest.mark.parametrize("form", ["array", "row", "view"])
def test_a_stream_may_reuse_its_memory(form: str, images: Explainer, tmp_path: Path) -> None:
    pictures = corner_images(6)[0]
    expected = [one.scores["image"] for one in images.explain(list(pictures))]
    for found in (
        images.explain(one_buffer(pictures, form), batch_size=4),
        images.explain_dataset(one_buffer(pictures, form), tmp_path / "out", batch_size=2),
    ):
        for one, scores in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.scores["image"], scores, atol=1e-3)
    rows = rows_of(one_buffer(pictures, form))
    kept = [row["image"] if form == "row" else row for row in rows]
    assert np.array_equal(np.stack(kept), pictures)


def test_a_stream_of_tensors_may_reuse_its_memory() -> None:
    pictures = corner_images(6)[0]
    assert np.array_equal(torch.cat(list(rows_of(one_buffer(pictures, "tensor")))).numpy(), pictures)


def test_a_picture_that_was_closed_too_early_is_told(images: Explainer, tmp_path: Path) -> None:
    Image.fromarray(corner_images(1)[0][0]).save(tmp_path / "a.png")

    def closed() -> Iterator[Any]:
        with Image.open(tmp_path / "a.png") as picture:
            yield picture

    with pytest.raises(InputError, match=r"was closed before it was read.*copy\(\)"):
        images.explain(closed())
