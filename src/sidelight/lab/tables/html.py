"""A table as HTML that needs no style sheet."""

from __future__ import annotations

import html

from sidelight.lab.tables.table import Cell, Column, Line, Table

#: what screen readers say and nobody sees
_HIDDEN = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)"
_CELL = "padding:3px 10px;border-bottom:1px solid rgba(128,128,128,.3)"


def html_table(table: Table) -> str:
    """A ``<table>`` with every text escaped. The best value is bold, the second is underlined."""
    head = "".join(_cell("th", _heading(c), c.left) for c in table.columns)
    rows = [f"<tr>{_cell('th', _words(table.first), True)}{head}</tr>"]
    rows += [f"<tr>{_line(line, table.columns)}</tr>" for line in table.lines]
    caption = f"<caption>{_words(table.title)}</caption>" if table.title else ""
    return (
        # hidden words are placed in the table, and do not widen the page
        '<table style="position:relative;border-collapse:collapse;font:14px/1.45 system-ui,sans-serif">'
        f"{caption}{''.join(rows)}</table>"
    )


def _heading(column: Column) -> str:
    arrow = ""
    if column.direction:
        meaning = f'<span style="{_HIDDEN}">{column.direction} is better</span>'
        arrow = f'<span aria-hidden="true">{column.arrow}</span>{meaning}'
    return " ".join(filter(None, (_words(column.label), arrow, _words(column.fill))))


def _line(line: Line, columns: tuple[Column, ...]) -> str:
    label = _words(line.label)
    label = f"<strong>{label}</strong>" if line.kind == "ours" else label
    cells = line.cells or (None,) * len(columns)
    values = [_cell("td", _value(cell), c.left) for cell, c in zip(cells, columns, strict=True)]
    return _cell("th", label, True) + "".join(values)


def _value(cell: Cell | None) -> str:
    if cell is None:
        return ""
    text = _words(cell.text)
    text = {1: f"<strong>{text}</strong>", 2: f"<u>{text}</u>"}.get(cell.rank or 0, text)
    extra = " ".join(filter(None, (_words(cell.spread), _words(cell.mark), "†" if cell.beats else "")))
    # a narrow table breaks no number from its marks
    return f"{text}&nbsp;{extra.replace(' ', '&nbsp;')}" if extra else text


def _cell(tag: str, content: str, left: bool) -> str:
    weight = ";font-weight:normal" if tag == "th" else ""
    side = "left" if left else "right"
    return f'<{tag} style="{_CELL};text-align:{side}{weight}">{content}</{tag}>'


def _words(text: str) -> str:
    return html.escape(" ".join(text.split()))
