"""Which tests are slow is measured, and listed in ``slow_tests.txt``: one test a line, as pytest names it.

``make test`` leaves them out, to stay below ten minutes on two cores, and ``make test-slow`` runs them. A line without
``[...]`` stands for all cases of a test. To measure anew:

    python -m pytest -n 2 -m "not soak and not realdata" --junitxml times.xml
    python tests/slow_tests.py times.xml
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

LIST = Path(__file__).with_suffix(".txt")
#: a test is slow if it takes longer than this, in seconds, on two cores that also run another test
SECONDS = 4.0


def is_slow(name: str, listed: frozenset[str]) -> bool:
    """Whether the test ``name`` (``tests/x.py::test_y[case]``) is listed, or all cases of it are."""
    return name in listed or name.partition("[")[0] in listed


def slow_tests() -> frozenset[str]:
    """The listed names."""
    return frozenset(LIST.read_text(encoding="utf-8").splitlines())


def measured(report: Path) -> list[str]:
    """Names of the slow tests in a report of pytest (``--junitxml``)."""
    found = []
    for case in ElementTree.parse(report).iter("testcase"):
        if float(case.get("time", 0)) > SECONDS:
            path = str(case.get("classname")).replace(".", "/") + ".py"
            found.append(f"{path}::{case.get('name')}")
    return sorted(found)


if __name__ == "__main__":
    names = measured(Path(sys.argv[1]))
    LIST.write_text("\n".join(names) + "\n", encoding="utf-8")
    print(f"{len(names)} tests take more than {SECONDS:g} s: {LIST}")
