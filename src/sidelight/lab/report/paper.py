"""Our numbers beside published ones of the same data set, method and metric, with their protocols.

Two layouts of CSV are known, and their headers tell them apart: the tables of the thesis (``table, dataset, kind,
method, metric, mean, std``) and its authors' later numbers (``dataset, variant, method, metric, mean, std``).
This module alone translates their names for data sets, methods and metrics.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sidelight.core.names import OURS, method_label
from sidelight.errors import InputError
from sidelight.lab.metrics.protocols import PROTOCOLS, UNITS
from sidelight.lab.metrics.statistics import better_reduction
from sidelight.lab.report.stored import StoredRun
from sidelight.lab.tables.markdown import markdown
from sidelight.lab.tables.table import Cell, Column, Line, Table

#: their data set, in lower case without signs -> ours; two of ours may come from one of theirs
DATA: dict[str, tuple[str, ...]] = {
    "tweetsentimentextraction": ("tweets",),
    "tweetsentiment": ("tweets",),
    "imdb": ("imdb",),
    "liar": ("liar",),
    "mnist": ("mnist",),
    "cifar10": ("cifar10",),
    "imagenette": ("imagenette",),
    "flickr8k": ("flickr8k",),
    "hatefulmemes": ("hateful_memes",),
    "snlive": ("snli_ve",),
}
#: their method, spelled likewise -> ours
METHODS = {
    "saliency": "saliency",
    "guidedbackprop": "guided_backprop",
    "intgradients": "integrated_gradients",
    "layerig": "integrated_gradients",
    "deeplift": "deep_lift",
    "deepliftshap": "deep_lift_shap",
    "gradientshap": "gradient_shap",
    "ours": OURS,
}
COLUMNS = (
    *("data", "run", "modality", "granularity", "method", "reduction", "metric"),
    *("ours", "ours_sd", "n", "published", "published_sd"),
    *("variant", "our_protocol", "published_protocol", "same_protocol", "remark"),
)
CAUTION = (
    "The classifiers, the size of their inputs and the samples are not those of the published numbers, and complexity "
    "and sparsity depend on the number of features. Published maps of texts count padding as features; ours never do. "
    "Signed methods are given in the better reading their protocol has."
)


@dataclass(frozen=True)
class Layout:
    """One kind of file.

    Attributes:
        protocol: under which its numbers were measured, a name in
            :data:`~sidelight.lab.metrics.protocols.PROTOCOLS`.
        columns: its header.
        metrics: their metric -> ours.
        variant: column that tells several numbers of one method apart.
        left_out: starts of values of ``variant`` that are no comparison of methods.
    """

    protocol: str
    columns: tuple[str, ...]
    metrics: Mapping[str, str]
    variant: str
    left_out: tuple[str, ...]


LAYOUTS = (
    Layout(
        "thesis",
        ("table", "dataset", "kind", "method", "metric", "mean", "std"),
        {m: m for m in ("average_drop", "deletion_auc", "complexity", "sparsity")},
        "kind",
        ("ablation",),
    ),
    Layout(
        "thesis-later",
        ("dataset", "variant", "method", "metric", "mean", "std"),
        {
            "avg-drop": "average_drop_relative",
            "inc-conf": "increase_in_confidence",
            "delete-auc": "deletion_auc",
            "insert-auc": "insertion_auc",
            "complexity": "complexity",
            "sparsity": "sparsity",
            "iou": "iou",
        },
        "variant",
        ("ablation",),
    ),
)


@dataclass(frozen=True)
class Published:
    """One published number in our names.

    Attributes:
        data: our data sets that it may stand beside.
        method, metric: our names.
        mean, sd: as published, ``sd`` over samples.
        variant: of the method, as published.
        protocol: under which it was measured.
    """

    data: tuple[str, ...]
    method: str
    metric: str
    mean: float
    sd: float
    variant: str
    protocol: str


def read_published(path: str | Path) -> tuple[list[Published], list[str]]:
    """The comparisons of methods in a published file, and sentences on names that are not known here.

    Raises:
        InputError: there is no such file, its header is unknown, a line is short, or a value is no number.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header, lines = tuple(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read published numbers from {path}: {error}. Give a CSV file.") from error
    layout = next((known for known in LAYOUTS if set(known.columns) <= set(header)), None)
    if layout is None:
        known = "; or ".join(", ".join(k.columns) for k in LAYOUTS)
        raise InputError(f"{path} has the columns {', '.join(header) or '(none)'}; expected {known}.")
    found, unknown = [], set()
    for number, line in enumerate(lines, start=2):
        for column in ("dataset", "method", "metric", layout.variant):
            if line[column] is None:
                raise InputError(f"{path}, line {number}: no {column}; the line ends before that column.")
        variant = line[layout.variant]
        if variant.startswith(layout.left_out):
            continue
        data, method = DATA.get(_plain(line["dataset"])), METHODS.get(_plain(line["method"]))
        metric = layout.metrics.get(line["metric"])
        unknown |= {n for n, ours in zip(_names(line), (data, method, metric), strict=True) if ours is None}
        if data and method and metric:
            mean, sd = (_number(path, number, line, column) for column in ("mean", "std"))
            found.append(Published(data, method, metric, mean, sd, variant, layout.protocol))
    notes = [f"Not known here, of {path.name}: {', '.join(sorted(unknown))}."] if unknown else []
    return found, notes


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _names(line: Mapping[str, str]) -> tuple[str, str, str]:
    return line["dataset"], line["method"], line["metric"]


def _number(path: Path, number: int, line: Mapping[str, str], column: str) -> float:
    try:
        value = float(line[column])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}, line {number}: {column} must be a number; got {line[column]!r}.")
    return value


def beside(
    runs: Sequence[StoredRun], summaries: Sequence[pd.DataFrame], published: Sequence[Published]
) -> pd.DataFrame:
    """A line for each number that both have, with the columns :data:`COLUMNS`.

    Ours are those of all modalities together, feature by feature, under zero fill (or none).

    Args:
        summaries: of each, :func:`~sidelight.lab.metrics.statistics.summarise`.
        published: of :func:`read_published`.
    """
    lines = [
        line
        for run, summary in zip(runs, summaries, strict=True)
        for own in _ours(summary)
        for line in _matches(run, own, published)
    ]
    return pd.DataFrame(lines, columns=list(COLUMNS))


def _ours(summary: pd.DataFrame) -> Iterator[pd.Series]:
    joint = max(summary["modality"], key=lambda name: name.count("+"))
    keep = (summary["modality"] == joint) & summary["fill"].isin(["zero", "none"])
    keep &= summary["granularity"].isin(UNITS)
    chosen = summary[keep]
    if len(chosen):
        for _, own in better_reduction(chosen).iterrows():
            yield own


def _matches(run: StoredRun, own: pd.Series, published: Sequence[Published]) -> Iterator[tuple[object, ...]]:
    for theirs in published:
        if run.data not in theirs.data or (own["method"], own["metric"]) != (theirs.method, theirs.metric):
            continue
        comparable = all(
            PROTOCOLS[name].comparable(own["modality"].split("+")) for name in (run.protocol, theirs.protocol)
        )
        yield (
            *(run.data, run.dataset, own["modality"], own["granularity"], theirs.method, own["reduction"]),
            *(theirs.metric, own["mean"], own["sd"], own["n"], theirs.mean, theirs.sd, theirs.variant),
            *(run.protocol, theirs.protocol, "yes" if run.protocol == theirs.protocol else "no"),
            "" if comparable else "not comparable across methods",
        )


def markdown_beside(lines: pd.DataFrame) -> str:
    """The lines of :func:`beside` as a Markdown table with its caution."""
    columns = (
        *(Column(label, left=True) for label in ("method", "by", "metric")),
        *(Column(label) for label in ("ours", "n", "published")),
        *(Column(label, left=True) for label in ("variant", "same protocol (ours / published)", "remark")),
    )
    table = Table("", columns, tuple(_line(row) for _, row in lines.iterrows()), first="run")
    return (
        f"### Beside published numbers\n\n{markdown(table)}\n\n"
        f"± is the standard deviation over samples. {CAUTION}\n"
    )


def _line(found: pd.Series) -> Line:
    same = f"no ({found['our_protocol']} / {found['published_protocol']})"
    texts = (
        method_label(found["method"]),
        found["granularity"],
        found["metric"].replace("_", " "),
        f"{found['ours']:.3f} ± {found['ours_sd']:.3f}",
        str(found["n"]),
        f"{found['published']:.3f} ± {found['published_sd']:.3f}",
        found["variant"],
        "yes" if found["same_protocol"] == "yes" else same,
        found["remark"],
    )
    return Line(found["run"], found["run"], tuple(map(Cell, texts)))
