"""Each sample is read once, and each batch of an evaluation has one clean pass: counted at tokenizer and model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from pair_models import make_target, pairs
from sidelight.checks.answers import ANSWERED
from sidelight.core.types import Inputs, Scores
from sidelight.explainer import Explainer
from sidelight.inputs.base import Reader
from sidelight.inputs.image import ImageReader
from sidelight.inputs.images import ImageTransform
from sidelight.inputs.text import TextReader
from sidelight.lab.baselines import make_rival
from sidelight.lab.evaluation.batches import TestBatches, TestRows
from sidelight.lab.evaluation.loop import Measurement, run_evaluation
from sidelight.lab.evaluation.methods import ScorerMethod
from sidelight.lab.evaluation.modality import share_rows
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.evaluation.settings import EvalSettings
from sidelight.lab.metrics.protocols import PROTOCOLS
from sidelight.scorers import ScorerConfig
from sidelight.targets import ImageTarget, TargetModel, TextTarget, as_target
from sidelight.training.network import new_scorer
from text_models import TEXTS, make_pair
from tiny_models import SIZE, tiny
from tiny_runs import TEXT, tiny_run

SMALL: dict[str, Any] = {"image": {"channels": [8, 4]}, "text": {"width": 8, "layers": 1, "heads": 2}}


@dataclass
class Counts:
    """What was done while somebody counted."""

    tokenized: list[list[str]] = field(default_factory=list)
    read: int = 0
    encoded: int = 0
    passes: int = 0
    checked: int = 0

    @property
    def times(self) -> Counter[str]:
        """How often each text was tokenized."""
        return Counter(text for call in self.tokenized for text in call)


@contextmanager
def counting(target: TargetModel) -> Iterator[Counts]:
    """Count calls of any tokenizer, and what ``target`` and its reader are asked."""
    counts = Counts()
    with pytest.MonkeyPatch.context() as patch:

        def spy(owner: Any, name: str, note: Callable[..., None]) -> None:
            own = getattr(owner, name)

            def call(*args: Any, **options: Any) -> Any:
                note(*args)
                return own(*args, **options)

            patch.setattr(owner, name, call)

        def tokenized(_: Any, texts: Any, *others: Any) -> None:
            counts.tokenized.append([texts] if isinstance(texts, str) else list(texts))

        def add(name: str) -> Callable[..., None]:
            return lambda *_: setattr(counts, name, getattr(counts, name) + 1)

        spy(PreTrainedTokenizerFast, "__call__", tokenized)
        spy(target.reader, "read", add("read"))
        spy(target, "encode", add("encoded"))
        spy(target, "check", add("checked"))
        hook = target.model.register_forward_hook(add("passes"))
        try:
            yield counts
        finally:
            hook.remove()


def explainer(target: TargetModel, rows: list[Any]) -> Explainer:
    """A scorer of random weights beside ``target``."""
    torch.manual_seed(0)
    own = {m: SMALL[m] for m in target.modalities}
    return Explainer(target, new_scorer(target, rows, ScorerConfig(decoder=own)))


def text_target() -> TextTarget:
    model, tokenizer = make_pair("bert")
    return TextTarget(model, tokenizer)


@pytest.mark.parametrize(
    "samples", [TEXTS[0], TEXTS, ("the film", "was great"), [{"text": t} for t in TEXTS]]
)
def test_a_text_is_tokenized_once_in_an_explanation(samples: Any) -> None:
    target = text_target()
    own = explainer(target, TEXTS)
    with counting(target) as counts:
        found = own.explain(samples)
    assert len(counts.tokenized) == 1, "one call for a text, a pair and a batch"
    assert (counts.read, counts.encoded, counts.checked) == (1, 1, 1)
    for one in found if isinstance(found, list) else [found]:
        assert len(one.inputs["text"]) == len(one.scores["text"])


@pytest.mark.parametrize("several", [False, True])
def test_a_pair_is_read_once_in_an_explanation(several: bool) -> None:
    target = make_target("fusion-resnet", max_length=8)
    own = explainer(target, pairs())
    with counting(target) as counts:
        found = own.explain(pairs() if several else pairs()[1])
    assert len(counts.tokenized) == counts.read == counts.encoded == counts.checked == 1
    assert (found[1] if several else found).meta["truncated"]


def test_exchanged_modalities_need_no_clean_pass_of_their_own() -> None:
    target = make_target("fusion-resnet")
    own = explainer(target, pairs())
    with counting(target) as counts:
        found = own.explain(pairs()[:2], others=pairs())
    assert "modality_share" in found[0].meta
    assert counts.encoded == 1
    assert len(counts.tokenized) == 2, "once the samples, once the others"


def test_the_models_own_inputs_are_not_read() -> None:
    target = text_target()
    own = explainer(target, TEXTS)
    inputs = target.reader.read(TEXTS).inputs
    with counting(target) as counts:
        assert len(own.explain(inputs)) == len(TEXTS)
    assert (len(counts.tokenized), counts.read, counts.encoded) == (0, 0, 1)


@dataclass(frozen=True)
class AsksForTheEncoding:
    """A method of somebody else's that takes the shared clean pass."""

    name: str = "asks"
    signed: bool = False

    def __call__(self, target: Any, inputs: Inputs, classes: Any, encoding: Any) -> Scores:
        return {m: v.float() for m, v in encoding.feature_mask.items()}


@pytest.mark.parametrize("kind", ["text", "image", "pair"])
@pytest.mark.parametrize("scorers", [1, 3])
def test_a_batch_has_one_clean_pass_for_all_methods(kind: str, scorers: int, tmp_path: Path) -> None:
    pictures = [np.full((*SIZE, 3), 20 * i, np.uint8) for i in range(3)]
    targets: dict[str, tuple[TargetModel, list[Any]]] = {
        "text": (text_target(), [{"text": t, "evidence": {"text": [(0, 3)]}} for t in TEXTS]),
        "image": (ImageTarget(tiny("vit"), ImageTransform(SIZE)), [{"image": p} for p in pictures]),
        "pair": (make_target("fusion-resnet"), [{"image": i, "text": t} for i, t in pairs()]),
    }
    target, rows = targets[kind]
    own = [explainer(target, rows) for _ in range(scorers)]
    methods: dict[str, Any] = {f"ours#{i}": ScorerMethod(e, str(i)) for i, e in enumerate(own)}
    methods |= {"random": make_rival("random"), "asks": AsksForTheEncoding()}
    settings = EvalSettings(metrics=("average_drop", "area"), steps=2)
    if kind != "image":
        settings = EvalSettings(metrics=("average_drop", "area"), granularities=(), steps=2)
    with counting(target) as counts:
        found = run_evaluation(
            Measurement(target, TestBatches(target, rows, 2), methods, settings, tmp_path), progress=False
        )
    assert set(found.rows["method"]) == set(methods)
    assert counts.read == counts.encoded == 2, "two batches"
    assert counts.passes > counts.encoded, "masked passes come on top"
    assert max(counts.times.values(), default=0) <= 1


@pytest.mark.parametrize("scorers", [1, 3])
def test_maps_that_need_no_masked_pass_cost_the_model_one_pass_a_batch(scorers: int, tmp_path: Path) -> None:
    target = make_target("fusion-resnet")
    rows = [{"image": i, "text": t} for i, t in pairs()]
    methods: dict[str, Any] = {
        f"ours#{i}": ScorerMethod(explainer(target, rows), str(i)) for i in range(scorers)
    }
    settings = EvalSettings(metrics=("complexity",), granularities=())
    with counting(target) as counts:
        run_evaluation(
            Measurement(target, TestBatches(target, rows, 1), methods, settings, tmp_path), progress=False
        )
    assert counts.passes == counts.encoded == counts.read == 3


def test_by_coordinate_too_there_is_one_clean_pass(tmp_path: Path) -> None:
    target = text_target()
    methods: dict[str, Any] = {n: make_rival(n) for n in ("saliency", "random")}
    settings = EvalSettings(**PROTOCOLS["thesis"].fixed(), protocol="thesis", steps=2)
    with counting(target) as counts:
        run_evaluation(
            Measurement(
                target, TestBatches(target, [{"text": t} for t in TEXTS], 3), methods, settings, tmp_path
            ),
            progress=False,
        )
    assert counts.read == counts.encoded == 1


def test_a_text_is_tokenized_once_in_a_whole_evaluation(tmp_path: Path) -> None:
    evaluation = {
        **TEXT["evaluation"],
        "few_samples": [{"lime": {"n_samples": 4}}],
        "few_count": 7,
        "rivals": ["saliency", "guided_backprop", "random"],
    }
    run = tiny_run(tmp_path / "run", TEXT, seeds=[0, 1], evaluation=evaluation)
    target = run.open_target()
    with counting(target) as counts, pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(run), "open_target", lambda _: target)
        found = evaluate_run(run)
    assert found["notes"], "the notes look at samples too"
    asked = [row["text"] for row in run.rows("test", 8)]
    # the first rows are read once more before it, to see if the model answers as it did
    again = set(asked[:ANSWERED])
    assert {text: counts.times[text] for text in asked} == {text: 1 + (text in again) for text in asked}


def test_modality_shares_read_nothing_again_and_use_the_clean_passes() -> None:
    target = make_target("fusion-resnet")
    rows = TestRows(target, [{"image": i, "text": t} for i, t in pairs()])
    others = target.reader.read(pairs()).inputs
    with counting(target) as counts:
        for batch in TestBatches(target, rows, 2):
            assert batch.encoding is not None
        assert (counts.read, counts.encoded) == (2, 2)
        frame = share_rows(target, rows, others, batch_size=2)
    assert (counts.read, counts.encoded) == (2, 2)
    alone = share_rows(target, rows.rows, others, batch_size=2)
    assert frame.equals(alone)


# -- what was read apart is the same as what is read together -----------------------------


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "roberta", "xlnet"])
def test_texts_read_apart_join_to_those_read_together(family: str) -> None:
    model, tokenizer = make_pair(family) if family != "xlnet" else make_pair("bert", padding_side="left")
    reader: Reader = TextTarget(model, tokenizer).reader
    rows = [{"text": t, "evidence": {"text": [(0, 2)]}} for t in (*TEXTS, "the great story")]
    parts = [reader.read(rows[:3], evidence=True), reader.read(rows[3:], evidence=True)]
    order = [(parts[1], 0), (parts[0], 2), (parts[0], 1)]
    for chosen, wanted in ((order, [3, 2, 1]), (order[1:2], [2])):
        joined = reader.join(chosen)
        together = reader.read([rows[i] for i in wanted], evidence=True)
        assert joined.inputs.keys() == together.inputs.keys()
        assert all(torch.equal(joined.inputs[k], together.inputs[k]) for k in joined.inputs)
        assert joined.truth is not None
        assert together.truth is not None
        assert torch.equal(joined.truth["text"], together.truth["text"])


@pytest.mark.parametrize("name", ["fusion-resnet", "siglip"])
def test_pairs_read_apart_join_to_those_read_together(name: str) -> None:
    reader = make_target(name).reader
    rows = [
        {"image": i, "text": t, "evidence": {"image": np.ones((4, 4)), "text": [(0, 1)]}} for i, t in pairs()
    ]
    parts = [reader.read(rows[:2], evidence=True), reader.read(rows[2:], evidence=True)]
    joined = reader.join([(parts[1], 0), (parts[0], 0)])
    together = reader.read([rows[2], rows[0]], evidence=True)
    for own, wanted in ((joined.inputs, together.inputs), (joined.truth, together.truth)):
        assert own is not None
        assert wanted is not None
        assert own.keys() == wanted.keys()
        assert all(torch.equal(own[k], wanted[k]) for k in own)


def test_rows_are_read_again_only_if_there_was_no_room_to_keep_them() -> None:
    target = text_target()
    rows = [{"text": t} for t in TEXTS]
    for room, reads in ((10**9, 2), (0, 3)):
        source = TestRows(target, rows, room)
        with counting(target) as counts:
            first, last = source.batch([0, 1]), source.batch([2])
            again = source.batch([2, 0])
        assert counts.read == reads
        wanted = target.reader.read([rows[2], rows[0]]).inputs
        assert all(torch.equal(again.inputs[k], wanted[k]) for k in wanted)
        assert [list(b.ids) for b in (first, last, again)] == [[0, 1], [2], [2, 0]]


def test_a_target_keeps_passes_only() -> None:
    target = as_target(tiny("vit"), ImageTransform(SIZE))
    assert isinstance(target.reader, ImageReader)
    assert isinstance(text_target().reader, TextReader)
    for gone in ("prepare", "display", "display_scores", "truth", "remarks", "read_rows", "is_sample"):
        assert not hasattr(target, gone)
