"""``sidelight.read_explanations``: many stored explanations as answers, as an Arrow table, or as a data frame."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

from sidelight.core.counted import counted
from sidelight.core.folders import folder_path
from sidelight.core.guard import public
from sidelight.core.optional import optional
from sidelight.errors import InputError, InputTypeError
from sidelight.explanations.blocks import Answer, ExplainFailure, require_names
from sidelight.explanations.packing import packed_table, schema_of
from sidelight.explanations.stored import batches_of, part_of, read_manifest, read_parts
from sidelight.rows.row import plain

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class StoredAnswers(Iterator[Answer]):
    """The answers in a folder, in the order of the rows. One part of it is in memory at a time.

    It can be iterated as often as you like, has a length, and gives a single answer by the number of its row, or by the id
    that the row had in a column ``id``.

    Args:
        folder: that ``explain_dataset`` or ``sidelight explain`` wrote.

    Raises:
        CheckpointError: there are no explanations, or the manifest is damaged.
    """

    def __init__(self, folder: Path) -> None:
        # parts are read later, and the working directory may be another one then
        self.folder = Path(os.path.abspath(folder))
        manifest = read_manifest(folder)
        self._ends: list[int] = list(manifest["ends"])
        #: what identifies the job: source, scorer, classifier, options
        self.about: dict[str, Any] = dict(manifest["about"])
        self._own: Iterator[Answer] | None = None
        self._rows: dict[str, list[int]] | None = None
        #: whether a row has an id of its own, other than its number
        self._named = False

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Answer]:
        return read_parts(self.folder, len(self._ends))

    def __next__(self) -> Answer:
        self._own = iter(self) if self._own is None else self._own
        return next(self._own)

    @overload
    def __getitem__(self, row: int | str) -> Answer: ...

    @overload
    def __getitem__(self, row: slice) -> list[Answer]: ...

    @public
    def __getitem__(self, row: Any) -> Any:
        """The answer for the row of this number, or of this id if it is a string. For a slice, a list of answers.

        Raises:
            InputError: there is no such row, or several rows have this id.
            InputTypeError: ``row`` is of another kind.
        """
        if isinstance(row, slice):
            return self._answers_of(range(len(self))[row])
        if isinstance(row, str):
            row = self._row_of(row)
        row = plain(row)
        if isinstance(row, bool) or not isinstance(row, int):
            raise InputTypeError(
                f"an answer is found by the number of its row or by an id; got {type(row).__name__}. Several are given by a "
                "slice, e.g. answers[:10]."
            )
        if not 0 <= row < len(self):
            raise InputError(f"there is no row {row}; {self.folder} has rows 0 to {len(self) - 1}.")
        part = bisect_right(self._ends, row)
        before = self._ends[part - 1] if part else 0
        for number, answer in enumerate(self._part(part), start=before):
            if number == row:
                return answer
        raise InputError(
            f"row {row} is missing in {part_of(self.folder, part)}: explain the rows again, into another folder."
        )

    def _answers_of(self, numbers: range) -> list[Answer]:
        """The answers for rows, each part read once."""
        wanted = set(numbers)
        parts = sorted({bisect_right(self._ends, number) for number in numbers})
        found: dict[int, Answer] = {}
        for part in parts:
            first = self._ends[part - 1] if part else 0
            found |= {n: one for n, one in enumerate(self._part(part), start=first) if n in wanted}
        return [found[number] for number in numbers]

    def _row_of(self, own: str) -> int:
        """The number of the row with this id. All ids are read once."""
        if self._rows is None:
            rows: dict[str, list[int]] = {}
            table = self.to_arrow(["id", "row"])
            for name, row in zip(*(table.column(c).to_pylist() for c in ("id", "row")), strict=True):
                rows.setdefault(name, []).append(row)
                self._named |= name != str(row)
            self._rows = rows  # at once, because other threads may read it
        found = [row for row in self._rows.get(own, []) if own != str(row) or self._owns_id(row)]
        if len(found) == 1:
            return int(found[0])
        if found:
            raise InputError(
                f"the rows {', '.join(map(str, found[:5]))} all have the id {own!r:.60}: give a number."
            )
        raise InputError(
            f"no row of {self.folder} has the id {own!r:.60}. If the rows had no column 'id', give a row's number."
        )

    def _owns_id(self, row: int) -> bool:
        """Whether the number of ``row``, stored as its id, is its own id. If no row has another id, numbers are the ids."""
        if not self._named:
            return True
        answer = self[row]
        columns = answer.columns if isinstance(answer, ExplainFailure) else answer.meta.get("columns")
        return str((columns or {}).get("id")) == str(row)

    def _part(self, number: int) -> Iterator[Answer]:
        return read_parts(self.folder, number + 1, number)

    def errors(self) -> Iterator[ExplainFailure]:
        """The rows that could not be explained, with the reason of each."""
        return (answer for answer in self if isinstance(answer, ExplainFailure))

    @public
    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """A ``pyarrow.Table`` with a line for each row, failed ones included.

        Args:
            columns: some of ``row``, ``id``, ``error``, ``label``, ``probability``, ``probabilities``, ``prediction``,
                ``explained_label``, ``remarks``, ``meta``, and for each modality ``text_scores``, ``text_words``, ``text_top``,
                ``image_scores``, ``image_shape``, ``image_picture`` and so on. Default: all, which needs memory for all maps.

        Raises:
            ConfigError: ``columns`` is no list of names.
            InputError: there is no such column.
        """
        import pyarrow as pa

        wanted = None if columns is None else list(require_names(columns, "columns", "label"))
        parts = [self._table(number, wanted) for number in range(len(self._ends))]
        table = (
            pa.concat_tables(parts, promote_options="permissive") if parts else schema_of({}).empty_table()
        )
        missing = [c for c in wanted or () if c not in table.column_names]
        if missing:
            raise InputError(f"there is no column {missing[0]!r}. All columns: {', '.join(self._names())}.")
        return table if wanted is None else table.select(wanted)

    def _table(self, number: int, columns: list[str] | None) -> Any:
        import pyarrow as pa

        path = part_of(self.folder, number)
        batches = list(batches_of(path, None if columns is None else [*columns, "row", "maps"]))
        if batches and "maps" in batches[0].schema.names:  # of the first format
            found = list(self._part(number))
            first = self._ends[number - 1] if number else 0
            return packed_table(enumerate(found, start=first))
        return pa.Table.from_batches(batches)

    def _names(self) -> list[str]:
        return list(
            dict.fromkeys(n for k in range(len(self._ends)) for n in self._table(k, None).column_names)
        )

    @public
    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """:meth:`to_arrow` as a data frame of pandas.

        Raises:
            MissingPackageError: pandas is not installed.
            InputError: there is no such column.
        """
        optional("pandas", "a data frame of explanations")
        return cast("pd.DataFrame", self.to_arrow(columns).to_pandas())

    def __repr__(self) -> str:
        return f"StoredAnswers({counted(len(self), 'row')} in {str(self.folder)!r})"


@public
def read_explanations(folder: str | os.PathLike[str]) -> StoredAnswers:
    """The explanations that ``explain_dataset`` or ``sidelight explain`` wrote for many rows.

    Args:
        folder: their ``out``. One part of it is in memory at a time.

    Returns:
        An iterable. It gives an :class:`Explanation` for each row, or an
        :class:`~sidelight.explanations.blocks.ExplainFailure`, in the order of the rows. Scores of pixels are exact to three
        digits, unless ``explain_dataset`` was asked for another type. Scores of an answer are 32-bit floats in any case.
        ``.to_arrow()`` and ``.to_pandas()`` give tables as they are stored. ``[number]`` and ``["id"]`` give one answer.

    Raises:
        CheckpointError: there are none, or a file is damaged.

    Example:
        >>> stored = explainer.explain_dataset("reviews.csv", "explanations")
        >>> good = [answer for answer in read_explanations("explanations") if answer]  # a failure is false
        >>> least_sure = min(good, key=lambda answer: answer.probability)
    """
    return StoredAnswers(folder_path(folder))
