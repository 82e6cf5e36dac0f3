"""Presets of the objective: what a name stands for, and what settings saved before there were presets are."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sidelight import ObjectiveConfig, ScorerConfig
from sidelight.errors import ConfigError
from sidelight.training.fit_options import as_setting, for_objective, split_options
from sidelight.training.identity import differences
from sidelight.training.presets import DEFAULT_PRESET, PRESETS, objective_of
from sidelight.training.settings import NEW

#: an objective as the version before presets saved it
SAVED = {
    "calibration": "bounded",
    "label": "prediction",
    "fills": ["zero"],
    "magnitude_weight": 1.0,
    "binary_weight": 1.0,
    "complement_weight": 0.0,
    "solo": True,
    "coalition_weight": 0.0,
    "coalition_draws": 4,
    "coalition_unit": 0.125,
    "coalition_modalities": [],
    "coalition_focus": False,
    "order_weight": 0.0,
}


def test_the_thesis_is_the_settings_own_defaults() -> None:
    assert objective_of("thesis") == ObjectiveConfig()
    assert ObjectiveConfig().preset == "thesis"
    assert all(
        getattr(ObjectiveConfig(), k, None) == v
        for k, v in NEW.items()
        if k not in ("by_class", "standardise", "ranked", "budget", "effect_unit")
    )


def test_no_name_is_the_default_preset() -> None:
    assert DEFAULT_PRESET == "robust"
    for given in (None, {}, "robust", {"preset": "robust"}):
        found = objective_of(given)
        assert found.preset == "robust"
        assert {k: getattr(found, k) for k in PRESETS["robust"]} == PRESETS["robust"]


def test_fields_that_are_given_win() -> None:
    found = objective_of({"preset": "robust", "rank_draws": 5, "label": "data"})
    assert (found.rank_draws, found.label, found.fills) == (5, "data", ("varied",))
    own = ObjectiveConfig(rank_weight=0.5)
    assert objective_of(own) is own


@pytest.mark.parametrize("modalities", [["image"], ["text"], ["image", "text"]])
def test_several_modalities_get_more_of_the_coalition_term(modalities: list[str]) -> None:
    found = objective_of("robust").for_modalities(modalities)
    several = len(modalities) > 1
    assert (found.coalition_weight, found.coalition_draws, found.coalition_focus) == (
        (10.0, 4, True) if several else (0.1, 1, False)
    )
    assert (found.slope_weight, found.empty_weight) == (1.0, 0.1 if several else 0.0)
    # everything else, and the objective of the thesis, is the same for all
    left = dataclasses.replace(
        found,
        coalition_weight=None,
        coalition_draws=None,
        coalition_focus=None,
        slope_weight=None,
        empty_weight=None,
    )
    assert left == objective_of("robust")
    assert objective_of("thesis").for_modalities(modalities) == objective_of("thesis")
    # a training that goes on keeps its terms, also without those that its version did not have
    begun = {"coalition_weight": 3.0, "coalition_draws": 2, "coalition_focus": False}
    goes_on = objective_of("robust").for_modalities(modalities, begun)
    assert (goes_on.coalition_weight, goes_on.coalition_draws) == (3.0, 2)
    assert (goes_on.slope_weight, goes_on.empty_weight) == (0.0, 0.0)
    own = objective_of({"coalition_weight": 0.0, "coalition_focus": False, "slope_weight": 0.0})
    told = own.for_modalities(modalities)
    assert (told.coalition_weight, told.coalition_focus) == (0.0, False)
    assert not own.teaches_effects(modalities)
    assert objective_of("robust").teaches_effects(modalities)


def test_an_objective_of_a_version_without_presets_is_the_thesiss() -> None:
    found = objective_of(SAVED)
    assert found == ObjectiveConfig(label="prediction")
    kept = {k: v for k, v in SAVED.items() if k not in ("complement_weight", "order_weight")}
    assert objective_of(kept).preset == "thesis"
    # a saved objective of today names its preset
    for name in PRESETS:
        assert objective_of(dataclasses.asdict(objective_of(name))) == objective_of(name)


@pytest.mark.parametrize("given", ["robst", {"preset": "robst"}, {"preset": None}, {"preset": ["thesis"]}])
def test_unknown_presets_are_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"no preset .*Presets: thesis, robust"):
        objective_of(given)
    with pytest.raises(ConfigError, match="no preset"):
        as_setting("objective", ObjectiveConfig, given)


def test_arguments_of_fit() -> None:
    for given, options, name, by_class in (
        (None, {}, "robust", True),
        ("thesis", {"label": "prediction"}, "thesis", False),
        ({"rank_draws": 1}, {}, "robust", True),
        (ObjectiveConfig(), {}, "thesis", False),
        ("thesis", {"by_class": True, "other_classes": 0.5}, "thesis", True),
        ("robust", {"by_class": False, "other_classes": 0.0}, "robust", False),
    ):
        (scorer, objective, _), rest = split_options(options, {"objective": given})
        assert (objective.preset, scorer.by_class, rest) == (name, by_class, {})
    assert split_options({"rank_draws": 1}, {})[0][1].rank_draws == 1
    for given in (3, ["thesis"]):
        with pytest.raises(ConfigError, match=r"preset \(thesis, robust\)"):
            split_options({}, {"objective": given})
    with pytest.raises(ConfigError, match="scorer must be a ScorerConfig or a mapping"):
        split_options({}, {"scorer": "robust"})


def test_a_preset_among_the_fields_is_a_preset() -> None:
    for name in PRESETS:
        objective = split_options({"preset": name}, {})[0][1]
        assert objective == objective_of(name)
    with pytest.raises(ConfigError, match="objective and preset are two names for one thing"):
        split_options({"preset": "thesis"}, {"objective": {"rank_draws": 1}})


def test_a_scorer_that_says_whether_it_knows_classes_is_left_alone() -> None:
    robust, thesis = objective_of("robust"), ObjectiveConfig()
    assert for_objective(ScorerConfig(by_class=False), robust).by_class is False
    assert for_objective(ScorerConfig(by_class=True), thesis).by_class is True
    assert for_objective(ScorerConfig(), robust).by_class is True
    assert for_objective(ScorerConfig(), thesis).by_class is False


def test_a_training_begun_before_presets_is_the_same_as_one_of_the_thesis() -> None:
    rows = {"rows": 4, "digest": "d"}
    common = {"format": "sidelight.training", "version": 2, "target": "t", "train": rows, "eval": rows}
    scorer = ScorerConfig().to_dict()
    found = {**common, "objective": SAVED, "scorer": {k: v for k, v in scorer.items() if k != "by_class"}}

    def asked(objective: ObjectiveConfig, by_class: bool) -> list[str]:
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(objective).items()}
        return differences(found, {**common, "objective": values, "scorer": {**scorer, "by_class": by_class}})

    assert asked(ObjectiveConfig(label="prediction"), False) == []
    said = asked(objective_of("robust"), True)
    for name in ("preset", "rank_weight", "other_classes", "fills", "by_class"):
        assert any(words.startswith(f"{name} (") for words in said), name
