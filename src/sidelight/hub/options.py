"""What a person says for a model card, checked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sidelight.core.registry import nearest
from sidelight.errors import ConfigError

#: at most so many sample maps
MOST_SAMPLES = 12
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.\-]*")


@dataclass(frozen=True)
class CardOptions:
    """What a model card says beyond what sidelight knows by itself.

    Attributes:
        samples: inputs whose maps the card shows, up to 12. They become public with the card.
        results: a run folder that ``sidelight evaluate`` measured, or its ``results.json``. Without it the card shows the
            validation of the training.
        license: of the scorer, an identifier of the hub such as ``"mit"``, or ``"other"``. No default, because only you
            can give one.
        license_name, license_link: of a licence ``"other"``.
        datasets: hub ids of the training data. Default: the one that the training remembers.
        base_model: hub id of the classifier. Default: the one that it was loaded from.
        limits: further limits, a sentence each.
        command: the command or code that makes this scorer again. Default: a call of ``fit`` with its options.
        title: heading of the card. Default: the name of the folder or repository.
    """

    samples: Any = None
    results: str | os.PathLike[str] | None = None
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    datasets: Sequence[str] = ()
    base_model: str | None = None
    limits: Sequence[str] = ()
    command: str | None = None
    title: str | None = None

    def __post_init__(self) -> None:
        for name in ("datasets", "limits"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(v, str) for v in value):
                raise ConfigError(f"card: {name} must be a list of strings; got {value!r:.80}.")
        for name in ("license", "license_name", "license_link", "base_model", "command", "title"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise ConfigError(f"card: {name} must be a string; got {value!r:.80}.")
        if self.license is not None and not _LICENCE.fullmatch(self.license):
            raise ConfigError(
                f"card: license must be an identifier of the hub in small letters, e.g. 'mit', 'apache-2.0' or 'other'; "
                f"got {self.license!r:.80}. The list: https://huggingface.co/docs/hub/repositories-licenses."
            )
        if self.license == "other" and not self.license_name:
            raise ConfigError("card: license='other' needs license_name='...', and best license_link='...'.")
        for name in (*self.datasets, *([self.base_model] if self.base_model else ())):
            if not is_hub_id(name):
                raise ConfigError(f"card: {name!r:.80} is no id of the hub. Give 'owner/name'.")


def card_options(given: CardOptions | Mapping[str, Any] | None) -> CardOptions:
    """``given`` as options. Raises :class:`ConfigError` if a name is unknown or a value is of another kind."""
    if isinstance(given, CardOptions):
        return given
    if given is None:
        return CardOptions()
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"card must be a mapping of options, e.g. card={{'license': 'mit'}}, or False for no card; got {given!r:.60}."
        )
    known = [f.name for f in fields(CardOptions)]
    for name in given:
        if name not in known:
            raise ConfigError(
                f"card has no option {name!r:.60}.{nearest(str(name), known)} Its options are {', '.join(known)}."
            )
    return CardOptions(**given)


def is_hub_id(name: str) -> bool:
    """Whether ``name`` may be the id of a repository of the hub."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True
