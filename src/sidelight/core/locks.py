"""One process at a time works in a folder.

The lock is the operating system's (``filelock``), so it ends with its process, however that ends. A lock file that is
left behind therefore blocks nothing. A small file beside it names the holder, for messages only.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidelight.core.files import reachable
from sidelight.core.ownership import MANIFEST, require_open_list
from sidelight.core.processes import in_main
from sidelight.core.refusals import reason
from sidelight.errors import BusyFolderError, CheckpointError

log = logging.getLogger(__name__)

#: A holder that is about to end gets this much time.
PATIENCE_SECONDS = 0.2


@dataclass
class _Hold:
    lock: Any
    thread: int
    depth: int
    identity: tuple[int, int] | None  # of the folder


_holds: dict[str, _Hold] = {}
_guard = threading.Lock()


@contextmanager
def hold(folder: Path, purpose: str, share: str = "") -> Iterator[None]:
    """Within the block no other process or thread works in ``folder``. The holder may enter again.

    Of several processes of one launcher the main one holds the folder for all.

    Args:
        folder: made if it is missing.
        purpose: of the work, for the message that others get.
        share: of a job that several machines divide, this one's name. Each share has a lock of its own.

    Raises:
        BusyFolderError: another process or thread works there.
        CheckpointError: the folder cannot be written, begins with ``~``, or was moved or removed within the block.
    """
    place = reachable(Path(folder))
    try:
        key = os.path.realpath(place) + f"|{share}"
    except OSError as error:  # there is no working directory
        raise CheckpointError(f"cannot work in {folder}: {reason(error)}") from error
    in_main(lambda: _enter(key, place, purpose, share))
    try:
        yield
        _require_kept(key, place, purpose)
    finally:
        _leave(key)


def _enter(key: str, folder: Path, purpose: str, share: str) -> None:
    me = threading.get_ident()
    with _guard:
        held = _holds.get(key)
        if held is None:
            lock = _acquire(folder, purpose, share)
            _holds[key] = _Hold(lock, me, 1, _identity(Path(os.path.realpath(folder))))
            return
        if held.thread != me:
            raise BusyFolderError(
                f"{folder} is in use by another thread of this process. Wait until it ends, or choose another folder."
            )
        held.depth += 1


def _require_kept(key: str, folder: Path, purpose: str) -> None:
    """Refuse work that lies in two places: writers make a missing folder again."""
    held = _holds.get(key)
    if held is None:  # not the main process
        return
    place = Path(key.rpartition("|")[0])  # the working directory may be another one now
    # Both are asked, because some network drives number their folders anew, and people remove lock files.
    if (place / Path(held.lock.lock_file).name).exists() or _identity(place) == held.identity:
        return
    raise CheckpointError(
        f"{folder} was moved, renamed or removed while {purpose} worked there, so its files are not in one place. If "
        f"there is a {folder} now, it has only what was written since: remove it. Then move the earlier folder back and "
        "run the same again, which continues."
    )


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _leave(key: str) -> None:
    with _guard:
        held = _holds.get(key)
        if held is None:  # not the main process
            return
        held.depth -= 1
        if held.depth:
            return
        del _holds[key]
        for file in (_holder_file(Path(held.lock.lock_file)), Path(held.lock.lock_file)):
            with suppress(
                OSError
            ):  # while the lock is held, so that no other process takes a file that is about to go
                file.unlink(missing_ok=True)
        held.lock.release()


def _acquire(folder: Path, purpose: str, share: str) -> Any:
    from filelock import FileLock, Timeout

    path = folder / (f"{MANIFEST}-{share}.lock" if share else f"{MANIFEST}.lock")
    lock = FileLock(str(path), timeout=PATIENCE_SECONDS, thread_local=False)
    require_open_list(folder / MANIFEST)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(poll_interval=0.05)
    except Timeout as error:
        raise BusyFolderError(
            f"{folder} is in use{_holder(path)}. Wait until it ends, or choose another folder."
        ) from error
    except OSError as error:
        raise CheckpointError(f"cannot work in {folder}: {reason(error)}") from error
    about = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
        "purpose": purpose,
    }
    with suppress(OSError):  # it is for messages only
        _holder_file(path).write_text(json.dumps(about), encoding="utf-8")
    return lock


def _holder_file(lock: Path) -> Path:
    return lock.with_name(lock.name + ".json")


def _holder(lock: Path) -> str:
    """Who holds ``lock``, as words."""
    try:
        about = json.loads(_holder_file(lock).read_text(encoding="utf-8"))
        return (
            f": {about['purpose']} of process {about['process']} on {about['host']}, since {about['started']}"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return " by another process"
