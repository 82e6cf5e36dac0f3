"""Classifiers with unusual heads: independent labels, one logit, one regression value. Their rows, words and answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fault_models import SQUARE, P, T, bert, eye, tok

from sidelight.errors import ConfigError
from sidelight.explanations.classes import chosen_classes
from sidelight.rows.sources import rows_of
from sidelight.targets import as_target
from sidelight.training.fit_data import raw_labels, second_of_two

FLAGS = np.random.default_rng(0).integers(0, 2, (len(T), 3))
MULTI = {"problem_type": "multi_label_classification"}
PIXELS = torch.stack([SQUARE(p) for p in P])


def assert_rows_with_flags(given: Any, pictures: bool) -> None:
    target = as_target(eye(**MULTI), SQUARE) if pictures else as_target(bert(**MULTI), tok())
    rows = rows_of(given)
    found = raw_labels(target, rows, second_of_two(target, rows, set(), "prediction"))
    assert found is not None
    np.testing.assert_array_equal([np.asarray(label) for label in found], FLAGS[: len(given[0])])


@pytest.mark.parametrize("form", [np.asarray, torch.tensor, pd.DataFrame])
@pytest.mark.parametrize("samples", [T, np.array(T, object), pd.Series(T), pd.DataFrame({"text": T}), PIXELS])
def test_kind_samples_and_a_matrix_of_flags_are_rows(form: Callable[[Any], Any], samples: Any) -> None:
    """They were refused as one row of sixty texts, and a data frame ended in an AttributeError."""
    assert_rows_with_flags((samples, form(FLAGS[: len(samples)])), isinstance(samples, torch.Tensor))


@pytest.mark.parametrize("samples", [T, PIXELS])
def test_kind_a_batch_of_a_loader_may_have_a_matrix_of_flags(samples: Any) -> None:
    flags = torch.tensor(FLAGS[: len(samples)])
    for labels in (flags, flags.float()):
        assert_rows_with_flags([samples, labels], isinstance(samples, torch.Tensor))


def test_kind_a_frame_with_one_column_of_labels_holds_class_numbers() -> None:
    frame = pd.DataFrame({"premise": T, "hypothesis": T[::-1], "label": FLAGS[:, 0]})
    rows = rows_of((frame[["premise", "hypothesis"]], frame[["label"]]))
    assert rows[3] == ({"premise": T[3], "hypothesis": T[-4]}, FLAGS[3, 0])


def test_kind_two_pictures_are_two_rows_and_no_samples_with_flags() -> None:
    colour, grey = np.zeros((32, 32, 3), np.uint8), np.zeros((32, 24), np.uint8)
    assert len(rows_of((colour, grey))) == 2


def test_kind_the_second_of_one_label_speaks_of_labels() -> None:
    logits = torch.tensor([[1.0, -1.0]])
    with pytest.raises(ConfigError, match="needs two labels; the model has one"):
        chosen_classes("second", logits, {0: "toxic", 1: "not toxic"}, independent=True)
