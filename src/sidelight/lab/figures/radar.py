"""Several metrics at a glance, each turned so that outward is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidelight.core.names import is_ours, ordered
from sidelight.errors import InputError
from sidelight.lab.tables.table import ARROWS
from sidelight.viz import style as look
from sidelight.viz.export import ShownFigure
from sidelight.viz.titles import legend_columns, method_name


def oriented(
    values: Mapping[str, Mapping[str, float]], directions: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Scale each metric over the methods to [0, 1], 1 for the best.

    Args:
        values: method -> metric -> value.
        directions: metric -> ``"lower"`` or ``"higher"``, in the order of the axes.

    Returns:
        Method -> ``[len(directions)]``. A metric on which all agree gives 1, a missing value gives NaN.

    Raises:
        InputError: a direction is neither ``"lower"`` nor ``"higher"``, or there are no values.
    """
    bad = {k: v for k, v in directions.items() if v not in ("lower", "higher")}
    if bad or not values or not directions:
        raise InputError(
            f"a radar needs methods and metrics with direction 'lower' or 'higher'; got {bad or 'none'}."
        )
    table = np.array([[row.get(m, np.nan) for m in directions] for row in values.values()], dtype=float)
    signs = np.array([1.0 if d == "higher" else -1.0 for d in directions.values()])
    table = table * signs
    low, high = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
    span = np.where(high - low > 1e-12, high - low, 1.0)
    scaled = np.where(high - low > 1e-12, (table - low) / span, np.where(np.isnan(table), np.nan, 1.0))
    return dict(zip(values, scaled, strict=True))


def plot_radar(
    values: Mapping[str, Mapping[str, float]],
    directions: Mapping[str, str],
    *,
    labels: Mapping[str, str] | None = None,
    methods: Sequence[str] | None = None,
) -> Figure:
    """Radar of methods over metrics. The rim is the best method on that metric, the centre the worst.

    Args:
        values: method -> metric -> mean.
        directions: metric -> ``"lower"`` / ``"higher"``.
        methods: which to draw (default: all). Scaling always uses all of ``values``.

    Raises:
        InputError: see :func:`oriented`.
    """
    scaled = oriented(values, directions)
    names = ordered(methods or values)
    angles = np.linspace(0, 2 * np.pi, len(directions), endpoint=False)
    closed = np.append(angles, angles[:1])
    styles = look.method_styles(values)
    with look.house_style():
        figure = ShownFigure(figsize=(5.4, 4.1 + 0.2 * -(-len(names) // 3)), dpi=look.DPI)
        ax = _polar_axes(figure)
        for name in names:
            ring = np.nan_to_num(np.append(scaled[name], scaled[name][:1]))
            ax.plot(closed, ring, label=method_name(name), **styles[name])
            if is_ours(name):
                ax.fill(closed, ring, color=look.ACCENT, alpha=0.14)
        ax.set_xticks(angles, [])
        for angle, (metric, direction) in zip(angles, directions.items(), strict=True):
            label = (labels or {}).get(metric, metric.replace("_", " "))
            _axis_label(ax, float(angle), f"{label} {ARROWS[direction]}")
        ncols = legend_columns(map(method_name, names), figure.get_figwidth(), 3)
        figure.legend(loc="outside lower center", ncols=ncols)
    return figure


def _polar_axes(figure: Figure) -> Axes:
    """Axes on which the first angle points up and the next ones go clockwise."""
    # A circle leaves its labels less room than the layout engine believes.
    figure.set_layout_engine("constrained", w_pad=0.2)
    ax = figure.add_subplot(projection="polar")
    ax.set_theta_offset(np.pi / 2)  # type: ignore[attr-defined]
    ax.set_theta_direction(-1)  # type: ignore[attr-defined]
    ax.set_yticks([0.25, 0.5, 0.75, 1.0], [])
    ax.set_ylim(0, 1.04)
    ax.spines["polar"].set_visible(False)
    return ax


def _axis_label(ax: Axes, angle: float, text: str) -> None:
    """Just outside the rim, growing away from it."""
    x, y = np.sin(angle), np.cos(angle)
    ax.annotate(
        text,
        (angle, 1.04),
        xytext=(4 * x, 4 * y),
        textcoords="offset points",
        ha=_away(x, "left", "right"),
        va=_away(y, "bottom", "top"),
        fontsize=8.5,
    )


def _away(offset: float, positive: str, negative: str) -> str:
    if abs(offset) < 0.1:
        return "center"
    return positive if offset > 0 else negative
