"""The view of one explanation: its modalities one below the other."""

from __future__ import annotations

import html
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from sidelight.core.digits import with_sign
from sidelight.core.names import method_label
from sidelight.core.shown import Drawable, Shown, require_drawable
from sidelight.errors import InputError, InputTypeError
from sidelight.viz import style as look
from sidelight.viz.base import RENDERERS, Renderer, colours_of
from sidelight.viz.direction import among_words
from sidelight.viz.export import ShownFigure
from sidelight.viz.page import whole_page
from sidelight.viz.safe_text import visible
from sidelight.viz.signed import strongest
from sidelight.viz.titles import LINE, fitted, one_line, room_of, title_axes, title_figure


def plot_panel(
    explanation: Shown, ax: Axes, style: str | None = None, reading: Drawable = "scores"
) -> Figure:
    """Draw the only map of ``explanation`` into ``ax``. Returns the figure of ``ax``."""
    effects = _are_effects(explanation, reading)
    if len(explanation.scores) > 1:
        raise InputError(
            f"one axis cannot hold maps of {', '.join(explanation.scores)}; call plot() without ax."
        )
    if not hasattr(ax, "imshow"):
        raise InputTypeError(
            f"ax must be one axis of matplotlib; got {type(ax).__name__}. Of several, e.g. of plt.subplots(1, 2), give one: "
            "axes[0]."
        )
    if effects and style is not None:
        raise InputError(f"style={style!r:.40} is one of scores. Leave it out for effects.")
    ((_, renderer, values, display),) = _parts(explanation, effects)
    if effects:
        renderer.draw_effect_map(ax, values, display)
    else:
        renderer.draw_map(ax, values, display, style)
    title_axes(ax, _title(explanation, effects), points=9)
    return cast(Figure, ax.get_figure(root=True))


def plot_explanation(
    explanation: Shown, figure: FigureBase | None = None, reading: Drawable = "scores"
) -> Figure:
    """The full view, into ``figure`` or a new one of the right size."""
    effects = _are_effects(explanation, reading)
    parts = _parts(explanation, effects)
    sizes = np.array([(r.effects_size if effects else r.size)(display) for _, r, _, display in parts])
    width, height = float(sizes[:, 0].max()), float(sizes[:, 1].sum())
    with look.house_style():
        room = width if figure is None else room_of(figure)
        lines = fitted(_title(explanation, effects), 0.96 * room)
        canvas = figure or ShownFigure(
            figsize=(width, height + 0.45 + LINE * (len(lines) - 1)),
            dpi=look.DPI,
            layout="constrained",
        )
        title_figure(canvas, lines)
        panels = canvas.subfigures(len(parts), 1, squeeze=False, height_ratios=sizes[:, 1].tolist())
        for panel, (_, renderer, values, display) in zip(panels[:, 0], parts, strict=True):
            (renderer.draw_effects if effects else renderer.draw)(panel, values, display)
    return canvas if isinstance(canvas, Figure) else cast(Figure, canvas.figure)


def explanation_html(explanation: Shown, reading: Drawable = "scores") -> str:
    """Self-contained fragment: caption and, per modality, input and map side by side."""
    panels, effects = [], _are_effects(explanation, reading)
    for renderer, pictures in html_panels(explanation, effects):
        size = f"flex:1 1 180px;max-width:{renderer.panel_width}px"
        panels += [f'<div style="{size}">{picture}</div>' for picture in pictures]
    scale = scale_note(explanation) if effects else colours_note(explanation)
    notes = " · ".join(note for note in (*_notes(explanation, effects), scale) if note)
    made_by = f"{method_label(explanation.method)}"
    made_by += f" · {explanation.target}" if explanation.target else ""
    return (
        '<figure style="margin:0;font:14px/1.45 system-ui,sans-serif">'
        f'<div style="display:flex;flex-wrap:wrap;gap:8px">{"".join(panels)}</div>'
        f'<figcaption style="margin-top:6px;overflow-wrap:anywhere"><strong>{html.escape(among_words(visible(explanation.label)))}</strong> '
        f"{explanation.probability:.1%} {html.escape(notes)} "
        f'<span style="opacity:.65">{html.escape(visible(made_by))}{_cut_note(explanation)}</span></figcaption></figure>'
    )


def _cut_note(explanation: Shown) -> str:
    return " · not read whole" if explanation.meta.get("truncated") else ""


def share_note(explanation: Shown) -> str:
    """The measured worth of each modality, as ``without the image −0.62   without the text −0.41``."""
    measured = explanation.meta.get("modality_share")
    if not measured:
        return ""
    drops = [(f"without the {n}", d) for n, d in measured["drops"].items() if n != "all"]
    return "   ".join(f"{name} {with_sign(-drop)}".replace("-", "\N{MINUS SIGN}") for name, drop in drops)


def explanation_page(explanation: Shown, reading: Drawable = "scores") -> str:
    """:func:`explanation_html` as a page of its own."""
    title = f"{among_words(visible(explanation.label))} {explanation.probability:.1%}"
    return whole_page(title, explanation_html(explanation, reading))


def class_note(explanation: Shown) -> str:
    """The class of the map if it is not the model's verdict, as ``map of cat, not dog``."""
    chosen, against = explanation.explained_label, explanation.versus_label
    if against is None and chosen == explanation.label:
        return ""
    own = explanation.explained_probability if explanation.independent else None
    words = f"map of {one_line(chosen)}" + ("" if own is None else f" {own:.1%}")
    return words + (f", not {one_line(against)}" if against is not None else "")


def _title(explanation: Shown, effects: bool) -> list[str]:
    title = f"{one_line(explanation.label)}  {explanation.probability:.1%}"
    return [title, *_notes(explanation, effects)]


def _notes(explanation: Shown, effects: bool) -> list[str]:
    about = effects_note(explanation) if effects else class_note(explanation)
    return [note for note in (about, share_note(explanation)) if note]


def effects_note(explanation: Shown) -> str:
    """What the colours of effects say, as ``orange: for cat, blue: against it``."""
    against = explanation.versus_label
    other = "against it" if against is None else f"for {one_line(against)}"
    return f"orange: for {one_line(explanation.explained_label)}, blue: {other}"


def colours_note(explanation: Shown) -> str:
    """What the colours of scores say, which a page shows by no legend either."""
    return colours_of(explanation.scores)


def scale_note(explanation: Shown) -> str:
    """How much of the probability the full colours stand for, which a page shows by no legend."""
    found = (explanation.effects or {}).items()
    sizes = {name: f"{strongest(values):.2g}" for name, values in found if np.any(values)}
    if not sizes:
        return "no feature has an effect"
    alone = len(sizes) == 1
    told = ", ".join(size if alone else f"{size} ({name})" for name, size in sizes.items())
    return f"full colour: {told} of the probability"


def _are_effects(explanation: Shown, reading: Any) -> bool:
    """Whether ``reading`` asks for effects.

    Raises:
        InputError: it asks for something else that has no picture, or there are no effects.
    """
    effects = require_drawable(reading) == "effects"
    if effects and explanation.effects is None:
        raise InputError(
            "this explanation has no effects. A scorer learns them with objective='robust'; maps of other methods and "
            "refined maps have none. Choose reading='scores'."
        )
    return effects


def can_draw(explanation: Shown) -> bool:
    """Whether each modality has a renderer."""
    return all(name in RENDERERS for name in explanation.scores)


def _parts(explanation: Shown, effects: bool) -> list[tuple[str, Renderer, np.ndarray, Any]]:
    """Name, renderer, values and shown input of each modality."""
    shown = explanation.effects if effects and explanation.effects is not None else explanation.scores
    return [
        (name, RENDERERS[name], *RENDERERS[name].check(values, explanation.inputs[name]))
        for name, values in shown.items()
    ]


def html_panels(explanation: Shown, effects: bool) -> list[tuple[Renderer, list[str]]]:
    """Renderer and HTML panels of each modality, the input first if a map hides it."""
    found = []
    for name, renderer, values, display in _parts(explanation, effects):
        alt = f"{name} {'effects on' if effects else 'scores for'} {visible(explanation.explained_label)}"
        panels = [renderer.html(None, display, alt="input")] if renderer.input_apart else []
        if effects:
            panels.append(renderer.effects_html(values, display, alt))
        else:
            panels += [renderer.html(values, display, style=style, alt=alt) for style in renderer.styles]
        panels[-1] += renderer.list_html(
            values, display, reading_order(explanation, name, values, effects), effects
        )
        found.append((renderer, panels))
    return found


def reading_order(explanation: Shown, name: str, values: np.ndarray, effects: bool) -> np.ndarray:
    """A number for each value. The highest is read first: that of the ranking, or the strongest effect."""
    if effects:
        return np.abs(values)
    ranking = explanation.ranking
    return values if ranking is None else np.asarray(ranking[name])
