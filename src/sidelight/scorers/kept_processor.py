"""What a scorer's folder says of the preprocessing: the tokenizer that is kept whole, and records without paths."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sidelight.core.files import read_json
from sidelight.core.places import is_path, name_elsewhere
from sidelight.errors import CheckpointError
from sidelight.inputs.kept_tokenizer import KEPT, pack_tokenizer, unpack_tokenizer


def kept_tokenizer(tokenizer: Any, public: bool, folders: Collection[str] = ()) -> dict[str, Any] | None:
    """The file that keeps ``tokenizer``, as plain values. ``None`` where it cannot save itself.

    Args:
        tokenizer: of the training.
        public: leave out its folder on this machine.
        folders: from :func:`folder_names`.
    """
    packed = pack_tokenizer(tokenizer)
    if packed is None:
        return None
    if public and (packed["place"] in folders or is_path(packed["place"])):
        packed["place"] = ""
    return {"format": "sidelight.processor", "tokenizer": packed}


def with_tokenizer(state: Mapping[str, Any], file: Path) -> Mapping[str, Any]:
    """The remembered preprocessing ``state`` with the tokenizer put in that ``file`` keeps, if that is the one meant.

    Another scorer may have left the file there: files of somebody else in a folder keep it from being emptied.

    Raises:
        CheckpointError: the file is damaged.
    """
    if not file.is_file():
        return state
    try:
        about, kept = state.get("text", state), read_json(file)["tokenizer"]
        if kept["hash"] != about.get("hash"):
            return state
        with_it = {**about, KEPT: unpack_tokenizer(kept)}
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{file.name} beside the scorer is damaged ({error!r}); pass processor=..."
        ) from error
    return {**state, "text": with_it} if "text" in state else with_it


def folder_names(identity: Mapping[str, Any]) -> list[str]:
    """The names of the classifier's folder on this machine.

    A relative one is none any more from another working directory, or once it was moved, and looks like a hub id.
    """
    return [str(identity[key]) for key in ("name", "place") if identity.get("local") and identity.get(key)]


def without_paths(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The classifier's record for other machines, on which paths of this one tell nothing."""
    name, local = str(identity["name"]), bool(identity.get("local")) or is_path(str(identity["name"]))
    processor = _pathless(identity["processor"], folder_names(identity))
    found = {**identity, "name": name_elsewhere(name, local), "processor": processor}
    return {**found, "place": None, "local": True} if local else found


def _pathless(state: Any, folders: Collection[str]) -> Any:
    """Remembered preprocessing in which no tokenizer names a folder."""
    if not isinstance(state, Mapping):
        return state
    kept = {k: v for k, v in state.items() if k != "tokenizer" or not (v in folders or is_path(str(v)))}
    return {k: _pathless(v, folders) for k, v in kept.items()}
