"""Files of maps from any program: one map a sample and modality, by the sample's id.

``.npz`` (never with object arrays, because those are pickles, which run code when they are read)::

    ids            [N] integers: places among the rows that are evaluated (``Run.tested_rows``), counted from 0
    image          [N, H, W] one score a pixel
    text           scores of all texts in one row, one a token, special tokens and padding left out
    text_offsets   [N + 1]: text n has the scores text_offsets[n] to text_offsets[n + 1]
    signed         optional, true or false: whether scores below 0 are evidence against the class

Either layout serves either modality.

``.parquet`` has a row a sample and modality with the columns ``id``, ``modality`` and ``scores``, a list (of lists,
for images). The file's metadata may hold ``signed``.

Scores are rounded to float32, which has about seven digits and reaches from 1e-38 to 3e38. A map that this would spoil
is refused.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sidelight.core.counted import repeated
from sidelight.core.files import file_path, replace_file
from sidelight.core.folders import require_file_place
from sidelight.core.pointers import told_of_pointer
from sidelight.core.registry import nearest
from sidelight.core.types import MODALITIES
from sidelight.errors import InputError

OFFSETS = "_offsets"
SUFFIXES = (".npz", ".parquet")
#: what an entry ``signed`` may be, in the words of Python, JSON and numbers
FLAGS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
#: values of float64 that differ by a smaller share of the largest are equal, but for rounding
ROUNDING = 1e-12


@dataclass(frozen=True)
class MapFile:
    """Maps of several samples.

    Attributes:
        maps: modality -> id -> float32 scores, image ``[H, W]`` (or flat), text ``[T]``, all finite.
        signed: whether scores below 0 are evidence against the class.
    """

    maps: Mapping[str, Mapping[int, np.ndarray]]
    signed: bool

    @property
    def ids(self) -> list[int]:
        """Ids that have a map of every modality, in order."""
        common = set.intersection(*(set(found) for found in self.maps.values()))
        return sorted(common)


def read_maps(path: str | os.PathLike[str], signed: bool | None = None) -> MapFile:
    """Read a file of maps.

    Args:
        path: ``.npz`` or ``.parquet``, see the top of this module.
        signed: overrides the file's own entry. If there is neither, any score below 0 makes the maps signed.

    Raises:
        InputError: the file is missing, unreadable or of another layout, ids are not distinct integers, scores
            are not finite or spoilt by float32, or some lie below 0 in maps called unsigned.
    """
    file = Path(path)
    if file.suffix not in SUFFIXES:
        raise InputError(f"maps are read from {' or '.join(SUFFIXES)}; got {str(file)!r}.")
    if not file.is_file():
        raise InputError(f"no file of maps at {str(file)!r}.")
    if pointer := told_of_pointer(file, "maps"):
        raise InputError(pointer)
    raw, told = _read_npz(file) if file.suffix == ".npz" else _read_parquet(file)
    if not raw:
        raise InputError(f"{file} holds no maps: give at least one of {', '.join(MODALITIES)}.")
    for modality, found in raw.items():
        _check(file, modality, found)
    negative = any(bool((m < 0).any()) for found in raw.values() for m in found.values())
    chosen = told if signed is None else signed
    if chosen is False and negative:
        raise InputError(f"{file} holds scores below 0, but its maps are called unsigned; say signed: true.")
    return MapFile(raw, negative if chosen is None else chosen)


def require_place(path: str | os.PathLike[str]) -> Path:
    """Refuse a place where :func:`write_maps` could not write. To be asked before maps are made, which takes long.

    Raises:
        InputError: the suffix is neither ``.npz`` nor ``.parquet``.
        CheckpointError: no file can be made there.
        ForeignFileError: a file that sidelight did not write is there, or in the place of its folder.
    """
    file = file_path(path)
    if file.suffix not in SUFFIXES:
        raise InputError(f"maps are written as {' or '.join(SUFFIXES)}; got {str(file)!r}.")
    return require_file_place(file)


def write_maps(path: str | os.PathLike[str], maps: MapFile) -> Path:
    """Write maps so that :func:`read_maps` reads equal ones. The suffix decides the format.

    Raises:
        InputError: the suffix is neither ``.npz`` nor ``.parquet``, or float32 would spoil a map.
        CheckpointError: the file cannot be written. An earlier file stays as it was.
    """
    file = require_place(path)
    for modality, found in maps.maps.items():
        _require_told_apart(file, modality, found)
    with replace_file(file) as tmp:
        if file.suffix == ".npz":
            with tmp.open("wb") as handle:
                # without allow_pickle, which NumPy before 2.1 stores as an array: entries are numbers
                np.savez(handle, **_npz_entries(maps))  # type: ignore[arg-type]
        else:
            _write_parquet(tmp, maps)
    return file


def file_hash(path: str | os.PathLike[str]) -> str:
    """BLAKE2 hash of a file's bytes."""
    digest = hashlib.blake2b(digest_size=16)
    with Path(path).open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read_npz(file: Path) -> tuple[dict[str, dict[int, np.ndarray]], bool | None]:
    entries = _npz_arrays(file)
    told = entries.pop("signed", None)
    if "ids" not in entries:
        raise InputError(f"{file} needs an entry 'ids'; it holds {', '.join(entries) or 'nothing'}.")
    ids = _integers(file, entries.pop("ids"))
    found: dict[str, dict[int, np.ndarray]] = {}
    for name, values in entries.items():
        if name.endswith(OFFSETS) and name.removesuffix(OFFSETS) in entries:
            continue
        _known(file, name)
        parts = _split(file, name, values, entries.get(name + OFFSETS), len(ids))
        found[name] = dict(zip(ids, parts, strict=True))
    return found, _flag(file, told if told is None or told.size != 1 else told.item())


def _npz_arrays(file: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:
        if "allow_pickle" in str(error):
            raise InputError(
                f"{file} holds object arrays, which are pickles and can run code. Give maps of varying length as "
                "one row of scores and their offsets: text [sum of lengths], text_offsets [N + 1]."
            ) from error
        raise InputError(f"cannot read {file} as .npz ({error}); it may be truncated.") from error


def _split(
    file: Path, name: str, values: np.ndarray, offsets: np.ndarray | None, count: int
) -> Sequence[np.ndarray]:
    """The map of each sample, from a dense array or from one row and its offsets."""
    if offsets is None:
        if values.ndim < 2 or len(values) != count:
            raise InputError(
                f"{file}: {name!r} must hold one map for each of the {count} ids, [{count}, ...]; got shape "
                f"{values.shape}. Maps of varying length need {name + OFFSETS!r} [{count + 1}]."
            )
        return [v[0] if v.ndim == 3 and len(v) == 1 else v for v in values]
    ends = _integers(file, offsets, distinct=False)
    rising = all(a <= b for a, b in pairwise(ends))
    if values.ndim != 1 or len(ends) != count + 1 or not rising or (ends[0], ends[-1]) != (0, len(values)):
        raise InputError(
            f"{file}: {name + OFFSETS!r} must rise from 0 to the {values.size} scores of {name!r} in {count + 1} "
            f"steps; got {len(ends)} from {ends[0] if ends else None} to {ends[-1] if ends else None}, "
            f"scores of shape {values.shape}."
        )
    return [values[a:b] for a, b in pairwise(ends)]


def _read_parquet(file: Path) -> tuple[dict[str, dict[int, np.ndarray]], bool | None]:
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(file)
    except Exception as error:
        raise InputError(f"cannot read {file} as parquet ({error}); it may be truncated.") from error
    missing = [c for c in ("id", "modality", "scores") if c not in table.column_names]
    if missing:
        raise InputError(f"{file} lacks the column(s) {missing}; it has {table.column_names}.")
    ids = _integers(file, table["id"].to_numpy(), distinct=False)
    found: dict[str, dict[int, np.ndarray]] = {}
    for key, name, scores in zip(ids, table["modality"].to_pylist(), table["scores"], strict=True):
        own = found.setdefault(_known(file, str(name)), {})
        if key in own:
            raise InputError(f"{file}: id {key} has two maps of {name!r}; ids must be distinct.")
        own[key] = _list_values(file, key, scores)
    told = (table.schema.metadata or {}).get(b"signed")
    return found, _flag(file, told if told is None else told.decode(errors="replace"))


def _flag(file: Path, told: Any) -> bool | None:
    """The file's own entry ``signed``. A word is no truth value by itself: ``bool("false")`` is true."""
    if told is None:
        return None
    if (word := str(told).lower()) not in FLAGS:
        raise InputError(f"{file}: 'signed' must be true or false; got {told!r:.60}.")
    return FLAGS[word]


def _list_values(file: Path, key: int, scalar: Any) -> np.ndarray:
    """A list of numbers ``[T]``, or of lists of one length ``[H, W]``, as an array."""
    values = scalar.values if hasattr(scalar, "values") else None
    if values is None:
        raise InputError(f"{file}: id {key} has no list in 'scores'.")
    if not hasattr(values, "flatten") or not hasattr(values, "value_lengths"):
        return np.asarray(values.to_numpy(zero_copy_only=False))
    widths = set(values.value_lengths().to_pylist())
    if len(widths) != 1:
        raise InputError(
            f"{file}: id {key}: the rows of an image must be of one length; got {sorted(widths, key=str)}."
        )
    return np.asarray(values.flatten().to_numpy(zero_copy_only=False)).reshape(len(values), -1)


def _check(file: Path, modality: str, found: dict[int, np.ndarray]) -> None:
    """Make every map float32, and refuse maps without finite numbers."""
    for key, values in found.items():
        if np.asarray(values).dtype.kind == "c":
            raise InputError(f"{file}: the map of id {key} holds complex numbers; give real scores.")
        try:
            found[key] = values if np.asarray(values).dtype == np.float64 else np.asarray(values, np.float32)
        except (TypeError, ValueError) as error:
            raise InputError(f"{file}: the map of id {key} holds no numbers ({error}).") from error
    bad = [key for key, values in found.items() if not np.isfinite(values).all()]
    if bad:
        raise InputError(
            f"{file}: maps of {modality!r} hold NaN or infinite values for id(s) {bad[:8]}; check what made them."
        )
    _require_told_apart(file, modality, found)
    found.update({key: np.asarray(values, np.float32) for key, values in found.items()})


def _require_told_apart(file: Path, modality: str, found: Mapping[int, np.ndarray]) -> None:
    """Refuse maps whose scores are infinite, or all 0, or all equal, in float32 alone."""
    bad = [key for key, values in found.items() if _spoilt(values)]
    if bad:
        raise InputError(
            f"{file}: float32, in which maps are kept, cannot tell apart the scores of {modality!r} for id(s) {bad[:8]}: they "
            "become infinite, all 0 or all equal. Rescale each of these maps, e.g. divide it by its largest absolute "
            "value, or give the ranks of its scores."
        )


def _spoilt(values: np.ndarray) -> bool:
    """Whether a finite map says something in float64 that it does not say in float32."""
    if values.dtype != np.float64 or not values.size:
        return False
    largest, bounds = np.abs(values).max(), np.finfo(np.float32)
    if largest > bounds.max or 0 < largest < bounds.tiny:
        return True
    small = values.astype(np.float32)
    return bool(small.min() == small.max() and np.ptp(values) > ROUNDING * largest)


def _known(file: Path, name: str) -> str:
    if name not in MODALITIES:
        raise InputError(
            f"{file}: {name!r} is no modality.{nearest(name, MODALITIES)} Known: {', '.join(MODALITIES)}."
        )
    return name


def _integers(file: Path, values: np.ndarray, distinct: bool = True) -> list[int]:
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
        raise InputError(f"{file}: ids and offsets must be integers [N]; got {values.dtype} {values.shape}.")
    found = [int(v) for v in values]
    if distinct and len(set(found)) < len(found):
        twice = sorted(repeated(found))[:8]
        raise InputError(f"{file}: ids must be distinct; {twice} occur more than once.")
    return found


def _npz_entries(maps: MapFile) -> dict[str, np.ndarray]:
    ids = maps.ids
    entries: dict[str, np.ndarray] = {"ids": np.array(ids, dtype=np.int64), "signed": np.array(maps.signed)}
    for modality, found in maps.maps.items():
        chosen = [found[i] for i in ids]
        if all(m.ndim > 1 for m in chosen) and len({m.shape for m in chosen}) == 1:
            entries[modality] = np.stack(chosen)
        else:
            entries[modality] = np.concatenate([m.ravel() for m in chosen])
            entries[modality + OFFSETS] = np.cumsum([0, *(m.size for m in chosen)])
    return entries


def _write_parquet(path: Path, maps: MapFile) -> None:
    import pyarrow
    import pyarrow.parquet

    ids = maps.ids
    names = [m for m in maps.maps for _ in ids]
    flat = [maps.maps[m][i].ravel() for m in maps.maps for i in ids]
    table = pyarrow.table(
        {
            "id": pyarrow.array(ids * len(maps.maps), pyarrow.int64()),
            "modality": pyarrow.array(names, pyarrow.string()),
            "scores": pyarrow.array(flat, pyarrow.list_(pyarrow.float32())),
        }
    )
    table = table.replace_schema_metadata({"signed": str(maps.signed).lower()})
    pyarrow.parquet.write_table(table, path)
