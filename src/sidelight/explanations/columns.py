"""The answers of a batch as columns of an Arrow table, straight from its tensors.

They are equal to those of :func:`sidelight.explanations.packing.packed`, without an :class:`Explanation` for each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sidelight.explanations.blocks import columns_of
from sidelight.explanations.building import Answered, Decided, ShownMaps, decided, shown_maps
from sidelight.explanations.checks import SUM, real_numbers, unit_scores
from sidelight.explanations.packing import TOP_WORDS, decision, id_of, png_of, schema_of, top_word
from sidelight.explanations.score_types import stored_scores, type_name
from sidelight.targets.base import TargetModel


def table_of(
    target: TargetModel,
    answered: Answered,
    rows: Sequence[Any],
    numbers: Sequence[int],
    scores: str | None = None,
) -> Any:
    """A ``pyarrow.Table`` with a line for each row, or ``None`` if a value is not plain enough for that.

    Values are not plain if UTF-8 cannot hold a text, or if the probabilities of a row do not sum to 1. An
    :class:`Explanation` of each row then finds the right words.

    Args:
        target: the classifier.
        answered: a batch.
        rows: as the user gave them. Their own values are kept in ``meta``.
        numbers: of the rows.
        scores: type of the scores.

    Raises:
        InputError: a map holds no scores, or numbers that are none.
    """
    import pyarrow as pa

    told, maps = decided(target, answered), shown_maps(target, answered)
    cells = [_cells(one, row, number) for one, row, number in zip(told, rows, numbers, strict=True)]
    if not _are_probabilities(told):
        return None
    words = {name: isinstance(maps.inputs[0][name], list) for name in maps.scores[0]}
    schema, found = schema_of(words, scores), dict[str, Any]()
    try:
        for name, of_words in words.items():
            found |= _map(name, maps, type_name(of_words, scores))
        columns = [
            found[f.name] if f.name in found else pa.array([row.get(f.name) for row in cells], f.type)
            for f in schema
        ]
    except UnicodeEncodeError:
        return None
    return pa.Table.from_arrays(columns, schema=schema)


def _cells(one: Decided, row: Any, number: int) -> dict[str, Any]:
    columns = columns_of(row)
    if columns:
        one.meta = {**one.meta, "columns": columns}
    return {**decision(one), "row": number, "id": id_of(number, columns)}


def _are_probabilities(told: Sequence[Decided]) -> bool:
    """Whether the probabilities of all rows lie in [0, 1] and sum to 1 as those of an :class:`Explanation` must."""
    found = np.stack([one.probabilities for one in told]).astype(np.float64)
    inside = bool(((found >= 0) & (found <= 1)).all())  # false for NaN, too
    near = np.abs(found.sum(1) - 1) <= SUM
    return inside and (told[0].independent or bool(near.all()))


def _map(name: str, maps: ShownMaps, kind: str) -> dict[str, Any]:
    """The columns of one modality."""
    import pyarrow as pa

    shown, each = [own[name] for own in maps.inputs], [own[name] for own in maps.scores]
    sizes = [one.size for one in each]
    if min(sizes) == 0:
        unit_scores(name, [])  # raises the error about an empty map
    whole = unit_scores(name, _joined(each))
    columns = {f"{name}_scores": _lists(stored_scores(whole, kind), sizes)}
    columns[f"{name}_shape"] = pa.array([list(one.shape) for one in each], pa.list_(pa.int32()))
    further = {"ranking": maps.ranking, "effects": maps.effects}
    for what, own in ((k, v) for k, v in further.items() if v is not None):
        values = real_numbers(f"{what} of {name}", _joined([one[name] for one in own]))
        columns[f"{name}_{what}"] = _lists(values, sizes)
    if not isinstance(shown[0], list):
        return {**columns, f"{name}_picture": pa.array([png_of(one) for one in shown], pa.binary())}
    best = _best_words(shown, whole, sizes)
    strings = pa.list_(pa.string())
    return {**columns, f"{name}_words": pa.array(shown, strings), f"{name}_top": pa.array(best, strings)}


def _best_words(shown: Sequence[Sequence[str]], scores: np.ndarray, sizes: Sequence[int]) -> list[list[str]]:
    """:func:`~sidelight.explanations.packing.top_words` of each text, sorted together."""
    ends = np.cumsum(sizes)
    order = np.lexsort((-scores, np.repeat(np.arange(len(sizes)), sizes)))
    found = []
    for words, size, end in zip(shown, sizes, ends.tolist(), strict=True):
        own = order[end - size : end][:TOP_WORDS]
        pairs = zip(scores[own].tolist(), (own - (end - size)).tolist(), strict=True)
        found.append([top_word(words[place], score) for score, place in pairs if score > 0])
    return found


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([one.reshape(-1) for one in arrays])


def _lists(values: np.ndarray, sizes: Sequence[int]) -> Any:
    """Numbers as an Arrow column of lists of these sizes."""
    import pyarrow as pa

    ends = np.concatenate([[0], np.cumsum(sizes)])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values))
