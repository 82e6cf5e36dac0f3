"""The widget for notebooks. It needs anywidget (the extra ``widget``)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from sidelight.errors import SidelightError
from sidelight.explanations.explanation import Explanation
from sidelight.fills.base import default_fills
from sidelight.inputs.limits import Limits
from sidelight.live.session import Session
from sidelight.live.views import STILL_SHOWN, answer_of, view_of

FOLDER = Path(__file__).parent


class LiveWidget(anywidget.AnyWidget):
    """One input that a person plays with in a notebook. ``Explainer.widget`` and ``Explanation.widget`` make it.

    Every trait can be set from Python too, and the view follows.

    Args:
        session: the input and its explainer.
        limits: how long a text may be that is typed.

    Attributes:
        share: of the features that the slider keeps, in [0, 1].
        removed: places of the words that were clicked away.
        text: the text in the box.
        target, versus: number of the class of the map, and of another class, as strings. Empty for the predicted class, and
            for no other class.
        fill: what stands in for removed features.
        error: why the last change was refused, or nothing.

    Example:
        >>> widget = explainer.widget("what a wonderful day")
        >>> widget.share = 0.5
        >>> len(widget.selection["text"])  # two of four words
        2
    """

    _esm = FOLDER / "widget.js"
    _css = FOLDER / "widget.css"
    view = traitlets.Dict().tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)
    share = traitlets.Float(1.0).tag(sync=True)
    removed = traitlets.List(traitlets.Int()).tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)
    target = traitlets.Unicode().tag(sync=True)
    versus = traitlets.Unicode().tag(sync=True)
    fill = traitlets.Unicode().tag(sync=True)
    fills = traitlets.List(traitlets.Unicode()).tag(sync=True)
    longest = traitlets.Int().tag(sync=True)
    error = traitlets.Unicode().tag(sync=True)

    def __init__(self, session: Session, limits: Limits) -> None:
        self.session, self._limits, self._turn = session, limits, 0
        known = default_fills(session.explainer.target.modalities)
        fills = list(dict.fromkeys([session.fill, *(f for f in known if f != "image")]))
        view = view_of(session)
        super().__init__(
            view=view,
            share=session.share,
            removed=list(session.removed),
            text=view.get("text", ""),
            target=_number(session.explanation.explained, session.explanation.prediction),
            versus=_number(session.explanation.versus),
            fill=session.fill,
            fills=fills,
            longest=limits.characters,
        )
        self._tell(time.perf_counter())
        self.observe(self._on_share, "share")
        self.observe(self._on_removed, "removed")
        self.observe(self._on_fill, "fill")
        self.observe(self._on_text, "text")
        self.observe(self._on_class, ["target", "versus"])

    @property
    def explanation(self) -> Explanation:
        """The current explanation."""
        return self.session.explanation

    @property
    def selection(self) -> dict[str, Any]:
        """The parts that stay now (:attr:`~sidelight.live.session.Session.selection`)."""
        return self.session.selection

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, and the explanation as HTML for pages without a kernel."""
        found = super()._repr_mimebundle_(**kwargs)
        if found is not None:
            found[0]["text/html"] = self.explanation.to_html()
            found[0]["text/plain"] = repr(self.explanation)
        return found

    # -- answers to the browser ---------------------------------------------------------

    def _on_share(self, change: Any) -> None:
        self._do(lambda: self.session.keep(change["new"]))

    def _on_removed(self, change: Any) -> None:
        self._do(lambda: self.session.remove(change["new"]))

    def _on_fill(self, change: Any) -> None:
        self._do(lambda: self.session.fill_with(change["new"]))

    def _on_text(self, change: Any) -> None:
        self._do(lambda: self.session.retype(self._limits.text(change["new"])), anew=True, still=STILL_SHOWN)

    def _on_class(self, change: Any) -> None:
        chosen = [int(c) if c.isdecimal() else (c or None) for c in (self.target, self.versus)]
        self._do(lambda: self.session.ask(*chosen), anew=True)

    def _do(self, move: Callable[[], Any], anew: bool = False, still: str = "") -> None:
        """Answer one change. A change that is refused leaves the session as it was, and the view says why, and ``still``."""
        start = time.perf_counter()
        try:
            move()
        except SidelightError as error:
            self.error = f"{error} {still}".rstrip()
            self._tell(start)
            return
        with self.hold_sync():
            self.error = ""
            if anew:
                self.view = view_of(self.session)
                self.set_trait("removed", list(self.session.removed))
                self._clear_classes()
            self._tell(start)

    def _clear_classes(self) -> None:
        """Choose no classes where the session gave them up, because a typed text is predicted as the other one."""
        if self.session.asked != (None, None):
            return
        self.unobserve(self._on_class, ["target", "versus"])  # the session knows
        self.target, self.versus = "", ""
        self.observe(self._on_class, ["target", "versus"])

    def _tell(self, start: float) -> None:
        self._turn += 1  # so that every change has an answer, also one that changes nothing
        milliseconds = 1e3 * (time.perf_counter() - start)
        self.answer = {**answer_of(self.session, milliseconds), "turn": self._turn}


def _number(chosen: int | None, usual: int | None = None) -> str:
    return "" if chosen is None or chosen == usual else str(chosen)
