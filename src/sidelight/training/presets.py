"""Presets: one word for several settings of the objective. Imports no torch.

``thesis`` is the objective of the thesis. ``robust`` also learns to rank. A preset also decides whether the scorer makes
maps of any class. If a caller gives a field, its value counts and not that of the preset.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidelight.core.registry import nearest
from sidelight.errors import ConfigError
from sidelight.training.settings import ObjectiveConfig, without_retired

#: The preset of ``fit`` and of a configuration that names none.
DEFAULT_PRESET = "robust"

#: Fields of the objective by the preset's name.
PRESETS: dict[str, dict[str, Any]] = {
    # Eq. 3.3-3.5, which are the defaults of ObjectiveConfig
    "thesis": {},
    # with the rank term and the coalition term, for any class, under several unlike fills
    "robust": {
        "label": "prediction",
        "fills": ("varied",),
        "mask_weight": 0.1,
        "rank_weight": 1.0,
        "rank_draws": 2,
        "other_classes": 0.2,
        "coalition_weight": None,
        "coalition_draws": None,
        "coalition_focus": None,
        "slope_weight": None,
        "empty_weight": None,
    },
}

#: Fields that every saved objective of a version without presets has.
_BEFORE_PRESETS = {"calibration", "label", "fills", "magnitude_weight", "binary_weight", "solo"}


def objective_of(given: str | Mapping[str, Any] | ObjectiveConfig | None) -> ObjectiveConfig:
    """An objective from the name of a preset, or from fields with ``preset`` among them.

    If a version without presets saved the fields, the preset is ``thesis``.

    Raises:
        ConfigError: there is no such preset, or a value is out of range.

    Example:
        >>> objective_of("thesis").rank_weight, objective_of(None).preset
        (0.0, 'robust')
        >>> objective_of({"rank_draws": 4}).rank_draws
        4
    """
    if isinstance(given, ObjectiveConfig):
        return given
    return ObjectiveConfig(**objective_fields(given))


def objective_fields(given: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of :func:`objective_of` that differ from the thesis's, not checked yet."""
    values = {"preset": given} if isinstance(given, str) else without_retired(given or {})
    old = "preset" not in values and values.keys() >= _BEFORE_PRESETS
    name = values.get("preset", "thesis" if old else DEFAULT_PRESET)
    if not isinstance(name, str) or name not in PRESETS:
        raise ConfigError(
            f"objective has no preset {name!r:.60}.{nearest(str(name), PRESETS)} Presets: {', '.join(PRESETS)}."
        )
    return {**PRESETS[name], **values, "preset": name}
