"""The owner of a run folder: the files that a run may write there, and those of an earlier version."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from sidelight.core.files import write_text
from sidelight.core.folders import folder_path, require_folder_place
from sidelight.core.ownership import (
    MANIFEST,
    adopt,
    files_below,
    foreign,
    foreign_entries,
    is_manifest,
    is_ours,
    own_folder,
    require_free,
)
from sidelight.errors import CheckpointError, ConfigError, ForeignFileError
from sidelight.lab.config.files import dump_config, load_config
from sidelight.lab.config.sections import RunConfig

CONFIG = "config.yaml"
#: files that commands write into a run folder
FILES = (
    "fit.json",
    "scores.parquet",
    "curves.parquet",
    "modality_share.parquet",
    "results.json",
    "table.md",
    "timing.json",
    "report.html",
)
#: folders that commands make in a run folder, as patterns
FOLDERS = (
    "target",
    "target-training",
    "warmup",
    "scorer-*",
    "evaluation",
    "judge",
    "elsewhere",
    "protocols",
    "audit",
    "ablation",
)


def folder_name(name: str, place: object) -> str:
    """``name`` of a run or benchmark, from the configuration at ``place``, if a folder may have it.

    Raises:
        ConfigError: it may be a path, or is empty.
    """
    if re.fullmatch(r"\w[\w .-]*", name) is None:
        raise ConfigError(
            f"{place}: name {name!r} is to be a folder's: letters, digits, spaces, '.', '-' and '_'."
        )
    return name


def digest(about: Any) -> str:
    """Eight characters that tell one set of plain values from another, for names of folders."""
    text = json.dumps(about, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def claim_run(folder: Path, config: RunConfig) -> None:
    """Make ``folder`` the run's own and write its configuration there.

    A file of the user's own with the same configuration stays as it is.

    Raises:
        ForeignFileError: files or folders of somebody else have names that the run needs.
        CheckpointError: the folder cannot be written.
    """
    place = folder_path(folder)
    require_folder_place(place, "Choose another --out.")
    path, text = place / CONFIG, dump_config(config)
    ours = is_ours(path) or is_written(path)
    if path.is_file() and not ours and not _says(path, config):
        raise foreign(path, f"It is no run's configuration. Choose another --out, e.g. {place / 'run'}.")
    if not is_manifest(place / MANIFEST):
        _open(place, ours)
    if ours and not is_ours(path):
        adopt(place, [path])
    if not path.is_file() or ours:
        write_text(path, text)


def load_run_config(path: Path) -> RunConfig | None:
    """The configuration at ``path`` of a run folder, or ``None`` if there is none.

    Raises:
        ForeignFileError: something else has this name.
    """
    if not os.path.lexists(path):
        return None
    try:
        return load_config(path)
    except (ConfigError, OSError) as error:
        raise foreign(
            path,
            f"It is no configuration of a run ({error}). Choose another --out, e.g. {path.parent / 'run'}.",
        ) from error


def is_written(path: Path) -> bool:
    """Whether a configuration looks as sidelight writes it, without comments or formatting of a person."""
    try:
        text = path.read_text(encoding="utf-8")
        load_config(path)
        return text == yaml.safe_dump(yaml.safe_load(text), sort_keys=False, allow_unicode=True)
    except (OSError, ValueError, yaml.YAMLError):  # errors of a configuration are ValueErrors
        return False


def continue_run(folder: Path) -> None:
    """Begin the list of files for a run that an earlier version made, so that its results can be made again.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    place = folder_path(folder)
    if not is_manifest(place / MANIFEST) and is_written(place / CONFIG):
        adopt(place, [place / CONFIG, *_written_before(place)])


def _says(path: Path, config: RunConfig) -> bool:
    with suppress(ConfigError, OSError):
        return load_config(path) == config
    return False


def _open(place: Path, continued: bool) -> None:
    """Begin the manifest with the files of an earlier version, or in a free place."""
    if continued:
        adopt(place, _written_before(place))
        return
    require_unused(place)
    own_folder(place)


def require_unused(place: Path) -> None:
    """Refuse a folder in which files or folders of others have names that a run needs."""
    advice = f"Choose another --out, e.g. {place / 'run'}."
    require_free((place / name for name in FILES), advice)
    for found in _folders(place):
        if not found.is_dir() or found.is_symlink():
            raise foreign(found, advice)
        if foreign_entries(found):
            raise ForeignFileError(
                f"{found} holds files that sidelight did not write. They are left as they are. {advice}"
            )


def _folders(place: Path) -> Iterator[Path]:
    for pattern in FOLDERS:
        yield from sorted(place.glob(pattern))


def _written_before(place: Path) -> Iterator[Path]:
    """Files with the names of a run. An earlier version kept no list of its files."""
    yield from (place / name for name in FILES if (place / name).is_file())
    for found in _folders(place):
        if found.is_dir() and not found.is_symlink():
            yield from (f for f in files_below(found) if not f.is_symlink() and f.name != MANIFEST)


def remove_ours(folder: Path) -> None:
    """Remove our files below ``folder``, and folders that are empty then."""
    if folder.is_symlink() or not folder.is_dir():
        return
    if not foreign_entries(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return
    for file in list(files_below(folder)):
        if is_ours(file):
            file.unlink(missing_ok=True)


def remove_file(path: Path) -> None:
    """Remove ``path`` if it is a file of ours."""
    if is_ours(path):
        path.unlink(missing_ok=True)


def require_results(folder: Path, names: Iterable[str], run: Path | None = None) -> None:
    """Refuse a folder in which results of an evaluation are missing.

    Args:
        run: folder of the run, if its results lie in a folder below.

    Raises:
        CheckpointError: see above.
    """
    for name in names:
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} has no {name}: run `sidelight evaluate {run or folder}` first.")
