"""Files that commands keep in a run folder, read with the remedy that helps if one is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from sidelight.core.files import read_json
from sidelight.errors import CheckpointError


def read_record(path: Path, command: str, finite: bool = False) -> Any:
    """JSON that ``command`` wrote. Raises :class:`CheckpointError` if it is missing, closed to us or damaged."""
    return read_json(path, finite, remedy=_made_again(command))


def read_frame(path: Path, command: str) -> pd.DataFrame:
    """A table that ``command`` wrote. Raises :class:`CheckpointError` if it is missing or damaged."""
    try:
        return pd.read_parquet(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"no file {path}: run `sidelight {command}` again.") from error
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise CheckpointError(f"{path} cannot be read ({error}). {_made_again(command)}") from error


def _made_again(command: str) -> str:
    # a damaged file is not known as ours, so no command would replace it
    return f"Restore it, or delete it and run `sidelight {command}` again."
