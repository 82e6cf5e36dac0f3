"""What results were measured by and of, kept with them, so that no page shows them beside other settings or pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sidelight.checks.answers import ANSWERS, other_answers
from sidelight.errors import ConfigError
from sidelight.lab.config.sections import EvaluationSection

#: no number depends on the first two. The others name the folder of the results
NOT_THE_RESULT = {"batch_size", "forward_batch", "data", "protocol"}


def measured_by(section: EvaluationSection) -> dict[str, Any]:
    """Plain values of everything in ``section`` that numbers depend on."""
    return section.model_dump(mode="json", exclude=NOT_THE_RESULT)


def require_measured_of(results: Mapping[str, Any], found: Mapping[str, Any], folder: Path) -> None:
    """Refuse results of other rows, of another classifier or of another scorer than are there now.

    Results of an earlier version do not tell them, and are taken.

    Args:
        found: what is there: ``rows``, their content; ``target``, its fingerprint; ``answers`` of it; ``scorers``, fingerprints by method.
        folder: of the results.

    Raises:
        ConfigError: see above.
    """
    known = results.get("measured")
    if not isinstance(known, Mapping):
        return
    scorers = known.get("scorers", {})
    same = {
        "test data": known.get("rows") == found["rows"],
        "classifier": known.get("target") == found["target"]
        and other_answers(known.get(ANSWERS), found.get(ANSWERS)) is None,
        "scorer": all(scorers.get(name, version) == version for name, version in found["scorers"].items()),
    }
    changed = [name for name, kept in same.items() if not kept]
    if changed:
        raise ConfigError(
            f"since the results in {folder} were measured, the {' and the '.join(changed)} changed: pictures made now would "
            f"not belong to the numbers. Restore what changed, or remove {folder / 'evaluation'} and evaluate again."
        )


def require_measured_by(results: Mapping[str, Any], section: EvaluationSection, folder: Path) -> None:
    """Refuse results that were measured by other settings than those of ``section``.

    Results of an earlier version do not tell their settings, and are taken.

    Args:
        folder: of the run.

    Raises:
        ConfigError: see above.
    """
    known, wanted = results.get("evaluation"), measured_by(section)
    if not isinstance(known, Mapping):
        return
    changed = [key for key, value in wanted.items() if key in known and known[key] != value]
    if changed:
        told = ", ".join(f"evaluation.{key}" for key in changed)
        raise ConfigError(
            f"the results in {folder} were measured with other settings than its config.yaml has now ({told}). Run "
            f"`sidelight evaluate {folder}`, or set what they were measured with."
        )
