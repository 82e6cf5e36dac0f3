"""The widget and the page in a real browser (Chromium, by Playwright)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from PIL import Image

from face_toys import image_explainer, text_explainer
from live_browser import CHROMIUM, chromium, picture_file, served_widget, watched
from live_toys import HOSTILE, encoded, hostile_images, hostile_texts, png, promising_png
from sidelight.inputs.limits import Limits
from sidelight.lab import compare
from sidelight.live.desk import Desk
from sidelight.live.gallery import Gallery

pytest.importorskip("playwright", reason="playwright is not installed")
pytest.importorskip("anywidget", reason="the extra widget is not installed")
pytest.importorskip("gradio", reason="the extra app is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]

TEXT = "the story is charming and the film was dull"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def opened(browser: Any, address: str, **options: Any) -> Any:
    page = watched(browser, **options)
    page.goto(address)
    page.wait_for_function("window.ready")
    return page


class TestWidget:
    def test_slider_words_text_and_class(self, browser: Any) -> None:
        explainer = text_explainer()
        widget = explainer.widget(TEXT)
        with served_widget(widget) as address:
            page = opened(browser, address)
            page.locator("input[type=range]").fill("50")
            page.wait_for_function("document.querySelectorAll('.sl-gone').length === 4")
            assert widget.share == 0.5
            assert (
                f"{100 * widget.answer['probability']:.1f}\u00a0%"
                in page.locator(".sl-now[aria-live]").inner_text()
            )
            page.locator("input[type=range]").fill("100")
            page.wait_for_function("document.querySelectorAll('.sl-gone').length === 0")
            page.get_by_role("button", name="charming").click()
            page.wait_for_function("document.querySelectorAll('.sl-removed').length === 1")
            assert widget.selection["words"] == [0, 1, 2, 4, 5, 6, 7, 8]
            page.get_by_role("button", name="charming").press("Enter")  # by the keyboard it comes back
            page.wait_for_function("document.querySelectorAll('.sl-removed').length === 0")
            page.get_by_label("Text").fill("a dull film")
            page.wait_for_function("document.querySelectorAll('.sl-word').length === 3")
            assert page.get_by_role("button", name="dull").get_attribute("title").startswith("score ")
            other = next(k for k in range(3) if k != widget.explanation.prediction)
            page.get_by_label("Map of").select_option(str(other))
            page.wait_for_function(
                f"document.querySelector('.sl-head').innerText.includes('map of LABEL_{other}')"
            )
            assert widget.explanation.explained == other
            page.get_by_label("Text").fill("   ")
            page.wait_for_function("document.querySelector('.sl-error').innerText.includes('empty')")
            page.evaluate("window.clean()")
            assert page.errors == page.foreign == []

    def test_words_from_right_to_left_stand_as_in_a_text(self, browser: Any) -> None:
        """Browsers keep the order of what is no text, such as buttons: "100%" then reads "%100", and English from the right."""
        widget = text_explainer().widget("הסרט היה 100% GOOD movie !")
        with served_widget(widget) as address:
            page = opened(browser, address)
            words = page.locator(".sl-word")
            places = [
                (words.nth(i).bounding_box()["x"], words.nth(i).inner_text()) for i in range(words.count())
            ]
            seen = " ".join(word for _, word in sorted(places))
            assert seen == "! GOOD movie 100 % היה הסרט"
            words.first.focus()
            page.keyboard.press("Space")
            page.wait_for_function("document.querySelectorAll('.sl-removed').length === 1")
            assert words.first.get_attribute("aria-pressed") == "true"
            assert page.evaluate("window.scrollY") == 0
            assert page.errors == page.foreign == []

    def test_many_moves_end_at_the_last_one(self, browser: Any) -> None:
        widget = text_explainer().widget(TEXT)
        with served_widget(widget) as address:
            page = opened(browser, address)
            for share in range(95, 5, -5):
                page.locator("input[type=range]").fill(str(share))
            for _ in range(200):  # the page shows its own number at once, and the answers come later
                if widget.share == pytest.approx(0.1):
                    break
                page.wait_for_timeout(50)
            page.wait_for_function("document.querySelectorAll('.sl-gone').length === 8")
            assert widget.share == pytest.approx(0.1)

    def test_colours_show_what_speaks_for_and_against(self, browser: Any) -> None:
        widget = text_explainer().widget(TEXT)
        strengths = widget.view["word_strengths"]
        with served_widget(widget) as address:
            page = opened(browser, address)
            words = page.locator(".sl-word")

            def grounds() -> list[str]:
                return [words.nth(i).evaluate("e => e.style.backgroundColor") for i in range(words.count())]

            scores = grounds()
            page.get_by_label("Colours show").select_option("effects")
            assert page.get_by_text(widget.view["effects"]).is_visible()
            told = [re.findall(r"[\d.]+", ground) for ground in grounds()]
            for (red, _, blue, *rest), strength in zip(told, strengths, strict=True):
                assert (int(red), int(blue)) == ((255, 0) if strength >= 0 else (77, 255))
                assert float((rest or ["1"])[0]) == pytest.approx(abs(strength), abs=0.01)
            page.get_by_label("Colours show").select_option("scores")
            assert grounds() == scores
            assert page.errors == page.foreign == []

    def test_values_of_words_are_read_without_a_mouse(self, browser: Any) -> None:
        """Touch screens and screen readers show no tooltip."""
        widget = text_explainer().widget(TEXT)
        with served_widget(widget) as address:
            page = opened(browser, address)
            lines = page.locator(".sl-list li")
            page.get_by_text("Words and scores").focus()
            page.keyboard.press("Enter")
            found = widget.explanation
            told = dict(line.rsplit(" ", 1) for line in lines.all_inner_texts())
            assert told == {
                w.strip(): f"{s:.2f}" for w, s in zip(found.inputs["text"], found.scores["text"], strict=True)
            }
            page.get_by_label("Colours show").select_option("effects")
            assert page.get_by_text("Words and effects").is_visible()
            assert re.search(" [+\N{MINUS SIGN}][0-9]", lines.first.inner_text())
            page.get_by_label("Text", exact=True).fill("dull")
            page.wait_for_function("document.querySelectorAll('.sl-list li').length === 1")
            assert page.errors == page.foreign == []

    def test_the_picture_of_effects(self, browser: Any) -> None:
        widget = image_explainer().widget(Image.new("RGB", (40, 36), (200, 10, 10)))
        with served_widget(widget) as address:
            page = opened(browser, address)
            page.get_by_label("Colours show").select_option("effects")
            assert page.get_by_alt_text("effects on").get_attribute("src") == widget.view["effects_image"]
            assert page.get_by_text("For and against", exact=True).is_visible()
            page.get_by_alt_text("effects on").hover()
            assert not page.get_by_text("Score 0").count()
            assert page.errors == page.foreign == []

    def test_hovering_shows_the_value(self, browser: Any) -> None:
        widget = image_explainer().widget(Image.new("RGB", (40, 36), (200, 10, 10)))
        with served_widget(widget) as address:
            page = opened(browser, address)
            box = page.get_by_alt_text("scores for").bounding_box()
            page.mouse.move(box["x"] + box["width"] * 10.5 / 32, box["y"] + box["height"] * 20.5 / 32)
            told = page.get_by_alt_text("scores for").locator("xpath=../figcaption").inner_text()
            value = widget.explanation.map[20, 10]
            found = re.fullmatch(r"Score (\d\.\d\d) at 10, 20", told)
            assert found is not None, told
            assert float(found[1]) == pytest.approx(value, abs=0.01)
            before = page.get_by_alt_text("masked input").get_attribute("src")
            page.locator("input[type=range]").fill("20")
            page.wait_for_function(f"document.querySelector('img[alt=\"masked input\"]').src !== {before!r}")

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_nothing_is_run_and_it_fits_a_narrow_screen(self, browser: Any, scheme: str) -> None:
        widget = hostile_texts().widget(f"film {HOSTILE}")
        with served_widget(widget) as address:
            page = opened(browser, address, viewport={"width": 340, "height": 700}, color_scheme=scheme)
            page.locator("input[type=range]").fill("30")
            page.wait_for_function("document.querySelectorAll('.sl-gone').length > 0")
            assert page.evaluate("window.hacked") is None
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
            ground = page.evaluate(
                "getComputedStyle(document.querySelector('.sidelight-live')).backgroundColor"
            )
            assert (ground == "rgb(255, 255, 255)") is (scheme == "light")
            assert page.errors == page.foreign == []


@pytest.fixture(scope="module")
def app() -> Iterator[str]:
    """The address of a page with hostile names, as people would start it."""
    from sidelight.live.page import make_page

    texts, images = hostile_texts(), hostile_images()
    galleries = {f"texts {HOSTILE}": Gallery(texts, [f"a film {HOSTILE}", "a dull film"])}
    limits = Limits(pixels=1_000_000)  # a browser takes long to draw what is too large for the usual limit
    desk = Desk({f"texts {HOSTILE}": texts, "images": images}, galleries, compare, limits)
    page = make_page(desk, HOSTILE)
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True)
    assert address.startswith("http://127.0.0.1:")
    yield address
    page.close()
    desk.close()


class TestPage:
    def test_a_text_by_the_keyboard_alone(self, browser: Any, app: str) -> None:
        page = watched(browser)
        page.goto(app)
        page.get_by_label("Text").focus()
        page.keyboard.insert_text(f"a film {HOSTILE}")
        page.wait_for_selector(".sl-verdict")
        page.locator("input[type=range]").focus()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Tab")  # back by the keyboard, and seen to be there
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        assert page.evaluate("document.activeElement.type") == "range"
        for _ in range(3):
            page.keyboard.press("ArrowLeft")
        page.wait_for_function("document.querySelector('#sl-left').innerText.includes('best 97%')")
        for share in range(90, 20, -5):  # of many moves the last one counts
            page.locator("input[type=range]").fill(str(share))
        page.wait_for_function("document.querySelector('#sl-left').innerText.includes('best 25%')")
        page.get_by_role("button", name="Is this map right?").press("Enter")
        page.get_by_role("button", name="Measure this map").press("Enter")
        page.wait_for_selector(".sl-table table")
        page.get_by_role("button", name="Examples").click()
        page.get_by_role("button", name="Show the examples").click()
        page.wait_for_selector(".sl-example")
        assert page.locator(".sl-example").count() == 2
        assert page.evaluate("window.hacked") is None
        assert page.errors == page.foreign == []

    def test_uploads(self, browser: Any, app: str, tmp_path: Path) -> None:
        page = watched(browser)
        page.goto(app)
        page.get_by_label("Run").click()
        page.get_by_role("option", name="images").click()
        field = page.locator("input[type=file]").first
        field.wait_for(state="attached")
        hostile = "<img src=x onerror=window.hacked=1>.png"
        field.set_input_files(picture_file(tmp_path, hostile, png()))
        page.wait_for_selector("#sl-map img")
        assert page.locator("#sl-map img").count() == 3 + 2
        for name, content, said in (
            ("large.png", encoded(Image.new("1", (2000, 2000)), "PNG"), "more than the limit of 1,000,000"),
            ("bomb.png", promising_png(60_000, 60_000), "bytes"),
            ("page.png", b"<html><script>window.hacked=1</script>", "it is a web page"),
        ):
            page.get_by_label("Remove Image").click()
            page.locator("input[type=file]").first.set_input_files(picture_file(tmp_path, name, content))
            page.wait_for_function(f"document.querySelector('#sl-message').innerText.includes('{said}')")
        assert page.evaluate("window.hacked") is None
        assert page.foreign == []

    def test_a_path_that_a_program_sends_is_not_opened(self, app: str, tmp_path: Path) -> None:
        place = picture_file(tmp_path, "photo.png", png())
        file = {"path": place, "meta": {"_type": "gradio.FileData"}}
        data = ["images", file, "", "", "", "zero", 100, None]
        call = f"{app}gradio_api/call/explained"
        with urlopen(
            Request(call, json.dumps({"data": data}).encode(), {"Content-Type": "application/json"})
        ) as told:
            event = json.loads(told.read())["event_id"]
        with urlopen(f"{call}/{event}") as told:
            answer = told.read().decode()
        assert "event: error" in answer
        assert "data:image" not in answer

    def test_every_field_has_a_name(self, browser: Any, app: str) -> None:
        page = watched(browser)
        page.goto(app)
        page.get_by_label("Text").wait_for()
        unnamed = page.evaluate(
            "[...document.querySelectorAll('input, textarea, select')].filter(e => e.offsetParent && e.type !== 'file'"
            " && !e.labels?.length && !e.ariaLabel && !e.getAttribute('aria-labelledby')).map(e => e.outerHTML)"
        )
        assert unnamed == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_it_fits_a_narrow_screen(self, browser: Any, app: str, scheme: str) -> None:
        page = watched(browser, viewport={"width": 360, "height": 740}, color_scheme=scheme)
        page.goto(app)
        page.get_by_label("Text").fill("a dull film")
        page.get_by_role("button", name="Explain").click()
        page.wait_for_selector(".sl-verdict")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.evaluate("document.body.classList.contains('dark')") is (scheme == "dark")
