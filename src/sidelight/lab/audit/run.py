"""An audit: every check that is not answered yet, kept as JSON, with a page of tables and pictures.

Everything lies in ``RUN/audit/``::

    <check>.json      what a check found, and what it was asked
    <check>-*.png     pictures
    audit.md          all of them on one page
    scorer-* classifier-* labels-*    what had to be trained
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sidelight.core.files import read_json, write_json, write_text
from sidelight.core.locks import hold
from sidelight.errors import ConfigError
from sidelight.lab.audit.base import CHECKS, Check, Findings, Subject, digest
from sidelight.lab.runs.folder import continue_run
from sidelight.lab.runs.run import Run
from sidelight.lab.tables.markdown import markdown

log = logging.getLogger(__name__)


def run_audit(run: Run, only: Sequence[str] = (), other: Run | None = None) -> dict[str, Findings]:
    """Answer the checks that are not answered yet, and write the page.

    Args:
        run: fitted.
        only: names of checks; none means all that the run can answer.
        other: a run on the same data with another target, for the check of encoding.

    Returns:
        What each check found, by name.

    Raises:
        UnknownNameError: there is no such check.
        ConfigError: a check asked for by name cannot be answered; the message says why.
    """
    with hold(run.folder, "audit"):
        continue_run(run.folder)
        return _audit(run, only, other)


def _audit(run: Run, only: Sequence[str], other: Run | None) -> dict[str, Findings]:
    checks = [CHECKS[name] for name in only or CHECKS]
    subject = Subject(run, other)
    reasons = {c.name: c.refusal(subject) for c in checks}
    for name, reason in reasons.items():
        if reason is not None and only:
            raise ConfigError(f"check {name!r}: {reason}")
        if reason is not None:
            log.warning("check %r is left out: %s", name, reason)
    found = {c.name: answer(c, subject) for c in checks if reasons[c.name] is None}
    write_page(run, subject.folder)
    return found


def answer(check: Check, subject: Subject) -> Findings:
    """What ``check`` finds: read back where the same was asked before, else measured and kept."""
    path = subject.folder / f"{check.name}.json"
    asked = _asked(check, subject)
    if path.is_file():
        known = dict(read_json(path))
        if known.get("digest") == digest(asked):
            log.info("%s: answered already", check.name)
            return known
        log.info("%s: settings, scorer or target changed, measuring again", check.name)
    else:
        log.info("%s: measuring", check.name)
    started = time.perf_counter()
    found = {
        "check": check.name,
        "digest": digest(asked),
        "asked": asked,
        **check.measure(subject),
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_json(path, found)
    return found


def _asked(check: Check, subject: Subject) -> dict[str, Any]:
    settings = subject.section.model_dump(mode="json")
    asked = {**subject.identity(), "settings": {k: settings[k] for k in check.settings}}
    config = subject.run.config
    asked["objective"], asked["training"] = str(config.objective), str(config.training)
    if check.uses_other and subject.other is not None:
        asked["other"] = subject.other.open_target().fingerprint()
    return asked


def write_page(run: Run, folder: Path) -> None:
    """Write ``audit.md`` and the pictures of every check that is answered."""
    from sidelight.viz.export import to_png, write_atomic

    parts = [f"# Audit of {run.config.name}\n"]
    pictures: dict[Path, bytes] = {}
    for name, check in CHECKS.items():
        path = folder / f"{name}.json"
        if not path.is_file():
            continue
        found: Mapping[str, Any] = read_json(path)
        figures = check.figures(dict(found))
        pictures |= {folder / f"{n}.png": to_png(figure) for n, figure in figures.items()}
        parts += [f"## {check.title}\n", check.question + "\n"]
        parts += [f"**{t.title}**\n\n{markdown(t)}\n" for t in check.tables(dict(found))]
        parts += [f"![{n}]({n}.png)\n" for n in figures]
    write_atomic(pictures)
    write_text(folder / "audit.md", "\n".join(parts))
