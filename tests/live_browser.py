"""A browser for tests of pages, and a stand-in for a notebook: it shows a widget and carries its traits to Python."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

#: a model as anywidget gives it to a view: changes go to Python by a request, and the answer holds what changed
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>widget</title><link rel="stylesheet" href="/widget.css"><body style="margin:12px"><div id="out"></div>
<script type="module">
import view from "/widget.js";
const state = await (await fetch("/state")).json();
const listeners = {};
let changed = {};
const model = {
  get: (name) => state[name],
  set: (name, value) => { state[name] = value; changed[name] = value; },
  on: (event, call) => { (listeners[event] ??= new Set()).add(call); },
  off: (event, call) => { listeners[event]?.delete(call); },
  save_changes: async () => {
    const body = JSON.stringify(changed);
    changed = {};
    const news = await (await fetch("/set", { method: "POST", body })).json();
    const names = Object.keys(news).filter((n) => JSON.stringify(news[n]) !== JSON.stringify(state[n]));
    Object.assign(state, Object.fromEntries(names.map((n) => [n, news[n]])));
    for (const n of names) for (const call of listeners[`change:${n}`] ?? []) call();
  },
};
window.clean = view.render({ model, el: document.getElementById("out") });
window.ready = true;
</script></body></html>"""
TRAITS = (
    "view",
    "answer",
    "share",
    "removed",
    "text",
    "target",
    "versus",
    "fill",
    "fills",
    "longest",
    "error",
)


class Notebook(BaseHTTPRequestHandler):
    """Serves one widget."""

    widget: Any = None

    def do_GET(self) -> None:
        from sidelight.live.widget import FOLDER

        if self.path in ("/widget.js", "/widget.css"):
            kind = "text/javascript" if self.path.endswith("js") else "text/css"
            self._send((FOLDER / self.path[1:]).read_bytes(), kind)
        elif self.path == "/state":
            self._send(json.dumps(self._state()).encode(), "application/json")
        else:
            self._send(PAGE.encode(), "text/html")

    def do_POST(self) -> None:
        changes = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for name, value in changes.items():
            setattr(self.widget, name, value)
        self._send(json.dumps(self._state()).encode(), "application/json")

    def _state(self) -> dict[str, Any]:
        return {name: getattr(self.widget, name) for name in TRAITS}

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served_widget(widget: Any) -> Iterator[str]:
    """The address of a page that shows ``widget``."""
    handler = type("Handler", (Notebook,), {"widget": widget})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def watched(browser: Any, **options: Any) -> Any:
    """A page that notes errors of scripts, and requests to other machines, in ``page.errors`` and ``page.foreign``."""
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(10_000)
    page.errors, page.foreign = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda r: page.foreign.append(r.url) if not _is_own(r.url) else None)
    return page


def _is_own(address: str) -> bool:
    return address.startswith(("http://127.0.0.1", "http://localhost", "data:", "blob:", "about:"))


def picture_file(folder: Path, name: str, content: bytes) -> str:
    """A file of this name and content."""
    (folder / name).write_bytes(content)
    return str(folder / name)
