"""Answers for batches of rows, as a function that Spark, ``datasets.map`` and Ray Data call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidelight.core.guard import public
from sidelight.core.registry import nearest
from sidelight.errors import InputError, InputTypeError
from sidelight.explanations.block_tables import BlockOptions, Pack, block_table
from sidelight.explanations.packing import joined
from sidelight.explanations.sorted_blocks import blocks_of
from sidelight.rows.columns import are_columns
from sidelight.rows.row import Rows
from sidelight.rows.sources import open_data
from sidelight.rows.table_source import with_columns_chosen


@dataclass(frozen=True)
class RowFunction:
    """Explains a batch of rows. :meth:`Explainer.row_function` makes it.

    A batch is a data frame of pandas, an Arrow table or record batch, or a mapping of columns to lists or arrays. The answer is
    of the same kind, with a line for each row in the same order. A row that cannot be explained has its reason in the column
    ``error``. A batch without rows has an answer without rows: engines send such batches for partitions that are empty. The
    column ``row`` counts within the batch, and a data frame keeps its index. If the rows have a column ``id``,
    the answers have it too.

    Attributes:
        pack: makes a table of the answers of some rows.
        how: rows in a pass, and more.
        empty: an Arrow table with all columns. A batch of which no row can be explained has them too.
        columns: with the samples.
        keep: columns of the result. Default: all.
    """

    pack: Pack
    how: BlockOptions
    empty: Any
    columns: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()

    @public
    def __call__(self, batch: Any) -> Any:
        """The answers for the rows of ``batch``.

        Raises:
            InputError: the rows have no such column, or there is no column that is to be kept.
            InputTypeError: the batch is of another kind.
        """
        if isinstance(batch, Mapping) and batch and not are_columns(batch):
            raise InputTypeError(
                "a batch is a mapping of columns with a value for each of its rows; this one is a single row, or holds "
                f"{sorted({type(v).__name__ for v in batch.values()})}. For datasets.map say batched=True."
            )
        if isinstance(batch, Mapping) and not batch:  # engines leave out the columns where they have no rows
            return self._answered(batch, self.empty)
        rows = open_data(batch, "the batch")
        if not isinstance(rows, Rows):
            raise InputTypeError(
                f"a batch is a table of some rows; got {type(batch).__name__}, which is a stream."
            )
        if len(rows) == 0:
            return self._answered(batch, self.empty)
        (block,) = blocks_of(with_columns_chosen(rows, self.columns, None), len(rows))
        return self._answered(batch, joined([self.empty, block_table(block, self.pack, self.how)]))

    def _answered(self, batch: Any, found: Any) -> Any:
        """The columns of the answers that are kept, in the form of ``batch``."""
        unknown = [name for name in self.keep if name not in found.column_names]
        if unknown:
            raise InputError(
                f"there is no column {unknown[0]!r}.{nearest(unknown[0], found.column_names)} "
                f"All columns: {', '.join(found.column_names)}."
            )
        return _like(batch, found.select(self.keep) if self.keep else found)


def _like(batch: Any, found: Any) -> Any:
    """An Arrow table in the form of ``batch``."""
    if hasattr(batch, "iloc"):
        return found.to_pandas().set_axis(batch.index)  # a frame that was filtered is joined by its labels
    return found.to_pydict() if isinstance(batch, Mapping) else found
