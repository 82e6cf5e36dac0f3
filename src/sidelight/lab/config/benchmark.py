"""The sections of a benchmark's YAML file: several runs and the tables of all of them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from sidelight.lab.config.sections import Section

#: name of a benchmark that has no file of its own
DEFAULT_NAME = "benchmark"


class TablesSection(Section):
    """The tables of all runs, as the options of ``sidelight tables``.

    Attributes:
        metrics: columns (default: the main metrics).
        rank_by: metrics whose cases are ranked (default: faithfulness).
        alpha: level of the critical difference.
        figures: whether figures are drawn.
    """

    metrics: list[str] = Field(default_factory=list)
    rank_by: list[str] = Field(default_factory=list)
    alpha: float = Field(default=0.05, gt=0, lt=1)
    figures: bool = True


class RunSection(Section):
    """One run of a benchmark.

    Attributes:
        config: path of the run's configuration, relative to the benchmark's file.
        set: changes of it.
    """

    config: str
    set: dict[str, Any] = Field(default_factory=dict)


class BenchmarkSection(Section):
    """A benchmark's file.

    Attributes:
        name: of the folder with the tables.
        runs: configurations, or configurations with changes.
        set: changes of all runs. Changes of a single run go before them.
        tables: the tables of all runs.
    """

    name: str = DEFAULT_NAME
    runs: list[str | RunSection]
    set: dict[str, Any] = Field(default_factory=dict)
    tables: TablesSection = TablesSection()
