"""Average ranks of methods over several published results, from their means alone.

`sidelight tables` takes run folders, which hold the scores of single samples. Those are too large to publish, and a run may
be gone. Here the means of `results.json` are ranked. The ranks are the same if all methods of a case were measured on the
same samples.

    python benchmarks/stored_ranks.py results/{mnist,imagenette,tweets,digits,planted_text}/robust --out results/benchmark/robust_ranks.csv
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from rich.console import Console

from sidelight.core.files import read_json
from sidelight.lab.metrics.protocols import DEFAULT
from sidelight.lab.metrics.rank_tests import CASE, case_means
from sidelight.lab.report.rankings import Ranking, rank_table, ranked_rows, rankings_of
from sidelight.lab.report.stored import StoredRun
from sidelight.lab.tables.table import text_table
from sidelight.lab.tables.terminal import terminal


def stored_run(folder: Path) -> StoredRun:
    """The results of ``folder``, in which each mean stands for a single sample."""
    facts = read_json(folder / "results.json")
    rows = pd.DataFrame(facts["rows"])
    rows = rows.assign(sample=0, value=rows["mean"])
    protocol = facts.get("protocol", DEFAULT)
    return StoredRun(facts["name"], facts["dataset"], rows, pd.DataFrame(), protocol=protocol)


def stored_means(folders: list[Path]) -> pd.DataFrame:
    """As :func:`~sidelight.lab.metrics.rank_tests.case_means`, of the stored means of each folder."""
    rows = pd.concat([ranked_rows(stored_run(folder)) for folder in folders])
    counts = rows.groupby(list(CASE), sort=False)["n"].min()
    means = case_means(rows)
    keys = [(*key[:-1], int(counts[key[:-1]])) for key in means.index]
    return means.set_axis(pd.MultiIndex.from_tuples(keys, names=means.index.names))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, help="folders with a results.json")
    parser.add_argument("--out", type=Path, required=True, help="table of ranks to write (CSV)")
    given = parser.parse_args()
    rankings, notes = rankings_of(stored_means(given.folders), 0.05)
    rank_table(rankings).to_csv(given.out, index=False)
    _show(rankings, notes, given.out)


def _show(rankings: list[Ranking], notes: list[str], out: Path) -> None:
    console = Console()
    lines = [[r.scope, name, f"{rank:.2f}"] for r in rankings for name, rank in r.found.ranks.items()]
    console.print(terminal(text_table("Average ranks", ["cases", "method", "average rank"], lines)))
    for line in notes:
        console.print(line)
    console.print(f"ranks: {out}")


if __name__ == "__main__":
    main()
