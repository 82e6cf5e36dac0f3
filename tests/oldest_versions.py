"""Print the oldest versions of packages that sidelight allows, as constraints for pip. ``make test-oldest`` calls this."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import requires

from packaging.requirements import Requirement

#: extras of developers, whose tools may be of any version
TOOLS = ("dev", "docs")


def oldest(lines: Iterable[str]) -> Iterator[str]:
    """``name==version`` of each package that users need, if a least version is named."""
    for needed in map(Requirement, lines):
        if needed.marker is not None and any(needed.marker.evaluate({"extra": tool}) for tool in TOOLS):
            continue
        yield from (f"{needed.name}=={least.version}" for least in needed.specifier if least.operator == ">=")


if __name__ == "__main__":
    print("\n".join(oldest(requires("sidelight") or [])))
