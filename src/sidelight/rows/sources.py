"""From whatever a user has (list, table, stream, loader, folder, file) to rows.

Two doors: :func:`rows_of` gives rows by number, for a training, which reads them several times in any order;
:func:`stream_of` gives them one after another and keeps none, for explaining.
"""

from __future__ import annotations

import inspect
import io
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from torch import Tensor

from sidelight.errors import InputError, InputTypeError, SidelightError
from sidelight.rows.row import LABEL_COLUMNS, Columns, Rows, size_in_memory, unreadable

log = logging.getLogger(__name__)

#: what of a stream is kept in memory at most
MOST_ROWS, MOST_BYTES = 100_000, 2 * 1024**3

#: names of splits: for training, and for validation
TRAINING, VALIDATION = ("train", "training"), ("validation", "valid", "val", "dev", "eval")
SPLITS = (*TRAINING, *VALIDATION, "test", "testing")

FORMS = (
    "rows in a list, a datasets.Dataset, a data frame, a dictionary of columns, a DataLoader, a generator, "
    "a [B, C, H, W] tensor, or the path of a table (CSV, TSV, JSON, JSONL, Parquet) or of a folder of pictures"
)


@dataclass(frozen=True)
class Stream:
    """Rows that come one after another, once.

    Attributes:
        rows: gives them.
        name: of the argument that the user gave.
        label_names: class names by the label's number, where the data say them.
    """

    rows: Iterable[Any]
    name: str
    label_names: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Any]:
        count = 0
        try:
            for row in self.rows:
                yield row
                count += 1
        except SidelightError:
            raise
        except Exception as error:
            raise unreadable(count, self.name, error) from error


def rows_of(data: Any, name: str = "train", most: int = MOST_ROWS, most_bytes: int = MOST_BYTES) -> Rows:
    """``data`` as rows by number; streams and iterators are read to their end and kept in memory.

    Args:
        data: see :data:`FORMS`. Of several splits the training split is taken.
        name: of the argument, for messages.
        most, most_bytes: rows and bytes of a stream that are kept.

    Raises:
        InputError, InputTypeError: ``data`` cannot be taken, or is a stream longer than that.
    """
    opened = open_data(data, name)
    return opened if isinstance(opened, Rows) else _collected(opened, most, most_bytes)


def stream_of(data: Any, name: str = "samples") -> Iterator[Any]:
    """The rows of ``data`` one after another; of a stream none is kept.

    Raises:
        InputError, InputTypeError: ``data`` cannot be taken.
    """
    return iter(open_data(data, name))


def is_source(value: Any) -> bool:
    """Whether ``value`` is a data set of several rows, and no sample, whatever the model reads.

    A string may be a text or a path, so it is none; neither is a list, of which only the model knows.
    """
    kinds = _kinds(value)
    if isinstance(value, os.PathLike):
        from sidelight.rows.table_files import TABLES, suffix

        return os.path.isdir(value) or suffix(os.fspath(value)) in TABLES
    if isinstance(value, Mapping):
        return bool(splits_of(value)) or _is_columns(value)
    return hasattr(value, "__next__") or any(k in OPENERS for k in kinds)


def splits_of(data: Any) -> dict[str, Any]:
    """The splits of a ``DatasetDict`` or of a mapping with such names; empty where there are none."""
    if isinstance(data, (str, os.PathLike)) and data and os.path.isdir(data):
        from sidelight.rows.table_files import split_places

        return split_places(os.fspath(data))
    if not isinstance(data, Mapping) or not data:
        return {}
    names = all(isinstance(k, str) and k.lower() in SPLITS for k in data)
    sets = all(_kinds(v) & {"datasets.Dataset", "datasets.IterableDataset"} for v in data.values())
    return dict(data) if names or sets else {}


def split_named(data: Any, names: Sequence[str]) -> Any:
    """The split of ``data`` that has one of the ``names``, or ``None``."""
    splits = {str(k).lower(): v for k, v in splits_of(data).items()}
    return next((splits[n] for n in names if n in splits), None)


def open_data(data: Any, name: str) -> Rows | Stream:
    """``data`` as :class:`Rows` where they can be had by number, else as :class:`Stream`; nothing is read yet.

    Raises:
        InputError, InputTypeError: it cannot be taken.
    """
    if isinstance(data, (Rows, Stream)):
        return data
    splits = splits_of(data)
    if splits:
        return open_data(_only_split(splits, data, name), name)
    for kind in _kind_order(data):
        if kind in OPENERS:
            return OPENERS[kind](data, name)
    return _open_by_shape(data, name)


def _only_split(splits: Mapping[str, Any], data: Any, name: str) -> Any:
    wanted = VALIDATION if name in ("eval", "validation") else TRAINING
    found = split_named(data, wanted)
    if found is None and len(splits) == 1:
        found = next(iter(splits.values()))
    if found is None:
        first = next(iter(splits))
        raise InputError(
            f"{name} holds the splits {', '.join(map(str, splits))}: say which to take, e.g. {name}=data[{first!r}]."
        )
    return found


# -- kinds by the name of their class ------------------------------------------------------


def _kind_order(data: Any) -> list[str]:
    # by name, so that no library is imported to ask whether something is of it
    return [f"{c.__module__.split('.')[0]}.{c.__name__}" for c in type(data).__mro__]


def _kinds(data: Any) -> set[str]:
    return set(_kind_order(data))


def _path(data: Any, name: str) -> Rows | Stream:
    from sidelight.rows.table_files import open_path

    return open_path(os.fspath(data), name)


def _dataset(data: Any, name: str) -> Rows:
    column = next((c for c in LABEL_COLUMNS if c in data.column_names), None)
    computed = data.format["type"] == "custom"  # a transform of the user's: columns may be other ones there
    pictures = any("Image" in type(f).__name__ for f in data.features.values())
    return Rows(
        data,
        name,
        _class_names(data),
        data.with_format(None)[column] if column and not computed else None,
        cheap=not computed and not pictures,
    )


def _dataset_stream(data: Any, name: str) -> Stream:
    import datasets

    for column, feature in (data.features or {}).items():
        if isinstance(feature, datasets.Image) and feature.decode:  # files are smaller than pixels
            data = data.cast_column(column, datasets.Image(decode=False))
    return Stream(data, name, _class_names(data))


def _class_names(data: Any) -> tuple[str, ...]:
    """Class names that a data set says its label numbers stand for: of ``datasets``, or of torchvision's kind."""
    features = getattr(data, "features", None)
    if isinstance(features, Mapping):
        found = next((features[c] for c in LABEL_COLUMNS if c in features), None)
        return tuple(getattr(found, "names", None) or ())
    classes = getattr(data, "classes", None)
    if isinstance(classes, (list, tuple)) and all(isinstance(c, str) for c in classes):
        return tuple(classes)
    inner = getattr(data, "dataset", None)  # a Subset
    return _class_names(inner) if inner is not None else ()


def _given_labels(data: Any) -> Any:
    """``targets`` of a torchvision data set, or of a subset of one, where they fit its length."""
    indices, inner = getattr(data, "indices", None), getattr(data, "dataset", None)
    if inner is not None and indices is not None:
        found = _given_labels(inner)
        return None if found is None else [found[int(i)] for i in indices]
    found = getattr(data, "targets", None)
    fits = isinstance(found, (list, tuple, np.ndarray, Tensor)) and len(found) == len(data)
    # a transform of the labels makes others of them
    return found if fits and getattr(data, "target_transform", None) is None else None


def _torch_dataset(data: Any, name: str) -> Rows | Stream:
    if not hasattr(data, "__len__"):
        return Stream(data, name, _class_names(data))
    return Rows(data, name, _class_names(data), _given_labels(data))


def _torch_stream(data: Any, name: str) -> Stream:
    return Stream(data, name, _class_names(data))


def _tensors(data: Any, name: str) -> Rows:
    """Of a ``TensorDataset``: ``(sample, label)``, or samples alone where it holds one tensor."""
    held = data.tensors
    return Rows(held[0] if len(held) == 1 else data, name, cheap=True)


def _loader(data: Any, name: str) -> Rows | Stream:
    """A ``DataLoader``: the rows of its data set where it shows all of them as they are, else its batches row by row."""
    from torch.utils.data import RandomSampler, SequentialSampler, default_collate
    from torch.utils.data._utils.collate import default_convert

    sampler, collate = getattr(data, "sampler", None), data.collate_fn
    everything = isinstance(sampler, SequentialSampler) or (
        isinstance(sampler, RandomSampler)
        and not sampler.replacement
        and sampler.num_samples == len(data.dataset)
    )
    own_batches = data.batch_size is None and data.batch_sampler is not None
    if collate in (default_collate, default_convert) and everything and not own_batches:
        return open_data(data.dataset, name)
    if data.batch_size is None and not own_batches:
        return Stream(data, name, _class_names(data.dataset))
    by_column = collate is default_collate
    rows = chain.from_iterable(_unbatched(batch, by_column, name) for batch in data)
    return Stream(rows, name, _class_names(data.dataset))


def _unbatched(batch: Any, by_column: bool, name: str) -> Iterable[Any]:
    """Rows of one batch: of a mapping of columns, of ``(samples, labels)``, of a tensor, or a list of rows."""
    if isinstance(batch, Mapping):
        return _mapping(batch, name)
    if isinstance(batch, Tensor):
        return batch
    if isinstance(batch, (tuple, list)):
        labels = batch[-1] if batch else None
        if by_column or (len(batch) > 1 and isinstance(labels, (Tensor, np.ndarray)) and labels.ndim == 1):
            return _same_lengths(dict(enumerate(batch)), name) if len(batch) == 1 else _zipped(batch, name)
        return batch
    raise InputTypeError(
        f"{name} is a DataLoader of {type(batch).__name__} batches, of which no rows can be made. Give its data set "
        "(loader.dataset), or batches that are mappings of columns, (samples, labels), or lists of rows."
    )


def _frame(data: Any, name: str) -> Rows:
    names = list(data.columns)
    twice = sorted({str(n) for n in names if names.count(n) > 1})
    if twice:
        raise InputError(f"{name} has several columns {', '.join(twice)}: name each column once.")
    columns = Columns({n: data[n] for n in names})
    return Rows(columns, name, labels=_label_column(columns), cheap=True)


def _series(data: Any, name: str) -> Rows:
    return Rows(Column(data), name, cheap=True)


class Column(Sequence[Any]):
    """One column as samples; whole numbers count places."""

    def __init__(self, values: Any) -> None:
        self.columns = Columns([values])

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, index: Any) -> Any:
        return self.columns[index][0]


def _label_column(columns: Columns) -> Any:
    return next((columns.columns[c] for c in LABEL_COLUMNS if c in columns.columns), None)


def _arrow(data: Any, name: str) -> Rows:
    import datasets
    import pyarrow

    table = pyarrow.Table.from_batches([data]) if isinstance(data, pyarrow.RecordBatch) else data
    return _dataset(datasets.Dataset(table), name)


def _polars(data: Any, name: str) -> Rows:
    return _frame(_ByName({n: data[n].to_list() for n in data.columns}), name)


class _ByName(dict[str, Any]):
    """Columns that are asked for like those of a data frame."""

    @property
    def columns(self) -> list[str]:
        return list(self)


def _listed(data: Any, name: str) -> Rows:
    return Rows(data.to_list() if hasattr(data, "to_list") else data.to_pylist(), name, cheap=True)


def _tensor(data: Tensor, name: str) -> Rows:
    if data.ndim != 4:
        one = " That is one picture: add an axis, x.unsqueeze(0)." if data.ndim == 3 else ""
        raise InputError(
            f"{name} is a tensor of shape {tuple(data.shape)}; pictures are [B, C, H, W].{one} "
            "Give ids of words as {'input_ids': ..., 'attention_mask': ...}."
        )
    return Rows(data, name, cheap=True)


def _array(data: np.ndarray, name: str) -> Rows:
    if data.ndim == 0 or (data.ndim == 2 and data.dtype != object):
        raise InputError(
            f"{name} is an array of shape {data.shape} and type {data.dtype}; pictures are uint8 [B, H, W, C] or "
            "[B, H, W], texts an array of strings."
        )
    return Rows(Column(data) if data.ndim == 1 else data, name, cheap=True)


def _listing(data: Any, name: str) -> Rows:
    if isinstance(data, tuple) and _is_samples_and_labels(data):
        return _zipped(data, name)
    return Rows(data, name, cheap=True)


def _is_samples_and_labels(data: tuple[Any, ...]) -> bool:
    """Whether ``data`` is ``(samples, labels)``, both of them columns, and no two rows."""
    if len(data) != 2:
        return False
    samples, labels = data
    many = isinstance(samples, (Tensor, np.ndarray)) and samples.ndim >= 3
    flat = getattr(labels, "ndim", 1) == 1 and isinstance(labels, (Tensor, np.ndarray, list, tuple))
    listed = isinstance(samples, list) and len(samples) > 2
    return bool((many or listed or hasattr(samples, "iloc")) and (flat or hasattr(labels, "iloc")))


def _zipped(columns: Sequence[Any], name: str) -> Rows:
    _same_lengths(dict(enumerate(columns)), name)
    return Rows(Columns(list(columns)), name, cheap=True)


def _same_lengths(columns: Mapping[Any, Any], name: str) -> Any:
    lengths = {key: len(column) for key, column in columns.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{n} of {key!r}" for key, n in lengths.items())
        raise InputError(f"the columns of {name} differ in length: {counts}. Give one value a row.")
    return columns[next(iter(columns))]


def _is_column(value: Any) -> bool:
    if isinstance(value, (Tensor, np.ndarray)):
        return bool(value.ndim >= 1)
    sized = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    return sized and not isinstance(value, (str, bytes, Mapping))


def _is_columns(data: Mapping[Any, Any]) -> bool:
    """Whether every value is a column; a row may hold lists too, but beside a text or a number."""
    return bool(data) and all(_is_column(v) for v in data.values())


def _mapping(data: Mapping[Any, Any], name: str) -> Rows:
    if not data:
        raise InputError(f"{name} is empty: give at least one row.")
    if not _is_columns(data):
        odd = next(k for k, v in data.items() if not _is_column(v))
        raise InputError(
            f"{name} is a mapping whose {odd!r} is no column but a {type(data[odd]).__name__}. Give columns "
            "{'text': [...], 'label': [...]}, or put rows in a list: [{'text': ..., 'label': ...}, ...]."
        )
    _same_lengths(data, name)
    columns = Columns(data)
    return Rows(columns, name, labels=_label_column(columns), cheap=True)


OPENERS: dict[str, Callable[[Any, str], Rows | Stream]] = {
    "datasets.Dataset": _dataset,
    "datasets.IterableDataset": _dataset_stream,
    "datasets.Column": lambda data, name: Rows(data, name),
    "torch.DataLoader": _loader,
    "torch.TensorDataset": _tensors,
    "torch.IterableDataset": _torch_stream,
    "torch.Dataset": _torch_dataset,
    "pandas.DataFrame": _frame,
    "pandas.Series": _series,
    "pandas.Index": _series,
    "polars.DataFrame": _polars,
    "polars.Series": _listed,
    "pyarrow.Table": _arrow,
    "pyarrow.RecordBatch": _arrow,
    "pyarrow.ChunkedArray": _listed,
    "pyarrow.Array": _listed,
}


# -- kinds by what they can do --------------------------------------------------------------


def _open_by_shape(data: Any, name: str) -> Rows | Stream:
    if isinstance(data, (str, os.PathLike)):
        return _path(data, name)
    if isinstance(data, Mapping):
        return _mapping(data, name)
    if isinstance(data, Tensor):
        return _tensor(data, name)
    if isinstance(data, np.ndarray):
        return _array(data, name)
    if isinstance(data, (list, tuple)):
        return _listing(data, name)
    advice = _why_not(data)
    if advice:
        raise InputTypeError(f"{name} is {advice}. Give {FORMS}.")
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return Rows(data, name, _class_names(data), _given_labels(data))
    if hasattr(data, "__iter__") or hasattr(data, "__getitem__"):
        return Stream(data, name)
    raise InputTypeError(f"{name} is a {type(data).__name__}, of which no rows can be had. Give {FORMS}.")


def _why_not(data: Any) -> str | None:
    """What ``data`` is, where it looks like rows and is none; ``None`` where it may be some."""
    if data is None:
        return "None"
    if isinstance(data, (bytes, bytearray, memoryview)):
        return "bytes, of which nobody knows whether they are a table or a picture"
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


def _collected(stream: Stream, most: int, most_bytes: int) -> Rows:
    """The rows of ``stream`` in a list: an epoch after the first must find them again."""
    rows: list[Any] = []
    size = 0
    for row in stream:
        if len(rows) >= most or size > most_bytes:
            raise InputError(
                f"{stream.name} is a stream of more than {len(rows):,} rows ({size / 2**20:.0f} MiB): a training reads "
                f"rows several times, so they are kept in memory, up to {most:,} rows and {most_bytes / 2**30:.0f} GiB. "
                "Take fewer: data.take(n) of a datasets stream, itertools.islice(data, n) of an iterator. "
                "Or give data that lie on disk: a datasets.Dataset, a table or a folder."
            )
        rows.append(row)
        size += size_in_memory(row)
    log.info("%s: a stream; its %d rows (%.1f MiB) are kept in memory", stream.name, len(rows), size / 2**20)
    return Rows(rows, stream.name, stream.label_names, cheap=True)
