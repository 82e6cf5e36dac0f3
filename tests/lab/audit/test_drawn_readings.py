"""A picture of a check draws one reading of a signed method, and says which one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from matplotlib.figure import Figure

from sidelight.core.files import write_json
from sidelight.lab.audit.base import CHECKS
from sidelight.lab.audit.run import write_page
from sidelight.lab.runs.run import Run

#: method, reading, and its means of Spearman and top-k overlap
MEANS = (
    ("integrated_gradients", "abs", 0.6, 0.1),
    ("integrated_gradients", "positive", 0.2, 0.4),
    ("saliency", "none", 0.5, 0.5),
)


def rows(**more: Any) -> list[dict[str, Any]]:
    """Spearman is lower for the positive part, the overlap of the best features for the absolute value."""
    return [
        {
            "modality": "image",
            "method": m,
            "reading": r,
            "metric": name,
            "mean": mean,
            "sd": 0.1,
            "n": 4,
            **more,
        }
        for m, r, *means in MEANS
        for name, mean in zip(("spearman", "top_k"), means, strict=True)
    ]


FOUND: dict[str, dict[str, Any]] = {
    "parameters": {
        "rows": [*rows(step=0, layer="trained"), *rows(step=1, layer="head")],
        "facts": {
            "steps": [
                {"step": i, "layer": n, "same_prediction": 1.0} for i, n in enumerate(("trained", "head"))
            ]
        },
    },
    "retraining": {"rows": rows(comparison="randomised"), "facts": {}},
}


def told(figure: Figure) -> set[str]:
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return {*legends, *(tick.get_text() for tick in figure.axes[0].get_yticklabels())}


@pytest.mark.parametrize("check", FOUND)
def test_the_drawn_reading_is_told(check: str) -> None:
    (figure,) = CHECKS[check].figures(FOUND[check]).values()
    assert {"Integrated Gradients + / |·|", "Saliency"} <= told(figure)


def test_panels_that_agree_need_one_mark() -> None:
    found = {"rows": [r for r in FOUND["parameters"]["rows"] if r["metric"] == "spearman"]}
    (figure,) = CHECKS["parameters"].figures({**FOUND["parameters"], **found}).values()
    assert {"Integrated Gradients +", "Saliency"} <= told(figure)
    (drawn,) = (line for line in figure.axes[0].lines if str(line.get_label()).startswith("Integrated"))
    assert list(drawn.get_ydata()) == [0.2, 0.2]


def test_class_bias_tells_it_in_both_panels() -> None:
    about = {"modality": "image", "samples": 4, "classes": 2, "chance": 0.1}
    found = [
        {**about, "method": "integrated_gradients", "reading": r, "share": s, "auprc_own": a}
        for r, s, a in (("abs", 0.3, 0.7), ("positive", 0.1, 0.2))
    ]
    (figure,) = CHECKS["classes"].figures({"rows": found}).values()
    assert "Integrated Gradients +" in told(figure)


def test_the_page_explains_the_marks(tmp_path: Path) -> None:
    run = cast(Run, SimpleNamespace(config=SimpleNamespace(name="tiny")))
    write_json(tmp_path / "parameters.json", FOUND["parameters"])
    write_page(run, tmp_path)
    assert "by absolute value (|·|) and by positive part (+)" in (tmp_path / "audit.md").read_text("utf-8")
    unsigned = [r for r in FOUND["parameters"]["rows"] if r["reading"] == "none"]
    write_json(tmp_path / "parameters.json", {**FOUND["parameters"], "rows": unsigned})
    write_page(run, tmp_path)
    assert "|·|" not in (tmp_path / "audit.md").read_text("utf-8")
