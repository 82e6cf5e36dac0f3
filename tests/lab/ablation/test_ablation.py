"""Ablations: which variants there are, what is trained again, and whether the table tells the truth."""

from __future__ import annotations

import copy
import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from sidelight.errors import CheckpointError, CollapseError, ConfigError, UnknownNameError
from sidelight.explainer import Explainer
from sidelight.lab.ablation import run as ablation
from sidelight.lab.ablation.cells import cells_of
from sidelight.lab.ablation.run import run_ablation
from sidelight.lab.ablation.table import build_ablation_tables, page, write_tables
from sidelight.lab.ablation.variants import chosen_variants, variants_of
from sidelight.lab.config.files import parse_config
from sidelight.lab.config.sections import RunConfig
from sidelight.lab.evaluation.run import evaluate_run, plain_rows
from sidelight.lab.metrics.statistics import summarise
from sidelight.lab.runs.run import Run

VALUES = yaml.safe_load("""
name: tiny
seeds: [0, 1]
data: {name: planted_text, train: 32, validation: 8, test: 8}
target:
  tokenizer: planted
  architecture: {model_type: bert, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2,
                 intermediate_size: 8}
  training: {epochs: 1, batch_size: 32, learning_rate: 0.01}
scorer: {width: 8, layers: 0, heads: 2}
objective: {preset: thesis}
training: {epochs: 1, batch_size: 16, evals_per_epoch: 1}
evaluation: {count: 8, curve_count: 4, batch_size: 4, steps: 2, fills: [zero, mean], rivals: [random]}
ablation:
  samples: 2
  metrics: [average_drop, deletion_auc, complexity, auprc]
  variants:
    full:
    no ReLU: [scorer.relu=false]
""")


def config(*overrides: str, **ablation_values: Any) -> RunConfig:
    values = copy.deepcopy(VALUES)
    values["ablation"].update(ablation_values)
    return parse_config(values, overrides)


def changed(name: str, *overrides: str, modality: str = "text") -> dict[str, Any]:
    """What a default variant changes."""
    return dict(variants_of(config(*overrides, variants=None), [modality])[name].changes)


# -- variants ----------------------------------------------------------------------------


def test_the_thesis_has_eight_variants_and_they_are_the_default() -> None:
    found = variants_of(config(variants=None), ["text"])
    assert list(found) == [
        "full",
        "without ReLU",
        "without sigmoid",
        "without rescale",
        "without binary penalty",
        "without magnitude penalty",
        "without both penalties",
        "without everything",
        "calibration literal",
        "calibration reference",
        "calibration fixed",
        "label prediction",
        "label distribution",
        "smaller scorer",
        "larger scorer",
    ]
    assert found["full"].config == config(variants=None)
    rest = found["without everything"].config
    assert (rest.scorer.relu, rest.scorer.sigmoid, rest.scorer.rescale) == (False, False, False)
    assert (rest.objective.binary_weight, rest.objective.magnitude_weight) == (0, 0)
    only = found["without binary penalty"].config
    assert (only.objective.binary_weight, only.objective.magnitude_weight) == (0, 1)
    assert only.scorer == config().scorer
    assert found["smaller scorer"].config.scorer.width == 4
    assert found["larger scorer"].config.scorer.width == 16


def test_sizes_are_those_of_the_modality() -> None:
    assert changed("larger scorer", "scorer.channels=[8, 4]", modality="image") == {
        "scorer.channels": [16, 8]
    }


def test_defaults_that_change_nothing_are_left_out() -> None:
    settings = ["objective.calibration=fixed", "objective.label=distribution", "scorer.relu=false"]
    names = list(variants_of(config(*settings, "objective.binary_weight=0", variants=None), ["text"]))
    for gone in ("calibration fixed", "label distribution", "without ReLU", "without binary penalty"):
        assert gone not in names
    assert "without both penalties" not in names  # the same as "without magnitude penalty"
    assert {"calibration bounded", "label data", "without magnitude penalty"} <= set(names)


def test_terms_beyond_the_thesis_have_a_variant_and_are_part_of_everything() -> None:
    term = "objective.complement_weight=0.5"
    assert changed("without complement term", term) == {"objective.complement_weight": 0.0}
    assert changed("without everything", term)["objective.complement_weight"] == 0
    assert "without complement term" not in variants_of(config(variants=None), ["text"])


def test_strings_and_mappings_say_the_same() -> None:
    variants = {
        "a": ["scorer.width=4", "objective.fills=[zero, mean]", "training.learning_rate=1e-4"],
        "b": {"scorer.width": 4, "objective.fills": ["zero", "mean"], "training.learning_rate": 1e-4},
    }
    a, b = variants_of(config(variants=variants), ["text"]).values()
    assert a.config == b.config
    assert a.config.training.learning_rate == pytest.approx(1e-4)
    assert tuple(a.config.objective.fills) == ("zero", "mean")
    assert a.config.target == config().target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.train=9", "'data.train' cannot be changed.*one target and one data set"),
        ("target.training.epochs=3", r"'target\.training\.epochs' cannot be changed"),
        ("evaluation.steps=3", r"'evaluation\.steps' cannot be changed"),
        ("seeds=[3]", "'seeds' cannot be changed"),
        ("scorer=3", "sets single keys"),
        ("training.seed=3", r"ablation\.seeds"),
        ("training.on_collapse=stop", "never stops the others"),
        ("scorer.rellu=false", r"'scorer\.rellu'.*Did you mean 'relu'"),
        ("objective.calibration=loose", "loose"),
        ("scorer.relu", r"section\.key=value"),
    ],
)
def test_changes_that_are_refused(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"ablation variant 'odd'.*{message}"):
        variants_of(config(variants={"full": [], "odd": [change]}), ["text"])


@pytest.mark.parametrize("names", [["No ReLU", "no-relu"], ["···"]])
def test_names_that_make_no_folder_of_their_own(names: list[str]) -> None:
    with pytest.raises(ConfigError, match="each needs one of its own"):
        variants_of(config(variants={n: [] for n in names}), ["text"])


def test_variants_are_chosen_by_name_or_folder_in_their_own_order() -> None:
    variants = variants_of(config(variants=None), ["text"])
    assert list(chosen_variants(variants, ["without-relu", "full"])) == ["full", "without ReLU"]
    assert chosen_variants(variants, []) == variants
    with pytest.raises(
        UnknownNameError, match=r"unknown variant 'fulll'\. Did you mean 'full'\? Known: full, "
    ):
        chosen_variants(variants, ["full", "fulll"])


def test_unknown_metrics_are_refused_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="complexity"):
        cells_of(Run(tmp_path, config(metrics=["complexitty"])))


# -- tables ------------------------------------------------------------------------------


def sample_rows() -> pd.DataFrame:
    """Values whose means can be read off; variant c collapses with its second seed."""
    values = {"a": ([0.1, 0.3], [0.3, 0.5]), "b": ([0.4, 0.4], [0.4, 0.4]), "c": ([0, 0], [0, 0])}
    rows = []
    for name, per_seed in values.items():
        for seed, numbers in enumerate(per_seed):
            for sample, value in enumerate(numbers):
                for metric, fill, grain in [
                    ("average_drop", "zero", "pixel"),
                    ("average_drop", "mean", "pixel"),
                    ("sparsity", "none", "pixel"),
                    ("constant_map", "none", "none"),
                ]:
                    rows.append((name, seed, sample, grain, fill, metric, value))
    frame = pd.DataFrame(
        rows, columns=["method", "seed", "sample", "granularity", "fill", "metric", "value"]
    ).assign(modality="image", reduction="none")
    return frame.drop(frame[(frame.method == "b") & (frame.fill == "mean")].index)


def test_numbers_places_and_spread() -> None:
    variants = [
        {"name": n, "seeds": [0, 1], "collapsed": [1] if n == "c" else []} for n in ("a", "b", "c", "d")
    ]
    (table,) = build_ablation_tables(plain_rows(summarise(sample_rows(), "toy")), variants)
    assert table.title == "toy · image · by pixel · n = 2"
    assert [(c.name, c.fill) for c in table.columns if c.name] == [
        ("average_drop", "zero"),
        ("average_drop", "mean"),
        ("sparsity", ""),
        ("constant_map", ""),
    ]
    drop = table.cell("a", "average_drop", "zero")
    assert drop is not None
    assert drop.mean == pytest.approx(0.3)
    assert drop.seed_sd == pytest.approx(np.std([0.2, 0.4], ddof=1))
    assert (drop.n, drop.seeds, drop.rank) == (2, 2, 1)
    places = {
        (n, m): e and e.rank
        for n in "abcd"
        for m, f in (("average_drop", "zero"), ("sparsity", ""))
        if (e := table.cell(n, m, f)) or True
    }
    # lower drop, higher sparsity; c collapsed, d has no numbers
    assert places == {
        ("a", "average_drop"): 1, ("b", "average_drop"): 2, ("c", "average_drop"): None,
        ("a", "sparsity"): 2, ("b", "sparsity"): 1, ("c", "sparsity"): None,
        ("d", "average_drop"): None, ("d", "sparsity"): None,
    }  # fmt: skip
    assert table.cell("b", "average_drop", "mean") is None
    lines = page([table], ["A note."]).splitlines()
    assert lines[2] == (
        "| variant | seeds | average drop ↓ zero | average drop ↓ mean | sparsity ↑ | constant map |  |"
    )
    assert "| a | 2 | **0.300** ±0.141 | **0.300** ±0.141 | <u>0.300</u> ±0.141 | 0.300 ±0.141 |  |" in lines
    assert "| b | 2 | <u>0.400</u> ±0.000 |  | **0.400** ±0.000 | 0.400 ±0.000 |  |" in lines
    assert "| c | 2 | 0.000 ±0.000 | 0.000 ±0.000 | 0.000 ±0.000 | 0.000 ±0.000 | 1 of 2 collapsed |" in lines
    assert lines[-1] == "A note."


def test_several_modalities_have_tables_of_their_own() -> None:
    rows = sample_rows()
    other = rows[rows.granularity != "none"].assign(
        modality="text", granularity="token", value=rows.value + 1
    )
    summary = plain_rows(summarise(pd.concat([rows, other]), "toy"))
    variants = [{"name": "a", "seeds": [0, 1], "collapsed": []}]
    image, text = build_ablation_tables(summary, variants)
    assert (image.setting.modality, text.setting.modality) == ("image", "text")
    for table, mean in ((image, 0.3), (text, 1.3)):
        drop, flat = table.cell("a", "average_drop", "zero"), table.cell("a", "constant_map")
        assert drop is not None
        assert drop.mean == pytest.approx(mean)
        assert flat is not None  # about the map itself: in both
        assert flat.mean == pytest.approx(0.3)


# -- whole ablations ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two variants, two seeds; not to be changed."""
    run = Run.create(tmp_path_factory.mktemp("ablation") / "run", config())
    run_ablation(run)
    return run


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    """A copy that may be changed."""
    return Run(Path(shutil.copytree(finished.folder, tmp_path / "run")), finished.config)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Folders of the scorers that are trained from here on, by their last three names."""
    seen: list[str] = []
    fit = Explainer.fit

    def spy(*args: Any, **options: Any) -> Explainer:
        seen.append("/".join(options["output_dir"].parts[-3:-1]))
        return fit(*args, **options)

    monkeypatch.setattr(Explainer, "fit", spy)
    return seen


def table_of(run: Run) -> dict[str, Any]:
    return json.loads((run.folder / "ablation" / "table.json").read_text())


def test_what_is_written(finished: Run) -> None:
    folder = finished.folder / "ablation"
    assert (folder / "maps.png").read_bytes().startswith(b"\x89PNG")
    scores = pd.read_parquet(folder / "scores.parquet")
    assert list(scores) == [
        "variant", "seed", "sample", "modality", "granularity", "fill", "metric", "value"
    ]  # fmt: skip
    assert set(scores.variant) == {"full", "no ReLU"}
    counts = scores.groupby(["variant", "seed", "metric"], observed=True).size().unstack()
    assert counts.shape == (4, 6)
    assert (counts["average_drop"] == 2 * 8).all()  # fills × count
    assert (counts["deletion_auc"] == 2 * 4).all()  # fills × curve_count
    assert (counts[["complexity", "auprc", "constant_map", "mean_as_given"]] == 8).all(None)
    assert not list(folder.rglob("*.tmp"))
    assert not list(folder.rglob("part-*"))


def test_tables_agree_with_the_rows(finished: Run) -> None:
    folder = finished.folder / "ablation"
    scores = pd.read_parquet(folder / "scores.parquet")
    with (folder / "table.csv").open() as handle:
        lines = {row["variant"]: row for row in csv.DictReader(handle)}
    for name in ("full", "no ReLU"):
        assert lines[name]["seeds"] == "2"
        assert lines[name]["granularity"] == "token"
        for metric, fill, n in [
            ("average_drop", "mean", 8), ("deletion_auc", "zero", 4), ("complexity", "none", 8)
        ]:  # fmt: skip
            part = scores[(scores.variant == name) & (scores.metric == metric) & (scores.fill == fill)]
            per_seed = part.groupby("seed")["value"].mean()
            key = metric if fill == "none" else f"{metric}.{fill}"
            assert float(lines[name][f"{key}.mean"]) == pytest.approx(per_seed.mean(), abs=1e-6)
            assert float(lines[name][f"{key}.sd"]) == pytest.approx(per_seed.std(ddof=1), abs=1e-6)
            assert int(lines[name][f"{key}.n"]) == n
    text = (folder / "table.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["variants"][1]["changes"] == {"scorer.relu": False}


def test_the_full_variant_is_the_run_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitted and evaluated by the other commands, the same scorer gives the same numbers."""
    run.fit()
    evaluate_run(run)
    keys = ["seed", "sample", "granularity", "fill", "metric"]
    ours = pd.read_parquet(run.folder / "scores.parquet").query("method == 'sidelight'")
    rows = pd.read_parquet(run.folder / "ablation" / "scores.parquet").query("variant == 'full'")
    both = rows.astype(dict.fromkeys(keys[2:], str)).merge(
        ours.astype(dict.fromkeys(keys[2:], str)), on=keys, suffixes=("", "_run")
    )
    assert len(both) == 2 * (2 * 8 + 2 * 4 + 8 + 8)
    np.testing.assert_allclose(both["value"], both["value_run"], atol=1e-5)


def test_variants_differ_in_what_they_change_only(finished: Run) -> None:
    scorers = {}
    for cell in cells_of(finished):
        path = cell.run.scorer_folder(cell.seed) / "scorer" / "config.json"
        scorers[cell.key] = json.loads(path.read_text())
    full, other = scorers["full", 0], scorers["no ReLU", 0]
    assert other["scorer"].pop("relu") is False
    assert full["scorer"].pop("relu") is True
    assert full.pop("weights_hash") != other.pop("weights_hash")
    told, other_told = full.pop("training"), other.pop("training")
    assert told["metrics"] != other_told["metrics"]
    assert other_told["options"]["scorer"].pop("relu") is False
    assert (told["rows"], told["data"]) == (other_told["rows"], other_told["data"])
    assert told["options"]["scorer"] == other_told["options"]["scorer"]
    assert full == other  # the same target too


def test_a_second_time_nothing_is_trained_or_measured(
    run: Run, fits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidelight.lab.evaluation.loop.evaluate_batch", None)
    before = table_of(run)
    run_ablation(run)
    assert fits == []
    assert table_of(run) == before


def test_it_continues_where_it_was_killed(run: Run, fits: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    before, folder = table_of(run), run.folder / "ablation"
    shutil.rmtree(folder / "no-relu")
    (folder / "full" / "seed-1" / "scores.parquet").unlink()  # trained, but not measured to its end
    for name in ("table.json", "scores.parquet"):
        (folder / name).unlink()
    with monkeypatch.context() as patch:
        measure = ablation.measure

        def kill(cell: Run, *args: Any, **options: Any) -> Any:
            if cell.folder.parent.name == "no-relu":
                raise Killed
            return measure(cell, *args, **options)

        patch.setattr(ablation, "measure", kill)
        with pytest.raises(Killed):
            run_ablation(run)
    assert fits == ["no-relu/seed-0"]
    monkeypatch.setattr("sidelight.lab.runs.run.train_classifier", None)
    run_ablation(run)
    assert fits == ["no-relu/seed-0", "no-relu/seed-1"]  # seed 0 was trained before the kill
    for now, then in zip(table_of(run)["rows"], before["rows"], strict=True):
        assert now["mean"] == pytest.approx(then["mean"], abs=1e-6)


def test_a_variant_that_means_something_else_now_is_refused(run: Run, fits: list[str]) -> None:
    other = Run.create(
        run.folder, config(variants={"full": [], "no ReLU": {"scorer.relu": False, "scorer.width": 4}})
    )
    before = table_of(run)
    with pytest.raises(ConfigError, match=r"'no ReLU' was trained with another scorer.*remove .*no-relu"):
        run_ablation(other)
    assert fits == []
    assert table_of(run) == before
    write_tables(other)  # what does not fit is left out, and said
    assert [v["name"] for v in table_of(run)["variants"]] == ["full"]
    assert table_of(run)["notes"] == [
        "Not trained, or not measured as the configuration says now: no ReLU (seed 0, 1)."
    ]
    shutil.rmtree(run.folder / "ablation" / "no-relu")
    run_ablation(other)
    assert fits == ["no-relu/seed-0", "no-relu/seed-1"]


def test_other_measurements_need_no_training(run: Run, fits: list[str]) -> None:
    other = Run.create(run.folder, config(metrics=["average_drop", "mean_score"], count=4, fills=["zero"]))
    run_ablation(other, ["full"])
    assert fits == []
    found = table_of(run)
    assert {r["metric"] for r in found["rows"]} == {
        "average_drop", "mean_score", "constant_map", "mean_as_given"
    }  # fmt: skip
    assert {r["n"] for r in found["rows"]} == {4}
    assert [v["name"] for v in found["variants"]] == ["full"]  # never rows of two measurements in one table


def test_tables_are_made_again_from_rows_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {n: (run.folder / "ablation" / n).read_bytes() for n in ("table.md", "table.csv", "table.json")}
    for name in before:
        (run.folder / "ablation" / name).unlink()
    shutil.rmtree(run.folder / "target")
    for path in (run.folder / "ablation").rglob("scorer-*"):
        shutil.rmtree(path)
    write_tables(run)
    assert before == {n: (run.folder / "ablation" / n).read_bytes() for n in before}


def test_no_table_before_anything_is_finished(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="sidelight ablate"):
        write_tables(Run(tmp_path, config()))


def test_another_target_is_refused(run: Run) -> None:
    path = run.folder / "ablation" / "full" / "seed-0" / "cell.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "target": "other"}))
    with pytest.raises(ConfigError, match="'full', seed 0 was trained beside another target"):
        run_ablation(run)


def test_a_variant_may_read_the_same_classifier_otherwise(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    fit = Explainer.fit

    def spy(target: Any, *args: Any, **options: Any) -> Explainer:
        lengths.append(
            target.reader.read(["its plot seemed simply warm, and the bus was messy."])
            .inputs["input_ids"]
            .shape[1]
        )
        return fit(target, *args, **options)

    monkeypatch.setattr(Explainer, "fit", spy)
    variants = {"full": [], "short": ["target.options.max_length=6"]}
    other = Run(run.folder, config("seeds=[0]", variants=variants))
    run_ablation(other)
    assert lengths == [6]  # "full" was finished before
    facts = {c.variant.name: dict(c.facts or {}) for c in cells_of(other)}
    assert facts["short"]["target"] == facts["full"]["target"]
    assert (run.folder / "ablation" / "maps.png").is_file()
    # what was trained beside one reading is not taken for another
    changed_mind = Run(run.folder, config("seeds=[0]", variants={"short": ["target.options.max_length=7"]}))
    with pytest.raises(ConfigError, match=r"'short' was trained with another target\.options"):
        run_ablation(changed_mind)


def test_what_cannot_be_built_is_refused_before_any_training(run: Run, fits: list[str]) -> None:
    for change in ("scorer.heads=3", "objective.fills=[zerro]"):
        other = Run(run.folder, config(variants={"good": ["scorer.width=4"], "bad": [change]}))
        with pytest.raises(ConfigError, match="ablation variant 'bad'"):
            run_ablation(other)
    assert fits == []
    run_ablation(Run(run.folder, config(variants={"bad": ["scorer.width=4"]})), ["bad"])  # put right
    assert fits == ["bad/seed-0", "bad/seed-1"]


def test_a_collapse_stops_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(run.folder / "ablation" / "full" / "seed-1")

    def collapse(*args: Any, **options: Any) -> Explainer:
        raise CollapseError("all maps are constant")

    monkeypatch.setattr(Explainer, "fit", collapse)
    (table,) = run_ablation(run)
    full, other = table.lines
    assert (full.remark, other.remark) == ("1 of 2 collapsed", "")
    drop = table.cell("full", "average_drop", "zero")
    assert drop is not None
    assert (drop.seeds, drop.rank) == (1, None)
    assert table_of(run)["variants"][0]["messages"] == {"1": "all maps are constant"}
    assert "full, seed 1: all maps are constant" in (run.folder / "ablation" / "table.md").read_text()
    again = write_tables(run)
    assert again == [table]
