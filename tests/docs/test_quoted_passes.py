"""The pages say how often a training sends a row through the classifier, and this counts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from example_models import names
from sidelight import Explainer
from sidelight.lab.side_by_side.passes import Passes, counted_passes
from sidelight.training.loss import ScorerObjective

ROOT = Path(__file__).parents[2]
#: kind -> model, rows, processor, and passes of one row, all and with gradient, under each objective
KINDS: dict[str, tuple[str, str, str, dict[str, tuple[int, int]]]] = {
    "image": ("image_model", "photos", "image_processor", {"robust": (9, 6), "thesis": (2, 1)}),
    "text": ("text_model", "texts", "tokenizer", {"robust": (8, 5), "thesis": (2, 1)}),
    "pair": ("pair_model", "pairs", "pair_processor", {"robust": (19, 8), "thesis": (4, 3)}),
}
SAID = {
    "README.md": ["sends each picture through your classifier 27 times: nine passes in each of three epochs"],
    "docs/quickstart.md": ["sends each text through your classifier eight times, and five of these passes also"],
    "docs/guides/options-of-fit.md": ["| a text | 8, 5 | 2, 1 |", "| an image | 9, 6 | 2, 1 |", "| both | 19, 8 | 4, 3 |"],
    "docs/guides/image-and-text.md": ["makes 19 passes of the classifier, eight of them with"],
}  # fmt: skip


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    return names(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("objective", ["robust", "thesis"])
def test_a_step_makes_as_many_passes_as_the_pages_say(
    kind: str, objective: str, examples: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows, processor, passes = KINDS[kind]
    found: list[Passes] = []
    forward = ScorerObjective.forward

    def watched(self: ScorerObjective, *args: Any, **options: Any) -> Any:
        with counted_passes(self.target) as counted:
            out = forward(self, *args, **options)
        if self.training:
            found.append(counted)
        return out

    monkeypatch.setattr(ScorerObjective, "forward", watched)
    about = {"processor": examples[processor], "objective": objective, "label": "prediction"}
    Explainer.fit(examples[model], examples[rows][:12], batch_size=4, epochs=1, on_collapse="warn", **about)
    # the first step is made in parts, to learn what fits into memory
    last = found[-1]
    size = last.count / passes[objective][0]
    assert size in (1, 2, 3, 4)
    assert (last.count, last.with_graph) == tuple(size * each for each in passes[objective])


@pytest.mark.parametrize("page", SAID)
def test_the_pages_say_it(page: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert all(words in text for words in SAID[page])
