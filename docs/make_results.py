"""The pages in docs/results, made from the numbers in results/ and the words in docs/results/notes.

    python docs/make_results.py            # write every page and picture
    python docs/make_results.py --check    # say which pages are out of date

A page has the hand-written note first (its part "What was trained" goes to the section of that name), then one picture, what was trained, and one table for each fill with one metric
a column. The picture is drawn anew only if its numbers have changed: they are kept in the file as metadata.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from matplotlib.figure import Figure
from PIL import Image

from sidelight.lab.figures.critical_difference import plot_critical_difference
from sidelight.lab.figures.scatter import plot_tradeoff
from sidelight.lab.metrics import METRICS
from sidelight.lab.metrics.rank_tests import AverageRanks
from sidelight.lab.metrics.statistics import better_reduction
from sidelight.viz import style

ROOT = Path(__file__).resolve().parents[1]
STORED, PAGES = ROOT / "results", ROOT / "docs" / "results"
NOTES, IMAGES = PAGES / "notes", PAGES / "images"
#: page -> its configuration; also the order of the pages
CONFIGURATIONS = {
    "mnist": "configs/mnist.yaml",
    "cifar10": "configs/cifar10.yaml",
    "imagenette": "configs/imagenette.yaml",
    "digits": "src/sidelight/lab/demo/digits.yaml",
    "tweets": "configs/tweets.yaml",
    "imdb": "configs/imdb.yaml",
    "liar": "configs/liar.yaml",
    "planted_text": "src/sidelight/lab/demo/planted_text.yaml",
    "flickr8k": "configs/flickr8k.yaml",
    "esnlive": "configs/esnlive.yaml",
    "nlvr": "configs/nlvr.yaml",
    "scenes": "src/sidelight/lab/demo/scenes.yaml",
}
FAITHFUL = (
    "average_drop",
    "increase_in_confidence",
    "deletion_auc",
    "insertion_auc",
    "srg",
    "comprehensiveness",
    "sufficiency",
)
KNOWN = ("auprc", "pointing_game", "f1", "iou")
SIZE = ("mean_score", "area", "entropy", "sparsity", "complexity")
SPELLED = {"srg": "SRG", "auprc": "AUPRC", "f1": "F1", "iou": "IoU"}
NO_FILL = "none"
MADE = "<!-- Made by `make results-pages` from {source}. Change {notes} instead. -->"
LEGEND = (
    "Each number is a mean over the samples. The n in the header holds unless a cell gives its own. ↓: lower is better. "
    "↑: higher is better. The best method of a column is bold. Trivial maps are controls, so they are never bold. "
    "A signed method is given by its absolute value or by its positive part, whichever is better in that column."
)

#: words -> the file they belong to
Pages = dict[Path, str]


def all_pages() -> Pages:
    """Every page of docs/results with its text."""
    return {PAGES / "index.md": index_page(), **{PAGES / f"{n}.md": data_page(n) for n in CONFIGURATIONS}}


def data_page(name: str) -> str:
    """The page of one data set."""
    results, config = stored(name)
    rows = best_rows(results["rows"])
    title, note_text = note(name)
    words, _, setting = note_text.partition("\n## What was trained\n")
    parts = [
        f"# {title}",
        MADE.format(source=f"results/{name}/results.json", notes=f"docs/results/notes/{name}.md"),
        f"## What this shows\n\n{words.strip()}",
        caption(name),
        f"## What was trained\n\n{setting.strip()}".strip(),
        table(("", ""), facts(name, results, config), "---"),
        *(f"* {line}" for line in results["notes"]),
        f"## Tables\n\n{LEGEND}",
        *tables(rows, spread=False),
        "## Intervals\n\nThe 95 % bootstrap interval of each mean over samples.",
        *tables(rows, spread=True),
        f"All metrics of this run are in [results/{name}/table.md](../../results/{name}/table.md).",
    ]
    return joined(parts)


def stored(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Results and configuration of a run, as they lie in results/."""
    folder = STORED / name
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
    return title.removeprefix("# ").strip(), words.strip()


def facts(name: str, results: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was trained: one pair of a name and its value a line."""
    target, scorers = results["target"], results["scorers"]
    objective, training = config["objective"], config["training"]
    sizes = sorted({s["parameters"] for s in scorers.values()})
    tried = dict.fromkeys(r["fill"] for r in results["rows"] if r["fill"] != NO_FILL)
    unseen = [fill for fill in tried if fill not in objective["fills"]]
    yield "classifier", f"{target['name']}, {target['parameters']:,} parameters"
    yield "accuracy", f"{target['accuracy']:.3f} on {target['accuracy_n']:,} test samples"
    yield "scorers", f"{len(scorers)} seeds, {' and '.join(f'{s:,}' for s in sizes)} parameters each"
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
    yield "fills in training", ", ".join(objective["fills"])
    yield "fills never trained on", ", ".join(unseen) or "none"
    yield "configuration", f"[{CONFIGURATIONS[name]}](../../{CONFIGURATIONS[name]})"


def best_rows(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row for each method and number: the better reduction, undefined means left out."""
    frame = pd.DataFrame(list(rows))
    return better_reduction(frame[frame["mean"].notna()])


def tables(rows: pd.DataFrame, *, spread: bool) -> Iterator[str]:
    """A heading and a table for each granularity and fill, then for what needs no fill.

    Args:
        rows: of :func:`best_rows`.
        spread: intervals instead of means.
    """
    for modality, granularity in dict.fromkeys(zip(rows["modality"], rows["granularity"], strict=True)):
        own = rows[(rows["modality"] == modality) & (rows["granularity"] == granularity)]
        place = f"{modality}, by {granularity}"
        for fill in [f for f in dict.fromkeys(own["fill"]) if f != NO_FILL]:
            yield from section(own[own["fill"] == fill], FAITHFUL, f"{place}: {fill} fill", spread)
        free = own[own["fill"] == NO_FILL]
        yield from section(free, KNOWN, f"{place}: agreement with known evidence", spread)
        yield from section(free, SIZE, f"{place}: size of the maps", spread)


def section(rows: pd.DataFrame, metrics: Sequence[str], heading: str, spread: bool) -> Iterator[str]:
    """A heading and its table; nothing if none of the metrics was measured."""
    found = [m for m in metrics if m in set(rows["metric"])]
    if not found:
        return
    columns = {m: rows[rows["metric"] == m].set_index("method") for m in found}
    counts = {m: int(c["n"].max()) for m, c in columns.items()}
    methods = style.ordered(dict.fromkeys(rows["method"]))
    cell = interval if spread else value
    lines = []
    for method in methods:
        control = style.is_control(method)
        name = f"*{style.method_label(method)}*" if control else style.method_label(method)
        lines.append([name, *(cell(columns[m], method, m, counts[m]) for m in found)])
        if method == style.OURS and not spread:
            lines.append(["*its deviation over seeds*", *(deviation(columns[m]) for m in found)])
    yield f"### {heading[0].upper()}{heading[1:]}" + (": intervals" if spread else "")
    yield table(["method", *(header(m, counts[m]) for m in found)], lines)


def header(metric: str, n: int) -> str:
    """A metric's name, the arrow to its better side, and the number of samples."""
    name = SPELLED.get(metric, metric.removesuffix("_auc").replace("_", " "))
    return f"{name} {'↓' if METRICS[metric].direction == 'lower' else '↑'} (n = {n})"


def value(column: pd.DataFrame, method: str, metric: str, n: int) -> str:
    """A mean, bold if no method beats it; its own n if that is not the header's."""
    if method not in column.index:
        return "–"
    shown = {m: number(v) for m, v in column["mean"].items() if not style.is_control(str(m))}
    better = min if METRICS[metric].direction == "lower" else max
    text = number(column.loc[method, "mean"])
    best = method in shown and float(text) == better(map(float, shown.values()))
    own = int(column.loc[method, "n"])
    return (f"**{text}**" if best else text) + ("" if own == n else f" (n = {own})")


def interval(column: pd.DataFrame, method: str, metric: str, n: int) -> str:
    """The ends of a mean's 95 % interval."""
    ends = column.loc[method, "ci95"] if method in column.index else None
    return "–" if ends is None else f"{number(ends[0])} to {number(ends[1])}"


def deviation(column: pd.DataFrame) -> str:
    """The deviation of our seeds' means."""
    found = column.loc[style.OURS, "seed_sd"] if style.OURS in column.index else None
    return "–" if found is None or found != found else f"±{number(found)}"


def number(x: float) -> str:
    """A number with its leading zero and three digits, or fewer if it is large."""
    return f"{x:.3f}" if abs(x) < 10 else f"{x:.1f}"


def table(head: Sequence[str], lines: Any, align: str = "---:") -> str:
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
    found = {name: trade_off(*shown_rows(name)) for name in CONFIGURATIONS}
    return {IMAGES / "ranks.png": rank_picture(), **{IMAGES / f"{n}.png": p for n, p in found.items()}}


def shown_rows(name: str) -> tuple[pd.DataFrame, str]:
    """The rows that a data set's picture shows, and their place in words.

    They are of the first modality and granularity, under the first fill that no scorer was trained with.
    """
    results, config = stored(name)
    rows = best_rows(results["rows"])
    first = rows.iloc[0]
    own = rows[(rows["modality"] == first["modality"]) & (rows["granularity"] == first["granularity"])]
    tried = [f for f in dict.fromkeys(own["fill"]) if f != NO_FILL]
    fill = next((f for f in tried if f not in config["objective"]["fills"]), tried[0])
    return own[own["fill"] == fill], f"under the {fill} fill, {first['modality']} by {first['granularity']}"


def trade_off(rows: pd.DataFrame, place: str) -> Picture:
    """How much of the prediction each method keeps, against how well it ranks."""
    ranked, kept = (rows[rows["metric"] == m].set_index("method")["mean"] for m in ("srg", "average_drop"))
    points = {str(m): (float(ranked[m]), float(kept[m])) for m in ranked.index if m in kept.index}
    axes = {"x": ("SRG: insertion minus deletion", "higher"), "y": ("average drop", "lower")}
    return Picture([points, place], lambda: plot_tradeoff(points, **axes))


def caption(name: str) -> str:
    """The picture of a data set with the words below it."""
    return (
        f"![Average drop against SRG of every method](images/{name}.png)\n\n"
        "*How much of the prediction a map keeps (upwards) and how well it ranks features (to the right), "
        f"{shown_rows(name)[1]}. The dashed line joins the methods that no other beats on both.*"
    )


def index_page() -> str:
    """The first page: the note with the rank table, the picture and the links put in."""
    title, words = note("index")
    ranks = pd.read_csv(STORED / "benchmark" / "ranks.csv")
    scopes = {
        s: ranks[ranks["scope"] == s].set_index("method")
        for s in ("all cases", "image", "text", "image+text")
    }
    order = list(scopes["all cases"].index)
    lines = [
        [style.method_label(m), *(_rank(scope["average_rank"], m) for scope in scopes.values())]
        for m in order
    ]
    spans = [f"{scope['critical_difference'].iloc[0]:.2f}" for scope in scopes.values()]
    head = ["method", *(f"{s} (n = {scope['cases'].iloc[0]})" for s, scope in scopes.items())]
    rank_table = table(head, [*lines, ["*critical difference*", *spans]])
    links = table(
        ("page", "classifier", "accuracy", "our drop", "our deletion", "our insertion"),
        map(link, CONFIGURATIONS),
    )
    made = MADE.format(source="results/benchmark/ranks.csv", notes="docs/results/notes/index.md")
    words = words.replace("<!-- ranks -->", rank_table).replace("<!-- pages -->", links)
    return f"# {title}\n\n{made}\n\n{words}\n"


def _rank(ranks: pd.Series, method: str) -> str:
    text = f"{ranks[method]:.2f}"
    return f"**{text}**" if ranks[method] == ranks.min() else text


def rank_picture() -> Picture:
    """Average ranks over all cases, with the critical difference."""
    ranks = pd.read_csv(STORED / "benchmark" / "ranks.csv")
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
    """A page's line in the index: our own numbers under the first fill of training, all modalities together."""
    results, config = stored(name)
    fill = config["objective"]["fills"][0]
    own = [r for r in results["rows"] if r["method"] == style.OURS and r["fill"] == fill]
    place = {k: own[0][k] for k in ("modality", "granularity")}
    found = {r["metric"]: r["mean"] for r in own if place.items() <= r.items()}
    target = results["target"]
    return [
        f"[{note(name)[0]}]({name}.md), {fill} fill, by {place['granularity']}",
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
