"""The page in a browser, built with Gradio (the extra ``app``). What it does is in :mod:`sidelight.live.desk`.

Gradio would open an upload itself. Here the field gives the file's content, and our limits decide before anything is decoded.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from sidelight.core.addresses import listening_socket
from sidelight.live.desk import METHODS, Desk, Shown
from sidelight.live.gallery import ORDERS
from sidelight.viz.safe_text import visible

#: seconds between two looks for old files, and their age when they go
FILES_GO = (600, 3600)
#: address that is served unless another one is asked for: this machine only
HOST = "127.0.0.1"
#: first choices of the two lists of classes
USUAL, NONE = "the predicted class", "no other class"
CSS = Path(__file__).with_name("page.css")


class _Places(NamedTuple):
    """The fields of the page."""

    run: Any
    picture: Any
    text: Any
    target: Any
    versus: Any
    fill: Any
    share: Any
    token: Any
    explain: Any
    message: Any
    verdict: Any
    map: Any
    left: Any
    certificate: Any
    rivals: Any

    @property
    def shown(self) -> list[Any]:
        """Where the parts of an answer go, in the order of :func:`_values`."""
        return [
            self.verdict,
            self.map,
            self.left,
            self.certificate,
            self.rivals,
            self.message,
            self.token,
            self.text,
            self.picture,
        ]


def make_page(desk: Desk, title: str = "sidelight") -> gr.Blocks:
    """A page for the runs of ``desk``.

    Args:
        desk: answers everything.
        title: of the page.

    Returns:
        The page. Its ``launch()`` serves it on :data:`HOST`, without a public address and without reports to others. All of
        this can be changed by the arguments of ``launch``.

    Example:
        >>> page = make_page(Desk({"films": explainer}))
        >>> page.launch()  # doctest: +SKIP
    """
    with gr.Blocks(title=visible(title), analytics_enabled=False, delete_cache=FILES_GO) as page:
        gr.Markdown(f"# {_plain(title)}", elem_id="sl-title")
        places = _main(desk)
        _more(desk, places)
        _connect(desk, places)
    settings: dict[str, Any] = {
        "server_name": HOST,
        "share": False,
        "theme": gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        "css_paths": CSS,
        "max_file_size": desk.limits.bytes,
        "ssr_mode": False,
        "run_history": False,
        "footer_links": [],
    }
    page.launch = partial(_launched, page.launch, **settings)
    return page


def _launched(launch: Callable[..., Any], /, *args: Any, **given: Any) -> Any:
    """Call ``launch``. A wrong address is told first, because gradio would try a hundred ports of it.

    Raises:
        ConfigError: the address is taken, or is not of this machine.
    """
    listening_socket((given["server_name"] or HOST).strip("[]"), given.get("server_port") or 0).close()
    return launch(*args, **given)


# -- fields ---------------------------------------------------------------------------------


def _main(desk: Desk) -> _Places:
    """What is given and chosen on the left, and what is told on the right."""
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            run, picture, text = _given(desk)
            explain = gr.Button("Explain", variant="primary")
            message = gr.HTML(elem_id="sl-message")
        with gr.Column(scale=3, min_width=280):
            verdict, shown = gr.HTML(elem_id="sl-verdict"), gr.HTML(elem_id="sl-map")
    with gr.Row():  # a row of its own, so that on a narrow screen the slider stands beside what it changes
        with gr.Column(scale=2, min_width=280):
            target, versus, share, fill = _choices(desk)
        with gr.Column(scale=3, min_width=280):
            left = gr.HTML(elem_id="sl-left")
    certificate, rivals = (gr.HTML(elem_id=f"sl-{name}", render=False) for name in ("certificate", "rivals"))
    return _Places(
        *(run, picture, text, target, versus, fill, share, gr.State(""), explain, message),
        *(verdict, shown, left, certificate, rivals),
    )


def _given(desk: Desk) -> tuple[Any, Any, Any]:
    first = desk.runs[0]
    reads = desk.modalities(first)
    run = gr.Dropdown(desk.runs, value=first, label="Run", visible=len(desk.runs) > 1)
    picture = upload_field(desk.limits.bytes)(
        label="Image",
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard"],
        format="png",
        height=220,
        visible="image" in reads,
    )
    hint = "Type or paste a text"
    text = gr.Textbox(label="Text", lines=3, max_lines=8, visible="text" in reads, placeholder=hint)
    return run, picture, text


def _choices(desk: Desk) -> tuple[Any, Any, Any, Any]:
    classes, fills = desk.classes(desk.runs[0]), desk.fills(desk.runs[0])
    several = len(classes) > 1
    return (
        gr.Dropdown([(USUAL, ""), *classes], value="", label="Map of", visible=several),
        gr.Dropdown([(NONE, ""), *classes], value="", label="and not of", visible=several),
        gr.Slider(0, 100, value=100, step=1, label="Keep the best (per cent)"),
        gr.Dropdown(fills, value=fills[0], label="Stands in for what is removed"),
    )


def _more(desk: Desk, at: _Places) -> None:
    """The parts that cost more, each on demand."""
    with gr.Accordion("Is this map right?", open=False):
        gr.Markdown(
            "Keeps and removes what the map shows, and asks the classifier each time: about 90 passes."
        )
        certify = gr.Button("Measure this map")
        at.certificate.render()
    with gr.Accordion("Other methods", open=False):
        methods = gr.CheckboxGroup(list(METHODS), value=["occlusion"], label="Methods")
        beside = gr.Button("Show them beside this map")
        at.rivals.render()
    with gr.Accordion("Examples", open=False):
        order = gr.Radio(list(ORDERS), value="worst first", label="Order")
        look = gr.Button("Show the examples")
        chosen = gr.Dropdown([], label="Open an example", visible=False)
        gallery = gr.HTML()
    with gr.Accordion("Download", open=False):
        make = gr.Button("Make PNG, SVG, HTML and JSON")
        files = gr.File(label="Files", file_count="multiple", interactive=False)

    def listed(run: str, order: str) -> tuple[str, Any]:
        shown, choices = desk.examples(run, order)
        return shown, gr.update(choices=choices, value=None, visible=bool(choices))

    def opened(run: str, number: str | None, *given: Any) -> list[Any]:
        target, versus, fill, share, token = given
        if not number:
            return _values(Shown())
        return _values(desk.example(run, int(number), target, versus, fill, share / 100, token))

    certify.click(lambda token: _values(desk.certify(token)), at.token, at.shown)
    beside.click(lambda token, names: _values(desk.rivals(token, names)), [at.token, methods], at.shown)
    look.click(listed, [at.run, order], [gallery, chosen])
    order.input(listed, [at.run, order], [gallery, chosen])
    asked = [at.target, at.versus, at.fill, at.share, at.token]
    chosen.input(opened, [at.run, chosen, *asked], at.shown)
    make.click(desk.files, at.token, files)


def _connect(desk: Desk, at: _Places) -> None:
    """What the main fields do."""

    def explained(*given: Any) -> list[Any]:
        run, picture, text, target, versus, fill, share, token = given
        return _values(desk.open(run, picture, text, target, versus, fill, share / 100, token))

    def typed(*given: Any) -> list[Any]:
        run, picture, text, *more, share, token = given
        return _values(desk.typed(run, picture, text, *more, share / 100, token))

    given = [at.run, at.picture, at.text, at.target, at.versus, at.fill, at.share, at.token]
    # past Gradio's queue, which takes longer than a small model
    quick: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last", "queue": False}
    at.explain.click(explained, given, at.shown)
    at.text.submit(explained, given, at.shown)
    # `change` and not `input`, which does not see a text that is pasted
    at.text.change(typed, given, at.shown, **quick)
    at.picture.upload(explained, given, at.shown)
    at.share.input(
        lambda token, share: _values(desk.keep(token, share / 100)), [at.token, at.share], at.shown, **quick
    )
    at.fill.input(lambda token, fill: _values(desk.fill(token, fill)), [at.token, at.fill], at.shown, **quick)
    for chooser in (at.target, at.versus):
        chooser.input(
            lambda token, target, versus: _values(desk.ask(token, target, versus)),
            [at.token, at.target, at.versus],
            at.shown,
        )
    at.run.input(
        partial(_other_run, desk),
        at.run,
        [at.picture, at.text, at.target, at.versus, at.fill, *at.shown[:-2]],
    )


def _other_run(desk: Desk, run: str) -> list[Any]:
    """The fields of another run, with nothing explained yet."""
    reads, classes = desk.modalities(run), desk.classes(run)
    several = len(classes) > 1
    return [
        gr.update(visible="image" in reads, value=None),
        gr.update(visible="text" in reads),
        gr.update(choices=[(USUAL, ""), *classes], value="", visible=several),
        gr.update(choices=[(NONE, ""), *classes], value="", visible=several),
        gr.update(choices=desk.fills(run), value=desk.fills(run)[0]),
        *("", "", "", "", "", "", ""),
    ]


def _values(shown: Shown) -> list[Any]:
    """One value for each place of :attr:`_Places.shown`."""
    parts = (shown.verdict, shown.map, shown.left, shown.certificate, shown.rivals)
    kept = [gr.skip() if part is None else part for part in parts]
    return [
        *kept,
        shown.message,
        shown.token or gr.skip(),
        gr.skip() if shown.text is None else shown.text,
        gr.skip() if shown.picture is None else shown.picture,
    ]


def upload_field(most: int) -> type:
    """A field for pictures that gives the content of the file and opens nothing.

    It is a class, because Gradio makes a field anew at each update, and would lose what was set on the field itself. It is made
    past Gradio's own metaclass, which would write a file with type hints beside this module.

    Args:
        most: bytes that are read, and one more.
    """
    members = {
        "__module__": __name__,
        "__doc__": gr.Image.__doc__,
        "is_template": True,  # the browser draws it as the field that it is derived from
        "preprocess": lambda self, payload: content_of(most, payload),
    }
    return ABCMeta.__new__(type(gr.Image), "Upload", (gr.Image,), members)


def content_of(most: int, payload: Any) -> bytes | None:
    """The content of an uploaded file, at most one byte more than ``most``, so that a larger one is refused later.

    Args:
        payload: of Gradio's field, which has checked that its path lies in the folder of uploads.
    """
    path = getattr(payload, "path", None)
    if not path:
        return None
    with Path(path).open("rb") as file:
        return file.read(most + 1)


def _plain(title: str) -> str:
    """``title`` without anything that Markdown or HTML would act on."""
    return "".join(c if c.isalnum() or c in " .,-_:/" else f"&#{ord(c)};" for c in visible(title))
