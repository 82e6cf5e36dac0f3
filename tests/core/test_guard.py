"""What slips through the checks of a public function comes out as an error of our family."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from sidelight.core.guard import public
from sidelight.errors import InputError, SidelightError, UnexpectedError


def recurse() -> Any:
    return recurse()


FAILURES: dict[str, tuple[Callable[[], Any], type[Exception]]] = {
    "type": (lambda: "a" / 2, TypeError),  # type: ignore[operator]
    "decoding": (lambda: b"\xff".decode(), UnicodeDecodeError),
    "key": (lambda: {}["x"], KeyError),
    "file": (lambda: open("/no-such-folder/at/all"), FileNotFoundError),  # noqa: SIM115
    "json": (lambda: json.loads("{"), ValueError),
    "attribute": (lambda: [].x, AttributeError),  # type: ignore[attr-defined]
    "recursion": (recurse, RecursionError),
    "pydantic": (lambda: TypeAdapter(int).validate_python("a"), ValueError),
    "torch": (lambda: torch.zeros(2) + torch.zeros(3), RuntimeError),
}


@public
def run(what: Callable[[], Any]) -> Any:
    return what()


@pytest.mark.parametrize("name", FAILURES)
def test_a_builtin_error_keeps_its_type_and_joins_the_family(name: str) -> None:
    what, kind = FAILURES[name]
    with pytest.raises(UnexpectedError, match=r"^run\(\) failed with") as caught:
        run(what)
    assert isinstance(caught.value, kind)
    assert isinstance(caught.value, SidelightError)
    assert type(caught.value.__cause__).__name__ in str(caught.value)
    copied = pickle.loads(pickle.dumps(caught.value))
    assert str(copied) == str(caught.value)
    assert isinstance(copied, kind)


def test_errors_of_ours_memory_and_interrupts_pass_as_they_are() -> None:
    def fail(error: BaseException) -> None:
        raise error

    for error in (
        InputError("x"),
        MemoryError(),
        torch.OutOfMemoryError("x"),
        KeyboardInterrupt(),
        UserWarning("x"),
    ):
        with pytest.raises(type(error)) as caught:
            run(lambda error=error: fail(error))  # type: ignore[misc]
        assert caught.value is error


def test_a_call_that_python_refuses_stays_a_type_error() -> None:
    with pytest.raises(TypeError) as caught:
        run()  # type: ignore[call-arg]
    assert not isinstance(caught.value, SidelightError)
