"""The documentation's site: its navigation, its links, and a strict build with an entry for every public name."""

from __future__ import annotations

import html
import importlib
import inspect
import re
import runpy
import subprocess
import sys
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import sidelight
from sidelight import errors

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NAVIGATION: dict[str, Any] = runpy.run_path(str(DOCS / "_site" / "navigation.py"))
LINKS: dict[str, Any] = runpy.run_path(str(DOCS / "_site" / "links.py"))
PACKAGES: tuple[str, ...] = runpy.run_path(str(DOCS / "make_site.py"))["PACKAGES"]
#: rooms whose public names have entries, beside `sidelight`, `sidelight.errors` and `sidelight.lab.compare`
ROOMS = (
    *("sidelight.fills", "sidelight.targets", "sidelight.scorers", "sidelight.viz"),
    *("sidelight.lab.baselines", "sidelight.lab.metrics", "sidelight.lab.audit"),
)


class TestNavigation:
    def test_it_lists_every_page_once(self) -> None:
        assert sorted(NAVIGATION["listed"]()) == sorted(NAVIGATION["written"](DOCS))

    def test_a_page_that_is_a_part_of_others_is_none(self, tmp_path: Path) -> None:
        for name in ("index.md", "guides/text.md", "results/notes/mnist.md"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("# A page\n")
        assert NAVIGATION["written"](tmp_path) == ["guides/text", "index"]

    def test_groups_become_captions_of_the_side_bar(self) -> None:
        found = NAVIGATION["navigation_of"]("index")
        assert re.findall(r":caption: (.*)", found) == list(NAVIGATION["NAVIGATION"])
        assert "/quickstart\n" in found
        assert "/notes/judges\n" in NAVIGATION["navigation_of"]("notes/index")
        assert NAVIGATION["navigation_of"]("quickstart") == ""


class TestLinks:
    def seen(self, text: str, page: str = "guides/live.md") -> str:
        return LINKS["on_the_site"](text, DOCS / page, DOCS, NAVIGATION["PARTS"])

    def test_a_link_out_of_docs_leads_to_the_repository(self) -> None:
        home = LINKS["REPOSITORY"]
        assert self.seen("[a](../../README.md#install)") == f"[a]({home}/blob/main/README.md#install)"
        assert self.seen("[a](../../configs)") == f"[a]({home}/tree/main/configs)"

    def test_other_links_and_code_stay(self) -> None:
        text = (
            "[a](../glossary.md#fill) ![b](../images/app-light.png) [c](#x) [d](https://x.example/README.md) "
            "`[e](../../README.md)`\n```text\n[f](../../README.md)\n```\n"
        )
        assert self.seen(text) == text

    def test_a_link_to_a_part_leads_to_its_page(self) -> None:
        assert self.seen("[a](notes/mnist.md)", "results/index.md") == "[a](/results/mnist.md)"

    def test_a_file_that_is_not_there_stops_the_build(self) -> None:
        with pytest.raises(FileNotFoundError, match=r"live\.md.*gone\.md"):
            self.seen("[a](../../gone.md)")

    def test_the_repository_is_that_of_model_cards(self) -> None:
        from sidelight.hub.card import HOME

        assert LINKS["REPOSITORY"] == HOME


def public_names() -> set[str]:
    """What the reference must hold: names as users import them."""
    names = {f"sidelight.{name}" for name in sidelight.__all__ if name != "__version__"}
    names |= {"sidelight.SidelightAttribution", "sidelight.lab.compare"}
    kinds = [n for n, c in vars(errors).items() if isinstance(c, type) and c.__module__ == errors.__name__]
    names |= {f"sidelight.errors.{name}" for name in kinds if name != "SidelightError"}
    for room in ROOMS:
        module = importlib.import_module(room)
        found = {n for n in module.__all__ if callable(getattr(module, n))}
        names |= {f"{room}.{name}" for name in found}
    # its entry stands beside the other settings
    return names - {"sidelight.scorers.ScorerConfig"}


def documented() -> list[tuple[str, Any]]:
    """Public names of `sidelight` with what they stand for, and the members of classes."""
    found = [(name, getattr(sidelight, name)) for name in sidelight.__all__ if name != "__version__"]
    for name, kind in [pair for pair in found if inspect.isclass(pair[1])]:
        found += [(f"{name}.{n}", m) for n, m in inspect.getmembers(kind) if not n.startswith("_")]
    return [(name, thing) for name, thing in found if inspect.getdoc(thing)]


class TestDocstrings:
    """Napoleon takes what stands before a colon for a type, and moves it behind the text or drops the colon."""

    #: code and roles may hold a colon
    CODE = re.compile(r":?\w*:?`+[^`]*`+")

    def test_what_is_returned_has_no_colon_in_its_first_line(self) -> None:
        first = re.compile(r"^(?:Returns|Yields):\n +(.*)", re.MULTILINE)
        docs = {name: self.CODE.sub("code", inspect.getdoc(thing) or "") for name, thing in documented()}
        assert [name for name, doc in docs.items() if (m := first.search(doc)) and ": " in f"{m[1]} "] == []

    def test_a_property_has_no_colon_in_its_first_line(self) -> None:
        kinds = {name: thing for name, thing in documented() if isinstance(thing, property)}
        assert "Explanation.map" in kinds
        lines = {
            name: self.CODE.sub("code", (thing.__doc__ or "").split("\n")[0]) for name, thing in kinds.items()
        }
        assert [name for name, line in lines.items() if ": " in line] == []


def entries(inventory: Path) -> set[str]:
    """Names in the list of a site's Python entries."""
    head, _, packed = inventory.read_bytes().partition(b"zlib.\n")
    assert head.startswith(b"# Sphinx inventory version 2")
    lines = zlib.decompress(packed).decode().splitlines()
    return {line.split()[0] for line in lines if line.split()[1].startswith("py:")}


def signatures(page: Path) -> dict[str, str]:
    """Names of a page of the reference -> how they are called there, in one line."""
    heads = re.findall(
        r'<dt class="sig[^>]*id="([^"]+)">(.*?)</dt>', page.read_text(encoding="utf-8"), re.DOTALL
    )
    plain = {name: html.unescape(re.sub(r"<[^>]+>", "", head)) for name, head in heads}
    return {name: re.sub(r"\(\s+", "(", re.sub(r"\s+", " ", head)).strip() for name, head in plain.items()}


def require_packages() -> None:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        pytest.skip(f"the site needs {', '.join(missing)}: pip install 'sidelight[docs]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, built without a warning and without a network."""
    require_packages()
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, str(DOCS / "make_site.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
class TestSite:
    def test_every_page_of_the_navigation_is_there(self, site: Path) -> None:
        assert [name for name in NAVIGATION["listed"]() if not (site / f"{name}.html").is_file()] == []

    def test_every_public_name_has_an_entry(self, site: Path) -> None:
        assert public_names() - entries(site / "objects.inv") == set()

    def test_the_methods_of_the_explainer_have_entries(self, site: Path) -> None:
        methods = {n for n, m in vars(sidelight.Explainer).items() if n[0] != "_" and callable(m)}
        mixed_in = {"widget", "demo", "export", "push_to_hub", "explain_dataset"}
        found = entries(site / "objects.inv")
        assert {f"sidelight.Explainer.{name}" for name in methods | mixed_in} <= found

    def test_a_signature_holds_every_argument_and_no_machinery(self, site: Path) -> None:
        found = signatures(site / "reference" / "api.html")
        assert found["sidelight.fit"].startswith("sidelight.fit(model: Module |")
        assert found["sidelight.load"].startswith("sidelight.load(folder: str |")
        assert "verify: bool = False" in found["sidelight.Explainer.explain"]
        assert "epochs: float = 3" in found["sidelight.TrainingConfig"]
        assert "extra: Mapping[str, Any] = {}" in found["sidelight.TrainingConfig"]
        for page in (site / "reference").glob("api*.html"):
            shown = "".join(signatures(page).values())
            assert [word for word in ("Annotated", "<factory>", "~", "Unpack") if word in shown] == []

    def test_inner_methods_have_no_entries(self, site: Path) -> None:
        found = entries(site / "objects.inv")
        assert {
            "sidelight.Explainer.engine_of",
            "sidelight.Explainer.packing",
            "sidelight.errors.for_lines",
        } & found == set()
        assert {"sidelight.Explainer.output_dir", "sidelight.SidelightAttribution.tensors"} <= found

    def test_pages_load_nothing_from_other_machines(self, site: Path) -> None:
        loaded = re.compile(r"<(?:script|img|link|iframe)\b[^>]*(?:src|href)=\"(?:https?:)?//[^\"]*\"")
        styles = re.compile(r"(?:@import|url\()\s*['\"]?(?:https?:)?//")
        foreign = {p.name for p in site.rglob("*.html") if loaded.search(p.read_text(encoding="utf-8"))}
        foreign |= {p.name for p in site.rglob("*.css") if styles.search(p.read_text(encoding="utf-8"))}
        assert foreign == set()

    def test_the_search_knows_the_pages(self, site: Path) -> None:
        index = (site / "searchindex.js").read_text(encoding="utf-8")
        assert all(f'"{name}"' in index for name in NAVIGATION["listed"]())

    def test_side_bars_and_links_out_of_docs(self, site: Path) -> None:
        page = (site / "guides" / "live.html").read_text(encoding="utf-8")
        assert page.count('class="caption"') == len(NAVIGATION["NAVIGATION"])
        contributing = f"{LINKS['REPOSITORY']}/blob/main/CONTRIBUTING.md"
        assert contributing in (site / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("link", "complaint"), [("#a-page", ""), ("gone.md", "gone.md"), ("#gone", "'gone'")]
)
def test_a_broken_link_is_refused(link: str, complaint: str, tmp_path: Path) -> None:
    require_packages()
    docs = tmp_path / "docs"
    (docs / "_site").mkdir(parents=True)
    for name in (
        "_site/__init__.py",
        "_site/links.py",
        "_site/signatures.py",
        "_static",
        "conf.py",
        "make_site.py",
    ):
        (docs / name).symlink_to(DOCS / name)
    (docs / "_site" / "navigation.py").write_text("PARTS = {}\n\n\ndef navigation_of(page):\n    return ''\n")
    (docs / "index.md").write_text(f"# A page\n\n[a]({link})\n")
    command = [sys.executable, str(docs / "make_site.py"), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert bool(done.returncode) == bool(complaint), done.stderr
    assert complaint in done.stderr
