"""Names beside points that crowd: each goes where it covers least."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from sidelight.viz import style as look

#: distances from the point, in font points; angles in degrees, preferred first
DISTANCES = (5.0, 14.0, 24.0, 36.0, 50.0, 66.0, 84.0)
ANGLES = (0, 40, -40, 90, -90, 140, -140, 180, 65, -65, 115, -115, 20, -20, 160, -160)
#: a label further off than this gets a line to its point
NEAR = 9.0


def place_labels(figure: Figure, ax: Axes, labels: Sequence[Annotation]) -> None:
    """Move each annotation of ``ax`` to a free spot around the point ``xy`` that it names.

    Call it when the axes have their final limits. Spots are tried from near to far and the
    one that covers least is taken, earlier labels first; what stands off is joined to its
    point by a thin line.

    Args:
        figure: holds ``ax``.
        labels: annotations with data coordinates ``xy`` and offsets in points.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()
    for label in labels:
        label.set_in_layout(False)
        label.set_verticalalignment("bottom")
        label.set_horizontalalignment("left")
    figure.draw_without_rendering()  # settles the layout, so that places in pixels are known
    scale = figure.dpi / 72
    places = ax.transData.transform(np.array([label.xy for label in labels], dtype=float))
    frame = ax.get_window_extent()
    taken = [Bbox.from_bounds(x - 3 * scale, y - 3 * scale, 6 * scale, 6 * scale) for x, y in places]
    for label, place in zip(labels, places, strict=True):
        extent = label.get_window_extent(renderer)
        best = min(_spots(place, extent, scale), key=lambda box: _cost(box, place, taken, frame, scale))
        taken.append(best)
        label.set_position(((best.x0 - place[0]) / scale, (best.y0 - place[1]) / scale))
        _join(ax, place, best, scale)


def _spots(place: np.ndarray, extent: Bbox, scale: float) -> list[Bbox]:
    """Boxes of a label's size around a point."""
    width, height = extent.width, extent.height
    boxes = []
    for distance in DISTANCES:
        for angle in np.deg2rad(ANGLES):
            x = place[0] + distance * scale * np.cos(angle)
            y = place[1] + (distance * scale + height / 2) * np.sin(angle)
            left = x if np.cos(angle) > 0.1 else x - width if np.cos(angle) < -0.1 else x - width / 2
            boxes.append(Bbox.from_bounds(left, y - height / 2, width, height))
    return boxes


def _cost(box: Bbox, place: np.ndarray, taken: Sequence[Bbox], frame: Bbox, scale: float) -> float:
    """Area covered or outside the frame; far off counts a little."""
    covered = sum(_area(Bbox.intersection(box, other)) for other in taken)
    outside = _area(box) - _area(Bbox.intersection(box, frame))
    return covered + 2 * outside + 0.005 * _area(box) * _gap(place, box)[2] / scale


def _area(box: Bbox | None) -> float:
    return 0.0 if box is None else float(box.width * box.height)


def _gap(place: np.ndarray, box: Bbox) -> tuple[float, float, float]:
    """The point of ``box`` nearest to ``place``, and its distance."""
    x, y = float(np.clip(place[0], box.x0, box.x1)), float(np.clip(place[1], box.y0, box.y1))
    return x, y, float(np.hypot(x - place[0], y - place[1]))


def _join(ax: Axes, place: np.ndarray, box: Bbox, scale: float) -> None:
    x, y, distance = _gap(place, box)
    if distance <= NEAR * scale:
        return
    ends = ax.transData.inverted().transform(np.array([place, (x, y)]))
    ax.plot(*ends.T, color=look.INK_SOFT, linewidth=0.5, zorder=2, scalex=False, scaley=False)
