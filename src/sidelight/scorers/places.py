"""The folder of a saved scorer: on this machine, or fetched from the hub."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sidelight.core.files import path_text, reachable
from sidelight.core.folders import recover_folder
from sidelight.core.places import known_place
from sidelight.core.safe_output import short
from sidelight.errors import CheckpointError, first_line

#: The kinds of answers of the hub, by the names of huggingface_hub's errors, and the next step for each.
_NEXT_STEPS = {
    "GatedRepoError": "The owner gives access on request: ask on its page, log in (`hf auth login`), or pass token=....",
    "RevisionNotFoundError": "Give a branch, tag or commit of the repository as revision=....",
    "RepositoryNotFoundError": "Check its name. If it is private, log in (`hf auth login`) or pass token=....",
    "OfflineModeIsEnabled": "HF_HUB_OFFLINE is set, so only what was fetched before is there. Unset it and call again while "
    "online.",
}
#: the same by the number of the answer, where the client has no error of its own
_BY_STATUS = {
    409: "Somebody else changes the repository at the same time. Call again.",
    412: "Somebody else changed the repository meanwhile. Call again.",
    429: "The hub takes no more calls from you for now. Wait some minutes, and call again.",
}
_BROKEN_HUB = "The hub has a fault of its own. Wait some minutes, and call again."
_NOT_FETCHED = "It was not fetched before, and the hub cannot be reached. Try again online."
_CLOSED_CACHE = "The hub's cache on this machine cannot be written. Let HF_HOME name a folder in which you may write and that has space."
#: errors of the system about writing
_NOT_WRITTEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}
#: errors of connections, by the names of httpx and requests
_TRANSPORT = {"TransportError", "ConnectionError", "Timeout", "ChunkedEncodingError"}


def scorer_folder(
    source: str | os.PathLike[str], revision: str | None, token: str | bool | None, files: Sequence[str]
) -> Path:
    """The folder that ``source`` names. A repository of the hub is fetched into the hub's cache.

    Args:
        source: a folder, or the id of a repository, ``"owner/name"``.
        revision: branch, tag or commit of the repository.
        token: for private repositories. Default: the one of ``hf auth login``.
        files: names to fetch.

    Raises:
        CheckpointError: it is neither, or the hub refused. The message says what to do.
        InputTypeError: it is no path.
    """
    text = path_text(source, "the folder of a scorer first, and its classifier second")
    if not text.strip() or "\0" in text:
        raise CheckpointError(f"{text!r} is no scorer folder: give what save_pretrained wrote, or a hub id.")
    folder = reachable(Path(text))
    recover_folder(folder)
    if folder.is_dir():
        return folder
    if known_place(text) is None or text.count("/") != 1:
        raise CheckpointError(
            f"no scorer folder at {text!r}. Give what save_pretrained wrote, or a hub id, 'owner/name'."
        )
    from huggingface_hub import snapshot_download

    try:
        place = snapshot_download(text, revision=revision, token=token, allow_patterns=list(files))
    except Exception as error:  # the hub's client and its transport have many kinds of errors
        raise CheckpointError(
            f"{text!r} is neither a folder nor found on the hub ({told_by_hub(error)}). {_next_step_of_fetching(error)}".strip()
        ) from error
    if not any(Path(place, name).exists() for name in files):
        raise CheckpointError(
            f"the repository {text!r} of the hub holds no scorer: it has none of {', '.join(files)}. Check its name and "
            "its revision."
        )
    return Path(place)


def require_scorer(folder: Path, config: str) -> None:
    """Raise :class:`CheckpointError` if ``folder`` has no file ``config``. The message names a scorer that is near."""
    if (folder / config).exists():
        return
    if (folder / "scorer" / config).is_file():  # where a training puts it
        raise CheckpointError(f"the scorer lies one folder further down: give {str(folder / 'scorer')!r}.")
    raise CheckpointError(
        f"{str(folder)!r} holds no scorer: it has no {config}. Give what save_pretrained wrote, or a hub id, 'owner/name'."
    )


def next_step(error: Exception) -> str:
    """What to do after an error of the hub's client, or nothing if that is not known."""
    for cause in _causes(error):
        names, status = _names(cause), _status(cause)
        step = next((_NEXT_STEPS[name] for name in names if name in _NEXT_STEPS), _BY_STATUS.get(status))
        if step is not None:
            return step
        if status >= 500:
            return _BROKEN_HUB
        if isinstance(cause, OSError) and cause.errno in _NOT_WRITTEN:
            return _CLOSED_CACHE
    return _NOT_FETCHED if "LocalEntryNotFoundError" in _names(error) else ""


def is_of_connection(error: Exception) -> bool:
    """Whether the transport failed, which has no error of the hub's client."""
    return not _TRANSPORT.isdisjoint(_names(error))


def told_by_hub(error: Exception) -> str:
    """The first line of an error of the hub's client, and what the server says, which stands further down."""
    line, said = first_line(error), getattr(error, "server_message", None)
    return f"{line} {short(said, 200)}" if isinstance(said, str) and said and said not in line else line


def _next_step_of_fetching(error: Exception) -> str:
    if known := next_step(error):
        return known
    if _status(error) == 401:
        return "The hub does not take the token. Log in anew (`hf auth login`), or pass another as token=...."
    if _status(error) == 403:
        return "The token has no right to read it. Ask the owner, or pass another as token=...."
    return "The connection broke. Call again." if is_of_connection(error) else ""


def _names(error: BaseException) -> list[str]:
    return [kind.__name__ for kind in type(error).__mro__]


def _status(error: BaseException) -> int:
    """The number of the hub's answer. 0 if there was none."""
    found = getattr(getattr(error, "response", None), "status_code", None)
    return found if isinstance(found, int) else 0


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """``error``, and what it was raised from."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        yield error
        seen.append(error)
        error = error.__cause__
