"""What most fault tests explain with: untrained scorers beside a small classifier of texts and one of pictures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fault_models import SQUARE, P, T, bert, eye, tok, untrained

from sidelight import Explainer


@pytest.fixture(scope="module")
def texts() -> Explainer:
    return untrained(bert(), tok(), T[0])


@pytest.fixture(scope="module")
def images() -> Explainer:
    return untrained(eye(), SQUARE, P[0])


@pytest.fixture
def kept_data_sets() -> Iterator[None]:
    """Data sets that a test registers are forgotten after it."""
    from sidelight.lab.data.sets import DATASETS  # only here: most of these tests need no laboratory

    before = dict(DATASETS.items())
    yield
    DATASETS._entries.clear()
    DATASETS._entries.update(before)
