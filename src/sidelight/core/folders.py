"""Whole folders that are written at once, also beside or among files of others."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sidelight.core.files import file_path, path_text, reachable
from sidelight.core.ownership import (
    MANIFEST,
    adopt,
    files_below,
    foreign,
    foreign_entries,
    is_manifest,
    may_replace,
    require_free,
    require_open_list,
)
from sidelight.core.refusals import not_written, require_writable, system_number
from sidelight.core.safe_output import is_utf8
from sidelight.errors import CheckpointError, ForeignFileError, SidelightError

#: so many times a folder is renamed that another process puts back
SWAPS = 5
#: keys that an earlier version wrote into ``metrics.json`` beside a classifier
_OLD_METRICS = {"accuracy", "loss", "train_runtime"}


@contextmanager
def replace_folder(
    path: str | os.PathLike[str], *, last: Sequence[str] = (), listed: bool = True, advice: str = ""
) -> Iterator[Path]:
    """Yield a temporary folder whose files are at ``path`` when the block succeeds.

    A folder that is missing, empty or wholly ours is replaced at once. If others keep files in it, ours are added one
    by one and theirs stay. A kill between the two renames of a replacement leaves the old content in
    ``.<name>.<random>.old``, from which :func:`recover_folder` restores it.

    Args:
        path: the folder.
        last: names that are added after all others. If they are there, so is the rest.
        listed: whether the folder gets a manifest. Without one, each of its files must bear a mark.
        advice: for the message if a file of somebody else has the name of one of ours.

    Raises:
        CheckpointError: the disk refused. The content of ``path`` is untouched.
        ForeignFileError: ``path`` is a file or a link, or a file in it has the name of one of ours.
    """
    final = folder_path(path)
    require_folder_place(final)
    tmp = _temporary(final)
    try:
        tmp.mkdir(parents=True)
        yield tmp
        open_to_readers(tmp)
        if listed:
            adopt(tmp, list(files_below(tmp)))
        require_folder_place(final)
        _put_in_place(tmp, final, last, advice)
    except SidelightError:
        raise
    except Exception as error:  # other libraries than Python's have errors of their own for a full disk
        if not isinstance(error, OSError) and system_number(error) is None:
            raise
        raise not_written(final, error) from error
    finally:
        with suppress(OSError, SidelightError):
            recover_folder(final)
        shutil.rmtree(tmp, ignore_errors=True)


def open_to_readers(folder: Path) -> None:
    """Give the files below ``folder`` the permissions that new files have here. safetensors lets nobody else read weights."""
    usual = folder.stat().st_mode & 0o666
    for file in files_below(folder):
        with suppress(OSError):  # some disks know no permissions
            if not file.is_symlink():
                file.chmod(usual)


def folder_path(path: str | os.PathLike[str]) -> Path:
    """``path`` as a :class:`Path`. Raises :class:`CheckpointError` or :class:`InputTypeError` if it names no folder."""
    text = path_text(path, "the path of a folder")
    if not text.strip() or "\0" in text:
        raise CheckpointError(f"{text!r} names no folder: give its path, e.g. 'results/scorer'.")
    if not is_utf8(text):
        raise CheckpointError(
            f"{text!r} is not UTF-8, and the libraries that read weights and tables open no such folder. Rename it, or choose "
            "another one. Names of single pictures may be of any kind."
        )
    found = Path(text)
    # "." and "/" have no name to build others from
    return reachable(found if found.name not in ("", "..") else Path(os.path.abspath(found)))


def temporary_folder(error: OSError) -> Path:
    """A fresh temporary folder, to work in where the working directory cannot be written because of ``error``.

    Raises:
        CheckpointError: that cannot be made either.
    """
    try:
        return Path(tempfile.mkdtemp(prefix="sidelight-"))
    except OSError as second:
        raise CheckpointError(
            f"neither the working directory ({error.strerror or error}) nor a temporary folder "
            f"({second.strerror or second}) can be written. Give output_dir."
        ) from second


def require_folder_place(folder: Path, advice: str = "") -> None:
    """Raise :class:`ForeignFileError` if ``folder`` is a file or a link, or lies below a file."""
    if folder.is_symlink() or (os.path.lexists(folder) and not folder.is_dir()):
        raise foreign(folder, advice or "Choose another folder.")
    for above in folder.parents:
        if above.is_dir():
            return
        if os.path.lexists(above):
            what = "a link that leads nowhere" if above.is_symlink() and not above.exists() else "a file"
            raise ForeignFileError(f"could not write {folder}: {above} is {what}. Choose another folder.")


def require_file_place(path: str | os.PathLike[str]) -> Path:
    """The path of a file that is to be written. To be asked before the work whose result it will hold.

    Raises:
        CheckpointError: no file can be made there.
        ForeignFileError: a file that sidelight did not write is there, or in the place of its folder.
    """
    file = file_path(path)
    require_folder_place(file.absolute().parent.resolve())
    require_free([file])
    require_writable(file)
    require_open_list(file)
    return file


def _temporary(final: Path) -> Path:
    """A name beside ``final``, from which a rename works, or within it if only ``final`` is writable or of its disk."""
    name = f".{final.name}.{uuid.uuid4().hex[:8]}.tmp"
    apart = final.is_dir() and (
        not os.access(final.parent, os.W_OK) or os.stat(final).st_dev != os.stat(final.parent).st_dev
    )
    return final / name if apart or not final.name else final.with_name(name)


def _put_in_place(tmp: Path, final: Path, last: Sequence[str], advice: str) -> None:
    if not final.exists():
        os.replace(tmp, final)
    elif tmp.parent == final or foreign_entries(final):
        _merge(tmp, final, last, advice)
    else:
        _swap(tmp, final)


def _swap(tmp: Path, final: Path) -> None:
    for trial in range(SWAPS):
        old = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}.old")
        os.replace(final, old)
        try:
            os.replace(tmp, final)
            break
        except OSError:
            # a reader may have taken the old folder for one that a kill left, and put it back
            if trial == SWAPS - 1 or not os.path.lexists(final):
                raise
    if not foreign_entries(old, final):  # another program may have put a file there meanwhile
        shutil.rmtree(old, ignore_errors=True)


def _merge(tmp: Path, final: Path, last: Sequence[str], advice: str) -> None:
    names = sorted((p.name for p in tmp.iterdir()), key=lambda n: (n in last, n))
    for name in names:
        place = final / name
        free = not foreign_entries(place) if place.is_dir() and (tmp / name).is_dir() else may_replace(place)
        if not free and not is_manifest(place):
            raise foreign(place, advice)
    for name in names:
        place = final / name
        if name == MANIFEST and is_manifest(place):
            with place.open("ab") as handle:
                handle.write(b"\n" + (tmp / name).read_bytes())
        elif place.is_dir():
            _swap(tmp / name, place)
        else:
            os.replace(tmp / name, place)


def recover_folder(path: str | os.PathLike[str]) -> None:
    """Put back folders that a kill between two renames left under another name: ``path`` itself, or those within it.

    Only folders of ours are put back, and only if their name is free.

    Raises:
        CheckpointError: the disk refused.
    """
    final = folder_path(path)
    missing = not os.path.lexists(final)
    place = final.parent if missing else final
    if not place.is_dir() or (final.is_symlink() and not missing):
        return
    try:
        for old, name in _left_behind(place, final.name if missing else None):
            if not os.path.lexists(place / name):
                os.replace(old, place / name)
        if not os.path.lexists(final):
            _recover_from_earlier_version(final)
    except OSError as error:
        raise CheckpointError(f"could not restore {final} after a kill: {error}.") from error


def _left_behind(place: Path, name: str | None) -> list[tuple[Path, str]]:
    """Folders of ours in ``place`` that a kill left, the newest first, each with the name that it had.

    Args:
        place: the folder to search.
        name: of the folder to look for. Default: any.
    """
    pattern = re.compile(rf"\.({re.escape(name) if name else '.+'})\.[0-9a-f]{{8}}\.old")
    found = [
        (p, match[1])
        for p in place.iterdir()
        if (match := pattern.fullmatch(p.name)) and p.is_dir() and not p.is_symlink()
    ]
    found.sort(key=lambda pair: -pair[0].stat().st_mtime)
    return [(old, own) for old, own in found if not foreign_entries(old, place / own)]


def _recover_from_earlier_version(final: Path) -> None:
    """Earlier versions left ``<name>.old``. It may also be a copy that a user made, so it is not moved."""
    old = final.with_name(final.name + ".old")
    if old.is_symlink() or not old.is_dir() or not (is_scorer_folder(old) or is_target_folder(old)):
        return
    tmp = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        shutil.copytree(old, tmp)
        os.replace(tmp, final)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


def is_scorer_folder(folder: Path) -> bool:
    """Whether ``folder`` holds a saved scorer and nothing else."""
    names = {p.name for p in folder.iterdir()} - {"processor.json", "README.md", "sidelight-maps"}
    return names == {"config.json", "scorer.safetensors"} and not foreign_entries(folder)


def is_target_folder(folder: Path) -> bool:
    """Whether ``folder`` holds a classifier that a run trained or converted, by its ``metrics.json``."""
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(metrics, dict) and set(metrics) <= _OLD_METRICS and (folder / "config.json").is_file()
