"""The service behind the addresses: it admits requests, waits for their answers, and tells errors."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exception_handlers import http_exception_handler
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from sidelight.serving.answers import explanation_json
from sidelight.serving.asking import Ask, read
from sidelight.serving.meters import Gate, Meters
from sidelight.serving.models import CLASSIFY, EXPLAIN, ServedModel, Wish
from sidelight.serving.problems import Problem, problem_of
from sidelight.serving.settings import ServeOptions

if TYPE_CHECKING:
    from sidelight.explainer import Explainer

#: a browser that opens an answer neither guesses its type nor keeps it
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
Answering = Callable[[Request], Awaitable[Response]]


class Service:
    """Explainers that answer requests.

    Args:
        explainers: name -> explainer, at least one.
        options: limits, batches and token.
    """

    def __init__(self, explainers: Mapping[str, Explainer], options: ServeOptions) -> None:
        self.options, self._token = options, options.token()
        self.meters = Meters()
        self.gate = Gate(options.queue, self.meters)
        self.models = {
            name: ServedModel(name, own, options, self.meters.passed) for name, own in explainers.items()
        }
        self.stopping = False

    # -- what is answered ---------------------------------------------------------------

    async def explain(self, request: Request) -> Response:
        """Verdict and maps."""
        return await self._answered("/explain", request, lambda r: self._ask(r, EXPLAIN))

    async def classify(self, request: Request) -> Response:
        """The verdict alone."""
        return await self._answered("/classify", request, lambda r: self._ask(r, CLASSIFY))

    async def health(self, request: Request) -> Response:
        """Whether the service takes requests. Whoever bears the token also gets what each model reads."""
        return await self._answered("/health", request, self._health)

    async def metrics(self, request: Request) -> Response:
        """What was counted, in Prometheus' text format."""
        return await self._answered("/metrics", request, self._metrics)

    async def refuse(self, request: Request, error: Exception) -> Response:
        """The answer for an address or method that is not served. Errors that routes of others raise stay theirs."""
        status = getattr(error, "status_code", 404)
        if status not in (404, 405) or getattr(error, "detail", None) != HTTPStatus(status).phrase:
            return await http_exception_handler(request, error)  # type: ignore[arg-type]
        kind = "method" if status == 405 else "not_found"

        async def refused(request: Request) -> Response:
            raise Problem(kind, f"{request.method} {request.url.path[:60]!r} is not served.")

        response = await self._answered("other", request, refused)
        if status == 405:
            response.headers["Allow"] = ", ".join(_methods(request))
        return response

    @asynccontextmanager
    async def life(self, app: Any) -> AsyncIterator[None]:
        """From the start of a server to its stop. What is queued at the stop is answered."""
        self.stopping = False
        for model in self.models.values():
            model.batcher.open()
        yield
        self.stopping = True
        for model in self.models.values():
            await run_in_threadpool(model.batcher.stop)

    # -- how ----------------------------------------------------------------------------

    async def _answered(self, place: str, request: Request, work: Answering) -> Response:
        start = time.perf_counter()
        try:
            response = await work(request)
        except Exception as error:  # noqa: BLE001 - no traceback leaves the service
            problem = problem_of(error)
            self.meters.failed(problem.kind)
            response = JSONResponse(problem.to_dict(), problem.status, problem.headers)
        response.headers.update(HEADERS)
        self.meters.answered(place, response.status_code, time.perf_counter() - start)
        return response

    def _bears_token(self, request: Request) -> bool:
        if self._token is None:
            return True
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        # a header is bytes, and arrives as the characters of these numbers
        sent = given.encode("latin-1").strip()
        # takes as long for a token that is nearly right
        same = [hmac.compare_digest(sent, form) for form in _as_bytes(self._token)]
        return any(same) and kind.lower() == "bearer"

    def _require_token(self, request: Request) -> None:
        if not self._bears_token(request):
            raise Problem("token", "the token is missing or wrong.")

    async def _health(self, request: Request) -> Response:
        told: dict[str, Any] = {"status": "stopping" if self.stopping else "ok"}
        if self._bears_token(request):
            told["models"] = {name: model.about() for name, model in self.models.items()}
        return JSONResponse(told, 503 if self.stopping else 200)

    async def _metrics(self, request: Request) -> Response:
        self._require_token(request)
        return Response(self.meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _ask(self, request: Request, kind: str) -> Response:
        self._require_token(request)
        if self.stopping:
            raise Problem("stopping", "the service stops and takes no more requests.")
        limit = self.options.timeout
        # the first place is taken before the body is read, so that bodies cannot fill the memory either
        with self._places(1):
            reading = read(request, kind, self.models, self.options)
            try:
                ask = await asyncio.wait_for(reading, limit)
            except asyncio.TimeoutError as error:
                raise Problem("slow", f"the body did not arrive within {limit:g} seconds.") from error
            with self._places(len(ask.wishes) - 1):
                return await run_in_threadpool(_told, ask, kind, await self._answers(ask))

    @contextmanager
    def _places(self, count: int) -> Iterator[None]:
        if not self.gate.take(count):
            raise Problem("overload", f"the service has its {self.gate.places} inputs to work on already.")
        try:
            yield
        finally:
            self.gate.leave(count)

    async def _answers(self, ask: Ask) -> list[Any]:
        """An answer or an error for each input."""
        batcher = ask.model.batcher
        jobs = {n: ask.model.job(wish) for n, wish in enumerate(ask.wishes) if isinstance(wish, Wish)}
        try:
            waiting = {n: asyncio.wrap_future(batcher.submit(job)) for n, job in jobs.items()}
        except RuntimeError as error:
            raise Problem("stopping", "the service stops and takes no more requests.") from error
        for future in waiting.values():
            future.add_done_callback(_seen)
        try:
            late = waiting and (await asyncio.wait(waiting.values(), timeout=self.options.timeout))[1]
        finally:  # also if the server gives the request up
            for job in jobs.values():
                batcher.drop(job)
        if late:
            raise Problem("timeout", f"there was no answer within {self.options.timeout:g} seconds.")
        found = {n: future.exception() or future.result() for n, future in waiting.items()}
        return [found.get(n, wish) for n, wish in enumerate(ask.wishes)]


def _methods(request: Request) -> list[str]:
    """The methods that the address of ``request`` takes. An error names those of one route, and an address may have two."""
    routes = [r for r in request.app.routes if r.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in routes for method in getattr(route, "methods", None) or ()})


def _seen(future: asyncio.Future[Any]) -> None:
    """Take note of an error that comes when nobody waits any more, so that asyncio does not print it."""
    if not future.cancelled():
        future.exception()


def _told(ask: Ask, kind: str, found: list[Any]) -> Response:
    """The response. It is made in a thread, because the numbers of a picture's maps take some milliseconds."""
    if not ask.several and isinstance(found[0], BaseException):
        raise found[0]
    parts = [_as_json(answer, ask, kind) for answer in found]
    body = f'{{"answers":[{",".join(parts)}]}}' if ask.several else parts[0]
    return Response(body.encode("utf-8", "backslashreplace"), media_type="application/json")


def _as_json(answer: Any, ask: Ask, kind: str) -> str:
    if kind == EXPLAIN and not isinstance(answer, BaseException):
        return explanation_json(answer, ask.maps, ask.inputs)
    plain = problem_of(answer).to_dict() if isinstance(answer, BaseException) else answer
    return json.dumps(plain, allow_nan=False)


def _as_bytes(token: str) -> list[bytes]:
    """The bytes that clients send for ``token``: curl those of its terminal, Python's clients those of latin-1, if it has any."""
    return [os.fsencode(token), *([token.encode("latin-1")] if max(token) <= "\xff" else [])]
