"""Twenty hostile uploads and texts: each is refused with a message, or shown as plain text and pixels."""

from __future__ import annotations

import io
import os
import time
import zipfile
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_toys import pair_explainer
from live_toys import HOSTILE, SIGNS, encoded, hostile_images, hostile_texts, png, promising_png
from sidelight import Explainer
from sidelight.inputs.limits import Limits
from sidelight.live.desk import Desk, Shown
from sidelight.live.gallery import Gallery
from sidelight.viz.safe_text import visible

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>window.hacked=1</script></svg>'
PAGE = b"<!DOCTYPE html><script>window.hacked=1</script>"


@pytest.fixture(scope="module")
def desk() -> Desk:
    explainers = {"texts": hostile_texts(), "images": hostile_images(), "pairs": pair_explainer()}
    return Desk(explainers, {"texts": Gallery(explainers["texts"], [HOSTILE, "a film"])})


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as inside:
        inside.writestr("run.js", "window.hacked=1")
    return file.getvalue()


def animated(frames: int) -> bytes:
    first, *more = [Image.new("L", (64, 64), i % 255) for i in range(frames)]
    return encoded(first, "GIF", save_all=True, append_images=more)


#: refused: the content of an upload, and the words that say why
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "100 megapixels": (lambda: encoded(Image.new("1", (10_000, 10_000)), "PNG"), "more than the limit of"),
    "a decompression bomb": (lambda: promising_png(60_000, 60_000), "cannot read|more than the limit of"),
    "a flat bomb": (lambda: promising_png(1, 2**31 - 1), "cannot read|more than the limit of"),
    "a cut picture": (lambda: png()[:200], "cannot read"),
    "a page named as a picture": (lambda: PAGE, "it is a web page"),
    "an SVG with a script": (lambda: SVG, "it is an SVG drawing"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0\n(r) file", "it is PostScript"),
    "a PDF with a picture behind it": (lambda: b"%PDF-1.7\n" + png(), "it is a PDF"),
    "an archive": (archive, "no known format"),
    "a program": (lambda: b"\x7fELF" + bytes(200), "no known format"),
    "a path as content": (lambda: b"/etc/passwd", "no known format"),
    "a large file": (lambda: png() + bytes(21 * 2**20), "more than the limit of 20,971,520"),
    "nothing": (lambda: b"", "there is no picture"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_uploads_that_are_refused(desk: Desk, name: str) -> None:
    content, said = REFUSED[name]
    start = time.perf_counter()
    found = desk.open("images", content(), None)
    assert any(words in found.message for words in said.split("|")), found.message
    assert found.map is None
    assert time.perf_counter() - start < 5
    assert_neutral(found)


#: shown as pixels: the content of an upload, and what hides in it
HARMLESS: dict[str, Callable[[], bytes]] = {
    "a picture with a page behind it": lambda: png() + PAGE,
    "a picture with an archive behind it": lambda: png() + archive(),
    "a JPEG with a script in its comment": lambda: encoded(
        Image.new("RGB", (40, 36)), "JPEG", comment=b"<script>window.hacked=1</script>"
    ),
    "an animation": lambda: animated(500),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_uploads_of_which_only_pixels_are_left(desk: Desk, name: str) -> None:
    found = desk.open("images", HARMLESS[name](), None)
    assert found.message == ""
    assert str(found.map).count("<img") == 3 + 2
    assert_neutral(found)


def test_a_path_is_never_opened(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").write_bytes(png())
    for path in (str(tmp_path / "photo.png"), tmp_path / "photo.png", {"path": str(tmp_path / "photo.png")}):
        found = desk.open("images", path, None)  # type: ignore[arg-type]
        assert "there is no picture" in found.message
    named = desk.open("texts", None, "photo.png")
    assert "photo" in str(named.map)  # the name itself is the text
    assert "root:" not in str(desk.open("texts", None, "/etc/passwd").map)


def test_a_text_of_five_megabytes(desk: Desk) -> None:
    start = time.perf_counter()
    found = desk.open("texts", None, "film " * 2**20)
    assert "5,242,880 characters, more than the limit of 20,000" in found.message
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE,
        "<script>window.hacked=1</script> a film",
        '"><svg/onload=window.hacked=1> film',
        "javascript:window.hacked=1",
        "\x1b]0;hacked\x07\x1b[2J film",
        "film \u202e gnp.exe \u2066 \ufeff\u200b",
        "null \0 film",
        "half \ud800 film",
        "{{7*7}} ${7*7} <%= 7*7 %> $\\frac{1}{0}$ film",
        "\u0300" * 5000 + "film",
    ],
    ids=range(10),
)
def test_texts_are_shown_and_not_run(desk: Desk, text: str) -> None:
    found = desk.open("texts", None, text)
    assert_neutral(found)
    if not found.message:
        assert_neutral(desk.keep(found.token, 0.5))
        assert_neutral(desk.ask(found.token, "1", None))
        for file in desk.files(found.token):
            content = Path(file).read_bytes()
            assert not file.endswith(".html") or not any(sign.encode() in content for sign in SIGNS)


def test_captions_and_labels_of_a_gallery(desk: Desk) -> None:
    shown, choices = desk.examples("texts", "worst first")
    assert_neutral(Shown(map=shown))
    assert not any(sign in caption for caption, _ in choices for sign in ("\x1b", "\u202e"))


def test_file_names_reach_no_message(tmp_path: Path, desk: Desk) -> None:
    name = tmp_path / "a<script>window.hacked=1<\x1b[31m.png"
    try:
        name.write_bytes(b"no picture")
    except OSError:
        pytest.skip("this disk has no such names")
    assert_neutral(desk.open("images", name.read_bytes(), None))


def test_own_limits(tmp_path: Path) -> None:
    desk = Desk({"images": hostile_images()}, limits=Limits(pixels=1000, bytes=10_000))
    assert "limit of 1,000 in all" in desk.open("images", png((40, 36)), None).message
    assert "limit of 10,000" in desk.open("images", png((90, 90)), None).message
    assert desk.open("images", png((30, 30)), None).message == ""


def test_the_environment_may_be_stricter(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
    monkeypatch.setenv("SIDELIGHT_MAX_PIXELS", "100")
    assert "limit of 100 in all" in desk.open("images", png(), None).message


def test_refusing_takes_little_memory(desk: Desk) -> None:
    import psutil

    process = psutil.Process(os.getpid())
    content = encoded(Image.new("RGB", (10_000, 10_000)), "PNG")  # 300 MB if it is decoded
    before = process.memory_info().rss
    assert "10000×10000 pixels" in desk.open("images", content, None).message
    assert process.memory_info().rss - before < 50 * 2**20


def test_pixels_survive(desk: Desk) -> None:
    pixels = np.full((36, 40, 3), 200, dtype=np.uint8)
    assert Limits().picture(encoded(Image.fromarray(pixels), "PNG")).getpixel((3, 3)) == (200, 200, 200)


class Tags(HTMLParser):
    """Every tag and attribute of a fragment."""

    def __init__(self, fragment: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(fragment)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


ALLOWED = {
    *(
        "section",
        "h3",
        "b",
        "div",
        "span",
        "p",
        "img",
        "figure",
        "figcaption",
        "table",
        "caption",
        "thead",
        "tbody",
    ),
    *("tr", "th", "td", "strong", "details", "summary", "ol", "li", "bdi"),
}


def assert_neutral(shown: Shown) -> None:
    """No fragment holds a tag or an attribute that came from outside, or a character that steers a reader."""
    for part in (shown.verdict, shown.map, shown.left, shown.certificate, shown.rivals, shown.message):
        fragment = str(part or "")
        found = Tags(fragment)
        assert found.tags <= ALLOWED
        assert not [name for name, _ in found.attributes if name.startswith("on")]
        assert all(
            (value or "").startswith("data:image/") for name, value in found.attributes if name == "src"
        )
        assert fragment == visible(fragment)


def test_the_check_itself_finds_harm() -> None:
    for bad in ("<script>1</script>", '<img src="http://x">', "<b onclick=1>", "a\x1b[31m"):
        with pytest.raises(AssertionError):
            assert_neutral(Shown(map=bad))


@pytest.fixture(scope="module", autouse=True)
def unharmed() -> object:
    """Nothing of this module makes a file where it runs."""
    before = set(os.listdir())
    yield
    assert set(os.listdir()) == before


def test_explainers_are_hostile(desk: Desk) -> None:
    own: Explainer = desk.explainers["texts"]  # type: ignore[assignment]
    assert all(HOSTILE in name for name in own.target.id2label.values())
