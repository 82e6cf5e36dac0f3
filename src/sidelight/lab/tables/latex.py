"""Comparisons and figures as LaTeX: booktabs, escaped names, nothing wider than the page."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

from sidelight.lab.tables.table import Cell, Column, Line, Table

#: packages that the preamble of a document with these tables must load
PACKAGES = ("booktabs", "graphicx")
_MARKS = {"abs": r"$^{|\cdot|}$", "positive": "$^{+}$"}
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "×": r"$\times$",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "−": r"$-$",
    "–": "--",
    "’": "'",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "†": r"$\dagger$",
    "\N{NO-BREAK SPACE}": "~",
    "[": "{[}",  # at the start of a row it would read as the argument of the line break before
    "]": "{]}",
    "*": "{*}",  # the same for a star
}


def latex_escape(text: str) -> str:
    """``text`` for LaTeX. Letters that plain pdfLaTeX cannot print lose their accents or become question marks."""
    return "".join(_safe(char) for char in " ".join(text.split()))


def _safe(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if " " <= char <= "~" or "\N{LATIN CAPITAL LETTER A WITH GRAVE}" <= char <= "ÿ":
        return char
    plain = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
    return "".join(_ESCAPES.get(c, c) for c in plain) or "?"


def latex_table(table: Table, label: str) -> str:
    """``table`` as a ``table`` environment. It needs the packages in :data:`PACKAGES`."""
    head = [_heading(Column(table.first)), *map(_heading, table.columns)]
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{_caption(table)}}}",
        rf"\label{{tab:{label}}}",
        r"\medskip",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{4pt}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        _row(head),
        r"\midrule",
        *_rows(table),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _heading(column: Column) -> str:
    special = {"deletion_auc": "deletion AUC", "insertion_auc": "insertion AUC"}
    label = special.get(column.name, column.label)
    if label == "n":
        return "$n$"
    return latex_escape(f"{label[:1].upper()}{label[1:]} {column.arrow}")


def _caption(table: Table) -> str:
    text = latex_escape(f"Results on {table.title}. Mean ± standard deviation over the samples")
    text += "; best in bold, second underlined; trivial maps are not ranked."
    cells = [cell for line in table.lines for cell in line.cells if cell is not None]
    if any(cell.mark for cell in cells):
        text += (
            rf" Signed methods by absolute value ({_MARKS['abs']}) or positive part ({_MARKS['positive']}), "
            "whichever is better in that column."
        )
    if any(cell.beats for cell in cells):
        text += r" $\dagger$: a trivial map that no method beats."
    if any("–" in cell.text for cell in cells):
        text += " $n$: samples; where it is a range, some columns were measured on fewer."
    return text


def _rows(table: Table) -> list[str]:
    width = len(table.columns) + 1
    rows: list[str] = []
    previous = "block"
    for line in table.lines:
        if line.kind == "block":
            name = rf"\textit{{{latex_escape(line.label + line.remark)}}}"
            rows += [r"\midrule"] if rows else []
            rows += [rf"\multicolumn{{{width}}}{{l}}{{{name}}} \\", r"\addlinespace[2pt]"]
        else:
            if line.kind == "control" and previous not in ("block", "control"):
                rows.append(rf"\cmidrule(lr){{1-{width}}}")
            rows.append(_row([_label(line), *(_cell(cell, line) for cell in line.cells)]))
        previous = line.kind
    return rows


def _label(line: Line) -> str:
    label = latex_escape(line.label)
    return {"ours": rf"\textbf{{{label}}}", "note": rf"\quad\textit{{{label}}}"}.get(line.kind, label)


def _cell(cell: Cell | None, line: Line) -> str:
    if cell is None:
        return "--"
    text = latex_escape(cell.text.replace("-", "−"))
    if line.kind == "note":
        return rf"\textit{{{text}}}" if text else ""
    text = {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(cell.rank or 0, text)
    text += f" {latex_escape(cell.spread)}" if cell.spread else ""
    return text + _MARKS.get(cell.reduction, "") + (r"$^{\dagger}$" if cell.beats else "")


def latex_figures(captions: Mapping[str, str], folder: str) -> str:
    """A ``figure`` environment for each PDF in ``folder``: name without ending -> caption."""
    blocks = [
        "\n".join(
            [
                r"\begin{figure}[htbp]",
                r"\centering",
                rf"\includegraphics[width=\linewidth,height=0.4\textheight,keepaspectratio]{{{folder}/{name}.pdf}}",
                rf"\caption{{{latex_escape(caption)}}}",
                rf"\label{{fig:{name}}}",
                r"\end{figure}",
            ]
        )
        for name, caption in captions.items()
    ]
    return "\n\n".join(blocks) + "\n"


def latex_document(parts: Sequence[str]) -> str:
    """A document that takes in the files ``parts`` and can be compiled as it is."""
    lines = [
        r"\documentclass{article}",
        r"\usepackage[margin=2cm]{geometry}",
        *(rf"\usepackage{{{name}}}" for name in PACKAGES),
        r"\begin{document}",
    ]
    for part in parts:
        lines += [rf"\input{{{part}}}", r"\clearpage"]
    return "\n".join([*lines, r"\end{document}", ""])
