"""Generated pages are what their generators make now, notes are short, and links lead somewhere."""

from __future__ import annotations

import re
import runpy
import shlex
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from test_prose import documents, markdown_sentences

from sidelight.cli.app import app
from sidelight.core.columns import KNOWN_COLUMNS, PICTURE_COLUMNS
from sidelight.lab.metrics import METRICS
from sidelight.lab.tables.summary import build_tables
from sidelight.rows.row import LABEL_COLUMNS

ROOT = Path(__file__).parents[2]
NOTES = ROOT / "docs" / "results" / "notes"


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "make_results.py"))


def test_result_pages_are_up_to_date(results) -> None:
    assert results["outdated"]() == [], "run `make results-pages`"


def test_every_stored_run_has_a_page(results) -> None:
    stored = {path.parent.name for path in (ROOT / "results").glob("*/results.json")}
    assert stored == set(results["CONFIGURATIONS"])


def test_options_page_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_options.py"))["page"]()
    assert (ROOT / "docs" / "reference" / "options.md").read_text(encoding="utf-8") == made, (
        "run `make docs-reference`"
    )


class TestTables:
    ROWS = (
        {
            "method": "sidelight",
            "reduction": "none",
            "mean": 0.2,
            "seed_sd": 0.01,
            "ci95": [0.1, 0.3],
            "n": 8,
        },
        {"method": "saliency", "reduction": "abs", "mean": 0.15, "seed_sd": None, "ci95": [0.1, 0.2], "n": 4},
        {
            "method": "saliency",
            "reduction": "positive",
            "mean": 0.9,
            "seed_sd": None,
            "ci95": [0.8, 1.0],
            "n": 4,
        },
        {"method": "constant", "reduction": "none", "mean": 0.0, "seed_sd": None, "ci95": [0.0, 0.0], "n": 8},
    )

    def text(self, results, show: str) -> list[str]:
        place = {
            "dataset": "d",
            "modality": "image",
            "fill": "zero",
            "granularity": "pixel",
            "metric": "average_drop",
        }
        tables = build_tables([{**place, **row} for row in self.ROWS])
        return "\n".join(results["sections"](tables, results[show])).splitlines()

    def test_best_method_is_bold_and_controls_never(self, results) -> None:
        lines = self.text(results, "measured")
        assert lines[0] == "### Image, by pixel: zero fill"
        assert lines[1] == "| method | average drop (n = 8) ↓ |"
        assert lines[3:] == [
            "| **sidelight** | <u>0.200</u> |",
            "| *its deviation over seeds* | *±0.010* |",
            "| Saliency | **0.150** (n = 4) |",
            "| *trivial maps* |  |",
            "| Constant | 0.000 † |",
        ]

    def test_intervals_belong_to_the_means_shown(self, results) -> None:
        assert "| Saliency | 0.100 to 0.200 |" in self.text(results, "intervals")

    def test_every_metric_that_has_a_column_exists(self, results) -> None:
        assert {*results["FAITHFUL"], *results["KNOWN"], *results["SIZE"]} <= set(METRICS)


@pytest.mark.parametrize("note", sorted(NOTES.glob("*.md")), ids=lambda path: path.stem)
def test_notes_have_at_most_eight_sentences(note: Path) -> None:
    if note.stem != "index":
        words = note.read_text(encoding="utf-8").partition("\n## What was trained\n")[0]
        found = [s for s in markdown_sentences(words) if len(s.split()) > 3]
        assert len(found) <= 8, found


def test_first_page_of_results_fits_a_screen() -> None:
    lines = (ROOT / "docs" / "results" / "index.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 90


def documents_with_links() -> list[Path]:
    """Every Markdown file of the repository, also those that are made from numbers or from the code."""
    folders = ("docs", "results", "src", "tests", "benchmarks", "configs")
    return sorted([*ROOT.glob("*.md"), *(path for name in folders for path in (ROOT / name).rglob("*.md"))])


def without_code(text: str) -> str:
    """A document's text without its examples and code words."""
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The names that GitHub gives the headings of a document; a name's second heading gets ``-1``."""
    blocks = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    found: Counter[str] = Counter()
    names = set()
    for heading in re.findall(r"^#+ (.*)$", blocks, flags=re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        names.add(f"{name}-{found[name]}" if found[name] else name)
        found[name] += 1
    return names


def broken_links(page: Path) -> list[str]:
    """Relative links of a document whose file or heading does not exist."""
    text, broken = page.read_text(encoding="utf-8"), []
    for target in re.findall(r"\]\(<?([^)>\s]+)[^)]*\)", without_code(text)):
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if re.match(r"\w+:", target):
            continue
        if not file.exists() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", documents_with_links(), ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One `two`\n# One `two`\n```bash\n# no heading\n```\n`[code](gone.md)` [web](https://gone.example)\n"
        "[a](#one-two) [b](page.md#one-two-1) [c](#no-heading) [d](gone.md) ![e](gone.png)\n"
    )
    assert broken_links(page) == ["#no-heading", "gone.md", "gone.png"]


def test_a_notes_links_hold_on_its_page(results) -> None:
    words = "[a](../../notes/fills.md#answer) ![b](../images/ranks.png) [c](#x) [d](https://x.example)"
    moved = results["seen_from"](results["PAGES"], NOTES, words)
    assert moved == "[a](../notes/fills.md#answer) ![b](images/ranks.png) [c](#x) [d](https://x.example)"


# the changelog names modules that are gone, and results/README files of any run
NAMING = [p for p in documents() if p.name != "CHANGELOG.md" and p.parent.name != "results"]


@pytest.mark.parametrize("page", NAMING, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_that_are_named_exist(page: Path) -> None:
    homes = (ROOT, ROOT / "src" / "sidelight", ROOT / "src" / "sidelight" / "lab")
    for name in re.findall(r"`([\w/.]+/[\w.]+\.(?:py|yaml))`", page.read_text(encoding="utf-8")):
        assert any((home / name).exists() for home in homes), name


def commands_of(page: Path) -> list[list[str]]:
    """The words of each command of sidelight in a block for the shell, as `tables`, `runs/mnist`."""
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("sidelight ")]


def test_a_switch_of_a_command_is_given_no_value() -> None:
    """The gallery wrote `tables RUN... --figures figures`. The folder was then taken for one more run."""
    group: Any = typer.main.get_command(app)
    found = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for name, *words in commands_of(page):
            switches = {
                o for p in group.commands[name].params for o in p.opts if getattr(p, "is_flag", False)
            }
            for word, following in pairwise([*words, "--"]):
                if word in switches and not following.startswith("-"):
                    found.append(f"{page.name}: {name} {word} {following}")
    assert found == []


def test_the_guide_names_every_usual_column() -> None:
    page = (ROOT / "docs" / "guides" / "options-of-fit.md").read_text(encoding="utf-8")
    table = page.split("| column of | usual names |")[1].split("\n\n")[0]
    known = {*PICTURE_COLUMNS, *LABEL_COLUMNS, *(name for names in KNOWN_COLUMNS for name in names)}
    assert set(re.findall(r"`(\w+)`", table)) == known
