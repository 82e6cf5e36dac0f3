"""What the operating system refuses to write, and what a person can do about it."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from pathlib import Path

from sidelight.errors import CheckpointError

#: what to do, by the error of the system
_ADVICE = {
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.EFBIG: "the system limits the size of files, so raise the limit of this shell (ulimit -f) or choose another disk",
    errno.EACCES: "choose a folder in which you may write, or change the permissions of this one",
    errno.EPERM: "choose a folder in which you may write, or change the permissions of this one",
    errno.EROFS: "the disk is mounted for reading only, so choose a folder on another one",
    errno.ENOTDIR: "a part of the path is a file, so choose another folder",
    errno.EEXIST: "a part of the path is a file or a link that leads nowhere, so choose another folder",
    errno.EISDIR: "a folder has this name, so choose another name",
}


#: what to do if no relative path leads anywhere
_NO_WORKING_DIRECTORY = (
    "the working directory was removed or moved, so change to another one or give full paths"
)


def in_lost_directory(error: BaseException) -> bool:
    """Whether the system found nothing because the working directory of this process is gone."""
    if system_number(error) != errno.ENOENT:
        return False
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def advice_for(error: BaseException) -> str:
    """What to do about ``error``, as the second half of a sentence.

    Errors that other libraries made of one of the system's are followed to that one.
    """
    cause: BaseException | None = error
    while cause is not None:
        number = system_number(cause)
        if in_lost_directory(cause):
            return _NO_WORKING_DIRECTORY
        if number in _ADVICE:
            return _ADVICE[number]
        cause = cause.__cause__ or cause.__context__
    return "choose another folder, or find out what this one lacks (space, permissions)"


def system_number(error: BaseException) -> int | None:
    """The number of the system's error that ``error`` is, or that its message ends with. ``None`` if there is none.

    Libraries written in Rust (safetensors, tokenizers) have errors of their own that carry the number in words alone.

    Example:
        >>> system_number(ValueError("I/O error: No space left on device (os error 28)"))
        28
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = re.search(r"\(os error (\d+)\)$", str(error).strip())
    return int(found[1]) if found else None


def reason(error: OSError) -> str:
    """The message of the system, with advice."""
    advice = advice_for(error)
    return f"{error.strerror or error}. {advice[0].upper()}{advice[1:]}."


def not_reached(path: object, error: OSError) -> CheckpointError:
    """The error for ``path``, at which the system does not let us look."""
    closed = error.errno in (errno.EACCES, errno.EPERM)
    advice = (
        "Change its permissions, or those of the folders above, or choose another place."
        if closed
        else "Choose another name."
    )
    return CheckpointError(f"cannot look at {str(path)!r}: {error.strerror or error}. {advice}")


def not_written(final: Path, error: Exception) -> CheckpointError:
    """The error for ``final``, which the system refused to write."""
    return CheckpointError(
        f"could not write {final}: {getattr(error, 'strerror', None) or error}. What was there before is untouched; {advice_for(error)}."
    )


def require_readable(path: Path) -> None:
    """Refuse a file that the system does not let us read. safetensors says of it that there is none.

    Raises:
        CheckpointError: see above. A missing file is left to its reader.
    """
    try:
        path.open("rb").close()
    except FileNotFoundError:
        return
    except OSError as error:
        raise not_reached(path, error) from error


def require_writable(path: Path) -> None:
    """Refuse a place where no file can be made. To be asked before the work whose result it will hold.

    Nothing is left behind: a file without a name is made in the folder, or in the nearest one above that is there.

    Raises:
        CheckpointError: see above.
    """
    for folder in path.absolute().parents:
        if not os.path.lexists(folder):
            continue
        try:
            with tempfile.TemporaryFile(dir=folder):
                return
        except OSError as error:
            raise not_written(path, error) from error
