"""Requests for the tests of the service, many at once, and an explainer that waits until it is let go."""

from __future__ import annotations

import asyncio
import io
import threading
from typing import Any

import httpx
import numpy as np
from PIL import Image

from sidelight import Explainer
from sidelight.errors import InputError
from sidelight.serving import ServeOptions, app

TEXTS = ["the story is charming", "a dull film", "what a wonderful day", "not so wonderful", "good", "a b c"]


def asked(service: Any, *requests: dict[str, Any]) -> list[httpx.Response]:
    """The answers to requests that are sent at the same time, in their order.

    Args:
        service: the application. Its lifespan does not run.
        requests: arguments of ``AsyncClient.request``. Method and address are POST and /explain unless they are given.
    """

    async def all_of_them() -> list[httpx.Response]:
        transport = httpx.ASGITransport(service)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
            calls = [
                client.request(**{"method": "POST", "url": "/explain", **request}) for request in requests
            ]
            return list(await asyncio.gather(*calls))

    return asyncio.run(all_of_them())


def one(service: Any, **request: Any) -> httpx.Response:
    """The answer to one request."""
    return asked(service, request)[0]


def picture(content: bytes) -> Image.Image:
    """A picture as the library gets it."""
    return Image.open(io.BytesIO(content))


def as_numbers(value: Any) -> np.ndarray:
    """All numbers of nested dictionaries and lists, by the order of their names."""
    if isinstance(value, dict):
        value = [value[name] for name in sorted(value)]
    if isinstance(value, list):
        return np.concatenate([np.zeros(0), *map(as_numbers, value)])
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return np.array([float(value)] if number else [])


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Both are the same answer: equal words, and numbers equal to 1e-6 beside the rounding of JSON.

    Rankings are raw scores of any size, in float32. A batch changes their last digits, in the library too.
    """
    assert set(found) == set(expected)
    assert found["label"] == expected["label"]
    assert found["inputs"] == expected["inputs"]
    own, other = ({k: v for k, v in answer.items() if k != "ranking"} for answer in (found, expected))
    np.testing.assert_allclose(as_numbers(own), as_numbers(other), rtol=1e-5, atol=2e-6)
    if "ranking" in expected:
        ranks, others = as_numbers(found["ranking"]), as_numbers(expected["ranking"])
        np.testing.assert_allclose(ranks, others, rtol=1e-5, atol=1e-5 * float(np.ptp(others) or 1))


class Held:
    """An explainer whose answers wait until :meth:`let_go`. It counts the inputs of each pass."""

    def __init__(self, explainer: Explainer) -> None:
        self.own, self.free, self.begun = explainer, threading.Event(), threading.Event()
        self.target, self.scorer = explainer.target, explainer.scorer
        self.passes: list[int] = []
        self.refused: Any = None

    def explain(self, samples: Any, **options: Any) -> Any:
        self.passes.append(len(samples) if isinstance(samples, list) else 1)
        self.begun.set()
        assert self.free.wait(30)
        if self.refused is not None and self.refused in samples:
            raise InputError(f"sample 0: {self.refused} is refused.")
        return self.own.explain(samples, **options)

    def let_go(self) -> None:
        self.free.set()


def held_app(explainer: Explainer, **options: Any) -> tuple[Any, Held]:
    """A service over a held explainer, and the explainer."""
    held = Held(explainer)
    return app({"texts": held}, ServeOptions(**options)), held  # type: ignore[dict-item]


def metric(service: Any, line: str) -> float:
    """The value of a line of /metrics, 0 if it is not there."""
    told = one(service, method="GET", url="/metrics").text.splitlines()
    found = [row.rpartition(" ") for row in told if row.rpartition(" ")[0] == line]
    return float(found[0][2]) if found else 0.0
