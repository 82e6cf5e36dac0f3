"""What a service counts, for Prometheus."""

from __future__ import annotations

import threading

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

#: bounds of the inputs of a pass, and of seconds
SIZES = (1, 2, 4, 8, 16, 32, 64)
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Meters:
    """Counters of one service. Each service has its own, so that several live in one process."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self._requests = Counter(
            "sidelight_requests", "Requests that were answered.", ["place", "status"], registry=own
        )
        self._seconds = Histogram(
            "sidelight_request_seconds",
            "Seconds from a request's head to its answer.",
            ["place"],
            buckets=SECONDS,
            registry=own,
        )
        self._errors = Counter("sidelight_errors", "Answers that are errors.", ["kind"], registry=own)
        self._batches = Histogram(
            "sidelight_batch_inputs", "Inputs of a pass.", ["model", "kind"], buckets=SIZES, registry=own
        )
        self._due = Gauge("sidelight_inputs_due", "Inputs that are worked on or wait.", registry=own)

    def answered(self, place: str, status: int, seconds: float) -> None:
        """Count a request to ``place``, e.g. ``"/explain"``."""
        self._requests.labels(place, str(status)).inc()
        self._seconds.labels(place).observe(seconds)

    def failed(self, kind: str) -> None:
        """Count an answer that is an error of this kind."""
        self._errors.labels(kind).inc()

    def passed(self, model: str, kind: str, inputs: int) -> None:
        """Count a pass of so many inputs."""
        self._batches.labels(model, kind).observe(inputs)

    def due(self, count: int) -> None:
        """Tell how many inputs are worked on or wait."""
        self._due.set(count)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)


class Gate:
    """The places of a service: so many inputs may be worked on or wait.

    Args:
        places: at least 1.
        meters: are told the number of places that are taken.
    """

    def __init__(self, places: int, meters: Meters) -> None:
        self.places, self.taken, self.meters = places, 0, meters
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Take so many places. ``False`` if there are not as many, and none is taken then."""
        with self._lock:
            if self.taken + count > self.places:
                return False
            self.taken += count
            self.meters.due(self.taken)
            return True

    def leave(self, count: int) -> None:
        """Give so many places back."""
        with self._lock:
            self.taken -= count
            self.meters.due(self.taken)
