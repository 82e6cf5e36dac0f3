"""Errors as a caller over HTTP gets them: a status, and JSON with a kind, a message and advice. Never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from sidelight.errors import (
    ConfigError,
    InputError,
    InputTypeError,
    NotFiniteError,
    SidelightError,
    UnexpectedError,
    for_terminal,
)

log = logging.getLogger(__name__)

#: kind -> the status that it is answered with, and what a caller can do
KINDS: Mapping[str, tuple[int, str]] = {
    "body": (400, "Send a JSON object, or a form. /docs shows one of each."),
    "field": (422, "Look at the fields in /docs, and send the request again."),
    "input": (422, "Send another input. GET /health names what each model reads."),
    "option": (422, "Choose another value. GET /health names the models and their classes."),
    "not_finite": (422, "Send another input. If all inputs give this, the model itself is damaged."),
    "token": (401, "Send the header 'Authorization: Bearer' with the token of this service."),
    "not_found": (404, "Use POST /explain, POST /classify, GET /health or GET /metrics."),
    "method": (405, "Use POST for /explain and /classify, and GET for the others."),
    "slow": (408, "Send the body faster, or send less."),
    "too_large": (413, "Send a smaller picture or fewer texts, or start the service with larger limits."),
    "media_type": (415, "Send application/json or multipart/form-data."),
    "overload": (429, "Send the request again after the seconds of the header Retry-After."),
    "internal": (
        500,
        "Nothing is wrong with the request. Tell whoever runs the service to look into its log.",
    ),
    "stopping": (503, "The service stops. Send the request again when it runs, or to another one."),
    "timeout": (504, "Send fewer inputs, leave verify out, or start the service with a longer timeout."),
}
#: seconds after which a caller may try again
RETRY = 1


class Problem(Exception):
    """An answer that is an error.

    Args:
        kind: one of :data:`KINDS`.
        message: what is wrong, in a sentence. Values of the caller are quoted with control characters written out.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, for_terminal(message)[:1_000]
        self.status, self.advice = KINDS[kind]

    @property
    def headers(self) -> dict[str, str]:
        """Headers that the status asks for."""
        if self.status in (429, 503):
            return {"Retry-After": str(RETRY)}
        return {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}

    def to_dict(self) -> dict[str, Any]:
        """``{"error": {"kind", "message", "advice"}}``.

        Example:
            >>> Problem("token", "the token is missing.").to_dict()["error"]["kind"]
            'token'
        """
        return {"error": {"kind": self.kind, "message": self.message, "advice": self.advice}}


def problem_of(error: BaseException) -> Problem:
    """``error`` as a caller may see it. What a caller cannot mend goes to the log, and not to the caller."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, NotFiniteError):
        return Problem("not_finite", str(error))
    if isinstance(error, SidelightError) and not isinstance(error, UnexpectedError):
        for family, kind in ((InputError, "input"), (InputTypeError, "input"), (ConfigError, "option")):
            if isinstance(error, family):
                return Problem(kind, str(error))
    log.error("a request failed", exc_info=error)
    return Problem("internal", "the service failed at this request.")
