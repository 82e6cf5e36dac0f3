"""What a scorer of a user's own modality needs of the user's code before it can be loaded."""

from __future__ import annotations

from typing import Any

from sidelight.core.registry import Registry
from sidelight.errors import CheckpointError
from sidelight.scorers.base import DECODERS
from sidelight.targets.families import TARGETS


def require_own_parts(family: Any, modalities: Any) -> None:
    """Raise :class:`CheckpointError` if the target family or a decoder of a saved scorer is not registered here.

    Args:
        family: name of the target family.
        modalities: names of those that the scorer has decoders of.
    """
    parts: list[tuple[str, str, Registry[Any], Any]] = [("target family", "TARGETS", TARGETS, family)]
    parts += [("decoder", "DECODERS", DECODERS, name) for name in modalities]
    for kind, place, registry, name in parts:
        if isinstance(name, str) and name not in registry:
            raise CheckpointError(
                f"this scorer needs the {kind} {name!r}, which is not registered in this process (known: "
                f"{', '.join(registry)}). If it is your own, first run or import the code that adds it to {place}, as "
                "docs/extend/modality.md shows. If not, the file is damaged."
            )
