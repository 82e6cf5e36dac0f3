"""Shares over a split: sums by hand, and the agreement with what is known to decide."""

from __future__ import annotations

import pandas as pd
import pytest

from sidelight.lab.evaluation.modality import share_note, share_summary

NAMES = ("image", "text")


def frame(**more: list[object]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample": [0, 1, 2, 3],
            "confidence": [1.0, 0.9, 0.8, 0.7],
            "drop_image": [0.5, 0.0, 0.3, 0.0],
            "drop_text": [0.5, 0.6, 0.1, 0.0],
            "drop_all": [0.5, 0.6, 0.3, 0.0],
            "share_image": [0.5, 0.0, 0.75, float("nan")],
            "share_text": [0.5, 1.0, 0.25, float("nan")],
            "needed": ["image+text", "text", "image+text", ""],
            **more,
        }
    )


def test_means_leave_out_samples_without_a_share() -> None:
    found = share_summary(frame(), NAMES)
    assert found["n"] == 4
    assert found["drops"] == {"image": pytest.approx(0.2), "text": pytest.approx(0.3)}
    assert found["shares"] == {
        "image": pytest.approx(1.25 / 3, abs=1e-6),
        "text": pytest.approx(1.75 / 3, abs=1e-6),
    }
    assert "right" not in found
    assert "agrees" not in share_note(found)


def test_what_is_rounded_to_nothing_has_no_sign() -> None:
    found = share_summary(frame(), NAMES) | {"drops": {"image": 0.2, "text": -0.004}}
    assert "confidence lost: 0.20 without the image, 0.00 without the text." in share_note(found)


def test_right_is_exactly_the_deciding_modalities() -> None:
    found = share_summary(frame(decided_by=["both", "text", "text", None]), NAMES)
    assert (found["right"], found["right_n"]) == (pytest.approx(2 / 3, abs=1e-6), 3)
    assert found["right_by"] == {"both": 1.0, "text": 0.5}
    assert "(n = 3), the measurement agrees in 66.7%" in share_note(found)


def test_shares_that_no_sample_has_and_answers_that_nobody_knows_are_told_in_words() -> None:
    """A constant classifier, and a column of answers without an answer."""
    none = [float("nan")] * 4
    found = share_summary(frame(share_image=none, share_text=none, decided_by=[None] * 4), NAMES)
    assert "right" not in found
    assert "nan" not in share_note(found)
    assert "not defined, because no modality speaks for the class of any sample; confidence" in share_note(
        found
    )
