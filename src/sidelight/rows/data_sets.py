"""Data sets and loaders of ``datasets``, torch, torchvision and pyarrow.

Each function gives rows by number, a stream, or plainer data that :mod:`sidelight.rows.sources` opens in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np
from torch import Tensor

from sidelight.core.optional import optional
from sidelight.errors import InputTypeError
from sidelight.rows.columns import mapping_rows, require_names_once, zipped_rows
from sidelight.rows.row import LABEL_COLUMNS, Rows
from sidelight.rows.stream import Stream

#: formats of ``datasets`` in which each row is a table of one line
TABLE_FORMATS = ("arrow", "pandas", "polars")


def hub_rows(data: Any, name: str) -> Rows:
    """The rows of a ``datasets.Dataset``. One row at a time is no table, so formats of tables are left out.

    So are those of arrays if there are pictures. As arrays they lose their mode, so that colours of a palette would be numbers.
    """
    form = data.format
    computed = form["type"] == "custom"  # a transform of the user's, which may make other columns
    pictures = any("Image" in type(data.features[c]).__name__ for c in form["columns"])
    if form["type"] in TABLE_FORMATS:
        data = data.with_format(None)
    elif pictures and form["type"] is not None and not computed:
        data = data.with_format(None, form["columns"], form["output_all_columns"])
    column = next((c for c in LABEL_COLUMNS if c in data.column_names), None)
    labels = data.with_format(None)[column] if column and not computed else None
    return Rows(data, name, class_names(data), labels, cheap=not computed and not pictures)


def hub_stream(data: Any, name: str) -> Stream:
    """The rows of a ``datasets.IterableDataset``. One row at a time is no table, so formats of tables are left out."""
    import datasets

    if getattr(getattr(data, "_formatting", None), "format_type", None) in TABLE_FORMATS:
        data = data.with_format(None)
    for column, feature in (data.features or {}).items():
        if isinstance(feature, datasets.Image) and feature.decode:  # files are smaller than pixels
            data = data.cast_column(column, datasets.Image(decode=False))
    return stream(data, name)


def arrow_table(data: Any, name: str) -> Any:
    """A table or record batch of pyarrow as a ``datasets.Dataset``, or as rows if some columns cannot be held there."""
    import pyarrow

    datasets = optional("datasets", "reading a Parquet file or a table of pyarrow")
    require_names_once(data.schema.names, name)
    table = pyarrow.Table.from_batches([data]) if isinstance(data, pyarrow.RecordBatch) else data
    try:
        return datasets.Dataset(table)
    except (ValueError, NotImplementedError):
        unknown = [field.name for field in table.schema if not _can_hold(datasets, field)]
        if not unknown:
            raise
    held = hub_rows(datasets.Dataset(table.drop_columns(unknown)), name)
    rows = _BesideColumns(held, table.select(unknown))
    return Rows(rows, name, held.label_names, held.labels(), held.cheap)


def _can_hold(datasets: Any, field: Any) -> bool:
    """Whether ``datasets`` knows the type of a column. It knows no UUIDs and no maps."""
    import pyarrow

    try:
        datasets.Features.from_arrow_schema(pyarrow.schema([field]))
    except (ValueError, NotImplementedError):
        return False
    return True


class _BesideColumns:
    """Rows with the columns of an Arrow table beside them."""

    def __init__(self, rows: Rows, table: Any) -> None:
        self.rows, self.table = rows, table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return {**self.rows[number], **{n: self.table[n][number].as_py() for n in self.table.column_names}}


def arrow_stream(data: Any, name: str) -> Stream:
    """The rows of a reader or data set of pyarrow, of which one batch is in memory."""
    require_names_once(data.schema.names, name)
    batches = data if hasattr(data, "read_next_batch") else data.to_batches()
    return Stream(chain.from_iterable(batch.to_pylist() for batch in batches), name)


def lazy_table(data: Any, name: str) -> Any:
    """A lazy table of polars, computed."""
    return data.collect()


def stream(data: Any, name: str) -> Stream:
    """The rows of an iterable data set."""
    return Stream(data, name, class_names(data))


def indexed_rows(data: Any, name: str) -> Rows | Stream:
    """The rows of a data set that takes row numbers: of torch, of torchvision, or anything like them."""
    if not hasattr(data, "__len__"):
        return stream(data, name)
    return Rows(data, name, class_names(data), _given_labels(data))


def tensor_rows(data: Any, name: str) -> Rows:
    """The rows ``(sample, label)`` of a ``TensorDataset``, or samples alone if it holds one tensor."""
    held = data.tensors
    return Rows(held[0] if len(held) == 1 else data, name, cheap=True)


def loaded_rows(data: Any, name: str) -> Any:
    """The data set of a ``DataLoader`` if the loader shows all of its rows as they are, else its batches row by row."""
    from torch.utils.data import default_collate
    from torch.utils.data._utils.collate import default_convert

    own_batches = data.batch_size is None and data.batch_sampler is not None
    if data.collate_fn in (default_collate, default_convert) and _shows_all(data) and not own_batches:
        return data.dataset
    if data.batch_size is None and not own_batches:
        return Stream(data, name, class_names(data.dataset))
    by_column = data.collate_fn is default_collate
    rows = chain.from_iterable(_unbatched(batch, by_column, name) for batch in data)
    return Stream(rows, name, class_names(data.dataset))


def _shows_all(loader: Any) -> bool:
    from torch.utils.data import RandomSampler, SequentialSampler

    sampler = getattr(loader, "sampler", None)
    if isinstance(sampler, RandomSampler):
        return not sampler.replacement and sampler.num_samples == len(loader.dataset)
    return isinstance(sampler, SequentialSampler)


def _unbatched(batch: Any, by_column: bool, name: str) -> Iterable[Any]:
    """Rows of one batch: of a mapping of columns, of ``(samples, labels)``, of a tensor, or a list of rows."""
    if by_column and isinstance(batch, Mapping):
        batch = {key: _row_by_row(column) for key, column in batch.items()}
    elif by_column and isinstance(batch, (tuple, list)):
        columns = [_row_by_row(column) for column in batch]
        make = getattr(batch, "_make", None)
        if make is not None:  # named tuples, whose names say which is the label
            return map(make, zip(*columns, strict=True))
        batch = columns
    if isinstance(batch, Mapping):
        return mapping_rows(batch, name)
    if isinstance(batch, Tensor):
        return batch
    if isinstance(batch, (tuple, list)):
        labels = batch[-1] if batch else None
        labelled = len(batch) > 1 and isinstance(labels, (Tensor, np.ndarray)) and labels.ndim == 1
        if by_column and len(batch) == 1:
            return batch[0]
        return zipped_rows(batch, name) if by_column or labelled else batch
    raise InputTypeError(
        f"{name} is a DataLoader of {type(batch).__name__} batches, which cannot be taken apart into rows. Give its "
        "data set (loader.dataset), or batches that are mappings of columns, (samples, labels), or lists of rows."
    )


def _row_by_row(column: Any) -> Any:
    """A column of torch's own collation. It turns a column of pairs into the firsts and the seconds; here, back again."""
    if isinstance(column, (tuple, list)) and column and not isinstance(column[0], (str, bytes)):
        return list(zip(*map(_row_by_row, column), strict=True))
    return column


def class_names(data: Any) -> tuple[str, ...]:
    """Class names by label number, if the data set (of ``datasets`` or of torchvision's kind) has them, else none."""
    features = getattr(data, "features", None)
    if isinstance(features, Mapping):
        found = next((features[c] for c in LABEL_COLUMNS if c in features), None)
        return tuple(getattr(found, "names", None) or ())
    classes = getattr(data, "classes", None)
    if isinstance(classes, (list, tuple)) and all(isinstance(c, str) for c in classes):
        return tuple(classes)
    inner = getattr(data, "dataset", None)  # a Subset
    if inner is not None:
        return class_names(inner)
    # a ConcatDataset: a number must mean the same class in all of them
    joined = getattr(data, "datasets", None)
    found_names = {class_names(one) for one in joined} if isinstance(joined, (list, tuple)) else set()
    return found_names.pop() if len(found_names) == 1 else ()


def _given_labels(data: Any) -> Any:
    """``targets`` of a torchvision data set, or of a subset of one, if they fit its length."""
    indices, inner = getattr(data, "indices", None), getattr(data, "dataset", None)
    if inner is not None and indices is not None:
        found = _given_labels(inner)
        return None if found is None else [found[int(i)] for i in indices]
    found = getattr(data, "targets", None)
    fits = isinstance(found, (list, tuple, np.ndarray, Tensor)) and len(found) == len(data)
    # a transform of the labels makes others of them
    return found if fits and getattr(data, "target_transform", None) is None else None
