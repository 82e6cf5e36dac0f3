"""A table as Markdown."""

from __future__ import annotations

from sidelight.lab.tables.table import Cell, Line, Table

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": r"\|", "*": r"\*", "_": r"\_"})


def markdown(table: Table) -> str:
    """The lines of ``table`` without its title. The best value is bold, the second is underlined."""
    blank = [""] * len(table.columns)
    rows = [
        [escape(table.first), *(escape(c.heading) for c in table.columns)],
        ["---", *("---" if c.left else "---:" for c in table.columns)],
    ]
    previous = ""
    for line in table.lines:
        if line.kind == "control" != previous:
            rows.append(["*trivial maps*", *blank])
        previous = line.kind
        cells = [_cell(cell, line) for cell in line.cells]
        rows.append([_label(line), *(cells or blank)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def escape(text: str) -> str:
    """``text`` so that Markdown shows it as it is, on one line."""
    return " ".join(text.translate(_ESCAPES).split())


def _label(line: Line) -> str:
    label = escape(line.label)
    if line.kind == "block":
        return f"**{label}**{escape(line.remark)}"
    return {"ours": f"**{label}**", "note": f"*{label}*"}.get(line.kind, label)


def _cell(cell: Cell | None, line: Line) -> str:
    if cell is None or not cell.text:
        return ""
    text = escape(cell.text)
    if line.kind == "note":
        return f"*{text}*"
    text = {1: f"**{text}**", 2: f"<u>{text}</u>"}.get(cell.rank or 0, text)
    dagger = "†" if cell.beats else ""
    return " ".join(part for part in (text, cell.spread, escape(cell.mark), dagger) if part)
