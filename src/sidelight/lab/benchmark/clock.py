"""How long work of several kinds will still take, from what its units took so far."""

from __future__ import annotations

from collections import defaultdict


class Clock:
    """Units of work by job and kind; a unit costs what those of its job and kind cost on average.

    Where a job's own units of a kind were not timed yet, other jobs' of that kind stand in for them.

    Example:
        >>> clock = Clock()
        >>> clock.plan("mnist", "full", 3)
        >>> clock.done("mnist", "full", 60.0)
        >>> clock.text()
        'about 2 min left'
    """

    def __init__(self) -> None:
        self._left: dict[tuple[str, str], int] = {}
        self._taken: dict[tuple[str, str], list[float]] = defaultdict(list)

    def plan(self, job: str, kind: str, count: int) -> None:
        """``count`` units of ``kind`` are to be done."""
        self._left[job, kind] = count

    def done(self, job: str, kind: str, seconds: float | None, count: int = 1) -> None:
        """``count`` units are done and took so long together; ``None`` where there was nothing to do."""
        self._left[job, kind] = max(0, self._left.get((job, kind), 0) - count)
        if seconds is not None and count:
            self._taken[job, kind] += [seconds / count] * count

    def drop(self, job: str) -> None:
        """What is left of ``job`` will not be done."""
        for key in self._left:
            if key[0] == job:
                self._left[key] = 0

    def left(self) -> tuple[float, bool]:
        """Seconds left, and whether that is all of it: a kind that was never timed is not in them."""
        seconds, whole = 0.0, True
        for (job, kind), count in self._left.items():
            known = self._taken.get((job, kind)) or [
                s for (_, other), taken in self._taken.items() if other == kind for s in taken
            ]
            if known:
                seconds += count * sum(known) / len(known)
            elif count:
                whole = False
        return seconds, whole

    def text(self) -> str:
        """The time left in words; empty where there is none, or nothing is known about it."""
        seconds, whole = self.left()
        if seconds < 1:
            return ""
        if whole:
            return f"about {duration(seconds)} left"
        return f"more than {duration(seconds)} left"


def duration(seconds: float) -> str:
    """``"42 s"``, ``"7 min"`` or ``"2 h 05 min"``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
