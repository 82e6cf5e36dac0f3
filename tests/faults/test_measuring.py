"""What is measured depends on the sample, and not on what else is measured, in which batch, or in which place."""

from __future__ import annotations

import pytest

from face_toys import pair_explainer
from pair_models import match_rows
from sidelight import Explainer
from sidelight.lab.evaluation.modality import share_rows


@pytest.fixture(scope="module")
def pairs() -> Explainer:
    return pair_explainer()


def _rows(count: int, seed: int = 0) -> list[tuple[object, str]]:
    return [(row["image"], row["text"]) for row in match_rows(count, seed)]


def test_kind_the_worth_of_a_modality_does_not_depend_on_the_size_of_batches(pairs: Explainer) -> None:
    rows = [{"image": image, "text": text} for image, text in _rows(7)]
    others = pairs.target.reader.read(_rows(24, seed=1)).inputs
    at_once, in_parts, alone = (
        share_rows(pairs.target, rows, others, batch_size=size, draws=2).set_index("sample")
        for size in (7, 3, 1)
    )
    for other in (in_parts, alone):
        for name in ("drop_image", "drop_text", "drop_all"):
            assert other[name].tolist() == pytest.approx(at_once[name].tolist(), abs=1e-5), name
    assert at_once["drop_image"].abs().max() > 1e-3, "there is something to compare"


def test_kind_the_worth_of_a_modality_does_not_depend_on_the_others_that_are_explained(
    pairs: Explainer,
) -> None:
    rows, others = _rows(5), _rows(24, seed=1)
    together = pairs.explain(rows, others=others)
    in_parts = pairs.explain(rows, others=others, batch_size=2)
    for row, one, part in zip(rows, together, in_parts, strict=True):
        alone = pairs.explain(row, others=others).meta["modality_share"]
        for found in (one, part):
            assert found.meta["modality_share"]["drops"] == pytest.approx(alone["drops"], abs=1e-5)
