"""Metrics, fills and baseline methods of a user's own: what is wrong with one is told, with its name, and spoils no other."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from face_toys import TRANSFORM, image_model, pictures
from sidelight.core.registry import Registry
from sidelight.errors import ConfigError, InputError
from sidelight.fills.base import FILLS, FillContext
from sidelight.inputs.base import Batch
from sidelight.lab.ablation.run import run_ablation
from sidelight.lab.audit import CHECKS, run_audit
from sidelight.lab.audit.base import AuditedRun, check
from sidelight.lab.baselines.base import RIVALS, Job, Rival, register
from sidelight.lab.evaluation.engine import evaluate_batch
from sidelight.lab.evaluation.judge import identity
from sidelight.lab.evaluation.preflight import check_run
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.evaluation.settings import EvalSettings
from sidelight.lab.metrics.base import METRICS, Evidence, Metric, define
from sidelight.lab.metrics.granularity import GRANULARITIES
from sidelight.lab.metrics.protocols import PROTOCOLS, Protocol
from sidelight.lab.tables.comparison import build_comparisons
from sidelight.lab.tables.markdown import markdown
from sidelight.lab.tables.summary import build_tables
from sidelight.targets import TargetModel, as_target
from tiny_runs import IMAGE, tiny_run

OWN: list[Registry[Any]] = [METRICS, FILLS["image"], RIVALS, GRANULARITIES, PROTOCOLS, CHECKS]


@pytest.fixture(autouse=True)
def _registries() -> Iterator[None]:
    """What a test registers is gone after it."""
    before = [dict(registry.items()) for registry in OWN]
    yield
    for registry, entries in zip(OWN, before, strict=True):
        registry._entries.clear()
        registry._entries.update(entries)


@pytest.fixture
def evidence() -> Evidence:
    torch.manual_seed(0)
    return Evidence(torch.rand(3, 5), torch.rand(3, 5), torch.ones(3, 5, dtype=torch.bool), torch.rand(3))


WRONG: dict[str, Callable[[Evidence], Any]] = {
    "a mean over samples": lambda e: e.clean.mean(),
    "a value of each feature": lambda e: e.mask,
    "a column": lambda e: e.clean[:, None],
    "a sample too few": lambda e: e.clean[1:],
    "a number": lambda e: 0.5,
    "nothing": lambda e: None,
    "complex numbers": lambda e: e.clean.to(torch.complex64),
    "a field that nothing made": lambda e: e.masked,
}


@pytest.mark.parametrize("name", WRONG)
def test_kind_a_metric_that_gives_no_number_of_each_sample_is_named(evidence: Evidence, name: str) -> None:
    with pytest.raises(InputError, match=r"metric 'mine' must give .*one real number for each sample, \[3\]"):
        Metric("mine", "higher", "", WRONG[name]).values(evidence)  # type: ignore[arg-type]


def test_kind_values_of_a_metric_of_other_kinds_are_numbers(evidence: Evidence) -> None:
    kinds: list[Callable[[Evidence], Any]] = [
        lambda e: e.clean > 2,
        lambda e: (e.clean > 2).long(),
        lambda e: np.zeros(3),
        lambda e: [0.0, 0.0, 0.0],
        lambda e: (0 * e.clean).requires_grad_(),
    ]
    for compute in kinds:
        found = Metric("mine", "higher", "", compute).values(evidence)  # type: ignore[arg-type]
        assert found == [0.0, 0.0, 0.0]
        assert all(type(value) is float for value in found)
    undefined = Metric("mine", "higher", "", lambda e: e.clean * float("nan")).values(evidence)
    assert np.isnan(undefined).all()


def test_kind_a_metric_that_is_infinite_or_changes_the_evidence_of_others_is_named(
    evidence: Evidence,
) -> None:
    with pytest.raises(InputError, match="metric 'mine' gives infinite values"):
        Metric("mine", "higher", "", lambda e: e.clean / 0).values(evidence)
    with pytest.raises(InputError, match="metric 'mine' changed the evidence in place"):
        Metric("mine", "higher", "", lambda e: e.mask.clamp_(max=0.5).sum(1)).values(evidence)


def test_kind_a_metric_is_not_registered_with_what_no_table_knows() -> None:
    def value(evidence: Evidence) -> Tensor:
        return evidence.clean

    with pytest.raises(ConfigError, match="direction must be 'lower' or 'higher'; got 'up'"):
        define("mine", "up", "", value)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"cannot need .masks.\. Did you mean .mask."):
        define("mine", "higher", "", value, "masks")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="compute must be a function"):
        define("mine", "higher", "", 3)  # type: ignore[arg-type]
    for name in ("", " ", 3, None):
        with pytest.raises(ConfigError, match="the name of a metric must be a text"):
            define(name, "higher", "", value)  # type: ignore[arg-type]
    assert "mine" not in METRICS


@pytest.fixture(scope="module")
def target() -> TargetModel:
    return as_target(image_model(), TRANSFORM)


def batch_of(target: TargetModel) -> Batch:
    return Batch(dict(target.reader.read(pictures(2), labelled=False).inputs), ids=[0, 1])


FILLING: dict[str, Callable[[Tensor, FillContext], Any]] = {
    "more channels": lambda x, context: x.new_zeros(len(x), 5, *x.shape[2:]),
    "another size": lambda x, context: x.new_zeros(*x.shape[:2], 7, 7),
    "one axis more": lambda x, context: x.new_zeros(1, *x.shape),
    "a number of each sample": lambda x, context: x.new_zeros(len(x)),
    "a number": lambda x, context: 0.0,
    "an array": lambda x, context: np.zeros(x.shape, dtype=np.float32),
    "nothing": lambda x, context: None,
}


@pytest.mark.parametrize("name", FILLING)
def test_kind_a_fill_of_another_shape_is_named(target: TargetModel, name: str) -> None:
    FILLS["image"].add("mine", FILLING[name])
    with pytest.raises(InputError, match="fill 'mine' must give a tensor that can be broadcast to its input"):
        target.fill_values(batch_of(target).inputs, "mine", [0, 1])


def test_kind_a_fill_that_changes_its_input_spoils_no_other(target: TargetModel) -> None:
    FILLS["image"].add("mine", lambda x, context: x.fill_(0))
    with pytest.raises(InputError, match="fill 'mine' changed its input x in place"):
        target.fill_values(batch_of(target).inputs, "mine", [0, 1])


def test_kind_a_fill_may_be_smaller_than_its_input(target: TargetModel) -> None:
    inputs = batch_of(target).inputs
    FILLS["image"].add("mine", lambda x, context: torch.zeros((), dtype=x.dtype))
    scores = {"image": torch.full((2, 1, *inputs["pixel_values"].shape[2:]), 0.3)}
    assert torch.equal(target.classify(inputs, scores, "mine"), target.classify(inputs, scores, "zero"))


def method(maps: Callable[[Job], Any], **attributes: Any) -> type[Rival]:
    body = {"name": "mine", "signed": True, "reduction": "sum", "_maps": lambda self, job: maps(job)}
    body = {k: v for k, v in {**body, **attributes}.items() if v is not None}
    return dataclass(frozen=True)(type("Mine", (Rival,), body))


def zeros(job: Job) -> Tensor:
    return torch.zeros(job.score_shapes()["image"])


@pytest.mark.parametrize(
    "maps", [{}, None, torch.zeros(2, 1, 3, 3), {"image": np.zeros(3)}, {"text": torch.zeros(3)}]
)
def test_kind_a_method_that_returns_no_maps_is_named(target: TargetModel, maps: Any) -> None:
    with pytest.raises(
        InputError, match="baseline method 'mine' must return a mapping with a tensor for each"
    ):
        method(lambda job: maps)()(target, batch_of(target).inputs, torch.tensor([0, 1]))


def test_kind_maps_of_a_wrong_shape_are_told_with_their_method(target: TargetModel) -> None:
    settings = EvalSettings(metrics=("complexity",))
    for maps in (torch.zeros(2, 1, 5, 5), torch.full((2, 1, 24, 24), float("nan"))):
        with pytest.raises(InputError, match="method 'mine': scores of 'image'"):
            evaluate_batch(
                target, batch_of(target), {"image": maps}, method="mine", signed=True, settings=settings
            )


@pytest.mark.parametrize("unit", [1e-60, 1e-310, 1e300])
@pytest.mark.parametrize("signed", [True, False])
def test_kind_maps_in_float64_are_judged_alike_in_every_unit(
    target: TargetModel, unit: float, signed: bool
) -> None:
    """Small gradients of a model in float64 became a constant map in float32, and large ones infinite."""
    torch.manual_seed(0)
    maps = torch.randn(2, 1, 32, 32, dtype=torch.float64)
    maps = maps if signed else maps.abs()
    settings = EvalSettings(metrics=("average_drop", "deletion_auc", "complexity"), steps=4)
    found = [
        evaluate_batch(
            target, batch_of(target), {"image": m}, method="mine", signed=signed, settings=settings
        ).rows
        for m in (maps.float(), maps * unit)
    ]
    values = [[row["value"] for row in rows] for rows in found]
    assert values[1] == pytest.approx(values[0], abs=1e-5)
    assert [{**row, "value": 0} for row in found[0]] == [{**row, "value": 0} for row in found[1]]


def test_kind_a_method_whose_name_or_sign_results_cannot_keep_is_refused() -> None:
    for name in ("sidelight", "sidelight (thesis)", "mine#2"):
        with pytest.raises(ConfigError, match="cannot be called"):
            register(method(lambda job: {"image": zeros(job)}, name=name))
    for attributes in ({"name": ""}, {"signed": "no"}, {"reduction": "mean"}, {"name": 3}):
        with pytest.raises(ConfigError, match=r"needs the class attributes|must be a text"):
            register(method(lambda job: {"image": zeros(job)}, **attributes))
    cls = type("Mine", (Rival,), {"name": "mine", "_maps": lambda self, job: {"image": zeros(job)}})
    with pytest.raises(ConfigError, match=r"needs the class attributes .*None"):
        register(cls)
    assert "mine" not in RIVALS


def change_weights(job: Job) -> dict[str, Tensor]:
    with torch.no_grad():
        for parameter in job.target.model.parameters():
            parameter.mul_(2)
    return {"image": zeros(job)}


def train(job: Job) -> dict[str, Tensor]:
    job.target.model.train()
    job.target.model(job.inputs["pixel_values"])  # running means
    return {"image": zeros(job)}


@pytest.mark.parametrize("maps", [change_weights, train])
def test_kind_a_method_that_changes_the_classifier_is_refused_before_it_is_measured(
    tmp_path: Path, maps: Callable[[Job], Any]
) -> None:
    register(method(maps))
    settings = {**IMAGE["evaluation"], "batch_size": 8, "rivals": ["mine", "random"]}  # in one single batch
    run = tiny_run(tmp_path / "run", evaluation=settings)
    with pytest.raises(InputError, match="method 'mine' changed the weights of the classifier"):
        evaluate_run(run)
    assert not list((run.folder / "evaluation").rglob("part-*.parquet"))


CODE = {
    "rival": """
@register
@dataclass(frozen=True)
class Mine(Rival):
    name, signed, reduction = "mine", False, "none"

    def _maps(self, job):
        return {n: x[:, :1] * FACTOR for n, x in job.features.items()}
""",
    "metric": """
def mine(evidence):
    return evidence.clean * FACTOR

define("mine", "higher", "mine", mine)
""",
    "fill": """
@FILLS["image"].register("mine")
def mine(x, context):
    return x * FACTOR
""",
    "granularitie": """
def cells(shape, inputs):
    return (torch.arange(shape[-1] * shape[-2]) // (4 / FACTOR)).long()

GRANULARITIES.add("mine", Granularity("mine", "image", cells))
""",
    "protocol": """
PROTOCOLS.add("mine", Protocol("mine", "one of mine", reading="signed" if FACTOR == 0.5 else "absolute"))
""",
}
HEAD = """import torch
from dataclasses import dataclass
from sidelight.lab.metrics.granularity import GRANULARITIES, Granularity
from sidelight.lab.metrics.protocols import PROTOCOLS, Protocol
from sidelight.fills.base import FILLS
from sidelight.lab.baselines.base import Rival, register
from sidelight.lab.metrics.base import define
"""


def write(kind: str, place: Path, number: int, factor: float) -> None:
    """Register another version of an own part, as a session does that begins after its file was edited."""
    file = place / f"version{number}.py"
    file.write_text(HEAD + CODE[kind].replace("FACTOR", str(factor)))
    for registry in OWN:
        registry._entries.pop("mine", None)
    exec(compile(file.read_text(), str(file), "exec"), {"__name__": f"version{number}"})


@pytest.mark.parametrize("kind", CODE)
def test_kind_numbers_of_a_part_of_ones_own_are_not_taken_for_those_of_its_new_code(
    tmp_path: Path, kind: str
) -> None:
    asked: dict[str, Any] = {"rivals": ["random"], "metrics": ["average_drop"], "fills": ["zero"]}
    asked |= (
        {"protocol": "mine"} if kind == "protocol" else {f"{kind}s": [*asked.get(f"{kind}s", []), "mine"]}
    )
    write(kind, tmp_path, 1, 0.5)
    run = tiny_run(tmp_path / "run", evaluation={**IMAGE["evaluation"], "curve_count": None, **asked})
    first = evaluate_run(run)
    write(kind, tmp_path, 2, 0.5)
    assert evaluate_run(run) == first  # the same code elsewhere is the same part
    write(kind, tmp_path, 3, 0.25)
    with pytest.raises(ConfigError, match="another evaluation \\(different own code\\)"):
        evaluate_run(run)


def test_kind_a_protocol_by_channel_and_a_judge_are_refused_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    PROTOCOLS.add("mine", Protocol("mine", "one of mine", coordinates=("image",)))
    asked: dict[str, Any] = {"protocol": "mine", "granularities": [], "metrics": ["fidelity_plus"]}
    run = tiny_run(tmp_path / "run", evaluation={**IMAGE["evaluation"], **asked, "rivals": ["gradient_shap"]})
    for ask in (lambda: check_run(run.config, run.folder), lambda: evaluate_run(run)):
        with pytest.raises(
            ConfigError, match=r"'mine' scores image by channel for gradient_shap.*fidelity_plus"
        ):
            ask()
    assert not list(run.folder.rglob("judge*"))
    whole = tiny_run(tmp_path / "whole", evaluation={**IMAGE["evaluation"], **asked, "rivals": ["occlusion"]})
    check_run(whole.config, whole.folder)


def share_above(evidence: Evidence, level: float) -> Tensor:
    return (evidence.mask > level).double().mean(1)


SETTINGS: dict[str, Callable[[float], Any]] = {
    "an argument": lambda level: functools.partial(share_above, level=level),
    "a default": lambda level: lambda evidence, level=level: share_above(evidence, level),
    "a variable": lambda level: lambda evidence: share_above(evidence, level),
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_kind_numbers_of_a_part_with_a_setting_are_not_taken_for_those_of_another_setting(
    tmp_path: Path, kind: str
) -> None:
    asked = {"rivals": ["random"], "metrics": ["mine"], "fills": ["zero"], "curve_count": None}
    run = tiny_run(tmp_path / "run", evaluation={**IMAGE["evaluation"], **asked})

    def measure(level: float) -> dict[str, Any]:
        METRICS._entries.pop("mine", None)
        define("mine", "lower", "share above a level", SETTINGS[kind](level))
        return evaluate_run(run)

    first = measure(0.5)
    assert measure(0.5) == first
    with pytest.raises(ConfigError, match="another evaluation \\(different own code\\)"):
        measure(0.25)


def test_kind_a_scorer_of_a_fill_of_ones_own_is_not_taken_for_one_of_its_new_code(tmp_path: Path) -> None:
    write("fill", tmp_path, 1, 0.5)
    sections = {"objective": {"preset": "thesis", "label": "prediction", "fills": ["mine"]}}
    run = tiny_run(tmp_path / "run", **sections)
    shutil.rmtree(run.scorer_folder(0))
    run.fit()
    write("fill", tmp_path, 2, 0.5)
    run.fit()
    write("fill", tmp_path, 3, 0.25)
    with pytest.raises(ConfigError, match=r"scorer-0 holds a scorer .* another code of fill image mine"):
        run.fit()
    shutil.rmtree(run.scorer_folder(0))
    run.fit()


def test_kind_a_variant_is_measured_again_with_the_new_code_of_a_part_of_ones_own(tmp_path: Path) -> None:
    write("metric", tmp_path, 1, 0.5)
    ablation = {"variants": {"as is": {}}, "fills": ["zero"], "metrics": ["mine"], "samples": 1}
    run = tiny_run(tmp_path / "run", ablation=ablation)

    def mean() -> float:
        run_ablation(run)
        frame = pd.read_parquet(run.folder / "ablation" / "scores.parquet")
        return float(frame[frame["metric"] == "mine"]["value"].mean())

    first = mean()
    write("metric", tmp_path, 2, 0.5)
    assert mean() == first
    write("metric", tmp_path, 3, 0.25)
    assert mean() == pytest.approx(first / 2)


def test_kind_a_check_of_ones_own_is_asked_again_if_its_code_changed(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", audit={"rivals": []})

    def ask(number: int) -> Any:
        file = tmp_path / f"check{number}.py"
        file.write_text(
            f'def mine(audited):\n    """Mine?"""\n    return {{\'rows\': [{number}], \'facts\': {{}}}}\n'
        )
        scope: dict[str, Any] = {"__name__": f"check{number}"}
        exec(compile(file.read_text(), str(file), "exec"), scope)
        CHECKS._entries.pop("mine", None)
        check("Mine", (), tables=lambda found: [], figures=lambda found: {})(scope["mine"])
        return run_audit(run, ["mine"])["mine"]["rows"]

    assert [ask(1), ask(2)] == [[1], [2]]


def test_kind_what_an_audit_or_a_judge_trains_knows_the_code_of_a_fill_of_ones_own(tmp_path: Path) -> None:
    write("fill", tmp_path, 1, 0.5)
    evaluation = {**IMAGE["evaluation"], "fills": ["mine"]}
    run = tiny_run(tmp_path / "run", evaluation=evaluation, audit={"rivals": [], "fills": ["mine"]})
    target, audited = run.open_target(), AuditedRun(run)

    def known() -> list[Any]:
        return [identity(run, target), audited.identity(), audited.code]

    first = known()
    write("fill", tmp_path, 2, 0.5)
    assert known() == first
    write("fill", tmp_path, 3, 0.25)
    assert all(now != before for now, before in zip(known(), first, strict=True))


def test_an_own_metric_is_called_by_its_whole_name_in_tables() -> None:
    rows = [
        {"method": "sidelight", "metric": name, "mean": 0.5}
        for name in ("mine_auc", "auc_gap", "deletion_auc")
    ]
    (table,) = build_tables(rows)
    assert [column.heading for column in table.columns] == ["deletion ↓", "mine auc", "auc gap"]


def test_very_small_values_of_an_own_metric_are_told_apart_in_tables() -> None:
    """All were shown as 0.000, and all methods were marked as best."""
    define("mine", "higher", "mine", lambda e: e.clean)
    means = {"sidelight": 0.00042, "random": 0.0001, "saliency": 0.000213, "occlusion": 0.000389}
    rows = [
        {
            "method": name,
            "metric": "mine",
            "mean": mean,
            "ci95": [mean - 4e-5, mean + 3e-5],
            "sd": 2e-4,
            "n": 9,
        }
        for name, mean in means.items()
    ]
    (table,) = build_tables(rows)
    cells = {line.name: line.cells[0] for line in table.lines}
    assert {name: cell and (cell.text, cell.rank) for name, cell in cells.items()} == {
        "sidelight": ("0.000420", 1),
        "occlusion": ("0.000389", 2),
        "saliency": ("0.000213", 3),
        "random": ("0.000100", None),
    }
    assert cells["sidelight"] is not None
    assert cells["sidelight"].spread == "±0.000040"
    (comparison,), _ = build_comparisons(rows, ["mine"])
    assert "<u>0.000389</u> ± 0.000200" in markdown(comparison.table)
