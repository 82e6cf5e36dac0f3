"""Can people believe a map? Checks of a scorer beside the metrics (``sidelight audit``)."""

from sidelight.lab.audit import parameters, retraining, encoding, stability, classes  # isort: skip
from sidelight.lab.audit.base import CHECKS, AuditedRun, Check, Findings
from sidelight.lab.audit.run import run_audit, write_page

__all__ = [
    "CHECKS",
    "AuditedRun",
    "Check",
    "Findings",
    "classes",
    "encoding",
    "parameters",
    "retraining",
    "run_audit",
    "stability",
    "write_page",
]
