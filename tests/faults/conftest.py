"""What most fault tests explain with: untrained scorers beside a small classifier of texts and one of pictures."""

from __future__ import annotations

import pytest
from fault_models import SQUARE, P, T, bert, eye, tok, untrained

from sidelight import Explainer


@pytest.fixture(scope="module")
def texts() -> Explainer:
    return untrained(bert(), tok(), T[0])


@pytest.fixture(scope="module")
def images() -> Explainer:
    return untrained(eye(), SQUARE, P[0])
