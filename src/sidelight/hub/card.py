"""The model card of a scorer: what it explains, how it was made, what was measured, and where it fails.

Every word that comes from a model, a data set or a user is escaped. Numbers are those that were measured: a part of which
nothing is known says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sidelight.core.ownership import signed
from sidelight.core.version import __version__
from sidelight.hub.escaping import code_block, escape, table
from sidelight.hub.metadata import base_model, data_ids, metadata_block
from sidelight.hub.options import CardOptions
from sidelight.hub.reproduce import fit_call, load_call
from sidelight.hub.results import METRICS, Results

HOME = "https://github.com/sidelight-dev/sidelight"
#: folder of the sample maps beside the card
MAPS = "sidelight-maps"
#: of the validation of a training: the metrics of the table, and what each says
VALIDATION = {
    "eval_loss": "the objective, lower is better",
    "eval_lost": "share of samples that lose their prediction if only the map's part is kept",
    "eval_mean_score": "mean of the map",
    "eval_constant": "share of constant maps",
}
LIMITS = (
    "It explains this one classifier. sidelight refuses it beside other weights.",
    "A map says what keeps the prediction, and not whether the prediction is right.",
    "A map depends on the fills of the training, which stand in for removed parts.",
)
#: so many classes are listed
MOST_CLASSES = 20


@dataclass(frozen=True)
class Sample:
    """A sample map of the card, or why there is none.

    Attributes:
        label, probability: the prediction.
        picture: PNG, or ``None`` if the sample could not be explained.
        remark: the reason then, or a remark about the map.
    """

    label: str = ""
    probability: float = 0.0
    picture: bytes | None = None
    remark: str = ""


@dataclass(frozen=True)
class Subject:
    """All that a card is written from.

    Attributes:
        title: of the card.
        repository: the hub id or folder that ``sidelight.load`` takes.
        modalities: that the classifier reads.
        identity: of the classifier.
        labels: names of its classes.
        parameters: of the classifier and of the scorer.
        facts: of the training.
        options: what the person said.
        results: measured ones.
        samples: with their maps.
        model_class: the class of the classifier, if transformers has it.
    """

    title: str
    repository: str
    modalities: Sequence[str]
    identity: Mapping[str, Any]
    labels: Sequence[str]
    parameters: tuple[int, int]
    facts: Mapping[str, Any] = field(default_factory=dict)
    options: CardOptions = field(default_factory=CardOptions)
    results: Results | None = None
    samples: Sequence[Sample] = ()
    model_class: str = ""


def card_files(subject: Subject) -> dict[str, bytes]:
    """``README.md`` and the pictures that it shows, by name."""
    names = {
        f"{MAPS}/sample-{number}.png": sample.picture
        for number, sample in enumerate(subject.samples, start=1)
        if sample.picture is not None
    }
    return {"README.md": signed(card_text(subject)), **names}


def card_text(subject: Subject) -> str:
    """The Markdown of the card, with its metadata block."""
    s = subject
    block = metadata_block(s.title, s.modalities, s.identity, s.facts, s.options, s.results)
    parts = {
        "Use": code_block(load_call(s.repository, base_model(s.identity, s.options)), "python"),
        "Classifier": _classifier(s),
        "Training data": _data(s),
        "Measured": _measured(s),
        "Sample maps": _samples(s),
        "Failures": _failures(s),
        "Limits": _list([*map(escape, LIMITS), *(escape(limit, 1000) for limit in s.options.limits)]),
        "Licence": _licence(s.options),
        "Make it again": code_block(
            s.options.command or fit_call(s.modalities, s.identity, s.facts, s.options, s.model_class),
            _language(s.options),
        ),
    }
    body = "\n\n".join(f"## {name}\n\n{text}" for name, text in parts.items())
    return f"---\n{block}\n---\n\n# {escape(s.title)}\n\n{_about(s)}\n\n{body}\n\n{_footer()}\n"


def _about(s: Subject) -> str:
    what = {"image": "pixel", "text": "word"}
    parts = " and ".join(what.get(m, m) for m in s.modalities)
    return (
        f"A scorer of [sidelight]({HOME}) for the classifier {escape(_named(s))}. In one pass it gives every {parts} of an "
        "input a score between 0 and 1. A score near 1 means: if this part stays, the prediction stays. The classifier "
        "itself is not in this repository."
    )


def _named(s: Subject) -> str:
    return str(base_model(s.identity, s.options) or s.identity.get("name") or "that it was trained beside")


def _classifier(s: Subject) -> str:
    labels = ", ".join(escape(label, 60) for label in s.labels[:MOST_CLASSES])
    more = f" and {len(s.labels) - MOST_CLASSES} more" if len(s.labels) > MOST_CLASSES else ""
    rows = {
        "name": escape(_named(s)),
        "revision": escape(s.identity.get("revision") or "not known"),
        "hash of its weights": escape(s.identity.get("fingerprint") or "not known"),
        "precision": escape(s.identity.get("precision") or "not known"),
        "parameters": f"{s.parameters[0]:,}; the scorer has {s.parameters[1]:,}",
        "classes": labels + more or "not named",
    }
    return table(["", ""], [[name, value] for name, value in rows.items()])


def _data(s: Subject) -> str:
    data, rows = s.facts.get("data"), s.facts.get("rows")
    data = data if isinstance(data, Mapping) else {}
    ids = data_ids(s.facts, s.options)
    named = ", ".join(map(escape, ids)) or escape(data.get("name", ""))
    told = [f"Name: {named}." if named else "The name of the data is not known."]
    if data.get("revision"):
        told.append(f"Revision: {escape(data['revision'])}.")
    if isinstance(rows, Mapping):
        told.append("Rows: " + ", ".join(f"{_count(n)} for {escape(k)}" for k, n in rows.items()) + ".")
    if data.get("digest"):
        told.append(f"Hash of the rows: {escape(data['digest'])}.")
    return " ".join(told)


def _count(number: Any) -> str:
    return f"{number:,}" if isinstance(number, int) else escape(number)


def _measured(s: Subject) -> str:
    if s.results is not None and s.results.rows:
        return _result_tables(s.results)
    metrics = s.facts.get("metrics")
    known = metrics if isinstance(metrics, Mapping) else {}
    rows = [
        [escape(name.removeprefix("eval_")), _number(known[name]), escape(what)]
        for name, what in VALIDATION.items()
        if isinstance(known.get(name), (int, float))
    ]
    if not rows:
        return "Nothing was measured. `sidelight evaluate` measures a run, and `card={'results': folder}` shows it here."
    note = (
        "On the validation rows of the training, under the fills of the training. No test rows were measured."
    )
    return f"{note}\n\n{table(['metric', 'value', 'meaning'], rows, [1])}"


def _result_tables(results: Results) -> str:
    """One table: a line for each metric and unit, a column for each fill."""
    fills = sorted({row.fill for row in results.rows if row.fill})
    without = any(not row.fill for row in results.rows)
    lines = dict.fromkeys((row.metric, row.modality, row.unit) for row in results.rows)
    ordered = sorted(lines, key=lambda line: list(METRICS).index(line[0]))
    found = {(row.metric, row.modality, row.unit, row.fill): row for row in results.rows}
    columns = [*fills, *([""] if without else [])]
    body = [
        [
            escape(m),
            escape(f"{kind}, by {unit}"),
            *(_number(getattr(found.get((m, kind, unit, c)), "value", None)) for c in columns),
        ]
        for m, kind, unit in ordered
    ]
    heading = ["metric", "maps", *(f"fill {escape(c)}" if c else "no fill" for c in columns)]
    told = (
        f"On {_counted(results)} test samples of {escape(results.dataset)}, under {len(fills)} "
        f"fill{'' if len(fills) == 1 else 's'}. A fill stands in for a removed part."
    )
    meaning = _list(
        [f"{escape(m)}: {escape(METRICS[m])}" for m in dict.fromkeys(line[0] for line in ordered)]
    )
    return f"{told}\n\n{table(heading, body, range(2, len(heading)))}\n\n{meaning}{_beside(results)}"


def _counted(results: Results) -> str:
    """How many samples were measured. Whole curves may have been measured on fewer."""
    least, most = min(row.n for row in results.rows), max(row.n for row in results.rows)
    return f"{most:,}" if least == most else f"{least:,} to {most:,}"


def _beside(results: Results) -> str:
    if len(results.rivals) < 2:
        return ""
    rows = [[escape(name), _number(value)] for name, value in results.rivals]
    return "\n\nMean insertion minus deletion over all fills, of all methods that were measured:\n\n" + table(
        ["method", "mean"], rows
    )


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, (int, float)) else ""


def _samples(s: Subject) -> str:
    shown = [
        f"![Map of an input that is classified as {escape(sample.label, 60)}]({MAPS}/sample-{number}.png)\n\n"
        f"*{escape(sample.label, 60)}, probability {sample.probability:.3f}*"
        for number, sample in enumerate(s.samples, start=1)
        if sample.picture is not None
    ]
    return (
        "\n\n".join(shown)
        or "None were given. `card={'samples': [...]}` shows maps of inputs of your choice."
    )


def _failures(s: Subject) -> str:
    told = []
    metrics = s.facts.get("metrics")
    lost = metrics.get("eval_lost") if isinstance(metrics, Mapping) else None
    if isinstance(lost, (int, float)):
        told.append(
            f"{lost:.1%} of the validation samples lose their prediction if only the part that the map shows is kept."
        )
    told += [escape(note, 500) for note in (s.results.notes if s.results else ())]
    told += [
        f"Sample {number}: {escape(sample.remark, 300)}"
        for number, sample in enumerate(s.samples, start=1)
        if sample.remark
    ]
    return _list(told) or "None are known, because nothing was measured."


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)


def _licence(options: CardOptions) -> str:
    if options.license is None:
        return "None was stated. The classifier and the data have licences of their own."
    name = escape(options.license_name or options.license)
    link = f" ({escape(options.license_link)})" if options.license_link else ""
    return f"{name}{link}, for the scorer. The classifier and the data have licences of their own."


def _language(options: CardOptions) -> str:
    return "" if options.command else "python"


def _footer() -> str:
    return f"Written by sidelight {__version__}. If you change this text, sidelight leaves it alone."
