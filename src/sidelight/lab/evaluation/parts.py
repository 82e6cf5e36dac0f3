"""Finished batches on disk: written whole or not at all, read back only where they fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from sidelight.core.files import replace_file, write_text
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
            if known is not None and not isinstance(known, dict):
                raise ValueError(f"{manifest} is not what an evaluation keeps there")
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"cannot use {str(self.directory)!r} for results: {error}. Remove its evaluation.json and "
                "parts, or choose another directory."
            ) from error
        if known is None:
            # of several processes each may come here first; all write the same
            write_text(manifest, json.dumps({"hash": self.digest, **json.loads(text)}, indent=1))
        elif known.get("hash") != self.digest:
            changed = [k for k, v in json.loads(text).items() if known.get(k) != v]
            raise ConfigError(
                f"{str(self.directory)!r} holds results of another evaluation (different "
                f"{', '.join(changed) or 'hash'}). Choose another directory, or delete this one first."
            )

    def paths(self, index: int) -> tuple[Path, Path]:
        """Files of batch ``index``: rows, curves."""
        return (
            self.directory / f"part-{index:05d}.parquet",
            self.directory / f"part-{index:05d}.curves.parquet",
        )

    def missing(self, count: int) -> list[int]:
        """Which of the batches 0 to ``count - 1`` are not finished."""
        return [index for index in range(count) if not self.paths(index)[0].exists()]

    def holds(self, index: int, ids: Sequence[int]) -> bool:
        """Whether batch ``index`` is finished; looks at one column of it.

        Raises:
            ConfigError: the stored batch has other samples.
            CheckpointError: a file is damaged.
        """
        rows_path, curves_path = self.paths(index)
        if not rows_path.exists():
            return False
        try:
            found = set(pq.read_table(rows_path, columns=["sample"])["sample"].to_pylist())
            pq.read_metadata(curves_path)
        except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
            raise _damaged(rows_path, error) from error
        if found and found != set(ids):
            raise ConfigError(
                f"{str(rows_path)!r} holds other samples than batch {index} of this run. Keep the order and "
                "the size of the batches, or choose another directory."
            )
        return True

    def read(self, index: int, ids: Sequence[int]) -> tuple[pd.DataFrame, pd.DataFrame] | None:
        """Rows and curves of batch ``index``, or ``None`` where it is not finished.

        Raises:
            ConfigError: the stored batch has other samples.
            CheckpointError: a file is damaged.
        """
        if not self.holds(index, ids):
            return None
        rows_path, curves_path = self.paths(index)
        try:
            return pd.read_parquet(rows_path), pd.read_parquet(curves_path)
        except (OSError, ValueError) as error:
            raise _damaged(rows_path, error) from error

    def write(self, index: int, rows: pd.DataFrame, curves: pd.DataFrame) -> None:
        """Store a finished batch; the rows come last, so their presence means it is whole."""
        rows_path, curves_path = self.paths(index)
        for path, table in ((curves_path, curves), (rows_path, rows)):
            with replace_file(path) as tmp:
                table.to_parquet(tmp, index=False)


def _damaged(rows_path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"cannot read {str(rows_path)!r} or its curves: {error}. Delete both; the batch is then evaluated again."
    )
