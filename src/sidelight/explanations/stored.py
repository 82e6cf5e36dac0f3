"""Many explanations on disk, in finished parts. A call that was killed continues after the last part.

A folder holds ``manifest.json`` and ``parts/part-00000.parquet`` and so on. The manifest names the rows and the scorer
that explains them. A part is written whole or not at all (:mod:`sidelight.explanations.packing`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidelight.checks.answers import ANSWERS, other_answers
from sidelight.core.files import reachable, read_json, remove_leftovers, replace_file, write_json
from sidelight.core.ownership import own_folder
from sidelight.errors import CheckpointError, ConfigError, SidelightError
from sidelight.explanations.blocks import Answer
from sidelight.explanations.packing import packed_table
from sidelight.explanations.packing_v1 import unpacked_v1
from sidelight.explanations.unpacking import rows_of, unpacked
from sidelight.targets.options import differences

MANIFEST, PARTS = "manifest.json", "parts"
FORMAT = "sidelight.explanations"
#: the format that is written, and those that are read. A folder may hold parts of both
VERSION, KNOWN = 2, (1, 2, 3)
#: pattern of the names of files that a job writes
WRITTEN = r"manifest\.json|part-\d{5,}\.parquet|explanations\.csv|errors\.csv"
#: what identifies a job now, and did not in earlier versions
LATER = ("options", "labels", ANSWERS)
#: the format of scores in 8 bits, which earlier versions would read as numbers up to 255
WITH_BYTES = 3


@dataclass
class StoredExplanations:
    """Explanations of the rows of one source, in a folder.

    Args:
        folder: made if it is missing.
        about: plain values that identify the job: source, scorer, options.
    """

    folder: Path
    about: Mapping[str, Any]
    _ends: list[int] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path, about: Mapping[str, Any]) -> StoredExplanations:
        """Begin in ``folder``, or go on with the same job there. No other process may write there.

        Raises:
            ConfigError: the folder holds the explanations of another job.
            CheckpointError: it cannot be written, or holds a damaged manifest.
        """
        about = json.loads(json.dumps(about, default=str))
        path = folder / MANIFEST
        ends: list[int] = []
        if path.is_file():
            known = read_manifest(folder)
            there = known["about"]  # an option that only one of the two jobs has is a difference too
            changed = [told for k in {**there, **about} if (told := _difference(k, there, about))]
            if changed and known["ends"]:  # a job that explained nothing leaves the folder free
                raise ConfigError(
                    f"{folder} holds the explanations of another job (different {', '.join(changed)}). "
                    "Choose another folder for the answers, or remove this one."
                )
            ends = list(known["ends"])
            if ends and ANSWERS in there:  # else small differences would add up from call to call
                about = {**about, ANSWERS: there[ANSWERS]}
        own_folder(folder)
        for place in (folder, folder / PARTS):
            remove_leftovers(place, WRITTEN)
        stored = cls(folder, about, ends)
        stored._keep()
        return stored

    @property
    def finished(self) -> int:
        """Rows that are explained already."""
        return self._ends[-1] if self._ends else 0

    @property
    def parts(self) -> int:
        """Number of the parts."""
        return len(self._ends)

    def add(self, part: Iterable[Answer]) -> None:
        """Write the answers of the rows that follow as one more part."""
        self.add_table(packed_table(enumerate(part, start=self.finished)))

    def add_table(self, table: Any) -> None:
        """Write a part of answers that are packed already, a ``pyarrow.Table`` in the order of the rows.

        Raises:
            CheckpointError: the disk refused, or the rows are not those that follow.
        """
        import pyarrow.parquet as pq

        first = table["row"][0].as_py()
        if first != self.finished:  # a thread writes, and the block before may have failed a moment ago
            raise CheckpointError(
                f"the answers of row {self.finished} are missing before those of row {first}."
            )
        # numbers of maps hardly repeat, so a dictionary of them would be made in vain
        repeated = [
            n for n in table.column_names if not n.endswith(("_scores", "_ranking", "_effects", "_picture"))
        ]
        with replace_file(part_of(self.folder, len(self._ends))) as tmp:
            pq.write_table(table, tmp, compression="zstd", use_dictionary=repeated)
        self._ends.append(self.finished + len(table))
        self._keep()  # last: what the manifest names is there

    def _keep(self) -> None:
        version = WITH_BYTES if self.about.get("scores") == "uint8" else VERSION
        values = {"format": FORMAT, "version": version, "about": dict(self.about), "ends": self._ends}
        write_json(self.folder / MANIFEST, values)

    def __iter__(self) -> Iterator[Answer]:
        return read_parts(self.folder, len(self._ends))


def _difference(name: str, there: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """What two jobs differ in by the entry ``name``, in words. A first pass may have settled some options since."""
    if name == ANSWERS:
        return other_answers(there.get(name), now.get(name))
    if name in LATER and name not in there:
        return None
    if name == "options" and name in now:
        return name if any(differences(there[name], now[name])) else None
    return name if there.get(name) != now.get(name) else None


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of ``folder``. Raises :class:`CheckpointError` if it is missing, damaged or of a newer version."""
    if not reachable(folder / MANIFEST).is_file():
        raise CheckpointError(
            f"{folder} holds no explanations: there is no file {MANIFEST!r} in it. Give the folder that explain_dataset or "
            "`sidelight explain` wrote the answers of many rows into."
        )
    found = read_json(folder / MANIFEST)
    whole = (
        isinstance(found, dict)
        and isinstance(found.get("about"), dict)
        and _are_ends(found.get("ends"))
        and type(found.get("version")) is int
        and found["version"] > 0
    )
    if not whole or found.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder / MANIFEST} does not tell of explanations; it was not written by sidelight, or is damaged."
        )
    if found.get("version") not in KNOWN:
        raise CheckpointError(
            f"{folder} was written by a newer version of sidelight (format {found.get('version')}): update sidelight."
        )
    return found


def _are_ends(values: Any) -> bool:
    """Whether ``values`` lists numbers of rows, each higher than the one before."""
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        return False
    return all(before < value for before, value in zip([0, *values], values, strict=False))


def part_of(folder: Path, number: int) -> Path:
    """The file of a part."""
    return folder / PARTS / f"part-{number:05d}.parquet"


def read_parts(folder: Path, end: int, begin: int = 0) -> Iterator[Answer]:
    """The answers of the parts from ``begin`` up to and without ``end``. A few hundred are in memory."""
    for number in range(begin, end):
        path = part_of(folder, number)
        for batch in batches_of(path):
            first = "maps" in batch.schema.names  # the first format keeps all maps in one column
            rows = batch.to_pylist() if first else rows_of(batch)
            yield from (_checked(row, path, first) for row in rows)


def batches_of(path: Path, columns: list[str] | None = None, size: int = 256) -> Iterator[Any]:
    """A part as record batches of at most ``size`` rows, or some columns of it, those that it has.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            wanted = None if columns is None else [c for c in columns if c in names]
            yield from file.iter_batches(size, columns=wanted)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise _damaged(path, error) from error


def names_of(path: Path) -> list[str]:
    """Names of the columns of a part. Raises :class:`CheckpointError` if it is missing or damaged."""
    from pyarrow.parquet import read_schema

    try:
        return list(read_schema(path).names)
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _checked(row: Mapping[str, Any], path: Path, first: bool) -> Answer:
    try:
        return unpacked_v1(row) if first else unpacked(row)
    except SidelightError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} is missing or damaged ({error}). Explain the rows again, into another folder."
    )
