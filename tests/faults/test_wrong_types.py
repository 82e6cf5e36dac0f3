"""Arguments of another type than the one that is expected: each is told by its name, with what was given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fault_models import P, T

from sidelight import Explainer, as_quantus
from sidelight.errors import ConfigError, InputError, InputTypeError, SidelightError, UnknownNameError
from sidelight.lab.ablation.run import run_ablation
from sidelight.lab.audit import run_audit
from sidelight.lab.baselines import RIVALS, make_rival
from sidelight.lab.config.files import load_config
from sidelight.lab.data.sets import DATASETS
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.metrics import ranks
from sidelight.lab.report.page import report_runs
from sidelight.lab.runs.run import Run
from tiny_runs import tiny_run

ODD = [
    np.array([1, 2]),
    np.array("raise"),
    pd.Series(["raise"]),
    pd.DataFrame({"a": [1]}),
    {"a": 1},
    {1},
    b"raise",
]


@pytest.mark.parametrize("given", ODD, ids=lambda v: type(v).__name__)
def test_kind_a_choice_of_another_type_is_refused_by_its_name(
    images: Explainer, texts: Explainer, tmp_path: Path, given: Any
) -> None:
    """An array was compared with each choice, which NumPy and pandas refuse in words of their own."""
    calls = {
        "errors": lambda: texts.explain(T, errors=given),
        "check": lambda: Explainer(texts.target, texts.scorer, check=given),
        "scores": lambda: texts.explain_dataset(T, tmp_path / "a", scores=given),
        "reading": lambda: as_quantus(images, reading=given),
        "engine": lambda: texts.explain_dataset(T, tmp_path / "a", engine=given),
    }
    for name, call in calls.items():
        with pytest.raises(ConfigError, match=rf"(?s)^{name} must be .*; got "):
            call()


def test_kind_inputs_of_attribute_are_checked_as_those_of_explain(
    texts: Explainer, images: Explainer
) -> None:
    """Bytes of pixels that nobody normalised gave a map without a word, and other inputs errors of Python."""
    pixels = torch.rand(2, 3, 32, 32)
    given: dict[str, Any] = {
        "Call it 'pixel_values'": {"pixels": pixels},
        "got ndarray": {"pixel_values": pixels.numpy()},
        "got NoneType": {"pixel_values": None},
        "the batch is empty": {"pixel_values": pixels[:0]},
        "ordinary dense tensor": {"pixel_values": pixels.to_sparse()},
        "must be floating point": {"pixel_values": (255 * pixels).byte()},
        "got torch.complex64": {"pixel_values": pixels.to(torch.complex64)},
        r"NaN or infinite values in sample\(s\) \[1\]": {
            "pixel_values": torch.stack([pixels[0], pixels[1] * torch.nan])
        },
    }
    for told, inputs in given.items():
        with pytest.raises(SidelightError, match=told):
            images.attribute(inputs)
    ids = torch.tensor([[1, 2, 3]])
    for told, inputs in {
        "got list": {"input_ids": ids.tolist()},
        "not in the model's vocabulary": {"input_ids": ids + 10**6},
        "they must agree": {"input_ids": ids, "attention_mask": ids[:, :2]},
    }.items():
        with pytest.raises(SidelightError, match=told):
            texts.attribute(inputs)
    encoding, scores = images.attribute({"pixel_values": pixels})
    assert encoding.logits.shape[0] == len(scores["image"]) == 2


def test_kind_a_column_without_samples_is_named(images: Explainer, texts: Explainer, tmp_path: Path) -> None:
    """Of ``columns=["id"]`` the message told that a value was no picture, and not where it came from."""
    frame = pd.DataFrame({"id": [7, 8], "image": P[:2], "text": T[:2]})
    for explainer in (images, texts):
        with pytest.raises(
            InputError,
            match=r"none of the 2 rows could be explained from the column 'id', as columns \(--column\) says: ",
        ):
            explainer.explain_dataset(frame, tmp_path / explainer.target.family, columns=["id"])


@pytest.mark.parametrize("given", [None, 3, *ODD], ids=lambda v: type(v).__name__)
def test_kind_a_name_that_is_no_text_is_told_with_the_known_ones(given: Any) -> None:
    """Registries looked for the nearest name of an array or of ``None``."""
    for registry in (DATASETS, RIVALS):
        assert given not in registry
        with pytest.raises(UnknownNameError, match=r"(?s)is named by a text; got .*Known: "):
            registry[given]
    with pytest.raises(UnknownNameError, match=r"a baseline method is named by a text"):
        make_rival(given)


def test_kind_what_is_explained_and_measured_is_told_by_its_type(images: Explainer, tmp_path: Path) -> None:
    """An explainer or a model in the place of the wrapped classifier, or a path in that of a run, has no such attribute."""
    inputs, classes = {"pixel_values": torch.rand(1, 3, 32, 32)}, torch.tensor([0])
    for given in (images, images.target.model, "model", None):
        with pytest.raises(InputTypeError, match=rf"explainer\.target.*got {type(given).__name__}"):
            make_rival("saliency")(given, inputs, classes)  # type: ignore[arg-type]
    assert make_rival("saliency")(images.target, inputs, classes)["image"].shape == (1, 1, 32, 32)
    run = tiny_run(tmp_path / "run")
    takers: list[Callable[[Any], Any]] = [
        evaluate_run,
        run_audit,
        run_ablation,
        lambda given: run_audit(run, other=given or 0),
        lambda given: report_runs([given], tmp_path / "page.html", "title"),
    ]
    for call in takers:
        for given in (tmp_path, str(tmp_path), 3, None):
            told = "int" if given is None and call is takers[3] else type(given).__name__
            with pytest.raises(InputTypeError, match=rf"give Run\.open\(folder\); got {told}"):
                call(given)
    for given in (run, 3, None, str(run.folder)):
        with pytest.raises(
            InputTypeError, match=rf"give \[Run\.open\(folder\), \.\.\.\]; got {type(given).__name__}"
        ):
            report_runs(given, tmp_path / "page.html", "title")  # type: ignore[arg-type]
    for call in (run_audit, run_ablation):
        for given in (3, "parameters", [None]):
            with pytest.raises(ConfigError, match=r"^only must be a list of names, e\.g\. only="):
                call(run, given)
    for given in (None, 3, ["a"]):
        opened = [Run.open, lambda place: Run.create(place, run.config), load_config]
        for place in opened:
            with pytest.raises(InputTypeError, match=rf"as a string or Path; got {type(given).__name__}"):
                place(given)
    assert Run.create(str(run.folder), run.config).folder == Run.open(str(run.folder)).folder == run.folder
    for given in (None, "tests", 3):
        with pytest.raises(ConfigError, match="split must be one of train, validation, test; got"):
            run.rows(given)  # type: ignore[arg-type]


def test_kind_ids_that_are_no_whole_numbers_are_refused(texts: Explainer) -> None:
    """1.2 and 1.7 were cut to 1, so that two samples got one draw without a word. Names and ``None`` gave errors of Python."""
    inputs = texts.target.reader.prepare(T[:2]).inputs
    calls = {
        "ids": lambda given: make_rival("random")(texts.target, inputs, torch.tensor([0, 0]), ids=given),
        "ids of ranks": lambda given: ranks(torch.zeros(2, 4), torch.ones(2, 4, dtype=torch.bool), given),
        "seeds": lambda given: texts.target.fill_values(inputs, "mean", given),
    }
    odd = [[1.2, 1.7], ["a", "b"], "ab", 5, [True, False], [[1], [2]], {1, 2}, {1: 1, 2: 2}, [None, None]]
    for name, call in calls.items():
        for given in odd:
            with pytest.raises(InputError, match=f"^{name[:3]}.* must be a list of whole numbers"):
                call(given)
        with pytest.raises(InputError, match="one number for each sample: got 3 for 2 samples"):
            call([1, 2, 3])
        for good in ([-1, 2**40], (0, 0), np.array([1, 2]), torch.tensor([1, 2]), pd.Series([1, 2])):
            call(good)
