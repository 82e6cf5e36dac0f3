"""The demo: every modality from training to report on data that ships with the library."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidelight.core.registry import nearest
from sidelight.errors import UnknownNameError
from sidelight.lab.demo.parts import PARTS, run_part

if TYPE_CHECKING:
    from sidelight.lab.report import ReportSection


def run_demo(
    out: Path,
    overrides: Sequence[str] = (),
    parts: Sequence[str] = (),
    jobs: int | None = None,
    tell: Callable[[str, Path | None], None] = lambda text, picture: None,
) -> tuple[list[dict[str, Any]], Path]:
    """Fit, explain and evaluate each part under ``out``. A part that is there already is kept.

    Args:
        out: gets a run folder for each part, ``explanations/`` and ``report.html``.
        overrides: as in :func:`sidelight.lab.config.files.parse_config`, applied to every part.
        parts: some of :data:`PARTS` (default: all).
        jobs: parts at a time, in processes of their own (default: as many as there are cores).
        tell: takes lines for the user, and the picture of a part's first map when it is there.

    Returns:
        The results of each part, and the report's path.

    Raises:
        UnknownNameError: there is no such part.
        PartFailed: a part failed in a process of its own. The others are finished.
        CheckpointError: nothing can be written in ``out``.
    """
    from sidelight.core.ownership import own_folder, require_free
    from sidelight.lab.demo.parallel import run_parts

    chosen = [p for p in PARTS if p in parts] if parts else list(PARTS)
    for part in parts:
        if part not in PARTS:
            raise UnknownNameError(
                f"the demo has no part {part!r}.{nearest(part, PARTS)} Parts: {', '.join(PARTS)}."
            )
    own_folder(out)
    require_free([out / "report.html"], "Choose another --out, or replace it with --overwrite.")
    jobs = min(len(chosen), jobs or os.cpu_count() or 1)
    work = partial(run_part, out=out, overrides=tuple(overrides))
    early = EarlySections(out)
    if jobs > 1:
        run_parts(work, chosen, out, jobs, tell, idle=early.begin)
    else:
        for part in chosen:
            work(part, tell)
    from sidelight.lab.report.page import report_runs
    from sidelight.lab.runs.run import Run

    runs = [Run.open(out / part) for part in chosen]
    subtitle = "Trained, explained and measured on embedded data with known evidence."
    page = report_runs(runs, out / "report.html", "sidelight demo", subtitle, early.made())
    return [run.results() for run in runs], page


class EarlySections:
    """Sections of the page, made in a thread as soon as a core has nothing else to do.

    Args:
        out: the folder of the runs.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self._pool = ThreadPoolExecutor(1)
        self._begun: dict[str, Future[ReportSection]] = {}

    def begin(self, parts: Sequence[str]) -> None:
        """Make the sections of ``parts`` that are not begun yet."""
        for part in parts:
            if part not in self._begun:
                self._begun[part] = self._pool.submit(_section, self.out / part)

    def made(self) -> dict[Path, ReportSection]:
        """The sections by the folder of their run. One that failed is left out, and raises its error on the page."""
        found = {self.out / part: future for part, future in self._begun.items()}
        return {folder: future.result() for folder, future in found.items() if future.exception() is None}


def _section(folder: Path) -> ReportSection:
    from sidelight.lab.report.page import section_of
    from sidelight.lab.runs.run import Run

    return section_of(Run.open(folder))
