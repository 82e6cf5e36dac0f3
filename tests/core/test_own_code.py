"""Whose code counts as a user's own: that of no library, ours or another's."""

from __future__ import annotations

import abc
import functools
import inspect
from typing import Any

import pytest
from torch import nn

from sidelight.core.own_code import own_code
from sidelight.fills.base import FILLS
from sidelight.lab.audit import CHECKS
from sidelight.lab.baselines import RIVALS, make_rival
from sidelight.lab.metrics.base import METRICS
from sidelight.lab.metrics.granularity import GRANULARITIES
from sidelight.lab.metrics.layout import READINGS
from sidelight.lab.metrics.probe import CONFIDENCES
from sidelight.lab.metrics.ranking import STEPPINGS
from sidelight.scorers.base import DECODERS

SHIPPED: dict[str, dict[str, Any]] = {
    "methods": {name: RIVALS[name] for name in RIVALS},
    "methods with options": {name: make_rival(name) for name in RIVALS},
    "metrics": {name: METRICS[name].compute for name in METRICS},
    "fills": {f"{m} {name}": FILLS[m][name] for m in FILLS for name in FILLS[m]},
    "granularities": {name: GRANULARITIES[name].cells for name in GRANULARITIES},
    "decoders": {name: DECODERS[name] for name in DECODERS},
    "readings": {name: READINGS[name] for name in READINGS},
    "steppings": {name: STEPPINGS[name] for name in STEPPINGS},
    "confidences": {name: CONFIDENCES[name] for name in CONFIDENCES},
    "checks": {name: CHECKS[name].measure for name in CHECKS},
}


class Base(abc.ABC):
    @abc.abstractmethod
    def scores(self) -> int: ...


class Own(Base):
    def scores(self) -> int:
        return 1


class OwnDecoder(nn.Module):
    def forward(self, x: Any) -> Any:
        return x + 1


def plain(x: int) -> int:
    return x


@pytest.mark.parametrize("kind", SHIPPED)
def test_no_part_that_is_shipped_is_a_users_own(kind: str) -> None:
    assert SHIPPED[kind]
    assert own_code(SHIPPED[kind]) == {}


def test_the_source_of_another_library_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    source = inspect.getsource
    monkeypatch.setattr(inspect, "getsource", lambda part: read.append(part) or source(part))
    assert own_code({"a": Own(), "b": OwnDecoder}).keys() == {"a", "b"}
    assert read == [Own, Base, OwnDecoder]


class Holder:
    """A method that holds a function, as a partial does."""

    def __init__(self) -> None:
        self.func = plain


def test_an_object_that_holds_a_function_is_no_partial() -> None:
    found = own_code({"holder": Holder(), "function": plain})
    assert found["holder"] != found["function"]


def test_a_function_and_its_partial_are_the_same_code() -> None:
    found = own_code({"a": plain, "b": functools.partial(plain, 1), "c": plain.__call__})
    assert found["a"] == found["b"]
    assert "c" not in found
