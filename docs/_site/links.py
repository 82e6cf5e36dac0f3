"""Links from a page to files outside ``docs`` become links to the repository."""

from __future__ import annotations

import os
import re
from pathlib import Path

#: also `HOME` of `sidelight.hub.card`, which takes seconds to import
REPOSITORY = "https://github.com/sidelight-dev/sidelight"
#: code stays as it is, so it is found first. A link ends the pattern
_LINK = re.compile(r"^(```|~~~).*?^\1$|`[^`\n]*`|\]\((?P<target>[^)\s]+)\)", re.MULTILINE | re.DOTALL)


def outward(text: str, page: Path, docs: Path) -> str:
    """``text`` of ``page`` with every relative link out of ``docs`` as a link to the repository.

    Raises:
        FileNotFoundError: the repository holds no such file.
    """

    def changed(match: re.Match[str]) -> str:
        target = match["target"]
        return f"]({repository_link(target, page, docs) or target})" if target else match[0]

    return _LINK.sub(changed, text)


def repository_link(target: str, page: Path, docs: Path) -> str | None:
    """The address of a relative link's file in the repository, or None if it lies in ``docs`` or is an address."""
    if re.match(r"\w+:", target) or target.startswith("#"):
        return None
    name, hash_, anchor = target.partition("#")
    file = Path(os.path.normpath(page.parent / name))
    if file.is_relative_to(docs):
        return None
    if not file.exists():
        raise FileNotFoundError(f"{page}: there is no {file}.")
    kind = "tree" if file.is_dir() else "blob"
    return f"{REPOSITORY}/{kind}/main/{file.relative_to(docs.parent).as_posix()}{hash_}{anchor}"
