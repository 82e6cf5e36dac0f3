"""The demo's parts: one modality each, from training to explanations and measurements."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from sidelight.lab.config.files import apply_overrides, parse_config
from sidelight.lab.config.sections import RunConfig

if TYPE_CHECKING:
    from sidelight.lab.runs.run import Run

log = logging.getLogger(__name__)

#: configurations beside this file, one a modality: first the quickest, whose map is seen first, then the longest
PARTS = ("digits", "scenes", "planted_text")

#: number of test samples that are explained
EXAMPLES = 4


def part_config(part: str, overrides: Sequence[str] = ()) -> RunConfig:
    """The configuration of ``part``, with the shorter training and measurement of ``quick.yaml``."""
    folder = files(__package__)
    values, quick = (
        yaml.safe_load(folder.joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
        for name in (part, "quick")
    )
    return parse_config(apply_overrides(values, quick[part]), overrides)


def run_part(
    part: str, tell: Callable[[str, Path | None], None], out: Path, overrides: Sequence[str] = ()
) -> None:
    """Train the classifier and the scorer of one part, explain some samples, then measure the methods.

    Args:
        part: a name in :data:`PARTS`.
        tell: takes a line for the user, and the picture of the first map when it is there.
        overrides: as in :func:`sidelight.lab.config.files.parse_config`.
    """
    from sidelight.lab.runs.run import Run

    def say(text: str, picture: Path | None = None) -> None:
        log.info("%s: %s", part, text)
        tell(f"{part}: {text}", picture)

    run = Run.create(out / part, part_config(part, overrides))
    say("training the classifier, then its scorer")
    run.fit()
    picture = save_examples(run, out / "explanations")
    say(f"the first maps are there: {picture}", picture)
    # these take seconds to import, and the first map does not need them
    from sidelight.lab.evaluation.run import evaluate_run
    from sidelight.lab.report.timing import time_run

    say("measuring the scorer beside other methods")
    evaluate_run(run)
    time_run(run)  # for the report, beside the other parts
    say("done")


def save_examples(run: Run, folder: Path) -> Path:
    """Explain the first test samples as a user would, save pictures and data, and return the first picture."""
    from sidelight.lab.data.scenes import readable

    explanations = run.explainer().explain(list(run.rows("test", EXAMPLES)))
    pictures = []
    for number, found in enumerate(explanations):
        found = replace(found, inputs={name: readable(shown) for name, shown in found.inputs.items()})
        pictures.append(found.save(folder / f"{run.config.name}-{number}")[0])
    return pictures[0]
