"""Make the pictures of docs/guides/live.md: the widget and the page in Chromium, light, dark and on a narrow screen.

    PYTHONPATH=tests:examples python docs/make_live_images.py

It needs the extras ``widget`` and ``app``, playwright, and Chromium.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny import image_explainer, pictures, text_explainer, texts

from live_browser import chromium, served_widget, watched
from sidelight.lab import compare
from sidelight.live.desk import Desk
from sidelight.live.gallery import Gallery
from sidelight.live.page import make_page

FOLDER = Path(__file__).parent / "images"
#: name of a picture -> width of the screen, and its colours
SCREENS = {"light": (1100, "light"), "dark": (1100, "dark"), "narrow": (390, "light")}
#: colours of a picture file, so that it stays small
COLOURS = 128


def shoot(page: Any, name: str, whole: Any = None) -> None:
    """Write a picture of the page, or of one element on it."""
    from PIL import Image

    path = FOLDER / f"{name}.png"
    (whole or page).screenshot(path=path, **({} if whole else {"full_page": True}))
    with Image.open(path) as image:
        image.convert("RGB").quantize(COLOURS).save(path, optimize=True)
    print(path, path.stat().st_size)


def of_widget(browser: Any, explainers: tuple[Any, Any]) -> None:
    """The widget on a text, and dark on a picture."""
    words, squares = explainers
    for name, (width, scheme) in SCREENS.items():
        picture = pictures(3, seed=5)[1]["image"]
        widget = (
            squares.widget(picture)
            if name == "dark"
            else words.widget("the story was very charming but the film is rather dull")
        )
        with served_widget(widget) as address:
            page = watched(browser, viewport={"width": min(width, 800), "height": 700}, color_scheme=scheme)
            page.goto(address)
            page.wait_for_function("window.ready")
            page.locator("input[type=range]").fill("30")
            page.locator("input[type=range]").blur()
            page.wait_for_timeout(600)
            shoot(page, f"widget-{name}", page.locator(".sidelight-live"))


def of_page(browser: Any, explainers: tuple[Any, Any]) -> None:
    """The page: a text, dark the examples of pictures, narrow a text."""
    words, squares = explainers
    galleries = {"films": Gallery(words, texts(6, seed=3)), "squares": Gallery(squares, pictures(6, seed=3))}
    desk = Desk({"films": words, "squares": squares}, galleries, compare)
    _, address, _ = make_page(desk).launch(prevent_thread_lock=True, quiet=True)
    for name, (width, scheme) in SCREENS.items():
        page = watched(browser, viewport={"width": width, "height": 800}, color_scheme=scheme)
        page.goto(address)
        page.get_by_label("Text").wait_for()
        if name == "dark":
            page.get_by_label("Run").click()
            page.get_by_role("option", name="squares").click()
            page.get_by_role("button", name="Examples").click()
            page.get_by_role("button", name="Show the examples").click()
            page.wait_for_selector(".sl-example")
            page.get_by_label("Open an example").click()
            page.get_by_role("option").nth(3).click()
        else:
            page.get_by_label("Text").fill("the story was very charming")
            page.get_by_role("button", name="Explain").click()
        page.wait_for_selector(".sl-verdict")
        page.locator("input[type=range]").fill("20")
        page.wait_for_function("document.querySelector('#sl-left').innerText.includes('20%')")
        if name == "light":
            page.get_by_role("button", name="Is this map right?").click()
            page.get_by_role("button", name="Measure this map").click()
            page.wait_for_selector(".sl-table table")
            page.get_by_role("button", name="Other methods").click()
            page.get_by_role("button", name="Show them beside").click()
            page.wait_for_function("document.body.innerText.includes('kept, zero')")
        page.mouse.move(0, 0)
        page.wait_for_timeout(700)
        shoot(page, f"app-{name}")
    desk.close()


def main() -> None:
    """Fit two small explainers, and take all pictures."""
    explainers = text_explainer(), image_explainer()
    with chromium() as browser:
        of_widget(browser, explainers)
        of_page(browser, explainers)


if __name__ == "__main__":
    main()
