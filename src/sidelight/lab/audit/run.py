"""An audit answers every check that has no answer yet, and writes JSON and a page of tables and pictures.

All files are in ``RUN/audit/``::

    <check>.json      findings of a check and the settings that they depend on
    <check>-*.png     pictures
    audit.md          all of them on one page
    scorer-* classifier-* labels-*    trained models
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from sidelight.checks.answers import ANSWERS, other_answers
from sidelight.core.files import write_json, write_text
from sidelight.core.locks import hold
from sidelight.core.own_code import own_code
from sidelight.errors import ConfigError
from sidelight.explanations.blocks import require_names
from sidelight.lab.audit.base import CHECKS, AuditedRun, Check, Findings
from sidelight.lab.runs.folder import continue_run, digest
from sidelight.lab.runs.given import require_run
from sidelight.lab.runs.run import Run
from sidelight.lab.runs.stored_files import read_record
from sidelight.lab.tables.markdown import markdown

log = logging.getLogger(__name__)

OLD = "*These numbers are of other settings or rows, or of another scorer or target. Run `sidelight audit` again.*\n"

READINGS = (
    "A map with signs is read by absolute value (|·|) and by positive part (+). Tables give both. Pictures draw the better "
    "one. If panels draw different ones, the marks stand in the order of the panels.\n"
)


def run_audit(run: Run, only: Sequence[str] = (), other: Run | None = None) -> dict[str, Findings]:
    """Answer the checks that have no answer yet, and write the page.

    Args:
        run: fitted. ``run.config.audit`` holds the settings.
        only: names of checks (default: all that the run can answer).
        other: a run on the same data with another target, for the check of encoding.

    Returns:
        The findings of each check, by name: ``rows``, ``facts``, and what they depend on.

    Raises:
        InputTypeError: ``run`` or ``other`` is no run.
        UnknownNameError: there is no such check.
        ConfigError: the run cannot answer a check in ``only``. The message gives the reason.
        CheckpointError: the run is not fitted.
        BusyFolderError: another process audits the run.

    Example:
        >>> found = run_audit(run, ["parameters"])  # draws the weights anew in two steps, as audit.steps says
        >>> [step["step"] for step in found["parameters"]["facts"]["steps"]]
        [0, 1, 2]
    """
    for one in (run, other) if other is not None else (run,):
        require_run(one)
    only = require_names(only, "only", "parameters")
    with hold(run.folder, "audit"):
        continue_run(run.folder)
        return _audit(run, only, other)


def _audit(run: Run, only: Sequence[str], other: Run | None) -> dict[str, Findings]:
    checks = [CHECKS[name] for name in only or CHECKS]
    audited = AuditedRun(run, other)
    reasons = {c.name: c.refusal(audited) for c in checks}
    for name, reason in reasons.items():
        if reason is not None and only:
            raise ConfigError(f"check {name!r}: {reason}")
        if reason is not None:
            log.warning("check %r is left out: %s", name, reason)
    found = {c.name: answer(c, audited) for c in checks if reasons[c.name] is None}
    write_page(run, audited.folder, [name for name in CHECKS if name not in found and _is_old(name, audited)])
    return found


def _is_old(name: str, audited: AuditedRun) -> bool:
    """Whether the stored answer of a check is of another scorer or target, or of other settings."""
    path = audited.folder / f"{name}.json"
    if not path.is_file():
        return False
    kept = read_record(path, "audit")
    both = (kept.get("asked", {}), _asked(CHECKS[name], audited))
    # which other run was asked is no setting of this one
    known, asked = ({k: v for k, v in about.items() if k != "other"} for about in both)
    return digest(known) != digest(asked) or _made_of_others(kept, audited)


def _made_of_others(found: Mapping[str, Any], audited: AuditedRun) -> bool:
    """Whether an answer is of other rows, or of a target that answered otherwise to them. Earlier versions did not note it."""
    rows = "content" in found and found["content"] != audited.content
    return rows or other_answers(found.get(ANSWERS), audited.answers.get(ANSWERS)) is not None


def answer(check: Check, audited: AuditedRun) -> Findings:
    """The findings of ``check``: read back if nothing changed since, else measured and kept."""
    path = audited.folder / f"{check.name}.json"
    asked = _asked(check, audited)
    if path.is_file():
        known = dict(read_record(path, "audit"))
        if known.get("digest") == digest(asked) and not _made_of_others(known, audited):
            log.info("%s: already answered", check.name)
            return known
        log.info("%s: settings, scorer, target or rows changed, measuring again", check.name)
    else:
        log.info("%s: measuring", check.name)
    started = time.perf_counter()
    found = {
        "check": check.name,
        "digest": digest(asked),
        "asked": asked,
        "content": audited.content,
        **audited.answers,
        **check.measure(audited),
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_json(path, found)
    return found


def _asked(check: Check, audited: AuditedRun) -> dict[str, Any]:
    settings = audited.section.model_dump(mode="json")
    asked = {**audited.identity(), "settings": {k: settings[k] for k in check.settings}}
    own = own_code({"check": check.measure})
    if own:
        asked["own code"] = {**asked.get("own code", {}), **own}
    config = audited.run.config
    asked["objective"], asked["training"] = str(config.objective), str(config.training)
    if check.uses_other and audited.other is not None:
        asked["other"] = audited.other.open_target().fingerprint()
    return asked


def write_page(run: Run, folder: Path, old: Collection[str] = ()) -> None:
    """Write ``audit.md`` and the pictures of every check that has an answer.

    Args:
        run: whose name heads the page.
        folder: of the answers, ``run.folder / "audit"``. Page and pictures go there.
        old: checks whose answer does not belong to the present run. The page says so.

    Raises:
        ForeignFileError: a file of others has the name of one of them.

    Example:
        >>> found = run_audit(run, ["parameters"])  # which writes the page, too
        >>> write_page(run, run.folder / "audit", old=["parameters"])
        >>> OLD in (run.folder / "audit" / "audit.md").read_text()
        True
    """
    from sidelight.viz.export import to_png, write_atomic

    parts = [f"# Audit of {run.config.name}\n"]
    pictures: dict[Path, bytes] = {}
    signed = False
    for name, check in CHECKS.items():
        path = folder / f"{name}.json"
        if not path.is_file():
            continue
        found: Mapping[str, Any] = read_record(path, "audit")
        figures = check.figures(dict(found))
        pictures |= {folder / f"{n}.png": to_png(figure) for n, figure in figures.items()}
        parts += [f"## {check.title}\n", check.question + "\n", *([OLD] if name in old else [])]
        parts += [f"**{t.title}**\n\n{markdown(t)}\n" for t in check.tables(dict(found))]
        parts += [f"![{n}]({n}.png)\n" for n in figures]
        # rows of a user's own check may be of any kind
        rows = [r for r in found.get("rows", ()) if isinstance(r, Mapping)]
        signed = signed or any(r.get("reading", "none") != "none" for r in rows)
    if signed:
        parts.insert(1, READINGS)
    write_atomic(pictures)
    write_text(folder / "audit.md", "\n".join(parts))
