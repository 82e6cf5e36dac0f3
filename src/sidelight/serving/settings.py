"""The options of a service."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field

from sidelight.core.field_checks import whole
from sidelight.core.guard import public_class
from sidelight.errors import ConfigError
from sidelight.inputs.limits import Limits

#: Texts of one request. More belong in several requests, or in a table for `explain --csv`.
MOST_TEXTS = 32


@public_class
@dataclass(frozen=True)
class ServeOptions:
    """What a service accepts, and how it makes batches.

    Attributes:
        limits: of a text in characters, and of a picture in bytes and pixels.
        batch_size: most inputs of one pass, at least 1.
        wait: seconds that an input waits for others to join its batch, in [0, 1]. It never waits if others are due already.
        queue: inputs that the service works on or keeps waiting, at least 1. One more is answered with 429.
        timeout: seconds for a request to arrive, and again to be answered, above 0.
        verify: whether a request may ask for a measured map, which costs about 90 passes.
        token_from: name of an environment variable with a token, which requests must then bear. Default: no token.

    Raises:
        ConfigError: a value is of another kind or out of range.

    Example:
        >>> ServeOptions(batch_size=4, timeout=10).queue
        64
    """

    limits: Limits = field(default_factory=Limits)
    batch_size: int = 8
    wait: float = 0.004
    queue: int = 64
    timeout: float = 30.0
    verify: bool = True
    token_from: str | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "queue"):
            value = getattr(self, name)
            if (found := whole(value)) is None:
                raise ConfigError(
                    f"{name} must be a whole number of at least 1 and below 2^31; got {value!r:.60}."
                )
            object.__setattr__(self, name, found)
        if not isinstance(self.verify, bool):
            raise ConfigError(f"verify must be True or False; got {self.verify!r:.60}.")
        if not _is_number(self.wait) or not 0 <= self.wait <= 1:
            raise ConfigError(f"wait must be seconds in [0, 1]; got {self.wait!r:.60}.")
        if not _is_number(self.timeout) or self.timeout <= 0:
            raise ConfigError(f"timeout must be seconds above 0; got {self.timeout!r:.60}.")

    def token(self) -> str | None:
        """The token that requests must bear, or ``None`` if they need none.

        Raises:
            ConfigError: the environment variable is not set, or is empty. The service would be open by mistake.
        """
        if self.token_from is None:
            return None
        found = os.environ.get(self.token_from, "").strip()
        if not found:
            raise ConfigError(
                f"the environment variable {self.token_from!r:.60} holds no token. Set it before the service starts, or "
                "leave token_from out for a service without a token."
            )
        return found

    def most_bytes(self, pictures: bool) -> int:
        """Bytes of the longest body that may be valid. A character takes up to 12 in JSON, a byte of a picture up to 4/3.

        Args:
            pictures: whether a classifier reads pictures.
        """
        picture = self.limits.bytes * 4 // 3 if pictures else 0
        return 2**16 + picture + min(12 * 2 * self.limits.characters * MOST_TEXTS, 2**23)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
