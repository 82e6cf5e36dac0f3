"""A fragment of HTML as a page of its own."""

from __future__ import annotations

import html

from sidelight.core.ownership import HTML_MARK


def whole_page(title: str, fragment: str) -> str:
    """A page that looks like its reader's other pages: dark if the reader's system is.

    Args:
        title: of the window (escaped here).
        fragment: HTML that needs no style sheet.
    """
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{HTML_MARK}<title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark"></head>'
        f'<body style="margin:24px">{fragment}</body></html>\n'
    )
