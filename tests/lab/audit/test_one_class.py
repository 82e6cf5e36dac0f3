"""Class bias where the classifier predicts one class only."""

from __future__ import annotations

from typing import Any

import pytest

from sidelight.lab.audit.classes import tables


@pytest.mark.parametrize(
    ("samples", "classes", "title"),
    [
        (8, 1, "image: 8 samples of 1 predicted class, so nothing is known of a bias"),
        (1, 1, "image: 1 sample of 1 predicted class, so nothing is known of a bias"),
        (8, 3, "image: 8 samples of 3 predicted classes, chance 0.286"),
    ],
)
def test_one_class_tells_nothing_of_a_bias(samples: int, classes: int, title: str) -> None:
    """The table said "1 predicted classes, chance 0.000", and a share of 0 for each method, as if none had a bias."""
    row: dict[str, Any] = {"modality": "image", "method": "saliency", "chance": 2 / 7, "share": 0.0}
    found = {"rows": [row | {"samples": samples, "classes": classes}]}
    assert tables(found)[0].title.startswith(title)
