"""Makes the application from explainers or from folders, and serves it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sidelight.core.guard import public
from sidelight.core.optional import require
from sidelight.core.version import __version__
from sidelight.errors import ConfigError, InputTypeError
from sidelight.serving.settings import ServeOptions

if TYPE_CHECKING:
    from fastapi import FastAPI

    from sidelight.explainer import Explainer

#: packages of the extra
PACKAGES = ("fastapi", "starlette", "uvicorn", "python_multipart", "prometheus_client")


@public
def app(explainers: Mapping[str, Explainer], options: ServeOptions | None = None) -> FastAPI:
    """An ASGI application that answers POST /explain, POST /classify, GET /health, GET /metrics and GET /docs.

    Any ASGI server runs it: uvicorn, Hypercorn, Ray Serve. Each explainer has one thread, which begins with the first request.

    Args:
        explainers: name -> explainer, at least one. Requests choose one by its name, and need not if there is only one.
        options: limits, batches and token.

    Raises:
        ConfigError: there are no explainers, a name is empty, or the token is missing.
        InputTypeError: an explainer is something else.
        MissingPackageError: the extra ``serve`` is not installed.

    Example:
        >>> import sidelight.serving
        >>> service = app({"films": explainer})
        >>> uvicorn.run(service, host="127.0.0.1", port=8000)      # doctest: +SKIP
    """
    require(PACKAGES, "the service", "serve")
    if not isinstance(explainers, Mapping) or not explainers:
        raise ConfigError("the service needs explainers by name, e.g. {'films': explainer}; got none.")
    for name, own in explainers.items():
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"an explainer's name must be a text; got {name!r:.60}.")
        if not hasattr(own, "explain") or not hasattr(own, "target"):
            raise InputTypeError(f"{name!r:.60} must be an Explainer; got {type(own).__name__}.")
    from sidelight.serving.routes import make_app

    return make_app(dict(explainers), options or ServeOptions(), __version__)


@public
def opened(
    folders: Mapping[str, str | os.PathLike[str]],
    options: ServeOptions | None = None,
    open_one: Callable[[Any], Explainer] | None = None,
) -> FastAPI:
    """:func:`app` from saved scorers. They are loaded in the process that calls it, so nothing large has to be sent there.

    Args:
        folders: name -> folder of ``save_pretrained``, or its id on the hub.
        options: as for :func:`app`.
        open_one: makes the explainer of a folder. Default: :func:`sidelight.load`.

    Raises:
        CheckpointError: a folder holds no scorer.
        ConfigError, MissingPackageError: as :func:`app`.

    Example:
        >>> import functools
        >>> make = functools.partial(opened, {"films": "my-scorer"})  # plain data, which any process can be sent
    """
    from sidelight.explainer import Explainer

    return app({name: (open_one or Explainer.from_pretrained)(f) for name, f in folders.items()}, options)
