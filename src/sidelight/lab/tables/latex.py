"""Comparisons and figures as LaTeX: booktabs, escaped names, nothing wider than the page."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

from sidelight.lab.tables.comparison import Block, Comparison, counts, spread
from sidelight.lab.tables.summary import Cell, Column, short

#: what the preamble of a document that takes the tables in must have
PACKAGES = ("booktabs", "graphicx")
_ARROWS = {"↓": r"$\downarrow$", "↑": r"$\uparrow$", "": ""}
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
    """``text`` for LaTeX; what plain pdfLaTeX cannot print loses its accents or becomes a question mark."""
    return "".join(_safe(char) for char in " ".join(text.split()))


def _safe(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if " " <= char <= "~" or "\N{LATIN CAPITAL LETTER A WITH GRAVE}" <= char <= "ÿ":
        return char
    plain = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
    return "".join(_ESCAPES.get(c, c) for c in plain) or "?"


def latex_table(comparison: Comparison) -> str:
    """One comparison as a ``table`` environment; needs the packages in :data:`PACKAGES`."""
    columns = comparison.columns
    head = ["Method", *(f"{latex_escape(_title(c))} {_ARROWS[c.arrow]}".strip() for c in columns), "$n$"]
    body = [" & ".join(head) + r" \\"]
    for block in comparison.blocks:
        body.append(r"\midrule")
        if len(comparison.blocks) > 1:
            grain = f", by {block.granularity}" if block.granularity != comparison.grain else ""
            name = rf"\textit{{{latex_escape(block.name + grain)}}}"
            body += [rf"\multicolumn{{{len(head)}}}{{l}}{{{name}}} \\", r"\addlinespace[2pt]"]
        body += _rows(block, columns)
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{_caption(comparison)}}}",
        rf"\label{{tab:{comparison.name}}}",
        r"\medskip",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{4pt}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _title(column: Column) -> str:
    label = {"deletion_auc": "deletion AUC", "insertion_auc": "insertion AUC"}.get(column.name, column.label)
    return label[0].upper() + label[1:]


def _caption(comparison: Comparison) -> str:
    text = (
        latex_escape(f"Results on {comparison.title}.") + r" Mean $\pm$ standard deviation over the samples"
    )
    text += "; best in bold, second underlined; trivial maps are not ranked."
    lines = [line for block in comparison.blocks for line in block.lines]
    cells = [cell for line in lines for cell in line.cells if cell is not None]
    if any(cell.reduction in _MARKS for cell in cells):
        text += (
            rf" Signed methods by absolute value ({_MARKS['abs']}) or positive part ({_MARKS['positive']}), "
            "whichever is better in that column."
        )
    if any(cell.beats for cell in cells):
        text += r" $\dagger$: a trivial map that no method beats."
    if any("–" in counts(line.cells) for line in lines):
        text += " $n$: samples; where it is a range, some columns were measured on fewer."
    return text


def _rows(block: Block, columns: Sequence[Column]) -> list[str]:
    rows: list[str] = []
    previous = ""
    for line in block.lines:
        if line.kind == "control" != previous and rows:
            rows.append(rf"\cmidrule(lr){{1-{len(columns) + 2}}}")
        previous = line.kind
        cells = block.cells(line, columns)
        name = latex_escape(line.label)
        name = rf"\textbf{{{name}}}" if line.kind == "ours" else name
        marked = [_cell(cell, block.digits(c)) for cell, c in zip(cells, columns, strict=True)]
        rows.append(" & ".join([name, *marked, counts(cells).replace("–", "--")]) + r" \\")
        if line.kind == "ours" and block.seeds > 1:
            values = ["" if v is None else rf"\textit{{{short(v)}}}" for v in block.between]
            rows.append(" & ".join([rf"\quad\textit{{sd, {block.seeds} seeds}}", *values, ""]) + r" \\")
    return rows


def _cell(cell: Cell | None, digits: int) -> str:
    if cell is None:
        return "--"
    text = cell.text.replace("-", "$-$")
    text = {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(cell.rank or 0, text)
    sd = spread(cell, digits)
    text += rf" $\pm$ {sd}" if sd else ""
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
