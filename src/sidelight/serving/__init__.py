"""Explainers behind HTTP: verdicts and maps for other programs, in batches, with limits and metrics.

:func:`app` makes an ASGI application, which any server runs. :func:`opened` does the same from folders, in the process that
serves. Both need the extra ``serve``, which is imported only if one of them is called.
"""

from sidelight.serving.building import app, opened
from sidelight.serving.settings import ServeOptions

__all__ = ["ServeOptions", "app", "opened"]
