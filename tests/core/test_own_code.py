"""Whose code counts as a user's own: that of no library, ours or another's."""

from __future__ import annotations

import abc
import functools
import inspect
from typing import Any

import pytest
import torch
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


def test_a_partial_is_its_function_with_its_arguments() -> None:
    found = own_code({"a": plain, "b": functools.partial(plain), "c": plain.__call__})
    assert found["a"] == found["b"]
    assert "c" not in found
    given = [functools.partial(plain, 1), functools.partial(plain, 2), functools.partial(plain, x=1), plain]
    assert len({own_code({"part": part})["part"] for part in given}) == 4


def closing(share: Any) -> Any:
    def part(x: Any) -> Any:
        return [x > share for _ in range(2)]

    return part


def scaled(factor: float) -> Any:
    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(x: Any) -> Any:
            return factor * function(x)

        return wrapper

    return decorate


PARTS: dict[str, Any] = {
    "a default": lambda v: lambda x, share=v: x > share,
    "a keyword's default": lambda v: _with_keyword(v),
    "a variable around it": closing,
    "a tuple around it": lambda v: closing((v, "a", None)),
    "a function around it": lambda v: closing(closing(v)),
    "a partial around it": lambda v: closing(functools.partial(max, v)),
    "a decorator of one's own": lambda v: scaled(v)(plain),
    "a function that a library's decorator wraps": lambda v: torch.no_grad()(closing(v)),
}


def _with_keyword(value: float) -> Any:
    def part(x: Any, *, share: float = value) -> Any:
        return x > share

    return part


@pytest.mark.parametrize("kind", PARTS)
def test_what_a_function_is_bound_to_belongs_to_its_code(kind: str) -> None:
    first, again, other = (own_code({"part": PARTS[kind](v)})["part"] for v in (0.25, 0.25, 0.5))
    assert first == again != other


MODULE = """
SHARE, CALLS, CACHE = {share}, {calls}, [{calls}]

def helper(x):
    return x {sign} SHARE

def part(x):
    global CALLS
    CALLS += 1
    CACHE.append(x)
    return [helper(v) for v in x]

class Method:
    def __call__(self, x):
        return helper(x)
"""


@pytest.mark.parametrize("name", ["part", "Method"])
def test_constants_and_functions_that_a_part_names_belong_to_its_code(tmp_path: Any, name: str) -> None:
    def digest(number: int, share: float = 0.5, sign: str = ">", calls: int = 0) -> str:
        file = tmp_path / f"module{number}.py"
        file.write_text(MODULE.format(share=share, sign=sign, calls=calls))
        scope: dict[str, Any] = {"__name__": f"module{number}", "__file__": str(file)}
        exec(compile(file.read_text(), str(file), "exec"), scope)
        return own_code({"part": scope[name]})["part"]

    first = digest(1)
    assert digest(2) == first
    assert digest(3, calls=7) == first  # what counts or keeps something while it is used
    assert digest(4, share=0.25) != first
    assert digest(5, sign="<") != first


def test_functions_that_name_one_another_have_a_code() -> None:
    assert own_code({"even": _even, "odd": _odd}).keys() == {"even", "odd"}


def _even(n: int) -> bool:
    return n == 0 or _odd(n - 1)


def _odd(n: int) -> bool:
    return n != 0 and _even(n - 1)
