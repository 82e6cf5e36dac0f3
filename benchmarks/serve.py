"""What does a map cost over HTTP? Mixed load on a local service, beside the bare classifier behind the same service.

Random weights on the threads that are asked for. So many clients of this machine send texts of several lengths and pictures,
each the next one as soon as the last is answered. Turns of `/explain` and of `/classify` alternate, so that both meet the
same noise of the machine. A last turn sends far more than the queue holds. The service is a process of its own, and
its memory is that process's.

    python benchmarks/serve.py [--seconds 60] [--clients 4] [--threads 1] [--json FILE]
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import torch
from rich.console import Console

from live import SIDE, minilm, mobilenet, picture, text
from sidelight.lab.tables.table import text_table
from sidelight.lab.tables.terminal import terminal
from sidelight.serving import ServeOptions, app

#: words of the texts, and the share of pictures
LENGTHS = (8, 32, 120)
PICTURES = 0.25
#: seconds of one turn
TURN = 5.0
#: clients of the overload, against a queue of so many
CROWD, QUEUE = 96, 32


def serve(threads: int, place: Any) -> None:
    """The service, in a process of its own, until it is told to stop."""
    from sidelight.serving.running import server_of

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    service = app({"texts": minilm(), "pictures": mobilenet()}, ServeOptions(queue=QUEUE))
    server, listening, shown = server_of(service, "127.0.0.1", 0)
    place.send(shown.removesuffix("/docs"))
    server.run([listening])


def jpeg(seed: int) -> bytes:
    """The content of a picture's file, at the size of the model."""
    file = io.BytesIO()
    picture(seed).resize((SIDE, SIDE)).save(file, "JPEG")
    return file.getvalue()


FILES = [jpeg(seed) for seed in range(8)]
TEXTS = {length: [text(length, seed) for seed in range(16)] for length in LENGTHS}


def request(draw: np.random.Generator, maps: list[str] | None) -> tuple[str, dict[str, Any]]:
    """A kind of input, and the arguments of a request with one."""
    if draw.random() < PICTURES:
        fields = {"model": "pictures", **({} if maps is None else {"maps": ",".join(maps)})}
        return "picture", {"data": fields, "files": {"image": ("a.jpg", FILES[draw.integers(8)])}}
    length = int(draw.choice(LENGTHS))
    body = {"model": "texts", "text": TEXTS[length][draw.integers(16)]}
    return f"{length} words", {"json": body if maps is None else {**body, "maps": maps}}


def turn(
    place: str, path: str, clients: int, seconds: float, maps: list[str] | None
) -> list[tuple[str, int, float]]:
    """Kind, status and milliseconds of each request of one turn."""
    found: list[tuple[str, int, float]] = []
    end = time.perf_counter() + seconds

    def work(number: int) -> None:
        draw = np.random.default_rng([number, int(1e6 * time.time())])
        with httpx.Client(base_url=place, timeout=60) as client:
            while (start := time.perf_counter()) < end:
                kind, asking = request(draw, maps)
                status = client.post(path, **asking).status_code
                found.append((kind, status, 1e3 * (time.perf_counter() - start)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def row(name: str, found: list[tuple[str, int, float]], seconds: float) -> dict[str, Any]:
    """Numbers of some requests."""
    waits = sorted(wait for _, _, wait in found)
    statuses = Counter(status for _, status, _ in found)
    return {
        "asked": name,
        "requests": len(found),
        "a second": len(found) / seconds,
        "p50 ms": statistics.median(waits),
        "p95 ms": waits[min(int(0.95 * len(waits)), len(waits) - 1)],
        "p99 ms": waits[min(int(0.99 * len(waits)), len(waits) - 1)],
        "statuses": ", ".join(f"{n}× {status}" for status, n in sorted(statuses.items())),
    }


def measure(place: str, memory: Callable[[], float], seconds: float, clients: int) -> dict[str, Any]:
    """Turns of three questions one after another, then the overload."""
    kinds = {
        "/classify": ("/classify", None),
        "/explain": ("/explain", ["scores"]),
        "/explain, all maps": ("/explain", ["scores", "ranking", "effects"]),
    }
    for path, maps in kinds.values():
        turn(place, path, clients, 2.0, maps)  # to warm up
    turns = max(int(seconds / TURN / len(kinds)), 1)
    found: dict[str, list[Any]] = {name: [] for name in kinds}
    memories = [memory()]
    for _ in range(turns):
        for name, (path, maps) in kinds.items():
            found[name] += turn(place, path, clients, TURN, maps)
        memories.append(memory())
    rows = [row(name, each, turns * TURN) for name, each in found.items()]
    for kind in sorted({kind for each in found.values() for kind, *_ in each}):
        for name, each in found.items():
            rows.append(row(f"{name}: {kind}", [one for one in each if one[0] == kind], turns * TURN))
    crowd = turn(place, "/explain", CROWD, TURN, ["scores"])
    rows.append(row(f"/explain, {CROWD} clients, queue of {QUEUE}", crowd, TURN))
    return {"rows": rows, "memory MB": [round(m) for m in memories], "after overload MB": round(memory())}


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(args.threads, theirs))
    process.start()
    place = ours.recv()
    end = time.perf_counter() + 60
    while time.perf_counter() < end:
        try:
            httpx.get(f"{place}/health")
            break
        except httpx.TransportError:
            time.sleep(0.1)
    own = psutil.Process(process.pid)
    try:
        found = measure(place, lambda: own.memory_info().rss / 2**20, args.seconds, args.clients)
    finally:
        process.terminate()
        process.join(30)
    found |= {"threads": args.threads, "clients": args.clients, "stopped": process.exitcode}
    heads = list(found["rows"][0])
    told = [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in each.values()] for each in found["rows"]]
    title = f"{args.threads} thread(s), {args.clients} clients"
    Console(width=160).print(terminal(text_table(title, heads, told)))
    print(
        "memory after each round, MB:", found["memory MB"], "after the overload:", found["after overload MB"]
    )
    if args.json:
        args.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
