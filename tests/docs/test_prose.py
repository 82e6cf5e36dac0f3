"""Documents and docstrings keep to plain English, as far as that can be counted."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*")
#: pages that are made from numbers or from the code
GENERATED = ("docs/reference/", "docs/results/")
#: words that people write into generated pages
NOTES = "docs/results/notes/"


@dataclass(frozen=True)
class Prose:
    """Sentences of a body of text."""

    sentences: list[str]

    @property
    def words(self) -> list[str]:
        """All words in lower case."""
        return [w.lower() for s in self.sentences for w in WORD.findall(s)]

    @property
    def words_a_sentence(self) -> float:
        """Mean number of words."""
        return len(self.words) / len(self.sentences)

    def per_10_000(self, word: str) -> float:
        """How often ``word`` stands in 10,000 words."""
        return 1e4 * self.words.count(word) / len(self.words)

    @property
    def semicolons_per_1_000(self) -> float:
        """Semicolons in 1,000 words."""
        return 1e3 * sum(s.count(";") for s in self.sentences) / len(self.words)


def sentences(text: str) -> Iterator[str]:
    """Sentences of plain text: they end at a full stop, at an empty line, or where a list item begins."""
    for part in re.split(r"(?<=[.!?])[*)\"']*\s+(?=\W*[A-Z0-9])|\n\s*\n|\n\s*(?=[*-] |\d+\. )", text):
        if len(WORD.findall(part)) > 1:
            yield part


def markdown_sentences(text: str) -> Iterator[str]:
    """Sentences of a document without its code, tables, headings, links' addresses and comments."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"^(\||#).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    yield from sentences(re.sub(r"`[^`]*`", "CODE", text))


def docstring_sentences(text: str) -> Iterator[str]:
    """Sentences of a docstring without its examples, headings of sections and names of arguments."""
    text = re.sub(r"^\s*(>>>|\.\.\.).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*\w+:$", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*[\w*, ]+:(?= )", "\n", text, flags=re.MULTILINE)
    yield from sentences(re.sub(r":?\w*:?``?[^`]*``?", "CODE", text))


def documents() -> list[Path]:
    """Documents that people write."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "results" / "README.md"]
    names = {path.relative_to(ROOT).as_posix(): path for path in sorted(found)}
    return [p for n, p in names.items() if n.startswith(NOTES) or not n.startswith(GENERATED)]


def docstrings() -> Iterator[str]:
    """Every docstring in src."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                yield ast.get_docstring(node) or ""


@cache
def prose_of_documents() -> Prose:
    """Everything that people write in documents."""
    return Prose([s for path in documents() for s in markdown_sentences(path.read_text(encoding="utf-8"))])


@cache
def prose_of_docstrings() -> Prose:
    """Every docstring in src."""
    return Prose([s for text in docstrings() for s in docstring_sentences(text)])


@pytest.mark.parametrize("read", [prose_of_documents, prose_of_docstrings], ids=["documents", "docstrings"])
class TestPlainEnglish:
    def test_sentences_are_short(self, read: Callable[[], Prose]) -> None:
        mean = read().words_a_sentence
        assert mean <= 17

    def test_where_is_for_places(self, read: Callable[[], Prose]) -> None:
        rate = read().per_10_000("where")
        assert rate <= 25

    def test_conditions_begin_with_if(self, read: Callable[[], Prose]) -> None:
        rate = read().per_10_000("if")
        assert rate >= 30

    def test_semicolons_are_rare(self, read: Callable[[], Prose]) -> None:
        rate = read().semicolons_per_1_000
        assert rate <= 4


class TestCounting:
    """The counting itself, on sentences counted by hand."""

    def test_sentences_end_at_stops_and_list_items(self) -> None:
        text = "One two three. Four five, e.g. six.\n\n* Seven eight\n* Nine ten; eleven"
        assert [len(WORD.findall(s)) for s in sentences(text)] == [3, 5, 2, 3]

    def test_code_tables_and_headings_do_not_count(self) -> None:
        text = "# A heading here\n\nRead `a.b` if [this page](x.md) helps.\n\n| a cell | b |\n\n```python\nx = 1\n```\n"
        assert list(markdown_sentences(text)) == ["Read CODE if this page helps."]

    def test_sections_and_examples_of_docstrings_do_not_count(self) -> None:
        text = "Add two numbers.\n\nArgs:\n    a, b: the numbers, if known.\n\nExample:\n    >>> add(1, 2)\n"
        assert [s.strip() for s in docstring_sentences(text)] == [
            "Add two numbers.",
            "the numbers, if known.",
        ]

    def test_rates(self) -> None:
        prose = Prose(["If it rains, stay; else go.", "Go where you like."])
        assert prose.words_a_sentence == 5
        assert prose.per_10_000("where") == 1000
        assert prose.semicolons_per_1_000 == 100


def test_numbers_have_a_leading_zero() -> None:
    bad = [
        f"{path.relative_to(ROOT)}: {found.group(0)}"
        for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
        for found in re.finditer(r"(?<![\w.\d/)\]-])\.\d+\b", path.read_text(encoding="utf-8"))
    ]
    assert not bad


def test_documents_have_at_most_250_lines() -> None:
    long = {p.name: n for p in documents() if (n := len(p.read_text(encoding="utf-8").splitlines())) > 250}
    assert not long
