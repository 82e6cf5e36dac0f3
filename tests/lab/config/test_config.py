"""Configs: every key known, overrides in their place, what is written reads back equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidelight.core.registry import Registry, nearest
from sidelight.errors import ConfigError, UnknownNameError
from sidelight.lab.config.files import apply_overrides, dump_config, load_config, parse_config
from sidelight.training.presets import objective_of
from sidelight.training.settings import ObjectiveConfig

BASE: dict[str, Any] = {"data": {"name": "digits"}, "target": {"pretrained": "somewhere"}}
FULL = """
name: everything
seeds: [0, 1, 2]
data: {name: mnist, train: 1000, seed: 3}
target:
  architecture: {model_type: vit, hidden_size: 64, image_size: [28, 28]}
  transform: {size: [28, 28], mode: L, mean: [0.5], std: [0.5]}
  training: {epochs: 2.5, learning_rate: 1e-3, extra: {max_grad_norm: 1.0}}
  convert: {format: torchvision_mobilenet_v2, weights: "a.pt", classes: [0, 217]}
scorer: {channels: [64, 32], rescale: false}
objective: {calibration: literal, fills: [zero, blur], complement_weight: 0.5}
training: {learning_rate: 3e-4, patience: 0, extra: {bf16: false}}
evaluation:
  rivals: [saliency, {integrated_gradients: {steps: 50}}]
  metrics: [deletion]
report: {samples: 3}
ablation:
  seeds: [4]
  variants: {full: , a: [scorer.relu=false], b: {objective.fills: [zero, blur]}}
  fills: [zero]
"""


def test_a_written_config_reads_back_equal(tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text(FULL)
    for overrides in ([], ["objective.fills=[noise]", "training.seed=7"]):
        config = load_config(tmp_path / "in.yaml", overrides)
        (tmp_path / "out.yaml").write_text(dump_config(config))
        assert load_config(tmp_path / "out.yaml") == config
    assert config.target.training is not None
    assert config.target.training.learning_rate == pytest.approx(1e-3)
    assert config.objective.complement_weight == 0.5
    assert config.scorer.decoder_options(["image"]) == {"image": {"channels": [64, 32]}}


def test_options_of_earlier_versions_are_left_out_of_old_runs_and_refused_with_another_value() -> None:
    old = {**BASE, "target": {**BASE["target"], "training": {"label_smoothing": 0.0}}}
    new = {**BASE, "target": {**BASE["target"], "training": {}}}
    assert parse_config({**old, "evaluation": {"tie_draws": 1}}) == parse_config(new)
    for override, found in (
        ("target.training.label_smoothing=0.1", r"target\.training\.label_smoothing was removed.*got 0\.1"),
        ("evaluation.tie_draws=5", r"evaluation\.tie_draws was removed.*as with 1; got 5"),
        ("scorer.tie_draws=5", r"unknown config key 'scorer\.tie_draws'"),
    ):
        with pytest.raises(ConfigError, match=found):
            parse_config(old, [override])


def test_defaults_read_back_equal_too() -> None:
    import yaml

    config = parse_config(BASE)
    assert parse_config(yaml.safe_load(dump_config(config))) == config
    assert config.objective == objective_of("robust")
    assert config.seeds == [0]


def test_an_objective_may_be_the_name_of_a_preset() -> None:
    for values, overrides in (
        ({**BASE, "objective": "thesis"}, []),
        ({**BASE, "objective": {"preset": "thesis"}}, []),
        (BASE, ["objective=thesis"]),
        (BASE, ["objective.preset=thesis"]),
    ):
        assert parse_config(values, overrides).objective == ObjectiveConfig()
        changed = parse_config(values, [*overrides, "objective.calibration=fixed"])
        assert changed.objective == ObjectiveConfig(calibration="fixed")
    with pytest.raises(ConfigError, match=r"no preset 'thesi'.*Did you mean 'thesis'"):
        parse_config(BASE, ["objective=thesi"])
    with pytest.raises(ConfigError, match="no preset"):
        parse_config(BASE, ["objective.preset=[thesis]"])


@pytest.mark.parametrize(
    ("override", "key", "hint"),
    [
        ("scorerr.relu=false", "scorerr", "scorer"),
        ("scorer.chanels=[8]", "scorer.chanels", "channels"),
        ("data.nam=mnist", "data.nam", "name"),
        ("target.training.epoch=3", "target.training.epoch", "epochs"),
        ("target.convert.weight=a", "target.convert.weight", "weights"),
        ("objective.calibrate=fixed", "objective.calibrate", "calibration"),
        ("training.learningrate=1", "training.learningrate", "learning_rate"),
        ("evaluation.fill=[zero]", "evaluation.fill", "fills"),
        ("report.sample=3", "report.sample", "samples"),
        ("ablation.varants={}", "ablation.varants", "variants"),
    ],
)
def test_unknown_keys_are_refused_at_every_depth(override: str, key: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(BASE, [override])
    assert f"unknown config key {key!r}" in str(caught.value)
    assert f"Did you mean {hint!r}?" in str(caught.value)


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ("seeds=many", "seeds"),
        ("seeds=[0, x]", "seeds.1"),
        ("data=7", "data"),
        ("data.train=all", "data.train"),
        ("scorer.relu=perhaps", "scorer.relu"),
        ("scorer.channels=8", "scorer.channels"),
        ("target.architecture=vit", "target.architecture"),
        ("target.convert={format: other, weights: a}", "target.convert.format"),
        ("target.training=yes please", "target.training"),
        ("training.epochs=soon", "training.epochs"),
        ("training.epochs=0", "training"),
        ("objective.calibration=loose", "objective"),
        ("objective.fills=zero", "objective.fills"),
        ("objective.fills=[]", "objective"),
        ("evaluation.rivals=3", "evaluation.rivals"),
        ("evaluation.count=0", "evaluation.count"),
        ("evaluation.curve_count=0", "evaluation.curve_count"),
        ("evaluation.batch_size=0", "evaluation.batch_size"),
        ("evaluation.seed=-1", "evaluation.seed"),
        ("target.pretrained.name=x", "target.pretrained"),
        ("ablation.variants={a: 3}", "ablation.variants.a"),
        ("ablation.curve_count=0", "ablation.curve_count"),
    ],
)
def test_wrong_values_are_named_with_their_place(override: str, where: str) -> None:
    with pytest.raises(ConfigError, match=rf"config {where}") as caught:
        parse_config(BASE, [override])
    assert "got" in str(caught.value)


def test_missing_sections_and_bad_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="config data is required"):
        parse_config({"target": {}})
    with pytest.raises(ConfigError, match="no config file at"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="no config file at"):
        load_config(tmp_path)
    for text, message in [
        ("a: [1, 2", "not valid YAML"),
        ("data: {name: a}\n\tb: 3", "not valid YAML"),
        ("- just\n- a list", "must hold a mapping of sections; got list"),
        ("3", "must hold a mapping of sections; got int"),
        ("false", "must hold a mapping of sections; got bool"),
        ("!!python/object/apply:os.getcwd []", "not valid YAML"),
    ]:
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(ConfigError, match=message):
            load_config(tmp_path / "bad.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(tmp_path / "bad.yaml")


def test_overrides_are_yaml_in_their_place_and_leave_the_given_values_alone() -> None:
    given = {"a": {"b": 1, "c": (1, 2)}, "d": None}
    merged = apply_overrides(given, ["a.b=[1, x]", "d.e.f=1.5", "g=", "a.h=x=y"])
    assert merged["a"]["b"] == [1, "x"]
    assert list(merged["a"]["c"]) == [1, 2]
    assert merged["a"]["h"] == "x=y"
    assert merged["d"] == {"e": {"f": 1.5}}
    assert merged["g"] is None
    assert given == {"a": {"b": 1, "c": (1, 2)}, "d": None}
    assert apply_overrides({}, ["a=1", "a=2"]) == {"a": 2}


def test_overrides_may_be_a_mapping() -> None:
    values = {"a": {"b": 1}, "seeds": [1]}
    given = {"a.b": [2], "a.c": "x", "d.e": None}
    merged = apply_overrides(values, given)
    assert merged == {"a": {"b": [2], "c": "x"}, "d": {"e": None}, "seeds": [1]}
    merged["a"]["b"].append(3)
    assert given["a.b"] == [2]
    assert parse_config(BASE, {"scorer.relu": False}).scorer.relu is False
    with pytest.raises(ConfigError, match=r"section\.key=value; got 'a\.\.b'"):
        apply_overrides({}, {"a..b": 1})


@pytest.mark.parametrize("override", ["scorer.relu", "=3", " = 3", "a..b=1", ".a=1", "a.=1"])
def test_malformed_overrides_are_refused(override: str) -> None:
    with pytest.raises(ConfigError, match=r"must read section\.key=value"):
        apply_overrides(BASE, [override])
    with pytest.raises(ConfigError, match="not valid YAML"):
        apply_overrides(BASE, ["scorer.channels=[8"])


def test_python_values_may_be_given(tmp_path: Path) -> None:
    config = parse_config({**BASE, "target": {"architecture": {"path": tmp_path}}, "seeds": (4, 5)})
    assert config.seeds == [4, 5]


def test_registries_explain_what_they_hold() -> None:
    registry: Registry[int] = Registry("shape")
    assert registry.add("square", 4) == 4
    assert registry.register("line")(2) == 2
    assert "square" in registry
    assert list(registry) == ["square", "line"]
    assert len(registry) == 2
    assert dict(registry.items()) == {"square": 4, "line": 2}
    with pytest.raises(UnknownNameError) as caught:
        registry["squar"]
    assert str(caught.value) == "unknown shape 'squar'. Did you mean 'square'? Known: square, line."
    assert isinstance(caught.value, KeyError)
    with pytest.raises(ConfigError, match="registered already"):
        registry.add("square", 5)
    assert nearest("zzz", ["square"]) == ""
