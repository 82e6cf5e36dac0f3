"""``explainer.live()``, ``explainer.widget()`` and ``explainer.demo()``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from sidelight.checks.selfcheck import Check
from sidelight.checks.watched import WatchedWeights
from sidelight.core.guard import public
from sidelight.core.optional import require
from sidelight.inputs.limits import Limits
from sidelight.live.session import Explains, Session

if TYPE_CHECKING:
    import gradio

    from sidelight.live.widget import LiveWidget


class Playing:
    """What an explainer gives to people who try things out: a session, a widget, and a page."""

    check: Check
    _weights: WatchedWeights

    def _require_weights(self) -> None:
        """Refuse weights that changed since the scorer was trained or loaded, or warn, as ``check`` says."""
        self._weights.require(self.check)

    @public
    def live(
        self, sample: Any, *, target: Any = None, versus: Any = None, fill: str | None = None
    ) -> Session:
        """Open one input to play with: keep a share, remove words, type another text, ask about another class.

        Args:
            sample: one picture, text or pair, as :meth:`explain` takes it.
            target: class of the map, as in :meth:`explain`.
            versus: another class to compare it with, as in :meth:`explain`.
            fill: what stands in for removed features. Default: ``zero``.

        Returns:
            A :class:`~sidelight.live.session.Session`.

        Raises:
            InputError, InputTypeError: the sample cannot be read, or there are several.
            ConfigError: the scorer has no map of the class.
            UnknownNameError: there is no such fill.
            UnsupportedTargetError: the classifier reads something else than images and texts.

        Example:
            >>> with_the_best_fifth = explainer.live("photo.jpg").keep(0.2).probability
        """
        return Session(cast(Explains, self), sample, target, versus, fill)

    @public
    def widget(
        self,
        sample: Any,
        *,
        target: Any = None,
        versus: Any = None,
        fill: str | None = None,
        limits: Limits | None = None,
    ) -> LiveWidget:
        """Show one input as a widget for Jupyter, marimo, Colab or VS Code (needs the extra ``widget``).

        A slider keeps the best part of the input, and the classifier's new probability follows. Words can be clicked away,
        and the text can be changed. Where no kernel runs, the explanation is shown without controls.

        Args:
            sample, target, versus, fill: as for :meth:`live`.
            limits: how long a text may be that is typed into the widget.

        Returns:
            The widget. Its ``selection`` holds the parts that stay, its ``explanation`` the current explanation.

        Raises:
            MissingPackageError: anywidget is not installed.
            InputError, InputTypeError, ConfigError, UnknownNameError, UnsupportedTargetError: as :meth:`live`.

        Example:
            >>> widget = explainer.widget("what a wonderful day")
        """
        require(["anywidget"], "the widget", "widget")
        from sidelight.live.widget import LiveWidget

        return LiveWidget(self.live(sample, target=target, versus=versus, fill=fill), limits or Limits())

    @public
    def demo(
        self,
        examples: Any = (),
        *,
        title: str = "sidelight",
        compare: Callable[..., Any] | None = None,
        limits: Limits | None = None,
    ) -> gradio.Blocks:
        """A page in a browser to try this explainer out (needs the extra ``app``). ``.launch()`` serves it.

        The page is served on this machine only (127.0.0.1), unless ``launch`` is told otherwise.

        Args:
            examples: samples or rows for the gallery, in any form that :meth:`explain` takes, or finished explanations.
                The page measures the maps of samples on demand.
            title: of the page.
            compare: :func:`sidelight.lab.compare`, if other methods are to be shown beside the map (needs the extra
                ``lab``).
            limits: sizes of texts and pictures that the page accepts.

        Returns:
            A ``gradio.Blocks``.

        Raises:
            MissingPackageError: Gradio is not installed.
            UnsupportedTargetError: the classifier reads something else than images and texts.

        Example:
            >>> page = explainer.demo(["what a wonderful day"])
            >>> page.launch()  # doctest: +SKIP
        """
        require(["gradio"], "the page", "app")
        from sidelight.live.desk import Desk
        from sidelight.live.gallery import Gallery
        from sidelight.live.page import make_page

        own = cast(Explains, self)
        desk = Desk({title: own}, {title: Gallery(own, examples)}, compare, limits or Limits())
        return make_page(desk, title)
