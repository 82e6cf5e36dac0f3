"""From any data that a user has (list, table, stream, loader, folder, file) to rows.

:func:`rows_of` gives rows by number, for a training, which reads them several times in any order.
:func:`open_data` keeps none of a stream, for explaining.
"""

from __future__ import annotations

import inspect
import io
import os
from collections.abc import Callable, Mapping, MappingView
from typing import Any

import numpy as np
from torch import Tensor

from sidelight.errors import InputError, InputTypeError
from sidelight.rows.beside import beside
from sidelight.rows.columns import (
    Column,
    Columns,
    are_columns,
    are_samples_and_labels,
    column_rows,
    mapping_rows,
    pandas_rows,
    polars_rows,
    require_rows,
    zipped_rows,
)
from sidelight.rows.data_sets import (
    arrow_stream,
    arrow_table,
    hub_rows,
    hub_stream,
    indexed_rows,
    lazy_table,
    loaded_rows,
    stream,
    tensor_rows,
)
from sidelight.rows.hub import fetched
from sidelight.rows.row import Rows, are_records
from sidelight.rows.splits import chosen_split, kinds, splits_of
from sidelight.rows.stream import MOST_BYTES, MOST_ROWS, Stream, collected
from sidelight.rows.table_files import TABLES, read_path, suffix

FORMS = (
    "rows in a list, a datasets.Dataset, a data frame, a dictionary of columns, a DataLoader, a generator, "
    "a [B, C, H, W] tensor, the path of a table (CSV, TSV, JSON, JSONL, Parquet) or of a folder of pictures, or the id "
    "'owner/name' of a data set of the hub"
)


def rows_of(data: Any, name: str = "train", most: int = MOST_ROWS, most_bytes: int = MOST_BYTES) -> Rows:
    """``data`` as rows by number. Streams and iterators are read to their end and kept in memory.

    Args:
        data: see :data:`FORMS`. Of several splits the training split is taken.
        most, most_bytes: rows and bytes of a stream that are kept.

    Raises:
        InputError, InputTypeError: ``data`` cannot be taken, or is a longer stream.

    Example:
        >>> rows = rows_of({"text": ["good", "bad"], "label": [1, 0]})
        >>> len(rows), rows[1]
        (2, {'text': 'bad', 'label': 0})
    """
    opened = open_data(data, name)
    return opened if isinstance(opened, Rows) else collected(opened, most, most_bytes)


def is_source(value: Any) -> bool:
    """Whether ``value`` is a data set of several rows for every model, and never one sample.

    A string may be a text or a path, and only the model knows whether a list is a sample: both are no source. Sets and
    asynchronous iterators are several rows too, so that :func:`open_data` says why it does not take them.
    """
    if isinstance(value, os.PathLike):
        return os.path.isdir(value) or suffix(os.fspath(value)) in TABLES
    if isinstance(value, Mapping):
        return bool(splits_of(value)) or are_columns(value)
    flows = hasattr(value, "__next__") and not isinstance(value, io.IOBase)  # an open file gives lines
    flows = flows or isinstance(value, (MappingView, set, frozenset)) or hasattr(value, "__aiter__")
    return flows or any(k in OPENERS for k in kinds(value))


def open_data(data: Any, name: str) -> Rows | Stream:
    """``data`` as :class:`Rows` if they can be had by number, else as :class:`Stream`. Nothing is read yet.

    Raises:
        InputError, InputTypeError: ``data`` cannot be taken.
    """
    data = fetched(data, name)
    while not isinstance(data, (Rows, Stream)):
        splits = splits_of(data)
        if splits:
            data = chosen_split(data, splits, name)
            continue
        known = next((OPENERS[kind] for kind in kinds(data) if kind in OPENERS), _open_by_shape)
        data = known(data, name)
    return data


#: By ``package.Class``: gives rows, a stream, or plainer data that are opened in turn.
OPENERS: dict[str, Callable[[Any, str], Any]] = {
    "datasets.Dataset": hub_rows,
    "datasets.IterableDataset": hub_stream,
    "datasets.Column": Rows,
    "torch.DataLoader": loaded_rows,
    "torch.TensorDataset": tensor_rows,
    "torch.IterableDataset": stream,
    "torch.Dataset": indexed_rows,
    "pandas.DataFrame": pandas_rows,
    "pandas.Series": column_rows,
    "pandas.Index": column_rows,
    "polars.DataFrame": polars_rows,
    "polars.LazyFrame": lazy_table,
    "polars.Series": lambda data, name: data.to_list(),
    "pyarrow.Table": arrow_table,
    "pyarrow.RecordBatch": arrow_table,
    "pyarrow.RecordBatchReader": arrow_stream,
    "pyarrow.Dataset": arrow_stream,
    "pyarrow.ChunkedArray": lambda data, name: data.to_pylist(),
    "pyarrow.Array": lambda data, name: data.to_pylist(),
}


def _open_by_shape(data: Any, name: str) -> Rows | Stream:
    """Data of no class in :data:`OPENERS`, by the methods they have."""
    if isinstance(data, (str, os.PathLike)):
        return _open_path(os.fspath(data), name)
    if isinstance(data, Mapping):
        return mapping_rows(data, name)
    if isinstance(data, Tensor):
        return _tensor(data, name)
    if isinstance(data, np.ndarray):
        return _array(data, name)
    if isinstance(data, (list, tuple)):
        if are_samples_and_labels(data):
            return zipped_rows(data, name)
        require_rows(data, name)
        return Rows(data, name, cheap=True)
    advice = _why_not(data)
    if advice:
        raise InputTypeError(f"{name} is {advice}. Give {FORMS}.")
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return indexed_rows(data, name)
    if hasattr(data, "__iter__") or hasattr(data, "__getitem__"):
        return Stream(data, name)
    advice = ""
    if hasattr(data, "from_pretrained"):
        advice = " What prepares the inputs has a name of its own: processor=...."
    if isinstance(data, (int, float)) and name in ("eval", "validation"):
        advice = f" A share cannot be chosen: leave {name} out, and fit holds out a tenth of the rows."
    raise InputTypeError(
        f"{name} is of type {type(data).__name__}, which holds no rows.{advice} Give {FORMS}."
    )


def _open_path(path: str, name: str) -> Rows | Stream:
    found, folder = read_path(path, name)
    return open_data(found, name) if folder is None else beside(rows_of(found, name), folder)


def _tensor(data: Tensor, name: str) -> Rows:
    if data.ndim != 4:
        one = " That is one picture: add an axis, x.unsqueeze(0)." if data.ndim == 3 else ""
        raise InputError(
            f"{name} is a tensor of shape {tuple(data.shape)}; pictures are [B, C, H, W].{one} "
            "Give ids of words as {'input_ids': ..., 'attention_mask': ...}, and samples of other kinds in a list."
        )
    return Rows(data, name, cheap=True)


def _array(data: np.ndarray, name: str) -> Rows:
    # a table without names, as frame.values gives it
    if data.ndim == 2 and data.dtype.kind in "OUT" and data.shape[1]:
        columns = list(data.T)
        alone = len(columns) == 1
        return column_rows(columns[0], name) if alone else Rows(Columns(columns), name, cheap=True)
    if data.ndim in (0, 2):
        raise InputError(
            f"{name} is an array of shape {data.shape} and type {data.dtype}; pictures are uint8 [B, H, W, C] or "
            "[B, H, W], texts an array of strings."
        )
    if are_records(data):
        return Rows(list(data), name, cheap=True)
    return Rows(Column(data) if data.ndim == 1 else data, name, cheap=True)


def _why_not(data: Any) -> str | None:
    """The reason why ``data``, which may look like rows, holds none. ``None`` if it may hold some."""
    if data is None:
        return "None"
    if isinstance(data, (bytes, bytearray, memoryview)):
        return "bytes, which may be a table or a picture"
    if isinstance(data, io.IOBase):
        return "an open file: give its path instead"
    if isinstance(data, (set, frozenset)):
        return "a set, which has no order: give a list"
    if inspect.isasyncgen(data) or hasattr(data, "__aiter__"):
        return "an asynchronous iterator: collect its rows in a list"
    if inspect.isroutine(data):
        return f"a function: call it, {data.__name__}()"
    if isinstance(data, type):
        return f"the class {data.__name__} itself: make one"
    if hasattr(data, "collect") and hasattr(data, "lazy"):
        return "a lazy table: call its .collect()"
    return None
