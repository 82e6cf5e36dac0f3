"""Maps on images: features with high scores keep their colour, the others fade."""

from __future__ import annotations

import html
import math
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.colors import to_rgb as to_rgb_tuple
from matplotlib.figure import FigureBase

from sidelight.errors import InputError
from sidelight.viz import style as look
from sidelight.viz.base import RENDERERS, Renderer
from sidelight.viz.export import pixels_to_uri
from sidelight.viz.highlight import AGAINST, HIGHLIGHT
from sidelight.viz.signed import effects_bar, strengths

#: Up to this side length every pixel is drawn as a crisp square.
CRISP_UP_TO = 96
#: pixels that a tall picture may take on a page
TALLEST = 480


def to_rgb(display: np.ndarray) -> np.ndarray:
    """``[H, W]``, ``[H, W, 1]`` or ``[H, W, 3]`` in [0, 1] as ``[H, W, 3]`` float32."""
    pixels = np.asarray(display, dtype=np.float32)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3):
        raise InputError(f"an image to show must be [H, W, 1] or [H, W, 3]; got shape {pixels.shape}.")
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3)).clip(0.0, 1.0)


def luminance(display: np.ndarray) -> np.ndarray:
    """``[H, W]`` grey value of an image in [0, 1] (Rec. 709 weights)."""
    return to_rgb(display) @ np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)


def dim(display: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """``[H, W, 3]``: full colour for a score of 1, a pale grey ghost of the input for 0."""
    # The ghost is neither black nor white, so evidence on dark and on light ground stays visible.
    ghost = (0.64 + 0.26 * luminance(display))[..., None]
    weight = np.asarray(scores, dtype=np.float32)[..., None]
    return weight * to_rgb(display) + (1.0 - weight) * ghost


def heat(display: np.ndarray, scores: np.ndarray, strength: float = 0.78) -> np.ndarray:
    """``[H, W, 3]``: the heat colours of the scores over the input in grey."""
    colours = colormaps[look.HEAT](np.clip(scores, 0, 1))[..., :3]
    return (strength * colours + (1.0 - strength) * luminance(display)[..., None]).astype(np.float32)


def signed(display: np.ndarray, effects: np.ndarray) -> np.ndarray:
    """``[H, W, 3]``: orange where an effect is above 0, blue where it is below, on a nearly white ghost of the input."""
    # paler than the ghost of scores, so that weak colours stay clean
    ghost = (0.8 + 0.18 * luminance(display))[..., None]
    strength = strengths(effects)[..., None]
    colour = np.where(strength > 0, HIGHLIGHT, AGAINST).astype(np.float32) / 255
    weight = np.abs(strength)
    return (weight * colour + (1.0 - weight) * ghost).astype(np.float32)


STYLES = {"dim": dim, "heat": heat}


class ImageRenderer(Renderer):
    """Draws ``[H, W]`` scores on ``[H, W, 1]`` or ``[H, W, 3]`` images."""

    styles = tuple(STYLES)
    colours = "brightest: a score of 1"

    def check(self, scores: Any, display: Any) -> tuple[np.ndarray, np.ndarray]:
        values = np.asarray(scores, dtype=np.float32)
        if values.ndim == 3 and values.shape[0] == 1:
            values = values[0]
        pixels = np.asarray(display, dtype=np.float32)
        if pixels.ndim == 2:
            pixels = pixels[..., None]
        to_rgb(pixels)
        if values.shape != pixels.shape[:2] or values.ndim != 2:
            raise InputError(
                f"image scores must be [H, W] like their image; got scores {values.shape} "
                f"for an image {pixels.shape}."
            )
        return values, pixels

    def size(self, display: Any) -> tuple[float, float]:
        width, height = self.cell_size(display)
        return max(4.6, 3 * 1.75 * width + 0.9), 1.75 * height + 0.75

    def cell_size(self, display: Any) -> tuple[float, float]:
        height, width = np.asarray(display).shape[:2]
        # The longer side is fixed, so that a portrait and a landscape take the same room.
        return 1.6 * min(1.0, width / height), 1.6 * min(1.0, height / width)

    def draw(
        self, figure: FigureBase, scores: np.ndarray, display: Any, truth: np.ndarray | None = None
    ) -> None:
        with look.house_style():
            left, middle, right = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1, 1, 1]})
            self.draw_input(left, display)
            self.draw_map(middle, scores, display, "dim", truth)
            self.draw_map(right, scores, display, "heat", truth)
            for ax, title in ((left, "Input"), (middle, "What counted"), (right, "Score")):
                ax.set_title(title, color=look.INK_SOFT, fontsize=9)
            bar = figure.colorbar(
                ScalarMappable(Normalize(0, 1), look.HEAT), ax=right, fraction=0.046, pad=0.03
            )
            bar.set_ticks([0, 0.5, 1])
            bar.outline.set_visible(False)

    def effects_size(self, display: Any) -> tuple[float, float]:
        width, height = self.cell_size(display)
        return max(4.6, 2 * 1.75 * width + 1.1), 1.75 * height + 0.75

    def draw_effects(self, figure: FigureBase, effects: np.ndarray, display: Any) -> None:
        with look.house_style():
            left, right = figure.subplots(1, 2)
            self.draw_input(left, display)
            self.draw_effect_map(right, effects, display)
            for ax, title in ((left, "Input"), (right, "For and against")):
                ax.set_title(title, color=look.INK_SOFT, fontsize=9)
            effects_bar(figure, right, effects, fraction=0.046, pad=0.03)

    def draw_effect_map(self, ax: Axes, effects: np.ndarray, display: Any) -> None:
        self._show(ax, signed(display, effects), None)

    def effects_html(self, effects: np.ndarray, display: Any, alt: str = "") -> str:
        return self._picture(signed(display, effects), alt)

    def draw_input(self, ax: Axes, display: Any, truth: np.ndarray | None = None) -> None:
        self._show(ax, to_rgb(display), truth)

    def draw_map(
        self,
        ax: Axes,
        scores: np.ndarray,
        display: Any,
        style: str | None = None,
        truth: np.ndarray | None = None,
        contour: float | None = None,
    ) -> None:
        """One map on its image. ``contour`` adds the line of that score, if the map crosses it."""
        self._show(ax, self.paint(scores, display, style), truth)
        if contour is not None and scores.min() < contour < scores.max():
            ax.contour(scores, levels=[contour], colors=[look.ACCENT], linewidths=1.0)

    def paint(self, scores: np.ndarray, display: Any, style: str | None = None) -> np.ndarray:
        """``[H, W, 3]`` picture of a map in one of :attr:`styles`."""
        name = style or self.styles[0]
        if name not in STYLES:
            raise InputError(f"unknown style {name!r} for images; choose from {', '.join(STYLES)}.")
        return STYLES[name](display, scores)

    def html(
        self,
        scores: np.ndarray | None,
        display: Any,
        style: str | None = None,
        truth: np.ndarray | None = None,
        alt: str = "",
    ) -> str:
        pixels = to_rgb(display) if scores is None else self.paint(scores, display, style)
        return self._picture(pixels, alt, truth)

    def _picture(self, pixels: np.ndarray, alt: str, truth: np.ndarray | None = None) -> str:
        crisp = max(pixels.shape[:2]) <= CRISP_UP_TO
        if truth is not None:
            pixels = outline(pixels, truth, 4 if crisp else 1)
        widest = math.ceil(TALLEST * pixels.shape[1] / pixels.shape[0])
        uri = pixels_to_uri(pixels, longest=4 * CRISP_UP_TO if crisp and truth is not None else 224)
        rendering = "image-rendering:pixelated;" if crisp else ""
        return (
            f'<img src="{uri}" alt="{html.escape(alt)}" '
            f'style="{rendering}width:100%;max-width:min(100%,{widest}px);height:auto;display:block">'
        )

    def _show(self, ax: Axes, pixels: np.ndarray, truth: np.ndarray | None) -> None:
        crisp = max(pixels.shape[:2]) <= CRISP_UP_TO
        height, width = pixels.shape[:2]
        partial = truth is not None and 0 < np.count_nonzero(truth) < truth.size
        if crisp and truth is not None:  # a contour line would cut the corners of such large pixels
            pixels = outline(pixels, truth, 8)
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        # "nearest" would drop lines of the outline if the panel has fewer dots
        ax.imshow(pixels, interpolation="nearest" if crisp and truth is None else "auto", extent=extent)
        if partial and not crisp:
            ax.contour(np.asarray(truth, dtype=float), levels=[0.5], colors=[look.TRUTH], linewidths=1.1)
        ax.set_xticks([])
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set_visible(False)


def outline(pixels: np.ndarray, truth: np.ndarray, factor: int = 1) -> np.ndarray:
    """``pixels`` enlarged ``factor`` times with the border of a boolean mask drawn on them."""
    big = np.repeat(np.repeat(pixels, factor, 0), factor, 1).copy()
    mask = np.repeat(np.repeat(np.asarray(truth, dtype=bool), factor, 0), factor, 1)
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    big[mask & ~inner] = to_rgb_tuple(look.TRUTH)
    return big


RENDERERS.add("image", ImageRenderer())
