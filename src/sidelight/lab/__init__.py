"""The laboratory: it trains classifiers, measures explanation methods and reports. Needs ``sidelight[lab]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sidelight.core.optional import require

if TYPE_CHECKING:
    from sidelight.lab.side_by_side.compare import compare as compare

require(("captum", "datasets", "jinja2", "pandas", "psutil", "scipy", "sklearn", "yaml"), "sidelight.lab")


def __getattr__(name: str) -> Any:
    # late, because a room of the laboratory must not bring all others with it
    if name != "compare":
        raise AttributeError(f"module 'sidelight.lab' has no attribute {name!r}")
    from sidelight.lab.side_by_side.compare import compare

    return compare
