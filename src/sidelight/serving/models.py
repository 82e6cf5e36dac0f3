"""One explainer that is served: what may share a pass, and the passes themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sidelight.core.quiet import told_once
from sidelight.core.surroundings import plain_passes
from sidelight.core.tensors import predictable
from sidelight.explanations.building import verdicts
from sidelight.inputs.file_names import FileNameWarning
from sidelight.inputs.limits import Limits
from sidelight.serving.answers import with_six_digits
from sidelight.serving.batching import Batcher, Job
from sidelight.serving.settings import ServeOptions

if TYPE_CHECKING:
    from sidelight.explainer import Explainer

EXPLAIN, CLASSIFY = "explain", "classify"
#: Texts up to so many characters count as equally long. Longer ones share a pass if their lengths differ less than fourfold.
SHORT = 64
#: called after each pass with model, kind and the number of inputs
Counted = Callable[[str, str, int], None]


@dataclass(frozen=True, eq=False)
class Wish:
    """What is asked about one input.

    Attributes:
        kind: :data:`EXPLAIN` or :data:`CLASSIFY`.
        parts: the content of each modality: bytes of a picture, a text, or two texts.
        target, versus, verify: as ``explain`` takes them.
    """

    kind: str
    parts: dict[str, Any]
    target: str | int | None = None
    versus: str | int | None = None
    verify: bool = False

    @property
    def key(self) -> tuple[Any, ...]:
        """Wishes of equal keys may share a pass. A long text would make a pass of short ones slow."""
        text = self.parts.get("text", "")
        length = len(text) if isinstance(text, str) else sum(map(len, text))
        pair = not isinstance(text, str)
        size = min(max(length, SHORT), 4096).bit_length() // 2
        return self.kind, self.target is None, self.versus is None, pair, size


class ServedModel:
    """An explainer, its queue and its thread.

    Args:
        name: under which it is served.
        explainer: fitted or loaded.
        options: of the service.
        counted: is told of each pass.
    """

    def __init__(self, name: str, explainer: Explainer, options: ServeOptions, counted: Counted) -> None:
        self.name, self.explainer, self.counted = name, explainer, counted
        self.limits: Limits = options.limits
        self.batcher = Batcher(f"sidelight-{name}", self.run, options.batch_size, options.wait)

    @property
    def reads(self) -> tuple[str, ...]:
        """Modalities of the classifier."""
        return tuple(self.explainer.target.modalities)

    def about(self) -> dict[str, Any]:
        """What a caller needs to know: what the model reads, its classes, and whether a class may be chosen."""
        names = self.explainer.target.id2label
        return {
            "reads": list(self.reads),
            "classes": [str(names[i]) for i in sorted(names)],
            "any_class": bool(self.explainer.scorer.config.by_class),
        }

    def job(self, wish: Wish) -> Job:
        """A job for the queue. Measuring a map takes some 90 passes and draws by place, so it is done alone."""
        return Job(wish, wish.key, alone=wish.verify)

    def run(self, jobs: Sequence[Job]) -> list[Any]:
        """Answers of jobs of one key. If they fail together, each is tried alone, so that one bad input harms no other."""
        found = dict(zip(range(len(jobs)), self._samples(jobs), strict=True))
        good = {i: s for i, s in found.items() if not isinstance(s, Exception)}
        found.update(self._together([jobs[i].wish for i in good], good))
        return [found[i] for i in range(len(jobs))]

    def _together(self, wishes: Sequence[Wish], samples: dict[int, Any]) -> dict[int, Any]:
        if not samples:
            return {}
        try:
            return dict(zip(samples, self._pass(wishes, list(samples.values())), strict=True))
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            if len(samples) == 1:
                return dict.fromkeys(samples, error)
        found: dict[int, Any] = {}
        for wish, (number, sample) in zip(wishes, samples.items(), strict=True):
            found |= self._together([wish], {number: sample})
        return found

    def _pass(self, wishes: Sequence[Wish], samples: list[Any]) -> Sequence[Any]:
        self.counted(self.name, wishes[0].kind, len(samples))
        if wishes[0].kind == CLASSIFY:
            return self._verdicts(samples)
        chosen: dict[str, Any] = {
            name: [getattr(wish, name) for wish in wishes]
            for name in ("target", "versus")
            if getattr(wishes[0], name) is not None
        }
        with told_once({FileNameWarning}):  # whoever sends a text must not learn which files lie here
            if len(samples) == 1:
                first = {name: each[0] for name, each in chosen.items()}
                return [self.explainer.explain(samples[0], verify=wishes[0].verify, **first)]
            return self.explainer.explain(samples, batch_size=len(samples), **chosen)

    @plain_passes()
    def _verdicts(self, samples: list[Any]) -> list[dict[str, Any]]:
        own = self.explainer.target
        batch = own.reader.read(samples, labelled=False)
        own.check(batch.inputs)
        encoding = own.encode(batch.to(own.device).inputs)
        values, found = own.verdict.value_of(encoding.logits), []
        p = predictable(encoding.probabilities, encoding.independent).cpu()
        for i, told in enumerate(verdicts(p, own.id2label)):
            value = {} if values is None else {"value": with_six_digits(float(values[i]))}
            probabilities = [round(v, 6) for v in told["probabilities"].tolist()]
            probability = round(told["probability"], 6)
            found.append({**told, "probability": probability, "probabilities": probabilities, **value})
        return found

    def _samples(self, jobs: Sequence[Job]) -> list[Any]:
        """Samples from content alone: neither a path nor an address that somebody sent is ever opened."""
        wishes = [job.wish for job in jobs]
        if "image" not in self.reads or len(wishes) == 1:
            return [self._sample(wish) for wish in wishes]
        return list(self._openers.map(self._sample, wishes))

    def _sample(self, wish: Wish) -> Any:
        try:
            parts = [self.limits.picture(v) if m == "image" else v for m, v in wish.parts.items()]
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            return error
        return parts[0] if len(parts) == 1 else tuple(parts)

    @cached_property
    def _openers(self) -> ThreadPoolExecutor:
        # pictures are opened only now, so that at most one batch of them is in memory
        return ThreadPoolExecutor(min(4, os.cpu_count() or 1), f"sidelight-{self.name}-pictures")
