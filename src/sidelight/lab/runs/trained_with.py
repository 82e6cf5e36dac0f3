"""Whether a model in a run was trained as it would be now: a user's own code, the rows, the answers of the classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sidelight.checks.answers import ANSWERS, answers_to_rows, other_answers
from sidelight.errors import CheckpointError, ConfigError
from sidelight.inputs.collate import Collator
from sidelight.lab.runs.folder import digest
from sidelight.rows.content import content_of
from sidelight.rows.row import NumberedRows
from sidelight.rows.sources import rows_of
from sidelight.scorers.checkpoint import load_scorer
from sidelight.targets import TargetModel
from sidelight.training.folder import recorded_identity
from sidelight.training.identity import own_parts


def require_whole(folder: Path) -> None:
    """Refuse the scorer in ``folder`` if a file of it is damaged.

    Args:
        folder: of one training. It need not exist.

    Raises:
        CheckpointError: see above.
    """
    if not (folder / "scorer").is_dir():
        return
    try:
        load_scorer(folder / "scorer")
    except CheckpointError as error:
        raise CheckpointError(f"{error} Or remove {folder}, and `sidelight fit` trains it again.") from error


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


def require_same_answers(folder: Path, target: TargetModel, train: Any) -> None:
    """Refuse the scorer in ``folder`` if its classifier, with the same weights, answered otherwise in its training.

    Args:
        folder: of one training. It need not exist. An earlier version noted no answers.
        target: as it is now.
        train: rows of the present data.

    Raises:
        ConfigError: see above.
    """
    known = recorded_identity(folder) if (folder / "scorer").is_dir() else {}
    if ANSWERS not in known or known.get("train") != content_of(rows_of(train)).to_dict():
        return
    rows = NumberedRows(rows_of(train))
    away = other_answers(known[ANSWERS], answers_to_rows(target, rows, Collator(target, labelled=False)))
    if away is not None:
        raise ConfigError(
            f"{folder} holds a scorer that was trained beside another classifier (different {away}). Bring that classifier "
            "back, or remove the folder, so that the scorer is trained again."
        )


def require_same_rows(folder: Path, train: Any, evaluation: Any) -> None:
    """Refuse the scorer in ``folder`` if it was trained on other rows than those that are there now.

    Args:
        folder: of one training. It need not exist.
        train, evaluation: rows of the present data.

    Raises:
        ConfigError: see above.
    """
    if (folder / "scorer").is_dir() and not _trained_on(folder, train, evaluation):
        raise ConfigError(
            f"{folder} holds a scorer that was trained on other rows: the data have changed since. Bring those data back, or "
            "remove the folder, so that the scorer is trained again."
        )


def folder_of_rows(folder: Path, record: Path, train: Any, evaluation: Any) -> Path:
    """``folder``, or the one beside it for these rows, if what lies in ``folder`` was trained on others.

    Names of such folders come from settings, so rows that were edited have the name of the earlier ones.

    Args:
        folder: of a trained model.
        record: where its training noted the rows. A model of which nothing was noted, by an earlier version, is taken.
        train, evaluation: rows of the present data.
    """
    if _trained_on(record, train, evaluation):
        return folder
    now = [content_of(rows).to_dict() for rows in (train, evaluation)]
    return folder.with_name(f"{folder.name}-{digest(now)}")


def _trained_on(record: Path, train: Any, evaluation: Any) -> bool:
    """Whether the training in ``record`` saw these rows, as far as it noted them."""
    known = recorded_identity(record)
    for name, rows in (("train", train), ("eval", evaluation)):
        # a scorer's training notes its rows as it takes them, and a classifier's as they are
        forms = (content_of(form(rows)).to_dict() for form in (lambda r: r, rows_of))
        if name in known and known[name] not in forms:
            return False
    return True
