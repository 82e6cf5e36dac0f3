"""Finished batches on disk: written whole or not at all, read back only where they fit."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sidelight.errors import CheckpointError, ConfigError


class PartStore:
    """One pair of parquet files per batch, beside a manifest that says what was measured.

    Args:
        directory: created if missing.
        identity: JSON-able description of settings, methods and target.

    Raises:
        ConfigError: the directory holds parts of another identity.
        CheckpointError: the directory or its manifest cannot be read or written.
    """

    def __init__(self, directory: str | Path, identity: dict[str, Any]) -> None:
        self.directory = Path(directory)
        text = json.dumps(identity, sort_keys=True, default=str)
        self.digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        manifest = self.directory / "evaluation.json"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            known = json.loads(manifest.read_text()) if manifest.exists() else None
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"cannot use {str(self.directory)!r} for results: {error}. Remove its evaluation.json and "
                "parts, or choose another directory."
            ) from error
        if known is None:
            body = json.dumps({"hash": self.digest, **json.loads(text)}, indent=1)
            _replace(manifest, lambda path: path.write_text(body))
        elif known.get("hash") != self.digest:
            changed = [k for k, v in json.loads(text).items() if known.get(k) != v]
            raise ConfigError(
                f"{str(self.directory)!r} holds results of another evaluation (different "
                f"{', '.join(changed) or 'hash'}). Choose another directory, or delete this one first."
            )

    def _paths(self, index: int) -> tuple[Path, Path]:
        return (
            self.directory / f"part-{index:05d}.parquet",
            self.directory / f"part-{index:05d}.curves.parquet",
        )

    def read(self, index: int, ids: Sequence[int]) -> tuple[pd.DataFrame, pd.DataFrame] | None:
        """Rows and curves of batch ``index``, or ``None`` where it is not finished.

        Raises:
            ConfigError: the stored batch has other samples.
            CheckpointError: a file is damaged.
        """
        rows_path, curves_path = self._paths(index)
        if not rows_path.exists():
            return None
        try:
            rows, curves = pd.read_parquet(rows_path), pd.read_parquet(curves_path)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"cannot read {str(rows_path)!r} or its curves: {error}. Delete both; the batch is then "
                "evaluated again."
            ) from error
        if set(rows["sample"]) != set(ids):
            raise ConfigError(
                f"{str(rows_path)!r} holds other samples than batch {index} of this run. Keep the order and "
                "the size of the batches, or choose another directory."
            )
        return rows, curves

    def write(self, index: int, rows: pd.DataFrame, curves: pd.DataFrame) -> None:
        """Store a finished batch; the rows come last, so their presence means it is whole."""
        rows_path, curves_path = self._paths(index)
        _replace(curves_path, lambda path: curves.to_parquet(path, index=False))
        _replace(rows_path, lambda path: rows.to_parquet(path, index=False))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside ``path`` and move into place, so a kill leaves the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise CheckpointError(f"could not write {str(path)!r}: {error}. Is the disk full?") from error
    finally:
        temporary.unlink(missing_ok=True)
