"""README.md as a package index shows it: pictures and links lead to the repository.

Hatchling calls the hook in every build (``[tool.hatch.metadata.hooks.custom]`` in `pyproject.toml`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

REPOSITORY = "https://github.com/sidelight-dev/sidelight/blob/main/"
FILES = "https://raw.githubusercontent.com/sidelight-dev/sidelight/main/"
#: code stays as it is, so it is found first. An exclamation mark begins a picture
_LINK = re.compile(
    r"^```.*?^```$|`[^`\n]*`|(?P<mark>!?)\[(?P<words>[^\]]*)\]\((?P<target>[^)\s]+)\)",
    re.MULTILINE | re.DOTALL,
)


def with_addresses(text: str) -> str:
    """``text`` with the repository before every relative link and picture."""

    def changed(match: re.Match[str]) -> str:
        target = match["target"]
        if not target or re.match(r"\w+:|#", target):
            return match[0]
        return f"{match['mark']}[{match['words']}]({FILES if match['mark'] else REPOSITORY}{target})"

    return _LINK.sub(changed, text)


class ReadmeHook(MetadataHookInterface):
    """Gives the package its readme."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Write the readme into ``metadata``."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": with_addresses(text)}
