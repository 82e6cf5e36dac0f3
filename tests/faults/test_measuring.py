"""What is measured depends on the sample, and not on what else is measured, in which batch, or in which place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from face_toys import TRANSFORM, image_model, pair_explainer, pictures
from pair_models import match_rows
from sidelight import Explainer
from sidelight.inputs.base import Batch
from sidelight.lab import compare
from sidelight.lab.audit import run_audit
from sidelight.lab.evaluation.engine import evaluate_batch, make_probe
from sidelight.lab.evaluation.methods import ScorerMethod
from sidelight.lab.evaluation.modality import share_rows
from sidelight.lab.evaluation.settings import EvalSettings
from sidelight.lab.report.reading import overview, reading
from sidelight.lab.report.timing import time_run
from sidelight.lab.runs.run import Run
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
