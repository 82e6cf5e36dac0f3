"""Answers as JSON. The numbers of a picture's maps are written as text at once, because a list of them takes much longer."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sidelight.explanations.explanation import Explanation

#: parts of an explanation that a caller may leave out
MAPS = ("scores", "ranking", "effects")


def explanation_json(explanation: Explanation, maps: Sequence[str] = MAPS, inputs: bool = False) -> str:
    """An explanation as the JSON of ``Explanation.to_dict``, without the maps and pixels that nobody asked for.

    Args:
        maps: some of :data:`MAPS`. Their numbers have six significant digits.
        inputs: whether the picture's pixels are given back, too. Words are in any case.

    Returns:
        A JSON object. ``Explanation.from_dict`` reads it if it holds the scores and all inputs.
    """
    kept = copy.copy(explanation)
    kept.scores, kept.ranking, kept.effects = {}, None, None
    kept.inputs = {m: v for m, v in explanation.inputs.items() if isinstance(v, list)}
    plain = {name: value for name, value in kept.to_dict().items() if name != "scores"}
    plain["meta"] = with_six_digits(plain["meta"])
    pixels = {m: v for m, v in explanation.inputs.items() if inputs and not isinstance(v, list)}
    words = {m: _json(v) for m, v in plain.pop("inputs").items()}
    parts = {name: _json(value) for name, value in plain.items()}
    parts["inputs"] = _object(words | {m: numbers_json(v, 4) for m, v in pixels.items()})
    for name in MAPS:
        found = getattr(explanation, name)
        if name in maps and found is not None:
            parts[name] = _object({m: numbers_json(v) for m, v in found.items()})
    return _object(parts)


def numbers_json(array: np.ndarray, digits: int = 6) -> str:
    """Nested lists of finite numbers, with so many significant digits.

    Example:
        >>> numbers_json(np.array([[0.5, 1.0], [1e-7, 0.123456789]]))
        '[[0.5,1],[1e-07,0.123457]]'
    """
    if array.ndim > 1:
        return f"[{','.join(numbers_json(part, digits) for part in array)}]"
    return f"[{','.join([f'%.{digits}g'] * len(array)) % tuple(array.tolist())}]"


def with_six_digits(value: Any) -> Any:
    """``value`` with six significant digits for each of its fractions, as the maps have. Regression values bring all of theirs.

    Example:
        >>> with_six_digits({"value": 3.141592741012573, "certificate": [{"fill": "zero", "clean": 0.5}]})
        {'value': 3.14159, 'certificate': [{'fill': 'zero', 'clean': 0.5}]}
    """
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: with_six_digits(part) for name, part in value.items()}
    return [with_six_digits(part) for part in value] if isinstance(value, list) else value


def _object(parts: Mapping[str, str]) -> str:
    return f"{{{','.join(f'{_json(name)}:{value}' for name, value in parts.items())}}}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
