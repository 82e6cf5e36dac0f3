"""The view of one explanation: its modalities one below the other."""

from __future__ import annotations

import html
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from sidelight.core.names import method_label
from sidelight.core.ownership import HTML_MARK
from sidelight.core.shown import Shown
from sidelight.errors import InputError, InputTypeError
from sidelight.viz import style as look
from sidelight.viz.base import RENDERERS
from sidelight.viz.export import ShownFigure
from sidelight.viz.safe_text import visible


def plot_panel(explanation: Shown, ax: Axes, style: str | None = None) -> Figure:
    """Draw the only map of ``explanation`` into ``ax``. Returns the figure of ``ax``."""
    if len(explanation.scores) > 1:
        raise InputError(
            f"one axis cannot hold maps of {', '.join(explanation.scores)}; call plot() without ax."
        )
    if not hasattr(ax, "imshow"):
        raise InputTypeError(
            f"ax must be one axis of matplotlib; got {type(ax).__name__}. Of several, e.g. of plt.subplots(1, 2), give one: "
            "axes[0]."
        )
    name = next(iter(explanation.scores))
    renderer = RENDERERS[name]
    scores, display = renderer.check(explanation.scores[name], explanation.inputs[name])
    renderer.draw_map(ax, scores, display, style)
    ax.set_title(_title(explanation), fontsize=9)
    return cast(Figure, ax.get_figure(root=True))


def plot_explanation(explanation: Shown, figure: FigureBase | None = None) -> Figure:
    """The full view, into ``figure`` or a new one of the right size."""
    parts = [
        (RENDERERS[name], *RENDERERS[name].check(scores, explanation.inputs[name]))
        for name, scores in explanation.scores.items()
    ]
    sizes = np.array([renderer.size(display) for renderer, _, display in parts])
    with look.house_style():
        canvas = figure or ShownFigure(
            figsize=(float(sizes[:, 0].max()), float(sizes[:, 1].sum() + 0.45)),
            dpi=look.DPI,
            layout="constrained",
        )
        canvas.suptitle(_title(explanation), x=0.02, ha="left", fontsize=11, color=look.INK)
        panels = canvas.subfigures(len(parts), 1, squeeze=False, height_ratios=sizes[:, 1].tolist())
        for panel, (renderer, scores, display) in zip(panels[:, 0], parts, strict=True):
            renderer.draw(panel, scores, display)
    return canvas if isinstance(canvas, Figure) else cast(Figure, canvas.figure)


def explanation_html(explanation: Shown) -> str:
    """Self-contained fragment: caption and, per modality, input and map side by side."""
    panels, chosen = [], explanation.meta.get("explained_label", explanation.label)
    for name, values in explanation.scores.items():
        renderer = RENDERERS[name]
        scores, display = renderer.check(values, explanation.inputs[name])
        pictures = [renderer.html(None, display, alt="input")] if renderer.input_apart else []
        pictures += [
            renderer.html(scores, display, style=style, alt=f"{name} scores for {chosen}")
            for style in renderer.styles
        ]
        size = f"flex:1 1 180px;max-width:{renderer.panel_width}px"
        panels += [f'<div style="{size}">{picture}</div>' for picture in pictures]
    notes = " ".join(filter(None, (class_note(explanation), share_note(explanation))))
    made_by = f"{method_label(explanation.method)}"
    made_by += f" · {explanation.target}" if explanation.target else ""
    return (
        '<figure style="margin:0;font:14px/1.45 system-ui,sans-serif">'
        f'<div style="display:flex;flex-wrap:wrap;gap:8px">{"".join(panels)}</div>'
        f'<figcaption style="margin-top:6px"><strong>{html.escape(visible(explanation.label))}</strong> '
        f"{explanation.probability:.1%} {html.escape(notes)} "
        f'<span style="opacity:.65">{html.escape(visible(made_by))}{_cut_note(explanation)}</span></figcaption></figure>'
    )


def _cut_note(explanation: Shown) -> str:
    return " · not read to its end" if explanation.meta.get("truncated") else ""


def share_note(explanation: Shown) -> str:
    """The measured worth of each modality, as ``without the image −0.62   without the text −0.41``."""
    measured = explanation.meta.get("modality_share")
    if not measured:
        return ""
    drops = [(f"without the {n}", d) for n, d in measured["drops"].items() if n != "all"]
    return "   ".join(f"{name} {-drop:+.2f}".replace("-", "\N{MINUS SIGN}") for name, drop in drops)


def explanation_page(explanation: Shown) -> str:
    """:func:`explanation_html` as a page of its own."""
    title = html.escape(f"{visible(explanation.label)} {explanation.probability:.1%}")
    return (
        f'<!doctype html><html><head><meta charset="utf-8">{HTML_MARK}<title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1"></head>'
        f'<body style="margin:24px">{explanation_html(explanation)}</body></html>\n'
    )


def class_note(explanation: Shown) -> str:
    """The class of the map if it is not the model's verdict, as ``map of cat, not dog``."""
    chosen, against = (explanation.meta.get(f"{name}_label") for name in ("explained", "versus"))
    if against is None and chosen in (None, explanation.label):
        return ""
    own = explanation.explained_probability if explanation.independent else None
    words = f"map of {explanation.label if chosen is None else chosen}" + (
        "" if own is None else f" {own:.1%}"
    )
    return visible(words + (f", not {against}" if against is not None else ""))


def _title(explanation: Shown) -> str:
    # A dollar sign in a label would start mathematics, and can fail to parse.
    title = f"{visible(explanation.label)}  {explanation.probability:.1%}"
    notes = filter(None, (class_note(explanation), share_note(explanation)))
    return look.literal("   ".join([title, *notes]))
