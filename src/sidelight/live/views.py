"""What a browser is told of an explanation: plain data for the widget, and fragments of HTML for the page.

Every text is escaped and made visible before it leaves: control characters, hidden ones, and those that turn the direction of
writing are written out.
"""

from __future__ import annotations

import base64
import html
from typing import Any

import numpy as np

from sidelight.explanations.classes import told_apart
from sidelight.explanations.explanation import Explanation
from sidelight.live.session import Masked, Session
from sidelight.live.units import TEXT
from sidelight.targets import TargetModel
from sidelight.viz.base import RENDERERS
from sidelight.viz.direction import among_words
from sidelight.viz.explanation import effects_note, html_panels, reading_order, scale_note
from sidelight.viz.export import pixels_to_uri
from sidelight.viz.image import CRISP_UP_TO, heat, signed, to_rgb
from sidelight.viz.safe_text import visible
from sidelight.viz.signed import strengths
from sidelight.viz.word_list import listed_words

#: classes whose probabilities are shown
BARS = 5
#: difference of two probabilities of one input, above which something else was read
SAME = 0.002
#: what a reader must know if a new input is refused
STILL_SHOWN = "What is shown is still of the input before."
#: side in pixels of a picture that is sent to a browser
SIDE = 320


def class_names(target: TargetModel, count: int) -> list[str]:
    """The names of ``count`` classes, safe to print. A class without a name has its number."""
    return [visible(n) or f"class {i}" for i, n in enumerate(told_apart(target.id2label, range(count)))]


def bars(probabilities: np.ndarray | None, names: list[str], always: int) -> list[list[Any]]:
    """``[name, probability]`` of the most probable classes, among them class ``always`` if it has a probability."""
    if probabilities is None:
        return []
    best = np.argsort(-probabilities, kind="stable")[:BARS].tolist()
    if always not in best and always < len(probabilities):
        best[-1] = always
    return [[names[i] if i < len(names) else str(i), float(probabilities[i])] for i in best]


def view_of(session: Session) -> dict[str, Any]:
    """Everything that the widget draws of the current explanation, as plain data."""
    found, own = session.explanation, session.explainer.target
    names = class_names(own, session.class_count)
    chosen = found.prediction if found.explained is None else found.explained
    view: dict[str, Any] = {
        "label": visible(found.label),
        "probability": found.probability,
        "bars": bars(found.probabilities, names, chosen),
        "explained": visible(str(found.explained_label)),
        "versus": visible(found.versus_label or ""),
        "classes": names if session.explainer.scorer.config.by_class else [],
        "remarks": remarks(found),
        "effects": "" if found.effects is None else _effects_words(found),
    }
    if TEXT in found.scores:
        view |= _text_view(session)
    if "image" in found.scores:
        view |= _image_view(found)
    return view


def answer_of(session: Session, milliseconds: float) -> dict[str, Any]:
    """The answer to the last move, as plain data."""
    masked = session.masked
    told: dict[str, Any] = {
        "share": masked.share,
        "label": visible(masked.label),
        "probability": masked.probability,
        "explained_probability": masked.explained_probability,
        "milliseconds": milliseconds,
    }
    if TEXT in masked.stays:
        told["stays"] = masked.stays[TEXT].tolist()
    if "image" in masked.stays:
        told["image"] = picture_uri(masked.inputs["image"])
    return told


def picture_uri(pixels: np.ndarray) -> str:
    """``data:`` address of a picture ``[H, W, C]`` in [0, 1]. It is made from pixels alone."""
    return pixels_to_uri(to_rgb(pixels), SIDE)


def remarks(explanation: Explanation) -> list[str]:
    """What a reader of the map must know."""
    found = []
    if explanation.meta.get("truncated"):
        found.append("The text is longer than the model reads. The rest was cut and has no score.")
    if explanation.meta.get("constant_map"):
        found.append("All scores are equal, so the map says nothing.")
    if "value" in explanation.meta:
        found.append(f"The model's value is {explanation.meta['value']:.6g}.")
    return found


def _text_view(session: Session) -> dict[str, Any]:
    found = session.explanation
    effects = None if found.effects is None else found.effects[TEXT]
    text = session.sample if isinstance(session.sample, str) else session.sample[-1]
    alone = "image" not in found.scores
    several = isinstance(text, tuple) or (isinstance(session.sample, tuple) and alone)
    return {
        "words": [visible(word) for word in found.inputs[TEXT]],
        "read": session.units.read[TEXT].tolist(),
        "word_scores": [round(float(v), 4) for v in found.scores[TEXT]],
        "word_effects": [] if effects is None else [round(float(v), 5) for v in effects],
        "word_strengths": [] if effects is None else [round(float(v), 4) for v in strengths(effects)],
        "listed": {
            reading: _listed(found, values, reading == "effects")
            for reading, values in (("scores", found.scores[TEXT]), ("effects", effects))
            if values is not None
        },
        "text": "" if several else text,
        "typing": not several,
    }


def _listed(found: Explanation, values: np.ndarray, effects: bool) -> dict[str, Any]:
    """The words with their values as a list that unfolds, because touch screens and screen readers show no tooltip."""
    words = listed_words(found.inputs[TEXT], values, reading_order(found, TEXT, values, effects), effects)
    return {} if words is None else {"title": words.title, "lines": [list(line) for line in words.lines]}


def _image_view(found: Explanation) -> dict[str, Any]:
    scores, pixels = found.scores["image"], found.inputs["image"]
    effects = None if found.effects is None else found.effects["image"]
    return {
        "image": picture_uri(pixels),
        "heat": pixels_to_uri(heat(pixels, scores), SIDE),
        "effects_image": "" if effects is None else pixels_to_uri(signed(pixels, effects), SIDE),
        "size": list(scores.shape),
        "crisp": max(scores.shape) <= CRISP_UP_TO,
        "pixel_scores": base64.b64encode((scores * 255).round().astype(np.uint8).tobytes()).decode("ascii"),
    }


# -- fragments for the page -----------------------------------------------------------------


def verdict_html(found: Explanation, names: list[str], masked: Masked | None = None) -> str:
    """The predicted class, and bars of probabilities. With ``masked`` of the masked input instead."""
    chosen = found.prediction if found.explained is None else found.explained
    about: Explanation | Masked = found if masked is None else masked
    rows = "".join(
        f'<div class="sl-bar"><span class="sl-name" title="{escaped(name)}">{escaped(name)}</span>'
        f'<span class="sl-track" aria-hidden="true"><span style="width:{100 * p:.1f}%"></span></span>'
        f"<span>{p:.1%}</span></div>"
        for name, p in bars(about.probabilities, names, chosen)
    )
    what = "Prediction" if masked is None else f"Prediction for the best {masked.share:.0%}"
    notes = "".join(f"<p>{escaped(note)}</p>" for note in remarks(found)) if masked is None else ""
    return (
        f'<section class="sl-verdict" aria-live="polite"><h3>{what}: <b>{escaped(among_words(about.label))}</b> '
        f"{about.probability:.1%}</h3>{rows}{notes}</section>"
    )


def map_html(found: Explanation) -> str:
    """The map on its input, for people: pictures inline, words on a background as strong as their score."""
    title, against = "Map of " + escaped(found.explained_label), found.versus_label
    title += "" if against is None else ", not " + escaped(against)
    return f'<section class="sl-map"><h3>{title}</h3>{_panels(found)}</section>'


def effects_html(found: Explanation) -> str:
    """What speaks for and against the class of the map, folded up. Nothing if the scorer has not learnt it."""
    if found.effects is None:
        return ""
    return (
        f'<details class="sl-effects"><summary>For and against {escaped(found.explained_label)}</summary>'
        f"<p>{escaped(_effects_words(found))}</p>{_panels(found, effects=True)}</details>"
    )


def masked_html(found: Explanation, masked: Masked) -> str:
    """The input of which only a part is left."""
    parts = []
    for name, shown in masked.inputs.items():
        renderer = RENDERERS[name]
        parts.append(f'<div class="sl-panel">{renderer.html(None, shown, alt="masked input")}</div>')
    return (
        f'<section class="sl-map"><h3>What is left</h3><div class="sl-row">{"".join(parts)}</div></section>'
    )


def certificate_html(found: Explanation) -> str:
    """The measurements of a map as a table, or nothing if there are none."""
    measured = found.meta.get("certificate")
    if not measured:
        return ""
    heads = ("fill", "whole input", "map kept", "map removed", "must go to change the verdict")
    rows = "".join(
        f"<tr><th scope='row'>{escaped(str(c['fill']))}</th><td>{c['clean']:.3f}</td><td>{c['kept']:.3f}</td>"
        f"<td>{c['lost']:.3f}</td><td>{c['flip']:.0%}</td></tr>"
        for c in measured
    )
    head = "".join(f"<th scope='col'>{h}</th>" for h in heads)
    return (
        f'<div class="sl-table"><table><caption>Probability of {escaped(str(found.explained_label))}, measured on this '
        f"input</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def example_notes_html(stored: Explanation, now: Explanation, text: Any) -> str:
    """What a reader must know of an example that was opened, or nothing.

    Args:
        stored: the explanation in the gallery.
        now: what the page shows of it.
        text: of the sample, or several.
    """
    notes = []
    if text is not None and not isinstance(text, str):
        notes.append(
            "This example has two texts. The field holds one, and explains what is typed as one text."
        )
    if stored.label != now.label or abs(stored.probability - now.probability) > SAME:
        notes.append(
            f"The stored explanation says {among_words(stored.label)} {stored.probability:.1%}. The page opens what that explanation "
            "shows, and the classifier reads it otherwise than the original."
        )
    return "".join(map(message_html, notes))


def message_html(text: str, kind: str = "note") -> str:
    """A sentence for the reader, announced by screen readers."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="sl-message sl-{kind}" role="{role}">{escaped(text)}</p>'


def escaped(text: str) -> str:
    """``text`` for a page: nothing in it is run, and nothing hides."""
    return html.escape(visible(text), quote=True)


def _effects_words(found: Explanation) -> str:
    """What the colours of effects say, as sentences. They are not escaped, but nothing in them hides."""
    return ". ".join(note[:1].upper() + note[1:] for note in (effects_note(found), scale_note(found))) + "."


def _panels(found: Explanation, effects: bool = False) -> str:
    rows = []
    for _, panels in html_panels(found, effects):
        rows.append(
            '<div class="sl-row">' + "".join(f'<div class="sl-panel">{p}</div>' for p in panels) + "</div>"
        )
    return "".join(rows)
