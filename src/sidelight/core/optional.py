"""Packages that come with an extra only, e.g. ``pip install 'sidelight[lab]'``."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from sidelight.errors import MissingPackageError

#: names under which packages are installed, if they differ from those under which they are imported
_INSTALLED = {
    "myst_parser": "myst-parser",
    "prometheus_client": "prometheus-client",
    "python_multipart": "python-multipart",
    "sklearn": "scikit-learn",
    "sphinx_copybutton": "sphinx-copybutton",
    "yaml": "pyyaml",
}


def optional(module: str, use: str, extra: str = "lab") -> Any:
    """Import ``module``.

    Args:
        module: its name.
        use: the beginning of the error's sentence, e.g. "reading CSV files".
        extra: that brings it.

    Raises:
        MissingPackageError: it is not installed.
    """
    require([module], use, extra)
    return import_module(module)


def require(modules: Iterable[str], use: str, extra: str = "lab") -> None:
    """Raise :class:`MissingPackageError` unless all ``modules`` are installed; nothing is imported."""
    missing = [_INSTALLED.get(name, name) for name in modules if find_spec(name) is None]
    if missing:
        raise MissingPackageError(
            f"{use} needs {', '.join(missing)}, not installed here. Install with: pip install 'sidelight[{extra}]'"
        )
