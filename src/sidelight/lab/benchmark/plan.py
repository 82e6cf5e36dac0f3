"""The runs of a benchmark, listed in a YAML file or given one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidelight.errors import ConfigError
from sidelight.lab.config.benchmark import DEFAULT_NAME, BenchmarkSection, RunSection, TablesSection
from sidelight.lab.config.files import parse_config, parse_section, read_overrides, read_yaml
from sidelight.lab.config.sections import RunConfig
from sidelight.lab.metrics import METRICS
from sidelight.lab.runs.folder import folder_name

#: any of these makes a file a run's configuration
RUN_KEYS = ("data", "target")


@dataclass(frozen=True)
class Benchmark:
    """Runs to fit and evaluate, and the options of their tables.

    Attributes:
        name: of the folder with the tables.
        runs: configurations with different names.
        tables: options of the tables.
    """

    name: str
    runs: Sequence[RunConfig]
    tables: TablesSection = field(default_factory=TablesSection)


def load_benchmark(paths: Sequence[str | Path], overrides: Sequence[str] = ()) -> Benchmark:
    """Read a benchmark's file, or the configurations of its runs.

    Args:
        paths: one file with a list ``runs``, or one or several run configurations.
        overrides: ``section.key=value`` for all runs. They go before the changes in the file.

    Raises:
        ConfigError: a file is missing or malformed, a key or metric is unknown (with the nearest known), there is no
            run, two runs have one name, or no folder can have a name.
    """
    if not paths:
        raise ConfigError("no configuration given; give a benchmark's YAML or those of several runs.")
    found = [(Path(path), read_yaml(path)) for path in paths]
    several = [path for path, values in found if not _is_run(values)]
    if several and len(found) > 1:
        raise ConfigError(
            f"{several[0]} is a benchmark (it has no {' and no '.join(RUN_KEYS)}) among {len(found)} files; give "
            "it alone, or give run configurations only."
        )
    if several:
        return _from_file(*found[0], overrides)
    return _checked(DEFAULT_NAME, [(path, _parse(path, values, overrides)) for path, values in found])


def _is_run(values: Mapping[str, Any]) -> bool:
    return "runs" not in values and any(key in values for key in RUN_KEYS)


def _from_file(path: Path, values: Mapping[str, Any], overrides: Sequence[str]) -> Benchmark:
    try:
        section = parse_section(_with_sections(values), BenchmarkSection)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    shared, runs = dict(read_overrides(section.set)), []
    for entry in section.runs:
        run = RunSection(config=entry) if isinstance(entry, str) else entry
        file = path.parent / run.config
        try:
            config = read_yaml(file)
        except ConfigError as error:
            raise ConfigError(f"{path}, runs: {error} Paths are relative to the benchmark's file.") from error
        if not _is_run(config):
            raise ConfigError(
                f"{path}, runs: {file} is not the configuration of a run (it has no data, no target)."
            )
        given = {**shared, **dict(read_overrides(run.set)), **dict(read_overrides(overrides))}
        runs.append((file, _parse(file, config, given)))
    return _checked(section.name, runs, section.tables, str(path))


def _with_sections(values: Mapping[str, Any]) -> dict[str, Any]:
    """Check the entries of ``runs`` one by one: in a list of alternatives errors would not name the key."""
    runs = values.get("runs")
    if not isinstance(runs, list):
        return dict(values)
    for entry in runs:
        if isinstance(entry, Mapping):
            parse_section(entry, RunSection)
        elif not isinstance(entry, str):
            raise ConfigError(
                f"an entry of runs is a path or a mapping {{config: path, set: {{key: value}}}}; got {entry!r}."
            )
    return dict(values)


def _parse(file: Path, values: Mapping[str, Any], overrides: Sequence[str] | Mapping[str, Any]) -> RunConfig:
    try:
        return parse_config(values, overrides)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error


def _checked(
    name: str,
    runs: Sequence[tuple[Path, RunConfig]],
    tables: TablesSection | None = None,
    where: str = "the benchmark",
) -> Benchmark:
    for metric in (*tables.metrics, *tables.rank_by) if tables else ():
        METRICS[metric]  # an unknown one is refused now, not when every run is evaluated
    if not runs:
        raise ConfigError(f"{where} has no runs; list configurations under runs, e.g. runs: [mnist.yaml].")
    for place, folder in ((where, name), *((file, config.name) for file, config in runs)):
        folder_name(folder, place)
    counts = Counter(config.name for _, config in runs)
    for double, count in counts.items():
        if count > 1:
            files = ", ".join(str(file) for file, config in runs if config.name == double)
            raise ConfigError(
                f"{count} runs are named {double!r} ({files}) and would share a folder; give each a name of its "
                "own, e.g. {config: mnist.yaml, set: {name: mnist-wide}}."
            )
    if name in counts:
        raise ConfigError(
            f"the benchmark and a run are both named {name!r} and would share a folder; rename one of them."
        )
    return Benchmark(name, [config for _, config in runs], tables or TablesSection())
