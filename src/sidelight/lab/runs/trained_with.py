"""Whether a scorer in a run was trained with the present code of a user's own parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sidelight.errors import ConfigError
from sidelight.targets import TargetModel
from sidelight.training.folder import recorded_identity
from sidelight.training.identity import own_parts


def require_same_code(folder: Path, target: TargetModel, fills: Sequence[str]) -> None:
    """Refuse the scorer in ``folder`` if a user's own part that it was trained with has other code since.

    Args:
        folder: of one training. It need not exist.
        fills: of the objective.

    Raises:
        ConfigError: names the parts.
    """
    known = recorded_identity(folder).get("code") or {} if (folder / "scorer").is_dir() else {}
    now = own_parts(target, target.training_fills(fills))
    changed = [part for part, code in known.items() if now.get(part, code) != code]
    if changed:
        raise ConfigError(
            f"{folder} holds a scorer that was trained with another code of {', '.join(changed)}. Bring that code back, "
            "give the new one another name, or remove the folder, so that the scorer is trained again."
        )
