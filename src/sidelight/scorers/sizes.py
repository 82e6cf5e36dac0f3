"""The sizes that the configuration of a scorer declares, compared with its weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sidelight.errors import CheckpointError

#: Numbers in a configuration may be so large even if the weights are smaller, because they may be sides of pictures.
LARGEST_SIDE = 65_536
#: Largest number of entries of a list in a configuration.
LONGEST_LIST = 4_096


def check_sizes(values: Any, shapes: Mapping[str, tuple[int, ...]], weights: Path, config: str) -> None:
    """Refuse sizes that the weights do not have, before a network of such a size is built."""
    most = max([LARGEST_SIDE, *(math.prod(s) for s in shapes.values())])
    for path, value in _leaves(values):
        many = len(shapes) if path.endswith("layers") else most
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if not abs(value) <= many:
            raise CheckpointError(
                f"{weights.parent / config} says {path.strip('.')} = {value}, which {weights.name} is too small for."
            )


def _leaves(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _leaves(value, f"{path}.{key}")
    elif isinstance(values, (list, tuple)):
        if len(values) > LONGEST_LIST:
            raise CheckpointError(
                f"the configuration of a scorer has a list of {len(values)} entries at {path!r}."
            )
        for value in values:
            yield from _leaves(value, path)
    else:
        yield path, values
