"""What columns of data sets are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: columns that hold a picture, in the order in which they are looked for
PICTURE_COLUMNS = ("image", "img", "picture", "photo")
#: columns that hold a text, or a pair of texts, where none are named. Pairs come first: a row of a pair has often a column
#: that is also the name of a single text, such as QNLI's "sentence". "answer" is not here, because it is often the label.
KNOWN_COLUMNS: tuple[tuple[str, ...], ...] = (
    ("text", "text_pair"),
    ("premise", "hypothesis"),
    ("text", "hypothesis"),
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("question1", "question2"),
    ("question", "context"),
    ("question", "passage"),
    ("question", "sentence"),
    ("text",),
    ("sentence",),
    ("review",),
    ("content",),
    ("caption",),
)
#: columns of texts that are no sample
NO_SAMPLES = ("label", "labels", "id")
#: a row has at least one of these columns
SAMPLE_COLUMNS = frozenset(PICTURE_COLUMNS).union(*KNOWN_COLUMNS)


def column_of(row: Mapping[str, Any], modality: str) -> str | None:
    """The column of ``row`` that holds ``modality``, if there is one. Pictures have several usual names.

    Example:
        >>> column_of({"img": "cat.png", "label": 3}, "image")
        'img'
    """
    known = PICTURE_COLUMNS if modality == "image" else (modality,)
    return next((name for name in known if name in row), None)


def holds_modality(row: Mapping[str, Any], modality: str, named: Sequence[str] = ()) -> bool:
    """Whether ``row`` has what is known to hold ``modality``: a column, or the two columns of a pair of texts.

    Args:
        named: the column(s) of text, if their names are not the usual ones.
    """
    if modality != "text":
        return column_of(row, modality) is not None
    return any(all(name in row for name in names) for names in ([named] if named else KNOWN_COLUMNS))


def naming(row: Mapping[str, Any], pair: bool = True) -> str:
    """How the columns of ``row`` with a sample are named in a call, by what the row holds.

    Args:
        pair: whether two texts may be a sample.

    Example:
        >>> naming({"headline": "Rain ahead", "label": 2})
        "columns=['headline']"
        >>> naming({"question": "Who?", "answer": "I."})
        "columns=['question'], or columns=['question', 'answer'] for a pair of texts"
    """
    texts = [str(name) for name, value in row.items() if isinstance(value, str) and name not in NO_SAMPLES]
    first = f"columns={texts[:1] or ['NAME']}"
    return f"{first}, or columns={texts[:2]} for a pair of texts" if pair and len(texts) > 1 else first


def is_stored_picture(value: Any) -> bool:
    """Whether ``value`` is a picture as ``datasets`` keeps it in a table, ``{"bytes": ..., "path": ...}``, and no row."""
    return isinstance(value, Mapping) and set(value) == {"bytes", "path"}


def told_of_table(value: Any) -> str:
    """A sentence for messages if ``value``, which stands for one row, is a table of rows. Else nothing."""
    tables = ("DataFrame", "LazyFrame", "Table", "RecordBatch")  # by name, so that no library is imported
    if type(value).__name__ not in tables or not (hasattr(value, "columns") or hasattr(value, "schema")):
        return ""
    return (
        " This is a table of several rows. Give the rows, e.g. (row for frame in frames for row in "
        "frame.to_dict('records')) of pandas, .to_dicts() of polars, .to_pylist() of Arrow."
    )
