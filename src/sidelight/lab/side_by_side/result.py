"""The result of a comparison: rows of numbers, one table, one picture, one page."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidelight.core.files import as_utf8
from sidelight.core.folders import require_file_place
from sidelight.core.guard import public
from sidelight.core.names import OURS, kind_of, method_label, ordered
from sidelight.errors import InputError
from sidelight.explanations.explanation import Explanation
from sidelight.lab.figures.grid import GridSample, how_drawn
from sidelight.lab.figures.side_by_side import plot_side_by_side
from sidelight.lab.side_by_side.worth import Worth
from sidelight.lab.tables.html import html_table
from sidelight.lab.tables.markdown import escape, markdown
from sidelight.lab.tables.table import Cell, Column, Line, Table, ranked
from sidelight.viz.base import RENDERERS
from sidelight.viz.direction import among_words
from sidelight.viz.export import to_pdf, to_png, to_svg, write_atomic
from sidelight.viz.page import whole_page
from sidelight.viz.safe_text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: kinds of files that :meth:`Comparison.save` writes
ENDINGS = (".png", ".svg", ".pdf", ".html", ".md")


def require_place(path: Path) -> None:
    """Refuse a place where :meth:`Comparison.save` could not write. To be asked before methods run, which takes minutes.

    Raises:
        InputError: ``path`` has another ending.
        CheckpointError: no file can be made there.
        ForeignFileError: a file that sidelight did not write is there, or in the place of its folder.
    """
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"a comparison is written as {', '.join(ENDINGS)}; got {str(path)!r:.200}.")
    require_file_place(path)


@dataclass(frozen=True)
class Contender:
    """One method in a comparison.

    Attributes:
        method: its name.
        milliseconds: for the label and the map together, the median of a few times.
        passes: of the classifier, for both.
        with_graph: those of them that are kept for gradients.
        worth: what its map keeps and loses.
        signed: whether the sign of its scores has a meaning.
    """

    method: str
    milliseconds: float
    passes: int
    with_graph: int
    worth: Worth
    signed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {k: v for k, v in asdict(self).items() if k != "worth"}
        kept, lost = ({f: v for f, (v, _) in side.items()} for side in (self.worth.kept, self.worth.lost))
        return {**plain, "kept": kept, "lost": lost, "agreement": self.worth.agreement}


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Several methods on one input. The last line of a notebook's cell shows it.

    Attributes:
        explanation: of our scorer.
        contenders: ours first, then the methods in the order asked for, then trivial maps.
        samples: for each modality the input and the maps of all methods.
        label: class that is explained.
        clean: its probability for the whole input.
        area: share of the features that all methods keep, and remove.
        fills: what stood in for removed features.
        notes: methods that were left out, and why.
    """

    explanation: Explanation
    contenders: tuple[Contender, ...]
    samples: tuple[GridSample, ...]
    label: str
    clean: float
    area: float
    fills: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def table(self) -> Table:
        """One line a method. The best values of kept and lost have rank 1."""
        columns = [
            Column("ms", "milliseconds", digits=1, doc="milliseconds for label and map together"),
            Column("passes", "passes", digits=0, doc="passes of the classifier for label and map"),
        ]
        for fill in self.fills:  # in the label, because a terminal shows nothing else
            kept, lost = ("probability with the top features alone", "probability without the top features")
            columns.append(Column(f"kept, {fill}", "kept", "higher", doc=kept))
            columns.append(Column(f"lost, {fill}", "lost", "lower", doc=lost))
        columns.append(Column("agreement", "agreement", doc="rank correlation with ours, -1 to 1"))
        named = tuple(columns)
        lines = [
            Line(c.method, method_label(c.method), self._cells(c), kind_of(c.method)) for c in self.contenders
        ]
        return Table("", named, ranked(lines, named))

    def _cells(self, found: Contender) -> tuple[Cell | None, ...]:
        graph = "∇" if found.with_graph else ""
        cells: list[Cell | None] = [
            Cell(f"{found.milliseconds:,.1f}", mean=found.milliseconds, n=1),
            Cell(f"{found.passes}{graph}", mean=found.passes, n=1),
        ]
        for fill in self.fills:
            for value, reduction in (found.worth.kept[fill], found.worth.lost[fill]):
                cells.append(Cell(f"{value:.3f}", mean=value, n=1, reduction=reduction))
        agreement = found.worth.agreement
        cells.append(
            None if agreement is None else Cell(f"{round(agreement, 2) + 0.0:.2f}", mean=agreement, n=1)
        )
        return tuple(cells)

    @property
    def caption(self) -> str:
        """How to read the table, in a few sentences."""
        by = (
            f"'{among_words(visible(self.label))}' has probability {self.clean:.3f}. kept: its probability if the top {self.area:.0%} "
            f"of the features stay alone; lost: if they are removed. ms and passes are for label and map together. "
            "∇: passes with gradients. agreement: rank correlation with ours."
        )
        signs = {c.reduction for line in self.table.lines for c in line.cells if c is not None} & {
            "abs",
            "positive",
        }
        if signs:
            by += " Signed maps are read by absolute value (|·|) and with their sign (+); the better reading counts."
        return " ".join([by, *self.notes])

    def rows(self) -> list[dict[str, Any]]:
        """Plain values of each method, for JSON or a data frame."""
        return [c.to_dict() for c in self.contenders]

    @public
    def figure(self) -> Figure:
        """The input and all maps in one matplotlib figure. It is returned, never shown."""
        fill = self.fills[0]
        notes = {
            c.method: f"kept {c.worth.kept[fill][0]:.2f}, lost {c.worth.lost[fill][0]:.2f}"
            for c in self.contenders
        }
        title = f"{self.label}  {self.clean:.1%}   top {self.area:.0%}, {fill} fill"
        return plot_side_by_side(self.samples, notes, title)

    @public
    def to_html(self) -> str:
        """Maps, table and caption as an HTML fragment: every text escaped, pictures inline."""
        parts = "".join(_gallery(sample, visible(self.label)) for sample in self.samples)
        drawn = how_drawn(self.samples, any(c.signed for c in self.contenders))
        return (
            f'<div style="font:14px/1.45 system-ui,sans-serif;overflow-wrap:break-word">{parts}'
            f'<p style="max-width:60em;opacity:.75;margin:0">{html.escape(drawn)}</p>'
            # a wide table is scrolled with the keyboard too
            '<div tabindex="0" role="region" aria-label="Methods" style="overflow-x:auto;margin-top:10px">'
            f"{html_table(self.table)}</div>"
            f'<p style="max-width:60em;opacity:.75">{html.escape(self.caption)}</p></div>'
        )

    def _repr_html_(self) -> str | None:
        """For notebooks. ``None``, where a modality cannot be drawn, makes them show the line of text."""
        return self.to_html() if all(sample.modality in RENDERERS for sample in self.samples) else None

    @public
    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture (``.png``, ``.svg``, ``.pdf``), the page (``.html``) or the table (``.md``), or nothing at all.

        Returns:
            The path.

        Raises:
            InputError: ``path`` has another ending.
            CheckpointError: the disk refused. An earlier file stays as it was.
            ForeignFileError: a file that sidelight did not write has this name.
        """
        place = Path(path)
        writers: dict[str, Callable[[], bytes]] = {
            ".png": lambda: to_png(self.figure()),
            ".svg": lambda: as_utf8(to_svg(self.figure())),
            ".pdf": lambda: to_pdf(self.figure()),
            ".html": lambda: as_utf8(self._page()),
            ".md": lambda: as_utf8(f"<!-- sidelight -->\n{self}\n"),
        }
        require_place(place)
        write_atomic({place: writers[place.suffix.lower()]()})
        return place

    def _page(self) -> str:
        return whole_page(f"{among_words(visible(self.label))} {self.clean:.1%}", self.to_html())

    def __str__(self) -> str:
        """The table in Markdown, and its caption."""
        return f"{markdown(self.table)}\n\n{escape(self.caption)}"

    def __repr__(self) -> str:
        names = ", ".join(c.method for c in self.contenders)
        return f"Comparison({self.label!r} {self.clean:.1%}: {names})"


def _gallery(sample: GridSample, explained: str) -> str:
    """The input and its maps of the class ``explained`` beside each other, as HTML."""
    renderer = RENDERERS[sample.modality]
    style = "heat" if "heat" in renderer.styles else None
    panels = [("Input", renderer.html(None, sample.display, alt="input"))] if renderer.input_apart else []
    for method in ordered(sample.maps):
        alt = f"{method_label(method)} for {explained}"
        scores = sample.scores(method)
        panel = renderer.html(scores, sample.display, style, alt=alt)
        panels.append((method_label(method), panel + renderer.list_html(scores, sample.display, scores)))
    size = f"flex:1 1 160px;max-width:{renderer.panel_width}px"
    shown = "".join(
        f'<figure style="margin:0;{size}"><figcaption>{html.escape(visible(name))}</figcaption>{picture}</figure>'
        for name, picture in panels
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:10px;margin-bottom:8px">{shown}</div>'


def in_order(contenders: Mapping[str, Contender]) -> tuple[Contender, ...]:
    """Ours first, trivial maps last."""
    names: Sequence[str] = ordered([OURS, *contenders])
    return tuple(contenders[name] for name in names)
