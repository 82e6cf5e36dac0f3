"""Overload, time limits, the stop, and what is counted."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from typing import Any

import httpx
import pytest

pytest.importorskip("prometheus_client", reason="the extra serve is not installed")

from face_toys import text_explainer
from serving_toys import TEXTS, asked, assert_same, held_app, metric, one
from sidelight import Explainer
from sidelight.errors import ConfigError
from sidelight.serving import ServeOptions, app
from sidelight.serving.batching import Batcher, Job
from sidelight.serving.running import server_of


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return text_explainer()


def release_when(held: Any, service: Any, due: int) -> threading.Thread:
    """A thread that lets the explainer go as soon as so many inputs are due."""

    def work() -> None:
        end = time.monotonic() + 20
        while service.state.service.gate.taken < due and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.2)  # whoever finds the queue full has been told by now
        held.let_go()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_overload_is_told_and_nothing_accepted_is_lost(explainer: Explainer) -> None:
    service, held = held_app(explainer, queue=5, batch_size=2, wait=0.0)
    release = release_when(held, service, 5)
    found = asked(service, *({"json": {"text": f"film {i}"}} for i in range(40)))
    release.join()
    accepted = [r for r in found if r.status_code == 200]
    refused = [r for r in found if r.status_code == 429]
    assert len(accepted) == 5
    assert len(refused) == 35
    assert {r.json()["error"]["kind"] for r in refused} == {"overload"}
    assert all(int(r.headers["Retry-After"]) >= 1 for r in refused)
    assert sum(held.passes) == 5
    assert metric(service, 'sidelight_requests_total{place="/explain",status="200"}') == 5
    assert metric(service, 'sidelight_requests_total{place="/explain",status="429"}') == 35
    assert metric(service, 'sidelight_errors_total{kind="overload"}') == 35
    assert metric(service, "sidelight_inputs_due") == 0
    assert one(service, json={"text": "again"}).status_code == 200


def test_several_texts_take_several_places(explainer: Explainer) -> None:
    service, held = held_app(explainer, queue=4)
    held.let_go()
    assert one(service, json={"texts": TEXTS[:4]}).status_code == 200
    assert one(service, json={"texts": TEXTS[:5]}).status_code == 429
    assert metric(service, "sidelight_inputs_due") == 0


def test_a_late_answer_is_a_timeout_and_the_queue_is_cleared(explainer: Explainer) -> None:
    service, held = held_app(explainer, timeout=0.3, batch_size=1, wait=0.0)
    start = time.perf_counter()
    found = asked(service, *({"json": {"text": t}} for t in TEXTS[:4]))
    assert time.perf_counter() - start < 5
    assert [r.status_code for r in found] == [504] * 4
    assert {r.json()["error"]["kind"] for r in found} == {"timeout"}
    batcher = service.state.service.models["texts"].batcher
    assert not batcher._jobs
    held.let_go()
    assert one(service, json={"text": TEXTS[0]}).status_code == 200
    assert held.passes == [1, 1]  # nobody waited for the other three


def test_a_slow_body_is_given_up(explainer: Explainer) -> None:
    service, _ = held_app(explainer, timeout=0.3)

    async def slow() -> Any:
        yield b'{"text": '
        await asyncio.sleep(30)

    found = one(service, content=slow(), headers={"Content-Type": "application/json"})
    assert found.status_code == 408
    assert found.json()["error"]["kind"] == "slow"
    assert metric(service, "sidelight_inputs_due") == 0


def test_passes_and_inputs_are_counted(explainer: Explainer) -> None:
    service, held = held_app(explainer, wait=0.3)
    held.let_go()
    asked(service, *({"json": {"text": t}} for t in TEXTS))
    asked(service, *({"url": "/classify", "json": {"text": t}} for t in TEXTS[:2]))
    one(service, json={"text": TEXTS[0], "target": "nothing"})
    assert metric(service, 'sidelight_batch_inputs_count{kind="explain",model="texts"}') == 2
    assert metric(service, 'sidelight_batch_inputs_sum{kind="explain",model="texts"}') == len(TEXTS) + 1
    assert metric(service, 'sidelight_batch_inputs_count{kind="classify",model="texts"}') == 1
    assert metric(service, 'sidelight_batch_inputs_sum{kind="classify",model="texts"}') == 2
    assert metric(service, 'sidelight_request_seconds_count{place="/classify"}') == 2
    assert metric(service, 'sidelight_errors_total{kind="option"}') == 1


def test_a_stop_answers_what_is_queued(explainer: Explainer) -> None:
    """A real server: requests are in the queue when it is told to stop."""
    service, held = held_app(explainer, batch_size=1, wait=0.0)
    server, listening, place = server_of(service, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    address = place.removesuffix("/docs")
    statuses: list[int] = []

    def ask(text: str) -> None:
        statuses.append(httpx.post(f"{address}/explain", json={"text": text}, timeout=30).status_code)

    clients = [threading.Thread(target=ask, args=(t,)) for t in TEXTS]
    for client in clients:
        client.start()
    release = release_when(held, service, len(TEXTS))
    while service.state.service.gate.taken < len(TEXTS):
        time.sleep(0.01)
    server.should_exit = True
    for each in (*clients, thread, release):
        each.join(30)
    assert statuses == [200] * len(TEXTS)
    assert not thread.is_alive()
    late = one(service, json={"text": TEXTS[0]})
    assert late.status_code == 503
    assert late.json()["error"]["kind"] == "stopping"
    assert one(service, method="GET", url="/health").status_code == 503


def test_a_client_that_never_reads_its_answer_does_not_keep_the_service_from_stopping(
    explainer: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = "x" * 2**24  # more than the buffers of a connection hold
    monkeypatch.setattr("sidelight.serving.service.explanation_json", lambda *_: f'{{"text":"{answer}"}}')
    server, listening, _ = server_of(app({"texts": explainer}, ServeOptions(timeout=1)), "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    body = b'{"text": "a film"}'
    head = f"POST /explain HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(listening.getsockname(), timeout=20) as client:
        client.sendall(head.encode() + body)
        assert client.recv(15) == b"HTTP/1.1 200 OK"
        server.should_exit = True
        thread.join(15)
        assert not thread.is_alive()


def test_clients_that_leave_free_their_places(explainer: Explainer) -> None:
    """A real server, and clients that go in the midst of a body or before their answer."""
    service, held = held_app(explainer, queue=4, wait=0.0)
    held.let_go()
    server, listening, place = server_of(service, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    address = place.removesuffix("/docs")
    body = b'{"text": "a film"}'
    for length in [len(body)] * 10 + [len(body) + 5] * 10:
        head = f"POST /explain HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        with socket.create_connection(listening.getsockname()) as client:
            client.sendall(head.encode() + body)
    end = time.monotonic() + 20
    # a busy server may meet some of these clients after its places were free for the first time, so one request may be too early
    found = httpx.post(f"{address}/explain", json={"text": TEXTS[0]}, timeout=30)
    while (found.status_code == 429 or service.state.service.gate.taken) and time.monotonic() < end:
        time.sleep(0.05)
        found = httpx.post(f"{address}/explain", json={"text": TEXTS[0]}, timeout=30)
    server.should_exit = True
    thread.join(30)
    assert found.status_code == 200
    assert service.state.service.gate.taken == 0


def test_two_explainers_may_share_a_classifier(explainer: Explainer) -> None:
    service = app({"one": explainer, "two": Explainer(explainer.target, explainer.scorer)})
    names = ("one", "two") * 12
    found = asked(service, *({"json": {"model": name, "text": TEXTS[0]}} for name in names))
    for answer in found:
        assert answer.status_code == 200
        assert_same(answer.json(), json.loads(json.dumps(explainer.explain(TEXTS[0]).to_dict())))


def test_an_address_that_is_taken_is_named(explainer: Explainer) -> None:
    service, _ = held_app(explainer)
    _, listening, place = server_of(service, "127.0.0.1", 0)
    port = int(place.removesuffix("/docs").rpartition(":")[2])
    with pytest.raises(ConfigError, match="Choose another host or port"):
        server_of(service, "127.0.0.1", port)
    listening.close()


class TestBatcher:
    def test_a_stopped_one_takes_nothing_until_it_is_opened(self) -> None:
        batcher = Batcher("toy", lambda jobs: [job.wish + 1 for job in jobs], 4, 0.0)
        assert batcher.submit(Job(1, "")).result(5) == 2
        batcher.stop()
        with pytest.raises(RuntimeError, match="was stopped"):
            batcher.submit(Job(1, ""))
        batcher.open()
        assert batcher.submit(Job(2, "")).result(5) == 3
        batcher.stop()

    def test_whatever_fails_is_told(self) -> None:
        def fail(jobs: Any) -> list[Any]:
            raise MemoryError("no room")

        batcher = Batcher("toy", fail, 4, 0.0)
        with pytest.raises(MemoryError):
            batcher.submit(Job(1, "")).result(5)
        batcher._run_together = lambda jobs: [job.wish for job in jobs]
        assert batcher.submit(Job(1, "")).result(5) == 1
        batcher.stop()

    def test_a_dropped_job_is_not_begun(self) -> None:
        begun: list[Any] = []
        free = threading.Event()

        def work(jobs: Any) -> list[Any]:
            begun.extend(job.wish for job in jobs)
            assert free.wait(10)
            return [None for _ in jobs]

        batcher = Batcher("toy", work, 1, 0.0)
        first, second = Job("first", ""), Job("second", "")
        batcher.submit(first)
        batcher.submit(second)
        batcher.drop(second)
        free.set()
        first.future.result(10)
        batcher.stop()
        assert begun == ["first"]
        assert second.future.cancelled()

    def test_the_oldest_decides_and_none_starves(self) -> None:
        batches: list[list[Any]] = []
        batcher = Batcher("toy", lambda jobs: batches.append([j.wish for j in jobs]) or jobs, 2, 0.2)
        jobs = [Job(i, i % 2) for i in range(6)]
        for job in jobs:
            batcher.submit(job)
        for job in jobs:
            job.future.result(10)
        batcher.stop()
        assert batches == [[0, 2], [1, 3], [4], [5]]
