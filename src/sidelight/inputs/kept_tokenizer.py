"""A tokenizer kept whole beside a scorer, so that loading needs neither the model's folder nor the hub."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sidelight.core.refusals import system_number
from sidelight.errors import CheckpointError

log = logging.getLogger(__name__)

#: where a remembered preprocessing holds the tokenizer that was kept
KEPT = "kept"
#: errors of the system that say nothing about the tokenizer itself
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: the file in which a fast tokenizer writes all of its steps
STEPS = "tokenizer.json"
#: settings of a tokenizer that change what a model sees and that its own files may leave out
SETTINGS = ("model_max_length", "padding_side", "truncation_side", "model_input_names")


def tokenizer_settings(tokenizer: Any) -> dict[str, Any]:
    """Plain values of the settings in :data:`SETTINGS` that ``tokenizer`` has."""
    found = {name: getattr(tokenizer, name, None) for name in SETTINGS}
    return {k: list(v) if isinstance(v, (list, tuple)) else v for k, v in found.items() if v is not None}


def tokenizer_hash(tokenizer: Any) -> str:
    """32 hexadecimal digits that tell what a tokenizer does: vocabulary, steps, special tokens, settings.

    How it pads and cuts at the moment plays no part, because every call sets that anew.
    """
    inside = steps_of(tokenizer)
    special = {k: str(v) for k, v in getattr(tokenizer, "special_tokens_map", {}).items()}
    whole = [inside, special, tokenizer_settings(tokenizer)]
    return hashlib.blake2b(
        json.dumps(whole, sort_keys=True, default=str).encode(), digest_size=16
    ).hexdigest()


def steps_of(tokenizer: Any) -> dict[str, Any]:
    """Vocabulary and steps of ``tokenizer`` as plain values, without how it pads and cuts at the moment."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return {"class": type(tokenizer).__name__, "vocabulary": _vocabulary(tokenizer)}
    return {k: v for k, v in json.loads(backend.to_str()).items() if k not in ("padding", "truncation")}


def _vocabulary(tokenizer: Any) -> Any:
    try:
        return tokenizer.get_vocab()
    except (AttributeError, NotImplementedError):
        return len(tokenizer)


def pack_tokenizer(tokenizer: Any) -> dict[str, Any] | None:
    """``tokenizer`` as plain values for JSON. ``None`` where it cannot save itself.

    Raises:
        CheckpointError: the disk of temporary files is full.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            tokenizer.save_pretrained(folder)
        except Exception as error:  # tokenizers of users raise anything
            if system_number(error) in FULL:
                raise CheckpointError(
                    f"could not write a copy of the tokenizer to {folder}: {error}. Free some space there, or set TMPDIR to "
                    "another folder."
                ) from error
            log.warning(
                "%s cannot be saved (%s). Whoever loads the scorer must pass processor=...",
                type(tokenizer).__name__,
                error,
            )
            return None
        files = {
            p.relative_to(folder).as_posix(): _pack(p.read_bytes())
            for p in sorted(Path(folder).rglob("*"))
            if p.is_file()
        }
    place = str(getattr(tokenizer, "name_or_path", "") or "")
    return {
        "files": files,
        "settings": tokenizer_settings(tokenizer),
        "hash": tokenizer_hash(tokenizer),
        "place": place,
    }


def _pack(content: bytes) -> dict[str, str]:
    try:
        return {"text": content.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode("ascii")}


def unpack_tokenizer(values: Mapping[str, Any]) -> Any:
    """Inverse of :func:`pack_tokenizer`.

    Raises:
        CheckpointError: the values are damaged, or give another tokenizer than was kept.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in values["files"].items():
                _unpack(Path(folder), name, content)
            tokenizer = _opened(Path(folder), values["settings"], values.get("hash"))
        tokenizer.name_or_path = str(values.get("place", ""))
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"the tokenizer kept beside the scorer cannot be opened ({error}). Pass processor=..., the tokenizer "
            "that the scorer was trained with."
        ) from error
    if tokenizer_hash(tokenizer) != values.get("hash"):
        raise CheckpointError(
            "the tokenizer kept beside the scorer is not the one that was saved: its files are damaged, or this "
            "version of transformers reads them otherwise. Pass processor=..., the tokenizer of the training."
        )
    return tokenizer


def _opened(folder: Path, settings: Mapping[str, Any], hashed: Any) -> Any:
    """The tokenizer in ``folder``, with the steps that its file holds if its class made others.

    Some classes make the post-processor, or all steps, anew when they are loaded. Changes by hand are then lost.
    """
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for name, value in settings.items():
        if name in SETTINGS:
            setattr(tokenizer, name, value)
    steps = folder / STEPS
    if tokenizer_hash(tokenizer) != hashed and steps.is_file() and hasattr(tokenizer, "_tokenizer"):
        tokenizer._tokenizer = Tokenizer.from_str(steps.read_text("utf-8"))
    return tokenizer


def opens_otherwise(tokenizer: Any, folder: Path) -> bool:
    """Whether transformers makes another tokenizer of the files that ``tokenizer`` wrote to ``folder``."""
    from transformers import AutoTokenizer

    if not (folder / STEPS).is_file():
        return False
    opened = None
    # a class that only its writer has raises anything, and must not ask to run its code
    with suppress(Exception):
        opened = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return opened is not None and steps_of(opened) != steps_of(tokenizer)


def _unpack(folder: Path, name: str, content: Mapping[str, str]) -> None:
    place = (folder / name).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise CheckpointError(
            f"the tokenizer kept beside the scorer names a file outside its folder: {name!r}."
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(
        content["text"].encode("utf-8") if "text" in content else base64.b64decode(content["base64"])
    )
