"""Modalities of a user's own: nothing plays with them, and what cannot be drawn is told and spoils no notebook."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sidelight import Explanation
from sidelight.errors import UnknownNameError, UnsupportedTargetError
from sidelight.lab.side_by_side.result import Comparison
from sidelight.live.desk import Desk
from sidelight.live.session import Session


def explained() -> Explanation:
    values = np.linspace(0, 1, 4, dtype=np.float32)
    return Explanation(
        scores={"series": values},
        inputs={"series": np.zeros((2, 4), dtype=np.float32)},
        prediction=0,
        label="low",
        probability=0.75,
        probabilities=np.array([0.75, 0.25]),
    )


def test_live_inputs_and_the_page_refuse_them_at_once() -> None:
    explainer: Any = SimpleNamespace(target=SimpleNamespace(modalities={"series": None}))
    for made in (lambda: Session(explainer, np.zeros((2, 4))), lambda: Desk({"a": explainer})):
        with pytest.raises(UnsupportedTargetError, match=r"images and texts only.* reads series.*explain"):
            made()


def test_a_notebook_shows_the_line_of_text_if_there_is_no_renderer() -> None:
    found = explained()
    assert found._repr_html_() is None
    with pytest.raises(UnknownNameError, match=r"no renderer of 'series'.*docs/extend/modality\.md"):
        found.to_html()


def test_a_comparison_too() -> None:
    sample: Any = SimpleNamespace(modality="series")
    assert Comparison._repr_html_(SimpleNamespace(samples=[sample])) is None  # type: ignore[arg-type]
