"""What is measured depends on the sample, and not on what else is measured, in which batch, or in which place."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from face_toys import TRANSFORM, image_model, pair_explainer, pictures
from pair_models import match_rows
from sidelight import Explainer
from sidelight.core.types import Inputs
from sidelight.errors import InputError, InputTypeError
from sidelight.inputs.base import Batch
from sidelight.lab import compare, metrics
from sidelight.lab.audit import run_audit
from sidelight.lab.evaluation.engine import evaluate_batch, make_probe
from sidelight.lab.evaluation.methods import ScorerMethod
from sidelight.lab.evaluation.modality import share_rows
from sidelight.lab.evaluation.settings import EvalSettings
from sidelight.lab.report import timing
from sidelight.lab.report.reading import overview, reading
from sidelight.lab.report.timing import time_run
from sidelight.lab.runs.run import Run
from sidelight.lab.speed.measure import SpeedRow, measure_speed
from sidelight.lab.tables.summary import build_tables
from sidelight.scorers import Scorer, ScorerConfig
from sidelight.targets import as_target
from tiny_runs import tiny_run


@pytest.fixture(scope="module")
def pairs() -> Explainer:
    return pair_explainer()


def _rows(count: int, seed: int = 0) -> list[tuple[object, str]]:
    return [(row["image"], row["text"]) for row in match_rows(count, seed)]


def test_kind_the_worth_of_a_modality_does_not_depend_on_the_size_of_batches(pairs: Explainer) -> None:
    rows = [{"image": image, "text": text} for image, text in _rows(7)]
    others = pairs.target.reader.read(_rows(24, seed=1)).inputs
    at_once, in_parts, alone = (
        share_rows(pairs.target, rows, others, batch_size=size, draws=2).set_index("sample")
        for size in (7, 3, 1)
    )
    for other in (in_parts, alone):
        for name in ("drop_image", "drop_text", "drop_all"):
            assert other[name].tolist() == pytest.approx(at_once[name].tolist(), abs=1e-5), name
    assert at_once["drop_image"].abs().max() > 1e-3, "there is something to compare"


def test_kind_the_worth_of_a_modality_does_not_depend_on_the_others_that_are_explained(
    pairs: Explainer,
) -> None:
    rows, others = _rows(5), _rows(24, seed=1)
    together = pairs.explain(rows, others=others)
    in_parts = pairs.explain(rows, others=others, batch_size=2)
    for row, one, part in zip(rows, together, in_parts, strict=True):
        alone = pairs.explain(row, others=others).meta["modality_share"]
        for found in (one, part):
            assert found.meta["modality_share"]["drops"] == pytest.approx(alone["drops"], abs=1e-5)


@pytest.mark.parametrize("config", [{}, {"by_class": True}, {"by_class": True, "ranked": False}])
def test_kind_a_comparison_ranks_our_map_as_an_evaluation_does(config: dict[str, bool]) -> None:
    target = as_target(image_model(), TRANSFORM)
    (picture,) = pictures(1)
    batch = Batch(dict(target.reader.read([picture], labelled=False).inputs), ids=[0])
    torch.manual_seed(1)
    explainer = Explainer(target, Scorer(target.spec(batch.inputs), ScorerConfig(**config)))
    settings = EvalSettings(metrics=("sufficiency", "comprehensiveness"), shares=(0.95,))
    probe = make_probe(target, batch, settings)
    scores = ScorerMethod(explainer, "")(target, batch.inputs, probe.classes)
    rows = evaluate_batch(
        target, batch, scores, method="ours", signed=False, settings=settings, probe=probe
    ).rows
    found = compare(explainer, picture, ["random"], area=0.95, fills=["zero"])
    (ours,) = [row for row in found.rows() if row["method"] == "sidelight"]
    values = {row["metric"]: row["value"] for row in rows}
    assert found.clean - ours["kept"]["zero"] == pytest.approx(values["sufficiency"], abs=1e-6)
    assert found.clean - ours["lost"]["zero"] == pytest.approx(values["comprehensiveness"], abs=1e-6)


def _with(run: Run, **sections: dict[str, object]) -> Run:
    """``run`` with other values in some sections of its configuration."""
    update = {name: getattr(run.config, name).model_copy(update=more) for name, more in sections.items()}
    return Run.create(run.folder, run.config.model_copy(update=update))


def test_kind_times_of_a_page_are_those_of_its_methods(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run")
    first = time_run(run)
    assert {row["method"] for row in first} == {"sidelight", "saliency", "integrated_gradients", "random"}
    assert time_run(run) == first, "what is there is not measured again"
    fewer = _with(run, evaluation={"rivals": ["saliency"]})
    assert {row["method"] for row in time_run(fewer)} == {"sidelight", "saliency"}
    more = _with(run, evaluation={"rivals": ["saliency", {"integrated_gradients": {"n_steps": 4}}]})
    names = [row["method"] for row in time_run(more) if row["batch"] == 1]
    assert names == ["sidelight", "saliency", "integrated_gradients"]


def test_kind_a_time_of_a_batch_is_that_of_as_many_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path / "run", data={"name": "digits", "train": 24, "validation": 8, "test": 3})
    given: list[int] = []

    def measured(explainer: Explainer, inputs: Inputs, *more: Any, **options: Any) -> list[SpeedRow]:
        given.extend(len(x) for x in inputs.values())
        return measure_speed(explainer, inputs, *more, **options)

    monkeypatch.setattr(timing, "measure_speed", measured)
    assert {row["batch"] for row in time_run(run)} == {1, 8}
    assert set(given) == {8}
    explainer = run.explainer()
    inputs = explainer.target.reader.read([run.rows("test")[0]]).inputs
    with pytest.raises(InputError, match=r"a batch of 8 samples cannot be timed with 1 .*Give at least 8"):
        measure_speed(explainer, inputs, batches=(1, 8))


def test_kind_times_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run")
    rows = [{k: v for k, v in row.items() if k != "options"} for row in time_run(run)]
    (run.folder / "timing.json").write_text(json.dumps(rows))
    assert time_run(run) == rows


def test_kind_an_audit_says_which_answers_are_of_other_settings(tmp_path: Path) -> None:
    audit = {"count": 2, "count_wide": 4, "steps": 1, "draws": 1, "rivals": ["random"]}
    run = tiny_run(tmp_path / "run", audit=audit)
    run_audit(run, ["stability", "classes"])
    page = run.folder / "audit" / "audit.md"
    assert "other settings" not in page.read_text()
    changed = _with(run, audit={"count": 3})
    run_audit(changed, ["classes"])
    stability, classes = page.read_text().split("## Class bias")
    assert "other settings" in stability
    assert "other settings" not in classes
    run_audit(changed, ["stability"])
    assert "other settings" not in page.read_text()


def _row(method: str, metric: str, mean: float) -> dict[str, object]:
    about = {"dataset": "d", "modality": "image", "granularity": "pixel", "fill": "zero", "reduction": "none"}
    return {**about, "method": method, "metric": metric, "mean": mean, "n": 9}


def test_kind_a_page_ranks_the_runs_own_scorer_and_not_the_best_of_those_beside_it() -> None:
    drops = {"sidelight": 0.3, "sidelight (thesis)": 0.1, "saliency": 0.2, "occlusion": 0.4}
    tables = build_tables([_row(method, "average_drop", mean) for method, mean in drops.items()])
    found = overview(tables)
    assert found is not None
    ((standing,),) = found.standings
    assert standing is not None
    assert (standing.rank, standing.of, standing.value, standing.leader) == (3, 4, "0.300", "Saliency")
    assert found.wins == 0
    tables = build_tables(
        [_row(m, metric, v) for metric in ("average_drop", "deletion_auc") for m, v in drops.items()]
    )
    # the scorer beside ours leads everywhere, and is no rival
    assert reading([], tables) == "sidelight has the best value in 0 of 2 faithfulness comparisons."


#: scores and flags, all 0 or 1, which every type holds exactly; their sums are above the largest half-precision number
ON = torch.rand(2, 100_000, generator=torch.Generator().manual_seed(0)) > 0.1
CURVES = torch.tensor([[1, 1, 0, 1], [1, 0, 0, 0]]).bool()
LOW, HIGH = torch.tensor([0, 1]), torch.tensor([1, 0])
MEASURES: dict[str, Callable[[Callable[[Tensor], Any]], Tensor]] = {
    **{n: lambda t, n=n: getattr(metrics, n)(t(ON)) for n in ("complexity", "mean_score", "area", "entropy")},
    "sparsity": lambda t: metrics.sparsity(t(ON)),
    "min_max": lambda t: metrics.min_max(t(ON)),
    **{
        n: lambda t, n=n: getattr(metrics, n)(t(ON), t(ON.flip(1)))
        for n in ("iou", "f1", "auprc", "pointing_game")
    },
    **{
        n: lambda t, n=n: getattr(metrics, n)(t(LOW), t(HIGH))
        for n in ("average_drop", "average_drop_relative", "increase_in_confidence", "srg")
    },
    **{
        n: lambda t, n=n: getattr(metrics, n)(t(CURVES), torch.linspace(0, 1, 4))
        for n in ("deletion_auc", "insertion_auc", "flip_share")
    },
    **{
        n: lambda t, n=n: getattr(metrics, n)(t(LOW), t(CURVES))
        for n in ("sufficiency", "comprehensiveness", "fidelity_plus", "fidelity_minus")
    },
}


@pytest.mark.parametrize("name", MEASURES)
def test_kind_a_measure_is_the_same_for_every_type_of_numbers(name: str) -> None:
    expected = MEASURES[name](lambda x: x.double())
    kinds: list[Callable[[Tensor], Any]] = [
        *[
            lambda x, kind=k: x.to(kind)
            for k in (torch.half, torch.bfloat16, torch.uint8, torch.long, torch.bool)
        ],
        lambda x: x.numpy(),
        lambda x: x.tolist(),
        lambda x: x.float().requires_grad_(),
    ]
    for kind in kinds:
        torch.testing.assert_close(MEASURES[name](kind).double(), expected.double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize(
    "name", ["area", "sparsity", "entropy", "iou", "f1", "auprc", "pointing_game", "min_max"]
)
def test_kind_a_map_that_is_not_finite_has_no_measure(name: str, bad: float) -> None:
    scores, truth = torch.rand(3, 5), torch.tensor([[True, False, True, False, False]]).expand(3, -1)
    real = torch.ones(3, 5, dtype=torch.bool)
    scores[1, 2], scores[2, 4], real[2, 4] = bad, bad, False  # what is not real does not count
    flags = {"truth": truth} if name in ("iou", "f1", "auprc", "pointing_game") else {}
    found = getattr(metrics, name)(scores, real=real, **flags).reshape(3, -1)
    assert found.isnan().any(1).tolist() == [False, True, False]


def test_kind_shapes_and_flags_that_a_measure_cannot_take_are_told() -> None:
    scores = torch.rand(2, 5)
    with pytest.raises(InputError, match=r"p_masked must have the shape \[B\] with B = 2; got \[2, 1\]"):
        metrics.average_drop(torch.rand(2), torch.rand(2, 1))
    with pytest.raises(InputError, match=r"mask must have the shape \[B, N\]; got \[2, 5, 1\]"):
        metrics.mean_score(scores[..., None])
    with pytest.raises(InputError, match="truth must mark features by true and false"):
        metrics.iou(scores, torch.full((2, 5), 2))
    with pytest.raises(InputTypeError, match="mask must be a tensor, an array or a list of numbers; got str"):
        metrics.area("a map")
