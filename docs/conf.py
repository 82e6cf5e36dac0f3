"""Settings of the documentation's site, which `make docs` builds.

The generator is Sphinx with the theme Furo. MkDocs was tried first: version 1 is no longer maintained, and its theme
Material reaches its end of life in May 2027. The site needs no network, neither to be built nor to be read.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent / "src")]

from _site.links import REPOSITORY, on_the_site  # noqa: E402
from _site.navigation import PARTS, navigation_of  # noqa: E402
from _site.signatures import readable  # noqa: E402

from sidelight.core.version import __version__  # noqa: E402

project = "sidelight"
author = "The sidelight developers"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_*", *PARTS]
source_suffix = {".md": "markdown"}

# the anchors that GitHub gives headings, as pages link to them
myst_heading_anchors = 6
myst_enable_extensions = ["fieldlist"]

default_role = "code"
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
# the prompt of examples is no part of what a reader copies
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = f"sidelight {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "source_repository": f"{REPOSITORY}/",
    "source_branch": "main",
    "source_directory": "docs/",
    "top_of_page_buttons": ["view"],
}
pygments_style, pygments_dark_style = "friendly", "native"


def prepare(app: Any, docname: str, source: list[str]) -> None:
    """Give a page the part of the navigation below it, and links that hold on the site."""
    page = DOCS / f"{docname}.md"
    source[0] = on_the_site(source[0], page, DOCS, PARTS) + navigation_of(docname)


def setup(app: Any) -> None:
    """Register what pages go through before they are parsed, and what signatures do."""
    app.connect("source-read", prepare)
    app.connect("autodoc-process-signature", readable)
