"""``sidelight list``: every name that a config may hold."""

from __future__ import annotations

import json
from pathlib import Path

from sidelight.cli.common import JsonOption, say, write_rows
from sidelight.core.quiet import quiet_libraries

NAME = "list"
#: the result of :func:`entries`, written by ``python -m sidelight.cli.listing``
FILE = Path(__file__).with_name("names.json")


def run(json_: JsonOption = None) -> None:
    """List all names that a configuration may use: fills, metrics, baseline methods (rivals), data sets and more."""
    quiet_libraries()
    rows = known()
    kind = None
    for row in rows:
        if row["kind"] != kind:
            kind = row["kind"]
            say(f"\n{kind}")
        say(f"  {row['name']:<24} {row['about']}")
    write_rows(rows, json_)


def known() -> list[dict[str, str]]:
    """As :func:`entries`, from a file of the package, because importing everything takes seconds."""
    return [dict(row) for row in json.loads(FILE.read_text(encoding="utf-8"))]


def entries() -> list[dict[str, str]]:
    """``{"kind", "name", "about"}`` of everything registered."""
    from sidelight.core.names import method_label
    from sidelight.fills.base import FILLS
    from sidelight.lab.audit import CHECKS
    from sidelight.lab.baselines import DEFAULT_RIVALS, RIVALS
    from sidelight.lab.config.learned_rivals import LEARNED_RIVALS
    from sidelight.lab.data.sets import DATASETS
    from sidelight.lab.metrics import METRICS
    from sidelight.lab.metrics.protocols import PROTOCOLS
    from sidelight.targets.families import TARGETS
    from sidelight.training.objective import CALIBRATIONS

    rows = [_row("target family", n, _first_line(t)) for n, t in TARGETS.items()]
    for name in RIVALS:
        extra = "" if name in DEFAULT_RIVALS else " (not in the default set)"
        rows.append(_row("rival", name, method_label(name) + extra))
    rows += [_row("learned rival", n, f"{r.doc} ({r.source})") for n, r in LEARNED_RIVALS.items()]
    for name, metric in METRICS.items():
        asked = "; measured only if named, because a judge is trained for it" if metric.judged else ""
        rows.append(_row("metric", name, f"{metric.direction} is better. {metric.doc}{asked}"))
    rows += [_row("protocol", n, p.doc) for n, p in PROTOCOLS.items()]
    for modality, fills in FILLS.items():
        rows += [_row(f"{modality} fill", n, _first_line(f)) for n, f in fills.items()]
    rows += [_row("calibration", n, _first_line(c)) for n, c in CALIBRATIONS.items()]
    rows += [_row("check", n, f"{c.title}. {c.question.split('?')[0]}?") for n, c in CHECKS.items()]
    rows += [_row("data set", n, f"{'+'.join(d.modalities)}; {d.source}") for n, d in DATASETS.items()]
    return rows


def _row(kind: str, name: str, about: str) -> dict[str, str]:
    return {"kind": kind, "name": name, "about": about}


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().split("\n")[0].replace("``", "")


def main() -> None:
    """Write the file anew."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in entries())
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
