"""Type checkers know what public calls give."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typing_extensions

from sidelight import Explainer
from sidelight.explanations.asking import ExplainOptions, MoreOptions
from sidelight.explanations.streaming import StreamOptions

ROOT = Path(__file__).parents[2]
#: what a checker infers, by expression
KNOWN = {
    'explainer.explain("a")': "Explanation",
    'explainer.explain(["a"])': "list[Explanation]",
    'explainer.explain(["a"], target="second", batch_size=2)': "list[Explanation]",
    'explainer.explain(["a"], errors="skip")': "list[Explanation | ExplainFailure]",
    'explainer.explain_stream(["a"])': "Iterator[Explanation]",
    'explainer.explain_stream(["a"], errors="skip", first=1)': "Iterator[Explanation | ExplainFailure]",
    'read_explanations("x").to_pandas()': "DataFrame",
    "attribution.attribute(pixels)": "Tensor",
    "attribution.attribute((pixels, pixels))": "tuple[Tensor, ...]",
    "ImageTransform([4, 4], std=[1.0, 1.0, 1.0])": "ImageTransform",
    "ScorerConfig(by_class=True)": "ScorerConfig",
    "Explainer.fit(model, [])": "Explainer",
}
NAMES = "Explainer, Explanation, ImageTransform, ScorerConfig, SidelightAttribution, read_explanations"
HEAD = f"""from torch import Tensor, nn
from sidelight import {NAMES}
def use(explainer: Explainer, attribution: SidelightAttribution, pixels: Tensor, model: nn.Module) -> None:
"""


@pytest.mark.parametrize("name", ["explain", "explain_stream"])
def test_no_overload_lacks_an_option(name: str) -> None:
    """A checker would call it an error, and the program would run."""
    method = inspect.unwrap(getattr(Explainer, name))
    options = {n for n, p in inspect.signature(method).parameters.items() if p.kind is p.KEYWORD_ONLY}
    typed: Any = {"explain": MoreOptions, "explain_stream": StreamOptions}[name]
    assert {*typed.__annotations__, "errors"} == options
    assert set(ExplainOptions.__annotations__) - set(MoreOptions.__annotations__) == {"errors"}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python keeps overloads from 3.11 on")
def test_overloads_are_those_of_the_two_kinds_of_errors() -> None:
    for name, given in (("explain", "OneSample"), ("explain_stream", "Any")):
        found = typing_extensions.get_overloads(inspect.unwrap(getattr(Explainer, name)))
        assert len(found) >= 2
        assert found[0].__annotations__["samples"] == given


def test_a_checker_infers_what_calls_give(tmp_path: Path) -> None:
    lines = [f"    reveal_type({call})\n" for call in KNOWN]
    (tmp_path / "use.py").write_text(HEAD + "".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    told = subprocess.run([*command, str(tmp_path / "use.py")], cwd=ROOT, capture_output=True, text=True)
    found = re.findall(r'Revealed type is "(.*)"', told.stdout)
    short = [re.sub(r"\b(?:\w+\.)+(?=\w)", "", f.replace("builtins.", "")) for f in found]
    assert "error:" not in told.stdout
    assert short == list(KNOWN.values()), told.stdout
