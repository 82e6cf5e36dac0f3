"""Classifiers of one audit that count the same classes in another order: everything goes by the classes' names."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from sidelight.errors import InputError
from sidelight.lab.audit import encoding, run_audit
from sidelight.lab.audit.encoding import check_classifiers
from sidelight.lab.config.files import parse_config
from sidelight.lab.runs.labelled import same_classes
from sidelight.lab.runs.run import Run
from sidelight.targets import TargetModel
from sidelight.training.network import new_scorer
from tiny_runs import IMAGE, tiny_run

AUDIT = {"count_wide": 4, "areas": [0.5], "fills": ["zero"], "rivals": []}


def renamed(target: TargetModel, names: list[str]) -> TargetModel:
    """The same classifier with other names."""
    found = copy.deepcopy(target)
    found.model.config.id2label = dict(enumerate(names))  # type: ignore[union-attr]
    return found


def turned_round(run: Run, folder: Path) -> Run:
    """A fitted run with the classifier of ``run``, which counts its classes from the last."""
    target = run.open_target()
    model: Any = target.model
    head = model.classifier[-1]
    head.weight.data, head.bias.data = head.weight.data.flip(0), head.bias.data.flip(0)
    names = [str(9 - i) for i in range(10)]
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: i for i, name in enumerate(names)}
    model.save_pretrained(folder / "model")
    section = {"pretrained": str(folder / "model"), "transform": IMAGE["target"]["transform"]}
    audit = {**AUDIT, "classifier": {k: IMAGE["target"][k] for k in ("architecture", "training")}}
    made = Run.create(folder / "run", parse_config({**IMAGE, "target": section, "audit": audit}))
    explained = made.open_target()
    from sidelight import Explainer

    scorer = new_scorer(explained, made.rows("train", 1), made.scorer_config(explained))
    Explainer(explained, scorer).save_pretrained(made.scorer_folder(0) / "scorer")
    shutil.copy(run.folder / "fit.json", made.folder / "fit.json")
    return made


def test_kind_another_classifier_judges_by_the_names_of_its_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tiny_run(tmp_path / "other")
    run = turned_round(other, tmp_path / "turned")
    taught: list[int] = []
    train = encoding.train_classifier

    def watched(target: TargetModel, rows: Any, *more: Any) -> Any:
        taught.extend(rows[i]["label"] for i in range(len(rows)))
        return train(target, rows, *more)

    monkeypatch.setattr(encoding, "train_classifier", watched)
    found = run_audit(run, ["encoding"], other)["encoding"]
    assert found["facts"]["accuracy"]["other"] == found["facts"]["accuracy"]["target"]
    by_judge: dict[str, list[Any]] = {"target": [], "other": []}
    for row in found["rows"]:
        if row["judge"] in by_judge:
            by_judge[row["judge"]].append({**row, "judge": "", "mean": pytest.approx(row["mean"], abs=1e-6)})
    assert len(by_judge["target"]) > 8
    assert [{**r, "mean": r["mean"].expected} for r in by_judge["other"]] == by_judge["target"]
    # the independent classifier is new, so it counts as the data set does
    own = other.rows("train")
    assert taught == [own[i]["label"] for i in range(len(own))]
    assert taught != [run.rows("train")[i]["label"] for i in range(len(own))]


def test_kind_classifiers_of_other_classes_are_refused_with_their_names(tmp_path: Path) -> None:
    target = tiny_run(tmp_path / "run").open_target()
    names = list(target.id2label.values())
    assert same_classes(target, renamed(target, names[::-1])) == {i: 9 - i for i in range(10)}
    for wrong in ([*names[:9], "ten"], ["0", *names[:9]]):
        other = renamed(target, wrong)
        assert same_classes(target, other) is None
        with pytest.raises(
            InputError, match=r"another run's target reads image and has 10 classes \(0, .*by name"
        ):
            check_classifiers({"target": target, "other": other})
    assert torch.equal(torch.tensor(list((same_classes(target, target) or {}).values())), torch.arange(10))
