"""Where a training puts its files when nobody says where: a fresh folder each time."""

from __future__ import annotations

import logging
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sidelight.core.folders import folder_path, require_folder_place
from sidelight.core.locks import hold
from sidelight.core.processes import from_main
from sidelight.errors import InputTypeError

log = logging.getLogger(__name__)

#: folder in the working directory that holds the fresh ones
RUNS = "sidelight-runs"


@contextmanager
def training_place(output_dir: str | os.PathLike[str] | None) -> Iterator[Path]:
    """The folder of a training, which nobody else works in meanwhile.

    Args:
        output_dir: the folder; ``None`` for a fresh one, ``sidelight-runs/<date>-<time>-<random>`` in the working directory,
            or a temporary folder where that cannot be written.

    Raises:
        InputTypeError: it is no path.
        ForeignFileError: it is a file or a link, or lies below a file.
        BusyFolderError: another process or thread works there.
    """
    fresh = output_dir is None
    place = Path(from_main(_fresh_folder)) if output_dir is None else _given(output_dir)
    try:
        with hold(place, "fit"):
            yield place
    except BaseException:
        if fresh:
            _forget(place)
        raise
    if fresh:
        log.info("this training is in %s", place)


def _given(output_dir: str | os.PathLike[str]) -> Path:
    if not isinstance(output_dir, (str, os.PathLike)):
        raise InputTypeError(f"output_dir must be the path of a folder; got {type(output_dir).__name__}.")
    place = folder_path(output_dir)
    require_folder_place(place, "Give another output_dir.")
    return place


def _fresh_folder() -> str:
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    place = Path.cwd() / RUNS / name
    try:
        place.mkdir(parents=True)
    except OSError as error:
        place = Path(tempfile.mkdtemp(prefix="sidelight-"))
        log.warning(
            "the working directory cannot be written (%s): this training is in the temporary folder %s. "
            "Save the explainer with save_pretrained, or give output_dir.",
            error.strerror or error,
            place,
        )
    return str(place)


def _forget(place: Path) -> None:
    """Remove a fresh folder that a refused call leaves empty."""
    with suppress(OSError):
        place.rmdir()
        if place.parent.name == RUNS:
            place.parent.rmdir()
