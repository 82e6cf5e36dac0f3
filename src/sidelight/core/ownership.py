"""The files that sidelight wrote, called *ours*. Only these are ever replaced or removed.

A file is ours by one of three signs. Pictures, pages, JSON objects and weights that sidelight writes carry a mark.
Or the folder's manifest lists the file: ``.sidelight`` is a hidden file with a line for each file written below it. A
line holds a digest, so a file that was changed since is not ours. Or this process wrote the file and remembers it.
All other files belong to somebody else and stay.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from sidelight.core.refusals import reason
from sidelight.errors import CheckpointError, ForeignFileError

#: lists the files of ours in a folder and below it
MANIFEST = ".sidelight"
#: first line of a manifest
MANIFEST_FORMAT = "sidelight.manifest"
#: the mark in PNG, PDF and SVG files (their "Software", "Creator" or generator), in ONNX files (their producer), in
#: .pt2 files and in weights
MARK = "sidelight"
#: the mark in the head of an HTML page
HTML_MARK = f'<meta name="generator" content="{MARK}">'
#: Files of more bytes are hashed by their size and three slices.
WHOLE_BYTES, SLICE_BYTES = 1 << 20, 1 << 18
#: So many folders above a file are searched for a manifest.
LEVELS = 6

#: the mark in texts that people may edit, with a digest of the text
SIGNED = "sidelight.text"
_SIGNATURE = re.compile(rb"\n<!-- sidelight\.text ([0-9a-f]{32}) -->\n$")
_JSON_MARK = re.compile(rb'^\s*\{\s*"format"\s*:\s*"sidelight\.')
_CONTENT_MARKS = (
    (b"\x89PNG", b"Software\x00" + MARK.encode()),
    (b"%PDF", b"/Creator (" + MARK.encode()),
    (b"PK", b"/extra/" + MARK.encode() + b".json"),  # a file for torch.export.load, with our file in it
    (b"\x08", b"\x12\x09" + MARK.encode()),  # an ONNX file begins with a version number and its producer
    (b"<", HTML_MARK.encode()),
    (b"<", f"<!-- {MARK} -->".encode()),
    (b"<", f"<dc:title>{MARK}</dc:title>".encode()),
)

#: The process remembers so many files that it wrote and no manifest lists.
REMEMBERED = 4096
_written: OrderedDict[str, str] = OrderedDict()

_overwrite: ContextVar[bool] = ContextVar("sidelight_overwrite", default=False)


@contextmanager
def overwriting(wanted: bool = True, anew: bool = False) -> Iterator[None]:
    """Within the block, files of others are replaced too if ours have the same name (``--overwrite``).

    Args:
        wanted: whether they are. A block around this one may have allowed it already.
        anew: let ``wanted`` count alone.
    """
    token = _overwrite.set(wanted or (_overwrite.get() and not anew))
    try:
        yield
    finally:
        _overwrite.reset(token)


def is_ours(path: str | os.PathLike[str]) -> bool:
    """Whether the file at ``path`` was written by sidelight and not changed since.

    A link, a folder and a missing file are not ours.
    """
    file = Path(path)
    if file.is_symlink() or not file.is_file():
        return False
    return _told_ours(file, _listed_digests(file))


def may_replace(path: str | os.PathLike[str]) -> bool:
    """Whether a writer may put its file at ``path``: nothing is there, or a file of ours, or overwriting is allowed.

    Links and folders are never replaced.
    """
    file = Path(path)
    if not os.path.lexists(file):
        return True
    if file.is_symlink() or not file.is_file():
        return False
    return _overwrite.get() or is_ours(file)


def require_free(paths: Iterable[str | os.PathLike[str]], advice: str = "") -> None:
    """Refuse if one of ``paths`` is a file, folder or link that sidelight did not write.

    Args:
        paths: files that will be written.
        advice: for the message. Default: move it, or choose another place.

    Raises:
        ForeignFileError: names the first one.
    """
    for path in paths:
        if not may_replace(path):
            raise foreign(Path(path), advice)


def foreign(path: Path, advice: str = "") -> ForeignFileError:
    """The error for ``path``, which is not ours."""
    if path.is_symlink():
        kind = f"a link to {os.readlink(path)}"
    elif path.is_dir():
        kind = "a folder"
    else:
        kind = "a file"
    how = advice or "Move or rename it, or choose another place."
    return ForeignFileError(
        f"could not write {path}: it is {kind} that sidelight did not write, or that was changed since, and stays as "
        f"it is. {how}"
    )


def has_mark(file: Path) -> bool:
    """Whether the content of ``file`` has the mark of sidelight."""
    try:
        with file.open("rb") as handle:
            head = handle.read(4096)
            handle.seek(max(0, file.stat().st_size - 4096))
            tail = handle.read()
    except OSError:
        return False
    if _JSON_MARK.match(head) or _is_marked_weights(head) or is_signed(tail, file):
        return True
    begin = head.lstrip()
    return any(begin.startswith(magic) and (mark in head or mark in tail) for magic, mark in _CONTENT_MARKS)


def _is_marked_weights(head: bytes) -> bool:
    """Whether a safetensors file begins with our metadata: eight bytes of length, then a JSON header."""
    return head[8:9] == b"{" and b'"__metadata__"' in head[:64] and b'"sidelight"' in head[:512]


def signed(text: str) -> bytes:
    """A text with a last line that says it is ours, as long as nobody changes it. For texts that people edit."""
    content = text.rstrip().encode() + b"\n"
    return content + f"\n<!-- {SIGNED} {_short_digest(content)} -->\n".encode()


def is_signed(tail: bytes, file: Path) -> bool:
    """Whether the file that ends in ``tail`` is as :func:`signed` made it."""
    found = _SIGNATURE.search(tail)
    if found is None or file.stat().st_size > WHOLE_BYTES:
        return False
    content = file.read_bytes()
    return _short_digest(content[: len(content) - len(found[0])]).encode() == found[1]


def _short_digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


# -- the manifest ------------------------------------------------------------------------


def own_folder(folder: str | os.PathLike[str]) -> Path:
    """Make ``folder`` if it is missing, and from now on list the files that sidelight writes in it.

    Files that lie there already keep their owner.

    Raises:
        CheckpointError: the folder cannot be made, or something else has its name.
    """
    place = Path(folder)
    manifest = place / MANIFEST
    try:
        place.mkdir(parents=True, exist_ok=True)
        if not is_manifest(manifest):
            _append(manifest, {"format": MANIFEST_FORMAT, "version": 1})
    except OSError as error:
        raise CheckpointError(f"could not write {place}: {reason(error)}") from error
    return place


def is_manifest(path: Path) -> bool:
    """Whether ``path`` is a manifest of ours."""
    try:
        with path.open("rb") as handle:
            return MANIFEST_FORMAT.encode() in handle.readline(200)
    except OSError:
        return False


def manifest_above(path: Path) -> Path | None:
    """The nearest manifest in the folder of ``path`` or above it."""
    place = Path(os.path.abspath(path)).parent
    for folder in [place, *place.parents][:LEVELS]:
        if is_manifest(folder / MANIFEST):
            return folder / MANIFEST
    return None


def require_open_list(path: Path) -> None:
    """Refuse a file that the manifest above it could not list. To be asked before the work whose result it will hold.

    Raises:
        CheckpointError: see above.
    """
    manifest = manifest_above(path)
    if manifest is not None and not os.access(manifest, os.W_OK):
        raise CheckpointError(
            f"cannot write in {path.parent}: {manifest}, the list of our files there, may not be written by you. Change its "
            "permissions and those of the files beside it, or choose a folder of your own."
        )


def record(path: Path, content: Path | None = None) -> None:
    """Note in the nearest manifest that ``path`` is ours. If there is no manifest, this process remembers it.

    Args:
        path: the file's final place.
        content: the file that will be moved there. Default: ``path`` itself.
    """
    if any(part.startswith(".") and part.endswith(".tmp") for part in path.parts[:-1]):
        return  # below a temporary folder that will have another name
    manifest, digest = manifest_above(path), file_digest(content or path)
    if manifest is not None:
        _append(manifest, {"file": _name_in(manifest, path), "digest": digest})
        return
    _written[os.path.abspath(path)] = digest
    while len(_written) > REMEMBERED:
        _written.popitem(last=False)


def adopt(folder: Path, files: Iterable[Path]) -> None:
    """List ``files`` as ours, which an earlier version wrote in ``folder`` without a manifest."""
    own_folder(folder)
    manifest = folder / MANIFEST
    for file in files:
        _append(manifest, {"file": _name_in(manifest, file), "digest": file_digest(file)})


def is_named(file: Path) -> bool:
    """Whether a manifest lists ``file``, even if its content has changed, as that of logs does."""
    return file.is_file() and not file.is_symlink() and bool(_listed_digests(file))


def foreign_entries(folder: Path, listed_as: Path | None = None) -> list[Path]:
    """Files below ``folder`` that are not ours, manifests left out. Links count as foreign.

    Args:
        folder: of the files.
        listed_as: the folder's name in the manifests above it, if it was renamed since.
    """
    listed: dict[Path, dict[str, set[str]]] = {}
    found = []
    for file in files_below(folder):
        if file.name == MANIFEST and is_manifest(file):
            continue
        manifest = manifest_above(file)
        if manifest is not None and manifest not in listed:
            listed[manifest] = _grouped(manifest)
        named = file
        if manifest is not None and listed_as is not None and not _lies_in(manifest, folder):
            named = listed_as / file.relative_to(folder)
        known = listed[manifest].get(_name_in(manifest, named), set()) if manifest else set()
        if file.is_symlink() or not _told_ours(file, known):
            found.append(file)
    return found


def _lies_in(path: Path, folder: Path) -> bool:
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))


def _told_ours(file: Path, digests: set[str]) -> bool:
    """Whether ``file`` is ours by its line in a manifest or, if it has none, by its content."""
    if digests:
        return file_digest(file) in digests
    return has_mark(file) or _is_weights_of_old_scorer(file)


def _is_weights_of_old_scorer(file: Path) -> bool:
    """Earlier versions marked a scorer's configuration but not the weights beside it."""
    return file.name == "scorer.safetensors" and has_mark(file.with_name("config.json"))


def _listed_digests(file: Path) -> set[str]:
    manifest = manifest_above(file)
    if manifest is None:
        remembered = _written.get(os.path.abspath(file))
        return set() if remembered is None else {remembered}
    name = _name_in(manifest, file)
    return {digest for listed, digest in _entries(manifest) if listed == name}


def file_digest(path: Path) -> str:
    """Hash of a file: all of it up to 1 MiB, above its size and three slices."""
    digest = hashlib.blake2b(digest_size=16)
    feed_file(digest.update, path)
    return digest.hexdigest()


def feed_file(update: object, path: Path) -> None:
    """Call ``update`` with the bytes that :func:`file_digest` hashes of the file at ``path``."""
    assert callable(update)
    with path.open("rb") as handle:
        size = os.fstat(handle.fileno()).st_size
        update(size.to_bytes(8, "little"))
        if size <= WHOLE_BYTES:
            update(handle.read())
            return
        for start in (0, (size - SLICE_BYTES) // 2, size - SLICE_BYTES):
            handle.seek(start)
            update(handle.read(SLICE_BYTES))


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below ``folder``, and links to folders."""
    for place, folders, files in os.walk(folder):
        here = Path(place)
        yield from (here / name for name in files)
        yield from (here / name for name in folders if (here / name).is_symlink())


def _name_in(manifest: Path, path: Path) -> str:
    return Path(os.path.abspath(path)).relative_to(os.path.abspath(manifest.parent)).as_posix()


def _entries(manifest: Path) -> Iterator[tuple[str, str]]:
    for line in manifest.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # a line that a kill cut short
            continue
        if isinstance(entry, dict) and "file" in entry:
            yield str(entry["file"]), str(entry.get("digest"))


def _grouped(manifest: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, digest in _entries(manifest):
        found.setdefault(name, set()).add(digest)
    return found


def _append(manifest: Path, entry: dict[str, object]) -> None:
    # One small write at the end of the file: several processes may do so at once. The line break comes first, so that
    # a line cut short by a kill spoils no other.
    line = (("" if not manifest.exists() else "\n") + json.dumps(entry, ensure_ascii=True)).encode("utf-8")
    with manifest.open("ab", buffering=0) as handle:
        while line:  # a disk that is almost full takes a part, and raises its error at the rest
            line = line[handle.write(line) :]
