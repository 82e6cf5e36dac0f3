"""The pages in docs/results, made from the numbers in results/ and the words in docs/results/notes.

    python docs/make_results.py            # write every page and picture
    python docs/make_results.py --check    # say which pages are out of date

A page has the hand-written note first. The note's part "What was trained" goes to the section of that name. Then come
one picture, what was trained, and one table for each fill. A table has one metric a column. A note's links hold in
its own folder, and are made anew for the page. The picture is drawn anew only if its numbers have changed. They are
kept in the file as metadata.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from matplotlib.figure import Figure
from PIL import Image

from sidelight.core.digits import fixed
from sidelight.core.names import OURS, kind_of, method_label
from sidelight.fills.base import training_fills
from sidelight.lab.figures.critical_difference import plot_critical_difference
from sidelight.lab.metrics.rank_tests import AverageRanks
from sidelight.lab.tables.markdown import markdown
from sidelight.lab.tables.summary import build_tables, fill_of
from sidelight.lab.tables.table import Cell, Line, Table
from sidelight.viz import style

ROOT = Path(__file__).resolve().parents[1]
STORED, PAGES = ROOT / "results", ROOT / "docs" / "results"
NOTES, IMAGES = PAGES / "notes", PAGES / "images"
#: page -> its configuration; also the order of the pages
CONFIGURATIONS = {
    "mnist": "configs/mnist.yaml",
    "cifar10": "configs/cifar10.yaml",
    "imagenette": "configs/imagenette.yaml",
    "two_digits": "configs/two_digits.yaml",
    "digits": "configs/digits.yaml",
    "tweets": "configs/tweets.yaml",
    "imdb": "configs/imdb.yaml",
    "liar": "configs/liar.yaml",
    "planted_text": "configs/planted_text.yaml",
    "flickr8k": "configs/flickr8k.yaml",
    "esnlive": "configs/esnlive.yaml",
    "nlvr": "configs/nlvr.yaml",
    "scenes": "configs/scenes.yaml",
}
#: mark in the note of the first page -> the file in results/benchmark with the average ranks that belong there
RANKS = {"ranks": "robust_ranks.csv", "thesis ranks": "ranks.csv"}
FAITHFUL = (
    "average_drop",
    "increase_in_confidence",
    "deletion_auc",
    "insertion_auc",
    "srg",
    "comprehensiveness",
    "sufficiency",
    "flip_share",
)
DRAWN = ("average_drop", "deletion_auc", "insertion_auc")
KNOWN = ("auprc", "pointing_game", "f1", "iou")
SIZE = ("mean_score", "area", "entropy", "sparsity", "complexity")
MADE = "<!-- Made by `make results-pages` from {source}. Change {notes} instead. -->"
LEGEND = (
    "Each number is a mean over n samples. The header gives n, unless a cell gives its own. ↓: lower is better. ↑: higher "
    "is better. The best method of a column is bold, and the second is underlined. Trivial maps know nothing of the "
    "model. They are not ranked, and † marks one that no method beats. A method whose scores have a sign is given by its "
    "absolute value or by its positive part, whichever is better in that column. The [glossary](../glossary.md#metrics) "
    "explains the metrics."
)

#: words -> the file they belong to
Pages = dict[Path, str]


def all_pages() -> Pages:
    """Every page of docs/results with its text."""
    ranked = {PAGES / f"{n}.md": ranked_page(n) for n in ("index", "thesis")}
    return {**ranked, **{PAGES / f"{n}.md": data_page(n) for n in CONFIGURATIONS}}


def data_page(name: str) -> str:
    """The page of one data set."""
    results, config = stored(name)
    found = build_tables(results["rows"])
    title, note_text = note(name)
    words, _, setting = note_text.partition("\n## What was trained\n")
    parts = [
        f"# {title}",
        MADE.format(source=f"{place(name)}/results.json", notes=f"docs/results/notes/{name}.md"),
        f"## What this shows\n\n{words.strip()}",
        caption(name),
        f"## What was trained\n\n{setting.strip()}".strip(),
        plain_table(("", ""), facts(name, results, config), "---"),
        *(["What the evaluation found out about this classifier (`target`):"] if results["notes"] else []),
        *(f"* {line}" for line in results["notes"]),
        f"## Tables\n\n{LEGEND}",
        *sections(found, measured),
        "## Intervals\n\nThe 95 % bootstrap interval of each mean over samples.",
        *sections(found, intervals),
        f"All metrics of this run are in [{place(name)}/table.md](../../{place(name)}/table.md).",
    ]
    return joined(parts)


def place(name: str) -> str:
    """The folder of a page's run: of the robust objective if it was measured, else of the thesis's."""
    return f"results/{name}/robust" if (STORED / name / "robust").is_dir() else f"results/{name}"


def stored(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Results and configuration of a run, as they lie in results/."""
    folder = ROOT / place(name)
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return results, yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))


def joined(parts: Sequence[str]) -> str:
    """Parts with an empty line between them; items of one list stay together."""
    text = ""
    for previous, part in zip(("", *parts), parts, strict=False):
        text += ("\n" if previous.startswith("* ") and part.startswith("* ") else "\n\n") + part
    return text.lstrip("\n") + "\n"


def note(name: str) -> tuple[str, str]:
    """Title and words of the note that people wrote about a data set."""
    title, _, words = (NOTES / f"{name}.md").read_text(encoding="utf-8").partition("\n")
    return title.removeprefix("# ").strip(), seen_from(PAGES, NOTES, words).strip()


def seen_from(new: Path, old: Path, words: str) -> str:
    """``words`` of a file in the folder ``old``, with relative links that hold in the folder ``new``."""

    def moved(found: re.Match[str]) -> str:
        return f"]({Path(os.path.relpath(old / found[1], new)).as_posix()}"

    return re.sub(r"\]\((?!#|\w+:)([^)#]+)", moved, words)


def facts(name: str, results: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was trained: one pair of a name and its value a line."""
    target, scorers = results["target"], results["scorers"]
    objective, training = config["objective"], config["training"]
    tried = dict.fromkeys(filter(None, map(fill_of, results["rows"])))
    seen = trained_fills(results, config)
    unseen = [fill for fill in tried if fill not in seen]
    own = {name: facts for name, facts in scorers.items() if not name.rpartition("-")[0]}  # not those beside
    sizes = sorted({facts["parameters"] for facts in own.values()})
    yield "classifier", f"{target['name']}, {target['parameters']:,} parameters"
    yield "accuracy", f"{target['accuracy']:.3f} on {target['accuracy_n']:,} test samples"
    yield "scorers", f"{len(own)} seeds, {' and '.join(f'{s:,}' for s in sizes)} parameters each"
    yield (
        "objective",
        ", ".join(
            [objective.get("preset", "thesis"), *(f"beside it: {k}" for k in config.get("beside", {}))]
        ),
    )
    yield (
        "training rows",
        f"{config['data']['train']:,}" if config["data"]["train"] else "the whole training split",
    )
    yield (
        "epochs, batch, learning rate",
        " / ".join(f"{training[k]:g}" for k in ("epochs", "batch_size", "learning_rate")),
    )
    yield "calibration, label", f"{objective['calibration']}, {objective['label']}"
    if objective.get("coalition_weight"):
        yield (
            "coalition term",
            f"weight {objective['coalition_weight']:g}, {objective['coalition_draws']} draws",
        )
    yield "fills in training", ", ".join(seen)
    yield "fills never trained on", ", ".join(unseen) or "none"
    yield "configuration", f"[{CONFIGURATIONS[name]}](../../{CONFIGURATIONS[name]})"


def trained_fills(results: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[str, ...]:
    """The fills that the scorers of a run saw."""
    modalities = max((r["modality"] for r in results["rows"]), key=len).split("+")
    return training_fills(config["objective"]["fills"], modalities)


def sections(tables: Sequence[Table], show: Callable[[Table], Table]) -> Iterator[str]:
    """A heading and a table for each granularity and fill, then for the metrics that need no fill.

    Args:
        tables: of a run, one for each modality, granularity and fill.
        show: the values to print of each.
    """
    for place, own in groupby(tables, lambda t: f"{t.setting.modality}, by {t.setting.granularity}"):
        found = list(own)
        parts: list[tuple[Table, tuple[str, ...], str]] = [
            (t, FAITHFUL, f"{t.setting.fill} fill") for t in found if t.setting.fill
        ]
        parts += [(found[0], KNOWN, "agreement with known evidence"), (found[0], SIZE, "size of the maps")]
        for table, metrics, about in parts:
            part = chosen(table, metrics)
            if part.columns:
                yield f"### {place[0].upper()}{place[1:]}: {about}{': intervals' if show is intervals else ''}"
                yield markdown(show(part))


def chosen(table: Table, metrics: Sequence[str]) -> Table:
    """``table`` with the columns of ``metrics``, in their order."""
    order = sorted((c for c in table.columns if c.name in metrics), key=lambda c: metrics.index(c.name))
    lines = tuple(
        replace(line, cells=tuple(table.cell(line.name, c.name) for c in order)) for line in table.lines
    )
    return replace(table, columns=tuple(order), lines=lines)


def measured(table: Table) -> Table:
    """Means with n in the header, and our deviation over seeds below our own line."""
    counts = most_samples(table)
    columns = tuple(
        replace(c, label=f"{c.label} (n = {n})") for c, n in zip(table.columns, counts, strict=True)
    )
    lines = []
    for line in table.lines:
        cells = tuple(cell and with_own_n(cell, n) for cell, n in zip(line.cells, counts, strict=True))
        lines.append(replace(line, cells=cells))
        if line.name == OURS:
            spread = [Cell(deviation(cell)) for cell in line.cells]
            lines.append(Line("", "its deviation over seeds", tuple(spread), "note"))
    return replace(table, columns=columns, lines=tuple(lines))


def intervals(table: Table) -> Table:
    """The ends of the 95 % interval of each mean."""
    lines = [
        replace(
            line, cells=tuple(Cell("–" if c is None or c.ci is None else between(c.ci)) for c in line.cells)
        )
        for line in table.lines
    ]
    return replace(table, lines=tuple(lines))


def most_samples(table: Table) -> list[int]:
    """For each column the largest number of samples behind a cell."""
    return [max(cell.n or 0 for cell in column if cell is not None) for column in cells_by_column(table)]


def cells_by_column(table: Table) -> list[list[Cell | None]]:
    """The cells of each column."""
    return [list(column) for column in zip(*(line.cells for line in table.lines), strict=True)]


def with_own_n(cell: Cell, n: int) -> Cell:
    """A cell without its interval and mark, and with its own n if that is not ``n``."""
    return replace(cell, spread="" if cell.n == n else f"(n = {cell.n})", reduction="none")


def deviation(cell: Cell | None) -> str:
    """The deviation of our seeds' means."""
    return "–" if cell is None or cell.seed_sd is None else f"±{number(cell.seed_sd)}"


def between(ends: tuple[float, float]) -> str:
    """An interval in words."""
    return f"{number(ends[0])} to {number(ends[1])}"


def number(x: float) -> str:
    """A number with its leading zero and three digits, or fewer if it is large."""
    return fixed(x, 3 if abs(x) < 10 else 1)


def plain_table(head: Sequence[str], lines: Any, align: str = "---:") -> str:
    """A Markdown table; the first column is text, the others are numbers unless ``align`` says otherwise."""
    rows = [list(head), ["---", *([align] * (len(head) - 1))], *map(list, lines)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


@dataclass(frozen=True)
class Picture:
    """A picture of some numbers; ``plot`` draws it."""

    numbers: Any
    plot: Callable[[], Figure]

    @property
    def digest(self) -> str:
        """A short hash of the numbers."""
        return hashlib.sha256(json.dumps(self.numbers, sort_keys=True).encode()).hexdigest()[:16]

    def draw(self, path: Path) -> None:
        """Draw the picture, unless the file was drawn from these numbers already."""
        if drawn_from(path) != self.digest:
            self.plot().savefig(path, dpi=110, metadata={"Comment": self.digest})


def drawn_from(path: Path) -> str | None:
    """The digest of the numbers that a picture was drawn from."""
    if not path.is_file():
        return None
    with Image.open(path) as image:
        return str(image.info.get("Comment"))


def all_pictures() -> dict[Path, Picture]:
    """Every picture of docs/results."""
    found = {name: dots(shown_table(name)) for name in CONFIGURATIONS}
    ranks = {IMAGES / Path(source).with_suffix(".png"): rank_picture(source) for source in RANKS.values()}
    return {**ranks, **{IMAGES / f"{n}.png": p for n, p in found.items()}}


def shown_table(name: str) -> Table:
    """The table that a data set's picture shows.

    It is of the first modality and granularity, under the first fill that no scorer was trained with.
    """
    results, config = stored(name)
    tables = build_tables(results["rows"])
    seen = trained_fills(results, config)
    return next((t for t in tables if t.setting.fill and t.setting.fill not in seen), tables[0])


def dots(table: Table) -> Picture:
    """Means with their intervals, a row for each method and a panel for each of three metrics."""
    part = chosen(table, DRAWN)
    numbers = {
        line.name: [None if c is None else [c.mean, *(c.ci or (c.mean, c.mean))] for c in line.cells]
        for line in part.lines
    }
    headings = [column.heading for column in part.columns]
    return Picture([numbers, headings], lambda: plot_dots(numbers, headings))


def plot_dots(numbers: Mapping[str, Sequence[Sequence[float] | None]], headings: Sequence[str]) -> Figure:
    """A dot and its interval for each method, one panel a heading; ours is coloured and trivial maps are grey."""
    with style.house_style():
        figure = Figure(figsize=(8.0, 1.0 + 0.24 * len(numbers)), layout="constrained")
        panels = figure.subplots(1, len(headings), sharey=True, squeeze=False)[0]
        for i, (panel, heading) in enumerate(zip(panels, headings, strict=True)):
            for row, (method, values) in enumerate(numbers.items()):
                color = {"ours": style.ACCENT, "control": style.CONTROL}.get(kind_of(method), style.RIVALS[0])
                if (value := values[i]) is not None:
                    mean, low, high = value
                    panel.plot([low, high], [row, row], color=color, linewidth=1.4)
                    panel.plot(mean, row, "o", color=color, markersize=7 if kind_of(method) == "ours" else 5)
            panel.set_title(heading)
            low, high = panel.get_xlim()
            # the margin is a share of the axis from 0, or else a dot at the end would be cut
            panel.set_xlim(min(0.0, low), high + 0.03 * (high - min(0.0, low)))
            panel.grid(True, axis="both")
        panels[0].set_yticks(range(len(numbers)), [method_label(m) for m in numbers])
        panels[0].invert_yaxis()
    return figure


def caption(name: str) -> str:
    """The picture of a data set with the words below it."""
    setting = shown_table(name).setting
    return (
        f"![Average drop, deletion and insertion of every method](images/{name}.png)\n\n"
        f"*Dots are means, and lines are 95 % intervals. Orange is sidelight, grey are maps that know nothing of the model. "
        f"Arrows show the better direction. Removed parts ({setting.modality}, by {setting.granularity}) are filled by "
        f"{setting.fill}, a fill that no scorer was trained with.*"
    )


def ranked_page(name: str) -> str:
    """A page over all data sets: its note with the rank table and the links put in."""
    title, words = note(name)
    links = plain_table(
        ("page", "objective", "classifier", "accuracy", "our drop", "our deletion", "our insertion"),
        map(link, CONFIGURATIONS),
    )
    made = MADE.format(source="results/benchmark/*ranks.csv", notes=f"docs/results/notes/{name}.md")
    for mark, source in RANKS.items():
        words = words.replace(f"<!-- {mark} -->", rank_table(source))
    return f"# {title}\n\n{made}\n\n{words.replace('<!-- pages -->', links)}\n"


def rank_table(source: str) -> str:
    """Average ranks over all cases and over those of each modality."""
    ranks = pd.read_csv(STORED / "benchmark" / source)
    scopes = {
        s: ranks[ranks["scope"] == s].set_index("method")
        for s in ("all cases", "image", "text", "image+text")
        if s in set(ranks["scope"])
    }
    order = list(scopes["all cases"].index)
    lines = [
        [method_label(m), *(_rank(scope["average_rank"], m) for scope in scopes.values())] for m in order
    ]
    spans = [f"{scope['critical_difference'].iloc[0]:.2f}" for scope in scopes.values()]
    head = ["method", *(f"{s} (n = {scope['cases'].iloc[0]})" for s, scope in scopes.items())]
    return plain_table(head, [*lines, ["*critical difference*", *spans]])


def _rank(ranks: pd.Series, method: str) -> str:
    text = f"{ranks[method]:.2f}"
    return f"**{text}**" if ranks[method] == ranks.min() else text


def rank_picture(source: str) -> Picture:
    """Average ranks over all cases, with the critical difference."""
    ranks = pd.read_csv(STORED / "benchmark" / source)
    scope = ranks[ranks["scope"] == "all cases"]
    line = scope.iloc[0]
    found = AverageRanks(
        ranks=dict(zip(scope["method"], scope["average_rank"].astype(float), strict=True)),
        cases=int(line["cases"]),
        samples=(int(line["n_min"]), int(line["n_max"])),
        statistic=float(line["friedman_chi2"]),
        p=float(line["friedman_p"]),
        critical_difference=float(line["critical_difference"]),
        alpha=float(line["alpha"]),
    )
    return Picture(
        [found.ranks, found.critical_difference],
        lambda: plot_critical_difference(found.ranks, found.critical_difference, found.groups),
    )


def link(name: str) -> list[str]:
    """A page's line in the index: our own numbers under the first measured fill of training, all modalities together."""
    results, config = stored(name)
    measured = {r["fill"] for r in results["rows"]}
    fill = next(f for f in trained_fills(results, config) if f in measured)
    own = [r for r in results["rows"] if r["method"] == OURS and r["fill"] == fill]
    where = {k: own[0][k] for k in ("modality", "granularity")}
    found = {r["metric"]: r["mean"] for r in own if where.items() <= r.items()}
    target = results["target"]
    return [
        f"[{note(name)[0]}]({name}.md), {fill} fill, by {where['granularity']}",
        config["objective"].get("preset", "thesis"),
        re.sub(r"gt_all_|:model|For(Image|Sequence)Classification", "", target["name"]).replace("_", "-"),
        f"{target['accuracy']:.3f}",
        *(number(found[m]) for m in ("average_drop", "deletion_auc", "insertion_auc")),
    ]


def outdated() -> list[str]:
    """Pages and pictures that differ from what would be made now."""
    texts = [p for p, text in all_pages().items() if not p.is_file() or p.read_text(encoding="utf-8") != text]
    pictures = [p for p, picture in all_pictures().items() if drawn_from(p) != picture.digest]
    return [str(p.relative_to(ROOT)) for p in (*texts, *pictures)]


def main() -> None:
    """Write the pages and pictures, or with ``--check`` say which are out of date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        old = outdated()
        sys.exit(f"out of date, run `make results-pages`: {', '.join(old)}" if old else 0)
    for path, text in all_pages().items():
        path.write_text(text, encoding="utf-8")
    for path, picture in all_pictures().items():
        picture.draw(path)


if __name__ == "__main__":
    main()
