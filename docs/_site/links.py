"""Links of pages that lead elsewhere on the site than in the repository."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

#: also `HOME` of `sidelight.hub.card`, which takes seconds to import
REPOSITORY = "https://github.com/sidelight-dev/sidelight"
#: code stays as it is, so it is found first. A link ends the pattern
_LINK = re.compile(r"^(```|~~~).*?^\1$|`[^`\n]*`|\]\((?P<target>[^)\s]+)\)", re.MULTILINE | re.DOTALL)


def on_the_site(text: str, page: Path, docs: Path, parts: Mapping[str, str]) -> str:
    """``text`` of ``page`` with relative links as the site needs them.

    Args:
        docs: folder of all pages. A link out of it becomes a link to the repository.
        parts: a folder of files that are parts of other pages -> the folder of those pages. A link to a part becomes a
            link to its page.

    Raises:
        FileNotFoundError: there is no such file.
    """

    def changed(match: re.Match[str]) -> str:
        target = match["target"]
        return f"]({_address(target, page, docs, parts)})" if target else match[0]

    return _LINK.sub(changed, text)


def _address(target: str, page: Path, docs: Path, parts: Mapping[str, str]) -> str:
    if re.match(r"\w+:", target) or target.startswith("#"):
        return target
    name, hash_, anchor = target.partition("#")
    file = Path(os.path.normpath(page.parent / name))
    if not file.exists():
        raise FileNotFoundError(f"{page}: there is no {file}.")
    if not file.is_relative_to(docs):
        kind = "tree" if file.is_dir() else "blob"
        return f"{REPOSITORY}/{kind}/main/{file.relative_to(docs.parent).as_posix()}{hash_}{anchor}"
    home = parts.get(file.parent.relative_to(docs).as_posix())
    return target if home is None else f"/{home}/{file.name}"
