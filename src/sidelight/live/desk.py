"""What the page does, without the page: it opens inputs, answers moves, and gives fragments of HTML.

Everything that comes from a browser is checked here (:mod:`sidelight.inputs.limits`). An error that a person can act on becomes
a message. Sessions are kept in memory, and the oldest one goes if there are too many.
"""

from __future__ import annotations

import html
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sidelight.errors import ConfigError, InputError, SidelightError
from sidelight.explanations.explanation import Explanation
from sidelight.explanations.saving import PICTURES, as_json
from sidelight.fills.base import default_fills
from sidelight.inputs.limits import Limits
from sidelight.inputs.picture_files import read_image
from sidelight.live.gallery import Gallery
from sidelight.live.session import Explains, Session
from sidelight.live.units import require_parts
from sidelight.live.views import (
    STILL_SHOWN,
    certificate_html,
    class_names,
    effects_html,
    example_notes_html,
    map_html,
    masked_html,
    message_html,
    verdict_html,
)

#: Sessions in memory. Each holds the states of one input, some megabytes for a large classifier.
MOST_SESSIONS = 32
#: Folders of files that were made for a download.
MOST_FOLDERS = 16
#: baseline methods to choose from: two with gradients, one without, and a map that knows nothing of the model
METHODS = ("saliency", "integrated_gradients", "occlusion", "random")
#: names of the files of a download
FILES = ("explanation.png", "explanation.svg", "explanation.html", "explanation.json")


@dataclass(frozen=True)
class Shown:
    """Fragments of HTML for the places of the page. An empty one clears its place, and ``None`` leaves it as it is."""

    verdict: str | None = None
    map: str | None = None
    left: str | None = None
    certificate: str | None = None
    rivals: str | None = None
    message: str = ""
    token: str = ""
    text: str | None = None
    picture: Any = None


@dataclass
class _Held:
    """One session, and the lock that its moves take: a browser may send two at once."""

    run: str
    session: Session
    lock: Any = field(default_factory=threading.RLock)


class Desk:
    """Answers what people ask on the page.

    Args:
        explainers: name of a run -> its explainer, at least one.
        galleries: name of a run -> its examples.
        compare: :func:`sidelight.lab.compare`, or ``None`` if other methods cannot be shown.
        limits: of texts and pictures.

    Raises:
        ConfigError: there are no explainers.
        UnsupportedTargetError: one reads something else than images and texts.
    """

    def __init__(
        self,
        explainers: Mapping[str, Explains],
        galleries: Mapping[str, Gallery] | None = None,
        compare: Callable[..., Any] | None = None,
        limits: Limits | None = None,
    ) -> None:
        if not explainers:
            raise ConfigError("the page needs at least one explainer; got none.")
        for explainer in explainers.values():
            require_parts(explainer.target.modalities)
        self.explainers = dict(explainers)
        self.galleries = {name: (galleries or {}).get(name) or Gallery(e) for name, e in explainers.items()}
        self.compare, self.limits = compare, limits or Limits()
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._lock = threading.Lock()
        self._files = TemporaryDirectory(prefix="sidelight-page-")
        self._folders: list[Path] = []

    # -- what there is to choose --------------------------------------------------------

    @property
    def runs(self) -> list[str]:
        """Names of the runs."""
        return list(self.explainers)

    def modalities(self, run: str) -> tuple[str, ...]:
        """What the classifier of ``run`` reads."""
        return tuple(self._explainer(run).target.modalities)

    def classes(self, run: str) -> list[tuple[str, str]]:
        """Name and number of each class that a map may be of. None if the scorer knows the predicted class only."""
        own = self._explainer(run)
        if not own.scorer.config.by_class:
            return []
        count = own.scorer.spec.classes or len(own.target.id2label)
        return [(name, str(i)) for i, name in enumerate(class_names(own.target, count))]

    def fills(self, run: str) -> list[str]:
        """Fills to choose from. Another image is left out, because the page has no bank of images."""
        known = default_fills(self.modalities(run))
        return ["zero", *(f for f in known if f not in ("zero", "image"))]

    # -- moves --------------------------------------------------------------------------

    def open(
        self,
        run: str,
        picture: bytes | None,
        text: str | None,
        target: str | None = None,
        versus: str | None = None,
        fill: str | None = None,
        share: float = 1.0,
        token: str = "",
    ) -> Shown:
        """Explain one input that a person gave.

        Args:
            run: name of the run.
            picture: content of a file, if the classifier reads images.
            text: if it reads texts.
            target, versus: numbers of classes, as strings. Empty for the predicted one, and for none.
            fill: what stands in for removed features.
            share: of the features that the slider keeps.
            token: of the session that this one takes the place of.
        """
        return self._told(
            lambda: self._opened(run, self._sample(run, picture, text), target, versus, fill, share, token),
            token,
        )

    def typed(self, run: str, picture: bytes | None, text: str, *more: Any) -> Shown:
        """:meth:`open` for a text that is still being typed.

        Nothing is done if it is empty, if its picture is missing, or if it is explained already.
        """
        reads, token = self.modalities(run), more[-1] if more else ""
        with self._lock:
            held = self._held.get(token)
        known = held is not None and held.run == run and self._parts(run, held.session.sample)[0] == text
        missing = "text" not in reads or ("image" in reads and not picture)
        return Shown() if known or missing or not text.strip() else self.open(run, picture, text, *more)

    def example(
        self,
        run: str,
        number: int,
        target: str | None = None,
        versus: str | None = None,
        fill: str | None = None,
        share: float = 1.0,
        token: str = "",
    ) -> Shown:
        """Open the example of this number. The other arguments are those of :meth:`open`."""

        def move() -> Shown:
            self._explainer(run)
            example = self.galleries[run][number]
            found = self._opened(run, example.sample, target, versus, fill, share, token)
            session = self._held[found.token].session
            text, picture = self._parts(run, session.sample)
            return replace(
                found,
                verdict=f"{found.verdict}{example_notes_html(example.explanation, session.explanation, text)}",
                # the field holds one text, and what it holds is explained
                text="" if text is not None and not isinstance(text, str) else text,
                picture=None if picture is None else read_image(picture),
            )

        return self._told(move, token)

    def keep(self, token: str, share: float) -> Shown:
        """Keep the best ``share`` of the input, and ask the classifier again."""
        return self._moved(token, lambda s: s.keep(share))

    def fill(self, token: str, fill: str) -> Shown:
        """Let another fill stand in for what is removed."""
        return self._moved(token, lambda s: s.fill_with(fill))

    def ask(self, token: str, target: str | None, versus: str | None) -> Shown:
        """Show the map of another class."""

        def move(session: Session) -> Shown:
            session.ask(_class(target), _class(versus))
            return _whole(session, token)

        return self._told(lambda: self._with(token, move))

    def certify(self, token: str) -> Shown:
        """Measure the map on this input. Costs about 90 passes."""

        def move(session: Session) -> Shown:
            return Shown(certificate=certificate_html(session.certify()), token=token)

        return self._told(lambda: self._with(token, move))

    def rivals(self, token: str, methods: Sequence[str]) -> Shown:
        """Other methods beside the map, with their time and passes."""

        def move(session: Session) -> Shown:
            if self.compare is None:
                raise InputError(
                    "other methods belong to the laboratory: start the page with `sidelight app`, or with "
                    "explainer.demo(compare=sidelight.lab.compare). Both need pip install 'sidelight[lab]'."
                )
            known = [m for m in methods if m in METHODS]
            if not known:
                raise InputError(f"choose at least one method of {', '.join(METHODS)}.")
            chosen = session.explanation
            number = None if chosen.explained == chosen.prediction else chosen.explained
            found = self.compare(session.explainer, session.sample, known, target=number)
            return Shown(rivals=_one_class_html(chosen) + found.to_html(), token=token)

        return self._told(lambda: self._with(token, move))

    def examples(self, run: str, order: str) -> tuple[str, list[tuple[str, str]]]:
        """The gallery as HTML, and caption and number of each example, in this order."""
        try:
            self._explainer(run)
            found = self.galleries[run].sorted(order)
        except SidelightError as error:
            return message_html(str(error), "error"), []
        if not found:
            return message_html("There are no stored examples for this run."), []
        cells = "".join(
            f'<figure class="sl-example"><figcaption>{html.escape(e.caption)}</figcaption>{map_html(e.explanation)}</figure>'
            for e in found
        )
        return f'<div class="sl-gallery">{cells}</div>', [(e.caption, str(e.number)) for e in found]

    def files(self, token: str) -> list[str]:
        """Paths of PNG, SVG, HTML and JSON of the current explanation. None if there is no explanation."""
        try:
            return self._with(token, lambda s: self._write(s.explanation))
        except SidelightError:
            return []

    def close(self) -> None:
        """Forget all sessions, and remove all files."""
        self._held.clear()
        self._files.cleanup()

    # -- how ----------------------------------------------------------------------------

    def _explainer(self, run: str) -> Explains:
        if run not in self.explainers:
            raise InputError(f"there is no run {run!r:.60}; runs: {', '.join(self.explainers)}.")
        return self.explainers[run]

    def _sample(self, run: str, picture: Any, text: Any) -> Any:
        """The sample, from content alone: neither a path nor an address that somebody typed is ever opened."""
        given = {"image": (self.limits.picture, picture), "text": (self.limits.text, text)}
        parts = [check(value) for check, value in (given[m] for m in self.modalities(run))]
        return parts[0] if len(parts) == 1 else tuple(parts)

    def _parts(self, run: str, sample: Any) -> tuple[Any, Any]:
        """The text and the picture of a sample, ``None`` where there is none."""
        reads = self.modalities(run)
        parts = dict(zip(reads, sample if len(reads) > 1 else (sample,), strict=True))
        return parts.get("text"), parts.get("image")

    def _opened(
        self,
        run: str,
        sample: Any,
        target: str | None,
        versus: str | None,
        fill: str | None,
        share: float,
        token: str,
    ) -> Shown:
        session = Session(self._explainer(run), sample, _class(target), _class(versus), fill or None)
        session.keep(share)
        own = token if token in self._held else secrets.token_urlsafe(16)
        with self._lock:
            self._held[own] = _Held(run, session)
            self._held.move_to_end(own)
            while len(self._held) > MOST_SESSIONS:
                self._held.popitem(last=False)
        return _whole(session, own)

    def _with(self, token: str, move: Callable[[Session], Any]) -> Any:
        with self._lock:
            held = self._held.get(token)
            if held is not None:
                self._held.move_to_end(token)
        if held is None:
            raise InputError("nothing is explained yet, or it was too long ago. Press Explain first.")
        with held.lock:
            return move(held.session)

    def _moved(self, token: str, move: Callable[[Session], Any]) -> Shown:
        def moved(session: Session) -> Shown:
            move(session)
            return _left(session, token)

        return self._told(lambda: self._with(token, moved))

    def _told(self, move: Callable[[], Shown], replaced: str = "") -> Shown:
        """The answer, or why there is none. ``replaced`` is the session whose input the move would have replaced."""
        try:
            return move()
        except SidelightError as error:
            still = f" {STILL_SHOWN}" if replaced in self._held else ""
            return Shown(message=message_html(f"{error}{still}", "error"))

    def _write(self, explanation: Explanation) -> list[str]:
        folder = Path(self._files.name) / secrets.token_hex(8)
        folder.mkdir()
        for name in FILES:
            ending = Path(name).suffix
            content = PICTURES[ending](explanation, "scores") if ending in PICTURES else as_json(explanation)
            (folder / name).write_bytes(content)
        with self._lock:
            self._folders.append(folder)
            old = self._folders[:-MOST_FOLDERS]
            self._folders = self._folders[-MOST_FOLDERS:]
        for gone in old:
            for file in gone.iterdir():
                file.unlink()
            gone.rmdir()
        return [str(folder / name) for name in FILES]


def _one_class_html(chosen: Explanation) -> str:
    """What to know of other methods if the map compares two classes, which they do not."""
    if chosen.versus is None:
        return ""
    name, other = chosen.explained_label, chosen.versus_label
    return message_html(
        f"The map above compares {name} with {other}. The maps here, ours too, are of {name} alone."
    )


def _class(chosen: str | None) -> int | None:
    return int(chosen) if chosen and str(chosen).isdecimal() else None


def _whole(session: Session, token: str) -> Shown:
    found, left = session.explanation, _left(session, token)
    names = class_names(session.explainer.target, session.class_count)
    return Shown(
        verdict=verdict_html(found, names),
        map=map_html(found) + effects_html(found),
        left=left.left,
        certificate=certificate_html(found),
        rivals="",
        token=token,
    )


def _left(session: Session, token: str) -> Shown:
    found, masked = session.explanation, session.masked
    names = class_names(session.explainer.target, session.class_count)
    return Shown(left=verdict_html(found, names, masked) + masked_html(found, masked), token=token)
