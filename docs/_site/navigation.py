"""The navigation of the site: for each group its pages, in the order in which people read them.

Only the site reads it. GitHub shows the pages of ``docs`` by themselves, so no page holds a navigation of its own.
"""

from __future__ import annotations

from pathlib import Path

#: group in the side bar -> its pages, relative to ``docs``, without ``.md``
NAVIGATION: dict[str, tuple[str, ...]] = {
    "Start": ("quickstart", "gallery", "notebooks/index"),
    "Explain": (
        "guides/text",
        "guides/image",
        "guides/image-and-text",
        "guides/your-own-model",
        "guides/choose-a-class",
        "guides/read-a-map",
        "guides/options-of-fit",
        "guides/save-and-load",
        "guides/live",
    ),
    "Use it at work": (
        "guides/in-production",
        "guides/serving",
        "guides/many-rows",
        "guides/in-your-tools",
        "guides/coming-from",
    ),
    "Measure": (
        "guides/compare-methods",
        "guides/judges",
        "guides/learned-rivals",
        "guides/maps-from-elsewhere",
        "guides/in-an-audit",
    ),
    "Write your own": (
        "extend/fill",
        "extend/baseline-method",
        "extend/metric",
        "extend/target-family",
        "extend/data-set",
        "extend/modality",
    ),
    "Results and notes": ("results/index", "notes/index"),
    "Look up": ("reference/options", "reference/api", "reference/api-parts", "reference/api-lab", "glossary"),
}
#: a page with pages below it -> those pages
BELOW: dict[str, tuple[str, ...]] = {
    "results/index": (
        "results/mnist",
        "results/cifar10",
        "results/imagenette",
        "results/digits",
        "results/two_digits",
        "results/tweets",
        "results/imdb",
        "results/liar",
        "results/planted_text",
        "results/flickr8k",
        "results/esnlive",
        "results/nlvr",
        "results/scenes",
        "results/thesis",
    ),
    "notes/index": (
        "notes/rank-term",
        "notes/judges",
        "notes/boxes",
        "notes/coalition-term",
        "notes/scenes",
        "notes/fills",
        "notes/eight-rows",
        "notes/audit-of-mnist",
        "notes/averaging",
        "notes/cost",
        "notes/decoder-cost",
        "notes/measuring",
    ),
}
#: a folder of files that are parts of other pages -> the folder of those pages, which have the same names
PARTS = {"results/notes": "results"}


def listed() -> list[str]:
    """All pages that the navigation reaches, the front page first."""
    pages = ["index"]
    for group in (*NAVIGATION.values(), *BELOW.values()):
        pages += group
    return pages


def written(docs: Path) -> list[str]:
    """All pages in the folder ``docs``, without those that are parts of others."""
    names = [path.relative_to(docs).with_suffix("").as_posix() for path in sorted(docs.rglob("*.md"))]
    return [name for name in names if not name.startswith(tuple(f"{part}/" for part in PARTS))]


def toctree(pages: tuple[str, ...], caption: str = "") -> str:
    """A directive that lists ``pages`` in the side bar and not on the page."""
    head = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["", "```{toctree}", *head, "", *(f"/{page}" for page in pages), "```", ""])


def navigation_of(page: str) -> str:
    """What the site appends to ``page``, so that the side bar shows the pages below it."""
    if page == "index":
        return "".join(toctree(pages, caption) for caption, pages in NAVIGATION.items())
    return toctree(BELOW[page]) if page in BELOW else ""
