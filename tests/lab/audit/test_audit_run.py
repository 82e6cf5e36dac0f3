"""A whole audit of a small run: what it writes, what it does not do twice, and what it refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sidelight.errors import ConfigError, InputError, UnknownNameError
from sidelight.lab.audit import CHECKS, run_audit
from sidelight.lab.audit.retraining import Relabelled, shuffled_labels
from sidelight.lab.config.sections import RunConfig
from sidelight.lab.runs.run import Run
from sidelight.targets.base import fingerprint
from tiny_runs import IMAGE, TEXT, tiny_run

AUDIT = {
    "count": 4,
    "count_wide": 8,
    "steps": 2,
    "train": 12,
    "draws": 2,
    "areas": [0.1, 0.5],
    "labels": True,
    "rivals": ["integrated_gradients", "random"],
}


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every check answered, and another run beside it; not to be changed."""
    folder = tmp_path_factory.mktemp("audit")
    run = tiny_run(folder / "run", audit=AUDIT)
    mark = fingerprint(run.open_target().model)
    found = run_audit(run, other=tiny_run(folder / "other", seed=3))
    assert set(found) == set(CHECKS)
    assert fingerprint(run.open_target().model) == mark
    return folder


def opened(audited: Path, folder: Path, **audit: object) -> Run:
    """A copy of the audited run with other settings of its audit."""
    run = Run.open(shutil.copytree(audited / "run", folder / "run"))
    section = run.config.audit.model_copy(update=audit)
    return Run.create(run.folder, run.config.model_copy(update={"audit": section}))


def test_every_check_leaves_numbers_tables_and_pictures(audited: Path) -> None:
    folder = audited / "run" / "audit"
    page = (folder / "audit.md").read_text()
    for name, check in CHECKS.items():
        text = (folder / f"{name}.json").read_text()
        assert "NaN" not in text
        assert "Infinity" not in text
        found = json.loads(text)
        assert found["rows"]
        assert {r["method"] for r in found["rows"]} >= {"sidelight"}
        assert check.title in page
        assert check.question in page
        for table in check.tables(found):
            assert table.title in page
            assert all(len(line.cells) == len(table.columns) for line in table.lines)
        pictures = list(folder.glob(f"{name}-*.png"))
        assert pictures
        assert all(f"({p.name})" in page for p in pictures)
    assert not list(folder.glob("*/checkpoint-*"))


def test_what_the_checks_say(audited: Path) -> None:
    rows = {n: json.loads((audited / "run" / "audit" / f"{n}.json").read_text())["rows"] for n in CHECKS}
    random = [r for n in ("parameters", "stability") for r in rows[n] if r["method"] == "random"]
    assert all(r["mean"] == pytest.approx(1) for r in random if r["metric"] == "spearman")
    # the head's step leaves a scorer alone, which reads states below it
    last = max(r["step"] for r in rows["parameters"])
    ours = {
        r["step"]: r["mean"]
        for r in rows["parameters"]
        if (r["method"], r["metric"]) == ("sidelight", "spearman")
    }
    assert ours[0] == pytest.approx(1)
    assert ours[last] < 0.9
    assert {(r["comparison"], r["method"]) for r in rows["retraining"]} == {
        ("control", "sidelight"),
        ("randomised", "sidelight"),
        ("labels", "sidelight"),
        ("labels", "integrated_gradients"),
        ("labels", "random"),
    }
    judges = {(r["judge"], r["mask"]) for r in rows["encoding"]}
    masks = ("map", "map, shuffled", "10%", "50%")
    assert judges == {(j, m) for j in ("target", "independent", "other") for m in masks}
    # the target agrees with itself by definition, where it keeps its own prediction
    for r in rows["encoding"]:
        assert 0 <= r["mean"] <= 1
    own = [r for r in rows["encoding"] if r["judge"] == "target"]
    kept = {
        tuple(v for k, v in r.items() if k not in ("metric", "mean", "sd")): r["mean"]
        for r in own
        if r["metric"] == "kept"
    }
    for r in own:
        if r["metric"] == "agreement":
            key = tuple(v for k, v in r.items() if k not in ("metric", "mean", "sd"))
            assert kept[key] == r["mean"]


def test_nothing_is_asked_twice_and_only_what_changed_is_asked_again(
    audited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name, check in list(CHECKS.items()):

        def measure(subject: object, name: str = name) -> dict:
            asked.append(name)
            return json.loads((audited / "run" / "audit" / f"{name}.json").read_text())

        measure.__module__ = check.measure.__module__  # it stands for the library's own
        monkeypatch.setitem(CHECKS._entries, name, replace(check, measure=measure))
    monkeypatch.setattr("sidelight.lab.audit.run.write_page", lambda *_: None)
    run, other = opened(audited, tmp_path), Run.open(audited / "other")
    run_audit(run, other=other)
    assert asked == []
    (run.folder / "audit" / "classes.json").unlink()
    run_audit(run, other=other)
    assert asked == ["classes"]
    run_audit(Run.create(run.folder, changed(run.config, draws=1)), other=other)
    assert asked == ["classes", "stability"]
    run_audit(Run.create(run.folder, changed(run.config, draws=1)), ["encoding"])  # without the other run
    assert asked == ["classes", "stability", "encoding"]


def changed(config: RunConfig, **audit: object) -> RunConfig:
    return config.model_copy(update={"audit": config.audit.model_copy(update=audit)})


def test_what_was_trained_serves_other_questions(
    audited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    for place in ("encoding.train_classifier", "retraining.train_classifier", "retraining.Explainer.fit"):
        monkeypatch.setattr(f"sidelight.lab.audit.{place}", refuse)
    before = json.loads((audited / "run" / "audit" / "retraining.json").read_text())
    run = opened(audited, tmp_path, top_share=0.3, count_wide=4, rivals=["random"])
    found = run_audit(run, ["retraining", "encoding"])
    assert found["retraining"]["facts"] == before["facts"]
    spearman = [
        {(r["comparison"], r["method"]): r["mean"] for r in f["rows"] if r["metric"] == "spearman"}
        for f in (before, found["retraining"])
    ]
    for key, value in spearman[1].items():
        assert value == pytest.approx(spearman[0][key], abs=1e-5)


def test_texts_are_audited_too(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", TEXT, audit={**AUDIT, "labels": False})
    found = run_audit(run, ["parameters", "stability", "classes"])
    assert {r["metric"] for r in found["parameters"]["rows"]} == {"spearman", "top_k"}
    assert all(r["auprc_own"] is not None for r in found["classes"]["rows"])


def test_refusals(audited: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'stability'"):
        run_audit(Run.open(audited / "run"), ["stabilty"])
    values = {**IMAGE, "target": {k: v for k, v in IMAGE["target"].items() if k != "training"}}
    run = tiny_run(tmp_path / "untrained", values, audit={**AUDIT, "count": 2})
    for name, message in (("encoding", r"audit\.classifier"), ("retraining", r"audit\.labels")):
        with pytest.raises(ConfigError, match=message):
            run_audit(run, [name])
    assert not (run.folder / "audit").exists()
    words = tiny_run(tmp_path / "words", TEXT)
    run = opened(audited, tmp_path, fills=["mean"])
    with pytest.raises(InputError, match="another run's target reads text"):
        run_audit(run, ["encoding"], words)


def test_shuffled_labels_are_a_permutation() -> None:
    rows = [{"image": i, "label": i % 3} for i in range(30)]
    found = shuffled_labels(rows, 0)
    labels = [found[i]["label"] for i in range(len(found))]
    assert sorted(labels) == sorted(r["label"] for r in rows)
    assert labels != [r["label"] for r in rows]
    assert [found[i]["image"] for i in range(30)] == list(range(30))
    assert Relabelled([("a", 1), ("b", 0)], [0, 1])[1] == ("b", 1)
