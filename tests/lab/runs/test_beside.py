"""Further kinds of scorers beside one target: trained, measured and named apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidelight.core.names import is_ours
from sidelight.errors import ConfigError
from sidelight.lab.config.files import dump_config, parse_config
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.runs.run import Run
from tiny_runs import IMAGE

VALUES: dict[str, Any] = {
    **IMAGE,
    "beside": {"thesis": {"objective": "thesis", "training": {**IMAGE["training"], "epochs": 2}}},
    "evaluation": {
        **IMAGE["evaluation"],
        "curve_count": 8,
        "metrics": ["average_drop", "deletion_auc", "flip_share"],
        "rivals": ["random"],
    },
}


def test_kinds_are_trained_measured_and_named_apart(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", parse_config(VALUES))
    facts = run.fit()
    assert set(facts["scorers"]) == {"0", "thesis-0"}
    assert run.unfitted() == []
    ours, thesis = run.explainer().scorer, run.explainer(kind="thesis").scorer
    assert (ours.config.by_class, thesis.config.by_class) == (True, False)
    rows = evaluate_run(run)["rows"]
    names = {row["method"] for row in rows}
    assert names == {"sidelight", "sidelight (thesis)", "random"}
    assert {name for name in names if is_ours(name)} == {"sidelight", "sidelight (thesis)"}
    assert {row["metric"] for row in rows} == {"average_drop", "deletion_auc", "flip_share"}
    # the same run again trains and measures nothing
    assert Run.open(run.folder).unfitted() == []


def test_a_kind_survives_the_configuration(tmp_path: Path) -> None:
    config = parse_config(VALUES)
    text = dump_config(config)
    path = tmp_path / "config.yaml"
    path.write_text(text)
    from sidelight.lab.config.files import load_config

    assert load_config(path) == config
    assert config.beside["thesis"].objective.preset == "thesis"
    assert config.objective.preset == "robust"


@pytest.mark.parametrize("name", ["", "With Space", "../up", "a-b", "0"])
def test_names_of_kinds_are_words(name: str) -> None:
    with pytest.raises(ConfigError, match="beside"):
        parse_config({**VALUES, "beside": {name: {"objective": "thesis"}}})
