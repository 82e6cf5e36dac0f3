"""Files of a scorer to a repository of the hub. What others wrote there is not replaced."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sidelight.core.ownership import MANIFEST, has_mark
from sidelight.core.version import __version__
from sidelight.errors import CheckpointError, ConfigError, ForeignFileError, SidelightError
from sidelight.hub.card import MAPS
from sidelight.hub.options import is_hub_id
from sidelight.scorers.checkpoint import CONFIG, README, WEIGHTS
from sidelight.scorers.places import is_of_connection, next_step, told_by_hub


def upload(
    write: Callable[[Path], None],
    repo_id: str,
    message: str,
    *,
    private: bool | None,
    token: str | bool | None,
    revision: str | None,
    create_pr: bool,
    overwrite: bool,
) -> str:
    """Let ``write`` fill a folder, and upload it in one commit. The arguments are those of ``push_to_hub``.

    Returns:
        The address of the commit or of the pull request.

    Raises:
        ForeignFileError: the repository holds a ``config.json``, or another file of our names, that sidelight did not write.
        CheckpointError: the hub refused, or cannot be reached.
    """
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory(prefix="sidelight-") as scratch:
        folder = Path(scratch) / "scorer"
        write(folder)  # before anything is made on the hub
        api = HfApi(token=token, library_name="sidelight", library_version=__version__)
        try:
            place = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
            if revision is not None and not create_pr and not revision.startswith("refs/"):
                api.create_branch(place, branch=revision, exist_ok=True)
            names = [path.name for path in folder.glob("*.*") if path.name != README]
            left_out = _left_out(api, place, sorted(names), revision, overwrite)
            done = api.upload_folder(
                repo_id=place,
                folder_path=folder,
                commit_message=message,
                revision=revision,
                create_pr=create_pr,
                ignore_patterns=[MANIFEST, *left_out],
            )
        except SidelightError:
            raise
        except Exception as error:  # the hub's client and its transport have many kinds of errors
            raise _refused(repo_id, error) from error
    return str((done.pr_url if create_pr else None) or done.commit_url)


def require_repository(repo_id: Any) -> str:
    """``repo_id`` if it may be the id of a repository. Raises :class:`ConfigError` otherwise."""
    if not isinstance(repo_id, str) or not is_hub_id(repo_id):
        raise ConfigError(f"{repo_id!r:.80} is no id of a repository. Give 'owner/name'.")
    return repo_id


def _left_out(
    api: Any, repo_id: str, names: Sequence[str], revision: str | None, overwrite: bool
) -> list[str]:
    """Patterns of files that are not uploaded, because a person wrote the card there.

    Raises:
        ForeignFileError: the repository holds files of something else with our names, and ``overwrite`` is not set.
    """
    name = None if overwrite else _foreign_name(api, repo_id, names, revision)
    if name is not None:
        raise ForeignFileError(
            f"{repo_id} holds a {name} that sidelight did not write, perhaps the classifier's own. It would be replaced. "
            f"Push to a repository of the scorer's own, e.g. '{repo_id}-scorer', or allow it with overwrite=True."
        )
    return [README, f"{MAPS}/*"] if _is_of_others(api, repo_id, README, revision) else []


def _foreign_name(api: Any, repo_id: str, names: Sequence[str], revision: str | None) -> str | None:
    """The first of our ``names`` that a file of others has in the repository."""
    foreign = [name for name in names if _is_of_others(api, repo_id, name, revision)]
    # earlier versions marked the configuration and not the weights beside it
    ours = CONFIG not in foreign and api.file_exists(repo_id, CONFIG, revision=revision)
    return next((name for name in foreign if not (ours and name == WEIGHTS)), None)


def _is_of_others(api: Any, repo_id: str, name: str, revision: str | None) -> bool:
    if not api.file_exists(repo_id, name, revision=revision):
        return False
    return not has_mark(Path(api.hf_hub_download(repo_id, name, revision=revision)))


def _refused(repo_id: str, error: Exception) -> CheckpointError:
    later = "Or save to a folder with save_pretrained and upload it later: `hf auth login`, then `hf upload`."
    advice = next_step(error)
    if not advice and is_of_connection(error):
        advice = f"The connection broke. Call again. {later}"
    elif not advice:
        advice = (
            f"Log in with `hf auth login`, or pass token=..., one that may write to this repository. {later}"
        )
    return CheckpointError(f"could not push to {repo_id!r} ({told_by_hub(error)}). {advice}")
