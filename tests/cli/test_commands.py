"""Every command from configuration to report, and its refusals."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image

from cli_tools import TARGET, Result, sidelight, write_config
from sidelight import Explanation
from sidelight.cli.app import app
from sidelight.lab.data.digits import digit_scenes
from sidelight.training.decoder_cost import with_options

ROW = {"dataset", "modality", "method", "fill", "metric", "mean", "sd", "ci95", "n"}


def forbid(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError(f"{place} was called again")

    monkeypatch.setattr(place, refuse)


@pytest.fixture
def run(fitted_run: Path, tmp_path: Path) -> Path:
    """A copy of the run that may be changed."""
    return Path(shutil.copytree(fitted_run, tmp_path / "run"))


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = []
    for i, image in enumerate(digit_scenes("test", 2).images):
        paths.append(tmp_path / f"digit-{i}.png")
        Image.fromarray(image).save(paths[-1])
    return paths


# -- fit ---------------------------------------------------------------------------------


def test_fit_leaves_a_run_folder(fitted_run: Path) -> None:
    for name in ("config.yaml", "fit.json", "target/config.json", "target/metrics.json"):
        assert (fitted_run / name).is_file(), name
    for seed in (0, 1):
        assert (fitted_run / f"scorer-{seed}" / "scorer" / "scorer.safetensors").is_file()
        assert (fitted_run / f"scorer-{seed}" / "log.csv").is_file()
    facts = json.loads((fitted_run / "fit.json").read_text())
    assert 0 <= facts["target"]["accuracy"] <= 1
    assert facts["target"]["accuracy_n"] == 12
    assert set(facts["scorers"]) == {"0", "1"}
    assert facts["scorers"]["0"]["train_runtime"] > 0


def test_fit_again_trains_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, "sidelight.lab.runs.run.train_classifier")
    forbid(monkeypatch, "sidelight.explainer.train_scorer")
    before = (run / "fit.json").read_text()
    result = sidelight("fit", write_config(tmp_path), "--out", run)
    assert result.code == 0, result.err
    assert "scorer, seed 1" in result.out
    assert (run / "fit.json").read_text() == before


def test_fit_without_optional_sections_can_be_repeated(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defaults survive the way through config.yaml."""
    text = (run / "config.yaml").read_text()
    for _ in range(2):
        assert sidelight("fit", write_config(tmp_path), "--out", run).code == 0
        assert (run / "config.yaml").read_text() == text


def test_fit_trains_a_scorer_that_is_gone(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, "sidelight.lab.runs.run.train_classifier")
    shutil.rmtree(run / "scorer-1")
    assert "sidelight fit" in sidelight("evaluate", run).err
    assert sidelight("fit", write_config(tmp_path), "--out", run).code == 0
    assert (run / "scorer-1" / "scorer" / "config.json").is_file()


def test_fit_takes_up_a_training_with_the_decoder_that_was_chosen_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The configuration names no decoder. The first start chose one by its cost, and the second has to keep it."""
    config, run = write_config(tmp_path, scorer={}, seeds=[0]), tmp_path / "run"
    with monkeypatch.context() as patch:
        chosen = {"image": {"channels": [8, 4]}}
        patch.setattr("sidelight.training.network.affordable", lambda given, *_: with_options(given, chosen))
        assert sidelight("fit", config, "--out", run).code == 0
    saved = run / "scorer-0" / "scorer" / "scorer.safetensors"
    before = saved.read_bytes()
    # as if the process had been killed after the training and before its scorer was saved
    shutil.rmtree(saved.parent)
    forbid(monkeypatch, "transformers.Trainer.train")
    result = sidelight("fit", config, "--out", run)
    assert result.code == 0, result.err
    assert saved.read_bytes() == before


def test_fit_adds_a_seed(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, "sidelight.lab.runs.run.train_classifier")
    before = (run / "scorer-0" / "scorer" / "scorer.safetensors").read_bytes()
    result = sidelight("fit", write_config(tmp_path), "--out", run, "--set", "seeds=[0,1,2]")
    assert result.code == 0, result.err
    assert (run / "scorer-2" / "scorer").is_dir()
    assert (run / "scorer-0" / "scorer" / "scorer.safetensors").read_bytes() == before


def test_fit_continues_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The classifier was trained, the first scorer was not: only the rest is done."""

    class Killed(BaseException):
        pass

    def kill(*_: Any, **__: Any) -> Any:
        raise Killed

    config = write_config(tmp_path, seeds=[0])
    with monkeypatch.context() as patch:
        patch.setattr("sidelight.explainer.train_scorer", kill)
        with pytest.raises(Killed):
            sidelight("fit", config, "--out", tmp_path / "run")
    forbid(monkeypatch, "sidelight.lab.runs.run.train_classifier")
    result = sidelight("fit", config, "--out", tmp_path / "run")
    assert result.code == 0, result.err


def test_fit_refuses_a_folder_of_another_configuration(run: Path, tmp_path: Path) -> None:
    text = (run / "config.yaml").read_text()
    result = sidelight("fit", write_config(tmp_path), "--out", run, "--set", "data.train=32")
    assert result.code == 2
    assert "data" in result.err
    assert "--out" in result.err
    assert (run / "config.yaml").read_text() == text


# -- evaluate ----------------------------------------------------------------------------


def test_evaluate_writes_what_is_promised(fitted_run: Path) -> None:
    results = json.loads((fitted_run / "results.json").read_text())
    rows = results["rows"]
    assert results["dataset"] == "digits"
    assert all(set(r) >= ROW for r in rows)
    assert {r["method"] for r in rows} == {"sidelight", "saliency", "random"}
    assert {r["fill"] for r in rows if r["metric"] == "average_drop"} == {"zero", "noise"}
    drop = next(r for r in rows if r["method"] == "sidelight" and r["metric"] == "average_drop")
    assert drop["n"] == 12
    assert drop["seeds"] == 2
    assert drop["ci95"][0] <= drop["mean"] <= drop["ci95"][1]
    curve = next(r for r in rows if r["method"] == "sidelight" and r["metric"] == "deletion_auc")
    assert curve["n"] == 8
    text = (fitted_run / "results.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text


def test_evaluate_keeps_a_value_per_sample(fitted_run: Path) -> None:
    scores = pd.read_parquet(fitted_run / "scores.parquet")
    assert {"sample", "modality", "method", "fill", "metric", "value", "seed"} <= set(scores)
    results = json.loads((fitted_run / "results.json").read_text())["rows"]
    keys = ["method", "reduction", "fill", "granularity", "metric"]
    scores[keys] = scores[keys].astype(str)
    for row in results[:: max(1, len(results) // 10)]:
        part = scores[np.logical_and.reduce([scores[k] == str(row[k]) for k in keys])]
        mean = part.dropna(subset=["value"]).groupby("sample")["value"].mean().mean()
        assert row["mean"] == pytest.approx(mean, abs=1e-5)
    assert set(scores[scores.method == "sidelight"].seed) == {0, 1}
    assert scores[scores.method == "saliency"].seed.isna().all()


def test_evaluate_table_names_methods_and_metrics(fitted_run: Path) -> None:
    table = (fitted_run / "table.md").read_text()
    for word in ("sidelight", "Saliency", "|"):
        assert word.lower() in table.lower()


def test_evaluate_again_measures_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, "sidelight.lab.evaluation.loop.evaluate_batch")
    before = (run / "results.json").read_text()
    result = sidelight("evaluate", run, "--json", tmp_path / "rows.json")
    assert result.code == 0, result.err
    assert (run / "results.json").read_text() == before
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert all(set(r) >= ROW for r in rows)
    assert len(rows) == len(json.loads(before)["rows"])
    assert "sidelight" in result.out


def test_evaluate_continues_after_a_kill(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (run / "results.json").read_text()
    victims = sorted((run / "evaluation").rglob("part-00001.parquet"))
    assert victims
    victims[0].unlink()
    (run / "results.json").unlink()
    assert sidelight("evaluate", run).code == 0
    now = json.loads((run / "results.json").read_text())["rows"]
    for a, b in zip(now, json.loads(before)["rows"], strict=True):
        assert a["mean"] == pytest.approx(b["mean"], abs=1e-6)


def test_evaluate_with_other_settings_keeps_what_was_measured(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, results = (run / "config.yaml").read_text(), (run / "results.json").read_text()
    refused = sidelight("evaluate", run, "--set", "evaluation.steps=2")
    assert refused.code == 2
    assert "another evaluation" in refused.err
    assert (run / "config.yaml").read_text() == config
    assert (run / "results.json").read_text() == results
    forbid(monkeypatch, "sidelight.lab.evaluation.loop.evaluate_batch")
    assert sidelight("evaluate", run).code == 0


def test_evaluate_with_an_override_on_a_fresh_run(run: Path) -> None:
    shutil.rmtree(run / "evaluation")
    result = sidelight("evaluate", run, "--set", "evaluation.count=4", "--set", "evaluation.rivals=[random]")
    assert result.code == 0, result.err
    assert "count: 4" in (run / "config.yaml").read_text()
    assert {r["method"] for r in json.loads((run / "results.json").read_text())["rows"]} == {
        "sidelight",
        "random",
    }


def test_evaluate_refuses_to_change_the_target(run: Path) -> None:
    text = (run / "config.yaml").read_text()
    result = sidelight("evaluate", run, "--set", "data.seed=3")
    assert result.code == 2
    assert (run / "config.yaml").read_text() == text


# -- report, explain ---------------------------------------------------------------------


def test_report_is_one_page(fitted_run: Path, run: Path) -> None:
    result = sidelight("report", run)
    assert result.code == 0, result.err
    page = (run / "report.html").read_text()
    assert "micro" in page
    assert 'src="http' not in page
    assert page.rstrip().endswith("</html>")


def test_report_before_evaluate(run: Path) -> None:
    (run / "results.json").unlink()
    result = sidelight("report", run)
    assert result.code == 2
    assert "results.json" in result.err


def test_explain_writes_picture_and_data(fitted_run: Path, pictures: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "maps"
    result = sidelight("explain", fitted_run, *pictures, "--out", out, "--json", tmp_path / "rows.json")
    assert result.code == 0, result.err
    for path in pictures:
        assert Image.open(out / f"{path.stem}.png").size[0] > 100
        found = Explanation.load(out / f"{path.stem}.json")
        assert found.map.shape == (40, 40)
        assert f"{found.probability:.1%}" in result.out
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [r["input"] for r in rows] == [str(p) for p in pictures]
    assert {"label", "probability", "picture", "data"} <= set(rows[0])


def test_explain_keeps_files_of_one_name_apart(
    fitted_run: Path, pictures: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    twin = Path(shutil.copy(pictures[1], tmp_path / "other" / pictures[0].name))
    assert sidelight("explain", fitted_run, pictures[0], twin, "--out", tmp_path / "maps").code == 0
    assert len(list((tmp_path / "maps").glob("*.json"))) == 2


def test_explain_with_a_scorer_folder(fitted_run: Path, pictures: list[Path], tmp_path: Path) -> None:
    scorer = fitted_run / "scorer-0" / "scorer"
    result = sidelight("explain", scorer, pictures[0], "--out", tmp_path / "maps")
    assert result.code == 0, result.err
    assert sidelight("explain", fitted_run, pictures[0], "--out", tmp_path / "run-maps").code == 0
    a, b = (Explanation.load(tmp_path / f / f"{pictures[0].stem}.json").map for f in ("maps", "run-maps"))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["none.png", "text.png"])
def test_explain_a_file_that_is_no_picture(name: str, fitted_run: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    result = sidelight("explain", fitted_run, tmp_path / name, "--out", tmp_path / "maps")
    assert result.code == 2
    assert name in result.err.replace("\n", "")
    assert "Traceback" not in result.err


# -- list, speed, demo -------------------------------------------------------------------


def test_list_names_everything(tmp_path: Path) -> None:
    result = sidelight("list", "--json", tmp_path / "names.json")
    assert result.code == 0
    rows = json.loads((tmp_path / "names.json").read_text())
    found = {(r["kind"], r["name"]) for r in rows}
    for expected in (
        ("target family", "image"),
        ("rival", "integrated_gradients"),
        ("metric", "deletion_auc"),
        ("image fill", "blur"),
        ("calibration", "bounded"),
        ("check", "encoding"),
        ("data set", "digits"),
    ):
        assert expected in found
        assert expected[1] in result.out
    assert all(r["about"] for r in rows)


SPEED_COLUMNS = {"method", "batch", "classify_ms", "explain_ms", "ratio", "peak_mb"}


def test_speed_of_a_model_folder(fitted_run: Path, tmp_path: Path) -> None:
    result = sidelight(
        *("speed", "--model", fitted_run / "target", "--rival", "none", "--batch", 1, "--batch", 2),
        *("--repeats", 2, "--json", tmp_path / "speed.json"),
    )
    assert result.code == 0, result.err
    rows = json.loads((tmp_path / "speed.json").read_text())
    assert [(r["method"], r["batch"]) for r in rows] == [("sidelight", 1), ("sidelight", 2)]
    for row in rows:
        assert set(row) >= SPEED_COLUMNS
        assert row["classify_ms"] > 0
        assert row["explain_ms"] > 0


def test_speed_of_a_run_with_a_rival(fitted_run: Path, tmp_path: Path) -> None:
    result = sidelight(
        *("speed", fitted_run, "--rival", "saliency", "--batch", 1, "--repeats", 1),
        *("--json", tmp_path / "speed.json"),
    )
    assert result.code == 0, result.err
    ours, saliency = json.loads((tmp_path / "speed.json").read_text())
    assert (ours["method"], saliency["method"]) == ("sidelight", "saliency")
    assert "break_even" not in ours
    assert saliency["break_even"] is None or saliency["break_even"] > 0
    assert "paid for after" in result.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model", "./no-such-model"), "no-such-model"),
        (("--batch", "0"), "batch"),
        (("--repeats", "0"), "repeats"),
        (("--rival", "saliensy"), "Did you mean 'saliency'"),
    ],
)
def test_speed_refuses(words: tuple[str, ...], message: str, fitted_run: Path) -> None:
    model = () if "--model" in words else ("--model", fitted_run / "target", "--rival", "none")
    result = sidelight("speed", *model, *words)
    assert result.code == 2
    assert message in result.err.replace("\n", " ")
    assert "Traceback" not in result.err


DEMO_IN_SMALL = {
    "data.train": 64,
    "data.validation": 16,
    "data.test": 12,
    "target.training.epochs": 1,
    "training.epochs": 1,
    "training.on_collapse": "warn",
    "evaluation.count": 6,
    "evaluation.curve_count": 3,
    "evaluation.fills": "[zero]",
    "evaluation.rivals": "[saliency, random]",
    "evaluation.few_samples": "[]",
    "evaluation.steps": 2,
    "report.methods": "[saliency]",
    "report.samples": 2,
    "report.speed": "false",
}


def demo(out: Path, *words: object, **changes: object) -> Result:
    sets = {**DEMO_IN_SMALL, **{k.replace("__", "."): v for k, v in changes.items()}}
    return sidelight(
        "demo", "--out", out, *words, *(w for k, v in sets.items() for w in ("--set", f"{k}={v}"))
    )


@pytest.mark.slow
def test_demo_in_small(tmp_path: Path) -> None:
    """Two parts in processes of their own, of which one fails; then the rest in this one, and the page of both."""
    words = ("--part", "digits", "--part", "planted_text", "--json", tmp_path / "rows.json")
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "planted_text").write_text("no folder can be made here")
    result = demo(tmp_path / "demo", *words, "--jobs", 2)
    assert result.code != 0
    assert "'planted_text' of the demo failed: could not write" in result.err.replace("\n", " ")
    assert "planted_text.log" in result.err
    assert "Traceback" not in result.err
    assert "Traceback" in (tmp_path / "demo" / "planted_text.log").read_text()
    assert not (tmp_path / "demo" / "report.html").exists()
    log = (tmp_path / "demo" / "digits.log").read_text()
    assert "digits: done" in log  # the other part was not stopped
    assert "classifier loss" in log  # what training says is kept there
    (tmp_path / "demo" / "planted_text").unlink()
    result = demo(tmp_path / "demo", *words, "--jobs", 1)
    assert result.code == 0, result.err + result.out
    assert (tmp_path / "demo" / "report.html").is_file()
    for part in ("digits", "planted_text"):
        assert list((tmp_path / "demo" / "explanations").glob(f"{part}-*.png"))
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert all(set(r) >= ROW for r in rows)
    assert {r["dataset"] for r in rows} == {"digits", "planted_text"}


@pytest.mark.slow
def test_demo_of_scenes_in_small(tmp_path: Path) -> None:
    warmup = {
        f"target__fusion__image__warmup__{k}": v for k, v in (("data__train", 64), ("training__epochs", 1))
    }
    result = demo(tmp_path / "demo", "--part", "scenes", **warmup)
    assert result.code == 0, result.err + result.out
    assert list((tmp_path / "demo" / "explanations").glob("scenes-*.png"))
    results = json.loads((tmp_path / "demo" / "scenes" / "results.json").read_text())
    assert results["modality_share"]["right_n"] == 6
    assert {r["modality"] for r in results["rows"]} == {"image+text", "image", "text"}


def test_demo_without_such_a_part(tmp_path: Path) -> None:
    result = demo(tmp_path / "demo", "--part", "digit")
    assert result.code == 2
    assert "Did you mean 'digits'?" in result.err
    assert not (tmp_path / "demo").exists()


# -- refusals of the command line --------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", "Did you mean 'epochs'"),
        ("objectiv.label=data", "Did you mean 'objective'"),
        ("scorer.chanels=[8]", "Did you mean 'channels'"),
        ("objective.label=datta", "'data', 'prediction' or 'distribution'"),
        ("training.batch_size=many", "training.batch_size"),
        ("training.epochs=-1", "epochs"),
        ("data.name=digitz", "Did you mean 'digits'"),
        ("no-equals-sign", "section.key=value"),
    ],
)
def test_wrong_configuration_exits_with_2(override: str, message: str, tmp_path: Path) -> None:
    result = sidelight("fit", write_config(tmp_path), "--out", tmp_path / "run", "--set", override)
    assert result.code == 2
    assert message in result.err.replace("\n", " ")
    assert "Traceback" not in result.err
    assert not (tmp_path / "run" / "target").exists()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({}, "exactly one of pretrained, architecture, convert"),
        ({**TARGET, "pretrained": "x"}, "exactly one"),
        ({**TARGET, "architecture": {"model_type": "resnett"}}, "Did you mean 'resnet'"),
        ({**TARGET, "architecture": {**TARGET["architecture"], "depth": [1]}}, "Did you mean 'depths'"),
        ({**TARGET, "transform": {"sise": [40, 40]}}, "sise"),
        ({k: v for k, v in TARGET.items() if k != "transform"}, "transform"),
        ({"convert": {"format": "torchvision_mobilenet_v2", "weights": "none.pth"}}, "none.pth"),
        ({"convert": {"format": "torchvision_mobilenet_v2", "weights": "no_such_pkg:a.pth"}}, "pip install"),
    ],
)
def test_wrong_target_exits_with_2(target: dict[str, Any], message: str, tmp_path: Path) -> None:
    result = sidelight("fit", write_config(tmp_path, target=target), "--out", tmp_path / "run")
    assert result.code == 2, result.err
    assert message in result.err.replace("\n", " ")
    assert "Traceback" not in result.err


@pytest.mark.parametrize("words", [("evaluate",), ("report",)])
def test_a_folder_that_is_no_run(words: tuple[str, ...], tmp_path: Path) -> None:
    result = sidelight(*words, tmp_path)
    assert result.code == 2
    assert "no config.yaml" in result.err.replace("\n", " ")


def test_explain_with_neither_run_nor_scorer(tmp_path: Path) -> None:
    result = sidelight("explain", tmp_path, "x.png")
    assert result.code == 2
    assert "config.json" in result.err.replace("\n", "")


def test_missing_config_file(tmp_path: Path) -> None:
    result = sidelight("fit", tmp_path / "none.yaml")
    assert result.code == 2
    assert "none.yaml" in result.err.replace("\n", "")


def test_unknown_command() -> None:
    result = sidelight("fitt")
    assert result.code == 2
    assert "fitt" in result.err


def test_version() -> None:
    import sidelight as package

    assert sidelight("--version").out.strip() == f"sidelight {package.__version__}"


def test_python_dash_m_is_the_command() -> None:
    import sidelight as package

    done = subprocess.run([sys.executable, "-m", "sidelight", "--version"], capture_output=True, text=True)
    assert done.stdout.strip() == f"sidelight {package.__version__}"


HELP = """
import sys, time
from sidelight.cli import main
sys.argv = ["sidelight", *sys.argv[1:]]
try:
    main()
except SystemExit as leave:
    assert not leave.code, leave.code
heavy = {"torch", "transformers", "pandas", "matplotlib", "datasets"} & set(sys.modules)
assert not heavy, heavy
print("cpu seconds", time.process_time())
"""


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("fit", "--help"),
        ("speed", "--help"),
        ("audit", "--help"),
        ("export-maps", "--help"),
        ("--version",),
    ],
)
def test_help_is_instant(words: tuple[str, ...]) -> None:
    """Nothing heavy is imported; processor time, since the machine may be busy with other things."""
    found = subprocess.run(
        [sys.executable, "-c", HELP, *words], capture_output=True, text=True, timeout=120, check=True
    )
    assert float(found.stdout.split()[-1]) < 1.5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--rival", "saliency"], "no baseline methods"),
        (["my-run"], "my-run"),
        (["vit-b16", "--model", "minilm-l6"], "one classifier"),
    ],
)
def test_the_zoo_refuses_what_it_would_ignore(given: list[str], said: str) -> None:
    result = sidelight("speed", "--zoo", *given)
    assert result.code == 2
    assert said in result.out + result.err


def test_a_paragraph_of_help_is_broken_where_the_terminal_is_full() -> None:
    """It was broken where the lines of our code end, too, so that a narrow terminal had lines of two words."""
    told = sidelight("explain", "--help").out  # of a terminal that is wide enough
    paragraph = told[told.index("An input gives") : told.index("If a row")].strip()
    assert len(paragraph.splitlines()) == 1


def test_arguments_have_the_names_that_the_help_speaks_of() -> None:
    """It spoke of INPUTS where the line of usage had [inputs], and marked repeated ones twice: {RUN...}..."""
    found: dict[str, list[str]] = {}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        found[name] = [p.metavar or "" for p in command.params if p.param_type_name == "argument"]
    assert {mark for marks in found.values() for mark in marks} == {
        "CONFIG",
        "FOLDER",
        "INPUT",
        "INPUTS",
        "RUN",
    }
    assert found["explain"] == ["FOLDER", "INPUTS"]
